"""A checkpoint of every registered family, and settings that only change how it batches."""

from __future__ import annotations

from typing import Any

from models import write_bi_encoder, write_cross_encoder, write_lbnl
from models_causal import write_causal
from models_encoders import write_jina_m0, write_jina_v2
from models_generative import write_generative
from models_late import write_pylate

FAMILIES: dict[str, tuple[Any, list[dict[str, str]]]] = {
    "bi-encoder": (write_bi_encoder, [{"batch_size": "1"}, {"group_documents": "2"}]),
    "causal": (write_causal, [{"tokens_per_batch": "1"}, {"tokens_per_batch": "900"}]),
    "cross-encoder": (
        write_cross_encoder,
        [{"tokens_per_batch": "1"}, {"tokens_per_batch": "200"}],
    ),
    "generative": (write_generative, [{"batch_prompts": "1"}, {"batch_prompts": "3"}]),
    "jina-m0": (write_jina_m0, [{"tokens_per_batch": "1"}, {"tokens_per_batch": "700"}]),
    "jina-v2": (write_jina_v2, [{"tokens_per_batch": "1"}, {"tokens_per_batch": "500"}]),
    "late-interaction": (write_pylate, [{"tokens_per_batch": "1"}, {"group_documents": "2"}]),
    "lbnl": (write_lbnl, [{"tokens_per_pass": "1"}, {"attention": "blocked"}]),
}
# A bare causal model may also be asked for yes or no, so its family has to be named.
FORCED = ("generative",)
# Their target is a service, so they have no checkpoint; where their contract is tested.
ELSEWHERE = {"http": "test_services.py"}
