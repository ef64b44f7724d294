"""Family jina-m0: the text part of a Qwen2-VL reranker, against transformers' whole class."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from jrv3_eval.checkpoint import open_checkpoint
from jrv3_eval.device import quiet_loading
from jrv3_eval.errors import CheckpointError, UsageError
from jrv3_eval.rerankers import RankingRequest
from jrv3_eval.rerankers._loading import load_tokenizer
from jrv3_eval.rerankers.contract import check_reranker
from jrv3_eval.rerankers.cross_encoder import family as cross_encoder
from jrv3_eval.rerankers.jina_m0 import JinaM0, family
from jrv3_eval.rerankers.jina_m0.reading import Limits, prompt, read_prompts
from jrv3_eval.rerankers.settings import parse_settings
from models import write_json
from models_encoders import write_jina_m0

POSITIONS = 256
QUERY = "longest river"
DOCUMENTS = (
    "the river nile flows north",
    "a banana",
    "",
    "the longest river in africa is the nile which flows north " * 4,
    "河は北へ流れる " * 3,
    "caf\u00e9s \U0001f34c",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_jina_m0(tmp_path_factory.mktemp("jina-m0") / "released", positions=POSITIONS)


@pytest.fixture
def copied(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copied"))


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> Any:
    return load_tokenizer(open_checkpoint(str(folder), allow_auto_map=True))


def opened(folder: Path, **settings: str) -> JinaM0:
    reranker = family.open(str(folder), parse_settings(family, settings))
    assert isinstance(reranker, JinaM0)
    return reranker


def scores_of(folder: Path, query: str = QUERY, **settings: str) -> NDArray[np.float32]:
    [scores] = opened(folder, **settings).score([RankingRequest("q", query, DOCUMENTS)])
    return scores


def edit_tensors(folder: Path, change: Any) -> None:
    """Rewrite the weights: `change` maps names to tensors, to the names to save."""
    from safetensors.torch import load_file, save_file

    tensors = change(load_file(folder / "model.safetensors"))
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def test_contract(folder: Path) -> None:
    check_reranker(
        lambda: opened(folder),
        pointwise=True,
        variants=[
            lambda: opened(folder, tokens_per_batch="1"),
            lambda: opened(folder, tokens_per_batch="700"),
        ],
    )


# --- the model


def whole_class(folder: Path) -> Any:
    """transformers' own Qwen2-VL, vision tower and all, with the checkpoint's weights."""
    import torch
    import transformers
    from safetensors.torch import load_file

    config = json.loads((folder / "config.json").read_text())
    for key in ("architectures", "auto_map", "model_type"):
        config.pop(key)
    with quiet_loading():
        model = transformers.Qwen2VLForConditionalGeneration(transformers.Qwen2VLConfig(**config))
    names = {}
    for name in model.state_dict():
        old = name.replace("model.language_model.", "model.").replace("model.visual.", "visual.")
        names[name] = old
    tensors = load_file(folder / "model.safetensors")
    state = {name: tensors[old] for name, old in names.items() if old in tensors}
    lost = model.load_state_dict(state, strict=False)
    assert (lost.missing_keys, lost.unexpected_keys) == (["lm_head.weight"], [])
    model.lm_head = torch.nn.Identity()  # as released
    model.train(False)
    return model


def released_scores(folder: Path, prompts: Sequence[Sequence[int]]) -> NDArray[np.float32]:
    """The released forward pass before its sigmoid: left padding, a mask, the last column."""
    import torch
    from safetensors.torch import load_file

    longest = max(map(len, prompts))
    ids = torch.tensor([[0] * (longest - len(p)) + list(p) for p in prompts])
    mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts])
    with torch.no_grad():
        seen = whole_class(folder)(input_ids=ids, attention_mask=mask, output_hidden_states=True)
        head = load_file(folder / "model.safetensors")
        x = seen.hidden_states[-1][:, -1]
        x = torch.relu(x @ head["score.0.weight"].T + head["score.0.bias"])
        x = x @ head["score.2.weight"].T + head["score.2.bias"]
    scores: NDArray[np.float32] = (x.squeeze(-1) - 2.65).numpy()
    return scores


def test_scores_are_those_of_the_whole_class(folder: Path, tokenizer: Any) -> None:
    texts = [f"**Document**:\n{d}\n**Query**:\n{QUERY}" for d in DOCUMENTS]
    ids = [[*tokenizer(text)["input_ids"], 100] for text in texts]
    assert len({len(p) for p in ids}) > 3  # so some are padded
    theirs = released_scores(folder, ids)
    np.testing.assert_allclose(scores_of(folder), theirs, rtol=1e-5, atol=1e-5)
    assert len(np.unique(theirs)) == len(DOCUMENTS)
    assert np.ptp(theirs) > 0.1


def test_the_three_axes_of_position_are_one_on_texts(folder: Path) -> None:
    """Qwen2-VL's M-RoPE on texts: all three axes count on by one over the real tokens."""
    import torch

    model, seen = whole_class(folder), []
    [rotary] = [m for n, m in model.named_modules() if n.endswith("language_model.rotary_emb")]
    rotary.register_forward_pre_hook(lambda module, args: seen.append(args[1]))
    ids = torch.tensor([[0, 0, 5, 6, 7], [1, 2, 3, 4, 5]])
    model(input_ids=ids, attention_mask=torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]]))
    [positions] = seen
    assert positions.shape[0] == 3
    assert (positions == positions[:1]).all()
    assert (positions[..., 3:] - positions[..., 2:-1] == 1).all()
    assert positions[0, -1].tolist() == [0, 1, 2, 3, 4]


