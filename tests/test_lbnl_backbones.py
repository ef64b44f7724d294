"""Other causal backbones run through transformers, several lists a pass where that is exact."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from jrv3_eval.errors import CheckpointError, UsageError
from jrv3_eval.lbnl import LbnlReranker
from jrv3_eval.lbnl.model import AnyReader
from jrv3_eval.rerankers import RankingRequest
from models import write_json, write_lbnl

SHAPE = {
    "hidden_size": 32, "intermediate_size": 96, "num_hidden_layers": 3,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 4096,
}  # fmt: skip
WORK = [
    RankingRequest("a", "longest river", ("the nile " * 9, "", "bananas", "\nthe amazon")),
    RankingRequest("b", "fruit", ("bananas are rich in potassium", "rivers flow")),
]


def write_backbone(folder: Path, model_type: str, **changes: Any) -> Path:
    """The tiny checkpoint with another backbone of transformers in place of Qwen3."""
    from safetensors.torch import load_file, save_file
    from transformers import AutoConfig, AutoModel

    write_lbnl(folder)
    old = json.loads((folder / "config.json").read_text())
    options = {"vocab_size": old["vocab_size"], **SHAPE, **changes}
    torch.manual_seed(3)
    backbone = AutoModel.from_config(AutoConfig.for_model(model_type, **options))
    kept = load_file(folder / "model.safetensors")
    weights = {f"model.{k}": v.clone() for k, v in backbone.state_dict().items()}
    weights |= {k: v for k, v in kept.items() if k.startswith("projector.")}
    save_file(weights, folder / "model.safetensors")
    write_json(
        folder / "config.json",
        {**options, "model_type": model_type, "architectures": old["architectures"]},
    )
    return folder


def loaded(folder: Path, **settings: Any) -> tuple[LbnlReranker, AnyReader]:
    reranker = LbnlReranker.from_pretrained(str(folder), device="cpu", **settings)
    reader = reranker._model._reader
    assert isinstance(reader, AnyReader)
    return reranker, reader


@pytest.mark.parametrize("attention", ["sdpa", "blocked"])
@pytest.mark.parametrize(
    ("model_type", "changes"),
    [("llama", {}), ("qwen2", {}), ("mistral", {"sliding_window": 24}), ("mistral", {})],
)
def test_lists_share_a_pass_as_if_each_were_alone(
    tmp_path: Path, model_type: str, changes: dict[str, Any], attention: str
) -> None:
    folder = write_backbone(tmp_path / "ckpt", model_type, **changes)
    reranker, reader = loaded(folder, attention=attention)
    assert reader.packs
    together = reranker.score(WORK)
    alone = [reranker.score([request])[0] for request in WORK]
    reader._backbone.config._attn_implementation = "sdpa"
    reader.packs = False  # transformers' own way, a prompt at a time
    plain = reranker.score(WORK)
    for one, other, third in zip(together, alone, plain, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
        np.testing.assert_allclose(one, third, atol=1e-5)


@pytest.fixture
def gptj(tmp_path: Path) -> Path:
    """A backbone with an attention of its own, and few positions."""
    changes = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 4096, "rotary_dim": 8}
    return write_backbone(tmp_path / "ckpt", "gptj", **changes)


def test_a_backbone_with_an_attention_of_its_own_runs_a_prompt_at_a_time(gptj: Path) -> None:
    reranker, reader = loaded(gptj)
    assert not reader.packs
    assert reranker.info.settings["attention"] == "sdpa"
    together = reranker.score(WORK)
    np.testing.assert_allclose(together[0], reranker.score(WORK[:1])[0], atol=1e-5)


def test_settings_without_effect_are_refused(gptj: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="computes attention as transformers decides"):
        loaded(gptj, attention="blocked")
    with pytest.raises(UsageError, match="compile works for qwen3 backbones only"):
        loaded(write_backbone(tmp_path / "llama", "llama"), compile=True)


def test_a_prompt_beyond_the_positions_is_an_error(tmp_path: Path) -> None:
    folder = write_backbone(tmp_path / "ckpt", "llama", max_position_embeddings=700)
    reranker, _ = loaded(folder, max_doc_length=300, max_query_length=100)
    assert reranker.info.settings["max_length"] == 700
    with pytest.raises(UsageError, match="but the backbone has 700 positions"):
        reranker.score(WORK)


def test_a_backbone_that_looks_ahead_is_refused(tmp_path: Path) -> None:
    folder = write_backbone(tmp_path / "ckpt", "bert")
    with pytest.raises(CheckpointError, match=r"BertModel.*attends to later tokens"):
        loaded(folder)
