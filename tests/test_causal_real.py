"""The causal family on a real decoder: SmolLM2-135M, from the weights that a package carries."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import straight_causal as straight
from jrv3_eval.rerankers import RankingRequest, Reranker, parse_settings
from jrv3_eval.rerankers.causal.family import family
from jrv3_eval.rerankers.contract import check_reranker
from smollm2 import ABSENT, smollm2_folder

SHORT = """
name: short
source: this test, so that a small processor is done in seconds
max_length: 48
pieces:
  - text: "<|im_start|>user\\n{query}\\n"
    share: 0.25
  - text: "{document}"
  - text: " Relevant, Yes or No?<|im_end|>\\n<|im_start|>assistant\\n"
relevant: "Yes"
irrelevant: "No"
"""


@pytest.fixture(scope="module")
def folder() -> Path:
    found = smollm2_folder()
    if found is None:
        pytest.skip(ABSENT)
    return found


def opened(folder: Path, **settings: str) -> Reranker:
    chosen = {"device": "cpu", "dtype": "float32", **settings}
    return family.open(str(folder), parse_settings(family, chosen))


def test_contract(folder: Path, tmp_path: Path) -> None:
    template = tmp_path / "short.yaml"
    template.write_text(SHORT)
    reranker = opened(folder, template=str(template))
    check_reranker(
        lambda: reranker,
        pointwise=True,
        variants=[lambda: opened(folder, template=str(template), tokens_per_batch="300")],
        long=2_000,
    )


def test_scores_equal_the_whole_model(folder: Path) -> None:
    import transformers

    documents = ("The Nile flows north.", "Bananas are rich in potassium.", "日本の河")
    (found,) = opened(folder, template="mxbai-rerank-v2").score(
        [RankingRequest("q", "which river flows north", documents)]
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    prompts = [straight.mxbai(tokenizer, "which river flows north", d) for d in documents]
    labels = [tokenizer(text, add_special_tokens=False)["input_ids"][0] for text in "10"]
    expected = straight.scores(model, prompts, labels[0], labels[1])
    np.testing.assert_allclose(found, expected, atol=1e-4)