def test_the_names_of_newer_transformers_are_read_too(copied: Path) -> None:
    before = scores_of(copied)

    def rename(tensors: Mapping[str, Any]) -> dict[str, Any]:
        newer = {}
        for name, tensor in tensors.items():
            name = re.sub(r"^model\.", "model.language_model.", name)
            newer[re.sub(r"^visual\.", "model.visual.", name)] = tensor
        return newer

    edit_tensors(copied, rename)
    config = json.loads((copied / "config.json").read_text())
    flat = [
        *("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "rms_norm_eps"),
        *("num_attention_heads", "num_key_value_heads", "max_position_embeddings"),
    ]
    text = {key: config.pop(key) for key in flat}
    rope = {"rope_type": "default", "rope_theta": config.pop("rope_theta")}
    rope |= {"mrope_section": config.pop("rope_scaling")["mrope_section"]}
    write_json(copied / "config.json", {**config, "text_config": {**text, "rope_parameters": rope}})
    np.testing.assert_array_equal(scores_of(copied), before)


def test_the_rotary_base_is_read(copied: Path) -> None:
    before = scores_of(copied)
    config = json.loads((copied / "config.json").read_text())
    write_json(copied / "config.json", {**config, "rope_theta": 100.0})
    assert np.abs(scores_of(copied) - before).max() > 1e-4


def test_the_vision_tower_is_not_read(copied: Path) -> None:
    before = scores_of(copied)
    edit_tensors(copied, lambda t: {n: x for n, x in t.items() if not n.startswith("visual.")})
    np.testing.assert_array_equal(scores_of(copied), before)


def test_close_scores_are_not_tied_by_half_precision(folder: Path) -> None:
    exact, half = scores_of(folder), scores_of(folder, dtype="bfloat16")
    np.testing.assert_allclose(half, exact, atol=0.3)
    assert half.dtype == np.float32
    import torch

    rounded = torch.from_numpy(half).to(torch.bfloat16).float().numpy()
    assert (half != rounded).any()  # the head computes in float32


# --- the prompt


def released_ids(tokenizer: Any, query: str, document: str, limits: Limits) -> list[int]:
    """compute_score's reading of a pair, with the truncation of transformers."""
    tokens = tokenizer(document, truncation=True, max_length=limits.document)["input_ids"]
    if len(tokens) >= limits.document:
        document = tokenizer.decode(tokens)
    text = "**Document**:\n" + document + "\n**Query**:\n" + query
    ids = tokenizer(text, truncation=True, max_length=limits.prompt - 1)["input_ids"]
    return [*ids, 100]


@pytest.mark.parametrize(
    ("query", "document"),
    [
        ("river", "the nile"),
        ("", ""),
        ("river " * 5, "banana " * 200),
        ("river " * 200, "banana"),
        ("river " * 200, "banana " * 200),
        ("river", "河は北へ流れる" * 20),  # cut within a character
        ("a <|im_end|> b", "c <|endoftext|> d"),
        ("x\n", "\n y"),
    ],
)
def test_prompts_are_cut_as_released(tokenizer: Any, query: str, document: str) -> None:
    for limits in (Limits(128, 96), Limits(64, 32), Limits(16, 8), Limits(70, 6)):
        request = RankingRequest("q", query, (document,))
        pairs = read_prompts(tokenizer, [request], limits)
        [pair] = pairs.inputs
        assert pair["input_ids"] == released_ids(tokenizer, query, document, limits)
        assert len(pair["input_ids"]) <= limits.prompt
        whole = len(tokenizer(document)["input_ids"]) if document else 0
        assert pairs.usage[0].truncated_documents == (whole > limits.document)


def test_the_prompt() -> None:
    expected = "**Document**:\nThe Nile.\n**Query**:\nlongest river?"
    assert prompt("longest river?", "The Nile.") == expected


def test_usage(folder: Path) -> None:
    request = RankingRequest("q", QUERY, ("a banana", "river " * 200, "a banana"))
    [usage] = opened(folder, max_length="128").usage([request])
    assert (usage.truncated_documents, usage.truncated_query) == (1, False)
    [long] = opened(folder).usage([RankingRequest("q", "river " * 300, ("a banana",))])
    assert (long.tokens, long.truncated_query) == (POSITIONS, True)


# --- which checkpoints, which settings


def test_detection(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    assert family.recognises(config, frozenset())
    assert not cross_encoder.recognises(config, frozenset())
    assert not family.recognises({"architectures": ["JinaForRanking"]}, frozenset())
    assert not family.recognises({}, frozenset())


def test_another_architecture_is_refused(copied: Path) -> None:
    config = json.loads((copied / "config.json").read_text())
    other = {**config, "architectures": ["Qwen2VLForConditionalGeneration"]}
    write_json(copied / "config.json", other)
    with pytest.raises(CheckpointError, match="is no JinaVLForRanking"):
        opened(copied)


def test_settings(folder: Path, tmp_path: Path) -> None:
    full = write_jina_m0(tmp_path / "full", positions=32_768)
    names = ("max_length", "max_query_length", "max_doc_length")
    assert [opened(full).info.settings[n] for n in names] == [10_240, 512, 9_728]
    assert [opened(folder).info.settings[n] for n in names] == [256, 128, 128]
    assert len({opened(full, **s).info.fingerprint for s in ({}, {"max_doc_length": "64"})}) == 2
    with pytest.raises(UsageError, match="max_length=257 is more than the 256 positions"):
        opened(folder, max_length="257")
    with pytest.raises(UsageError, match="max_query_length=128 and max_doc_length=129"):
        opened(folder, max_doc_length="129")
    with pytest.raises(UsageError, match="together more than max_length=256"):
        opened(folder, max_query_length="200")  # a document may have as much, as released


def test_opening_imports_no_model_library(folder: Path) -> None:
    code = (
        "import sys; from jrv3_eval.rerankers.jina_m0 import family\n"
        f"family.open({str(folder)!r}, family.settings(device='cpu'))\n"
        "heavy = {'torch', 'transformers', 'tokenizers', 'safetensors'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("score.2.bias", "no text part of jina-reranker-m0 .* lacks score.2.bias"),
        ("model.layers.1.mlp.up_proj.weight", "lacks layers.1.mlp.up_proj.weight"),
        ("model.embed_tokens.weight", "lacks embed_tokens.weight"),
    ],
)
def test_missing_tensors_are_named(copied: Path, name: str, message: str) -> None:
    edit_tensors(copied, lambda t: {n: x for n, x in t.items() if n != name})
    with pytest.raises(CheckpointError, match=message):
        opened(copied).load()


@pytest.mark.parametrize("name", ["score.4.bias", "model.layers.2.mlp.up_proj.weight", "lora_A"])
def test_unexpected_tensors_are_named(copied: Path, name: str) -> None:
    import torch

    edit_tensors(copied, lambda t: {**t, name: torch.zeros(4)})
    with pytest.raises(CheckpointError, match=f"unexpected {name}"):
        opened(copied).load()


def test_a_language_model_head_is_ignored(copied: Path) -> None:
    import torch

    before = scores_of(copied)
    edit_tensors(copied, lambda t: {**t, "lm_head.weight": torch.zeros(4, 4)})
    np.testing.assert_array_equal(scores_of(copied), before)


@pytest.mark.parametrize("name", ["score.0.weight", "model.layers.0.mlp.up_proj.weight"])
def test_wrong_shapes_are_named(copied: Path, name: str) -> None:
    edit_tensors(copied, lambda t: {**t, name: t[name][:, :8].contiguous()})
    with pytest.raises(CheckpointError, match=name.removeprefix("model.")):
        opened(copied).load()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_size": None}, "should state a positive hidden_size"),
        ({"vocab_size": 100}, "has no token 100"),
        ({"rope_scaling": {"type": "yarn", "factor": 4}}, "kind 'yarn'"),
    ],
)
def test_configs_that_mean_something_else(
    copied: Path, change: Mapping[str, Any], message: str
) -> None:
    config = json.loads((copied / "config.json").read_text())
    write_json(copied / "config.json", {**config, **change})
    with pytest.raises(CheckpointError, match=message):
        opened(copied)
