"""What a checkpoint of this architecture must be, the errors where it is not, and making one."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import Cli
from jrv3_eval.errors import CheckpointError, StorageError, UsageError
from jrv3_eval.lbnl import LbnlReranker, initialise
from jrv3_eval.lbnl.initialise import RELEASED, TINY, Size
from jrv3_eval.rerankers import RankingRequest, open_reranker
from models import write_cross_encoder, write_json, write_lbnl

ASKED = [RankingRequest("q", "longest river", ("the nile", "bananas"))]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lbnl(tmp_path_factory.mktemp("lbnl") / "tiny")


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "tiny"))


def edit_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    write_json(path, {**json.loads(path.read_text()), **changes})


def edit_weights(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors")


def refusal(folder: Path) -> CheckpointError:
    """The error of opening or, at the latest, of scoring; never a number."""
    with pytest.raises(CheckpointError) as caught:
        open_reranker(f"lbnl:{folder}").score(ASKED)
    return caught.value


# --- layouts that load --------------------------------------------------------------------------


def test_the_family_comes_from_the_architecture_not_from_the_name(
    folder: Path, tmp_path: Path
) -> None:
    assert open_reranker(str(folder)).info.family == "lbnl"
    named = write_cross_encoder(tmp_path / "jina-reranker-v3")
    assert open_reranker(str(named)).info.family == "cross-encoder"


def test_remote_code_in_the_folder_is_neither_needed_nor_run(folder: Path) -> None:
    expected = open_reranker(str(folder)).score(ASKED)[0]
    edit_config(folder, auto_map={"AutoModel": "modeling.JinaForRanking"})
    (folder / "modeling.py").write_text("raise SystemExit('remote code ran')")
    found = open_reranker(str(folder)).score(ASKED)[0]
    np.testing.assert_array_equal(found, expected)


def test_shards_load_as_one_file_does(folder: Path, tmp_path: Path) -> None:
    initialise(tmp_path / "shards", dtype="float32", max_shard_size="40KB")
    assert (tmp_path / "shards" / "model.safetensors.index.json").is_file()
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 2
    found = open_reranker(str(tmp_path / "shards")).score(ASKED)[0]
    np.testing.assert_array_equal(found, open_reranker(str(folder)).score(ASKED)[0])


def test_a_hub_id_loads_from_the_hubs_cache(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    commit = "b" * 40
    store = tmp_path / "hub" / "models--org--listwise"
    shutil.copytree(folder, store / "snapshots" / commit)
    (store / "refs").mkdir()
    (store / "refs" / "main").write_text(commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    reranker = LbnlReranker.from_pretrained("org/listwise")
    assert (reranker.info.name, reranker.info.revision) == ("org/listwise", commit)
    expected = open_reranker(str(folder)).score(ASKED)[0]
    np.testing.assert_array_equal(reranker.score(ASKED)[0], expected)


def test_a_vocabulary_head_is_left_aside(folder: Path) -> None:
    expected = open_reranker(str(folder)).score(ASKED)[0]
    edit_weights(folder, lambda w: w.update({"lm_head.weight": w["model.embed_tokens.weight"] * 1}))
    np.testing.assert_array_equal(open_reranker(str(folder)).score(ASKED)[0], expected)


def test_the_dtype_of_newer_configs_is_read_too(folder: Path) -> None:
    edit_config(folder, torch_dtype=None, dtype="bfloat16")
    assert open_reranker(str(folder)).info.settings["dtype"] == "bfloat16"
    edit_config(folder, dtype=None)  # then the weights themselves say it
    assert open_reranker(str(folder)).info.settings["dtype"] == "float32"


def test_the_config_decides_which_layers_are_sliding(tmp_path: Path) -> None:
    folder = write_lbnl(tmp_path / "v35", layers=7, sliding_window=64)
    model: Any = LbnlReranker.from_pretrained(str(folder))._model
    windows = [layer.self_attn.sliding_window for layer in model.backbone.layers]
    assert windows == [64, 64, 64, None, None, 64, None]


# --- what is refused ----------------------------------------------------------------------------


def test_another_architecture(folder: Path) -> None:
    edit_config(folder, architectures=["Qwen3ForCausalLM"])
    assert "is no JinaForRanking" in refusal(folder).what


def test_pickled_weights(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "pickled weights" in refusal(folder).what


@pytest.mark.parametrize("name", ["projector.0.weight", "projector.2.weight"])
def test_a_missing_projector(folder: Path, name: str) -> None:
    edit_weights(folder, lambda w: w.pop(name))
    assert f"has no {name}" in refusal(folder).what


@pytest.mark.parametrize(
    "change",
    [
        lambda w: w.update({"projector.0.weight": w["projector.0.weight"][:, :30].clone()}),
        lambda w: w.update({"projector.2.weight": w["projector.2.weight"][:, :9].clone()}),
        lambda w: w.update({"projector.0.weight": w["projector.0.weight"][0].clone()}),
    ],
)
def test_a_wrongly_shaped_projector(folder: Path, change: Any) -> None:
    edit_weights(folder, change)
    error = refusal(folder)
    assert "The projector has the shapes" in error.what
    assert "512" in str(error.next_step)


def test_the_released_width_wants_512_dimensions(tmp_path: Path, data: Path) -> None:
    from safetensors.torch import load_file, save_file

    card, size = tmp_path / "card", Size(1, 1024, 8, 1, 1, 8)
    initialise(card, size, tokenizer=data / "tokenizer-qwen3")
    weights = load_file(card / "model.safetensors")
    weights["projector.2.weight"] = weights["projector.2.weight"][:256].clone()
    save_file(weights, card / "model.safetensors")
    assert "wants 512x1024 and 512x512" in refusal(tmp_path / "card").what


def test_a_biased_projector(folder: Path) -> None:
    edit_weights(
        folder, lambda w: w.update({"projector.0.bias": w["projector.0.weight"][:, 0] * 1})
    )
    assert "has unexpected projector.0.bias" in refusal(folder).what


def test_missing_tensors_are_named(folder: Path) -> None:
    edit_weights(folder, lambda w: w.pop("model.layers.1.mlp.up_proj.weight"))
    assert "lacks layers.1.mlp.up_proj.weight" in refusal(folder).what


def test_unexpected_tensors_are_named(folder: Path) -> None:
    def add(weights: dict[str, Any]) -> None:
        for i in range(8):
            weights[f"model.layers.9.part{i}.weight"] = weights["model.norm.weight"] + i

    edit_weights(folder, add)
    error = refusal(folder)
    assert "unexpected" in error.what
    assert "layers.9.part0" in error.what
    assert "and 2 more" in error.what


def test_tensors_in_a_file_that_nobody_reads_are_unexpected(folder: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"foo.bar": np.zeros(1, np.float32)}, folder / "extra.safetensors")
    assert "has unexpected foo.bar" in refusal(folder).what


def test_a_tensor_without_the_backbones_prefix_does_not_take_its_place(folder: Path) -> None:
    name = "layers.0.mlp.down_proj.weight"
    edit_weights(folder, lambda w: w.update({name: w[f"model.{name}"] * 2}))
    assert f"has unexpected {name}" in refusal(folder).what


def test_tensors_of_another_shape(folder: Path) -> None:
    edit_weights(
        folder, lambda w: w.update({"model.norm.weight": w["model.norm.weight"][:9].clone()})
    )
    assert "norm.weight" in refusal(folder).what


def test_a_tensor_that_stands_in_two_files(folder: Path) -> None:
    shutil.copyfile(folder / "model.safetensors", folder / "old.safetensors")
    assert "stands in two weight files" in refusal(folder).what


def test_a_broken_header(folder: Path) -> None:
    import struct

    header = json.dumps({"a": {"dtype": "F9", "shape": [1], "data_offsets": [0, 4]}}).encode()
    content = struct.pack("<Q", len(header)) + header + b"0000"
    (folder / "model.safetensors").write_bytes(content)
    assert "The weight file cannot be read" in refusal(folder).what


@pytest.mark.parametrize("marker", ["<|embed_token|>", "<|rerank_token|>"])
def test_missing_markers(folder: Path, marker: str) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        text = (folder / name).read_text().replace(marker, "<|other|>")
        (folder / name).write_text(text)
    error = refusal(folder)
    assert f"lacks the marker {marker}" in error.what
    assert "tokenizer.json" in str(error.where)


def test_no_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    assert "transformers cannot load tiny" in refusal(folder).what


def test_markers_of_the_released_vocabulary_have_the_released_ids(
    tmp_path: Path, data: Path
) -> None:
    made = write_lbnl(tmp_path / "q", tokenizer=data / "tokenizer-qwen3", layers=1, hidden=8)
    path = made / "tokenizer.json"
    content = json.loads(path.read_text())
    last, before = content["added_tokens"][-1], content["added_tokens"][-2]
    last["content"], before["content"] = before["content"], last["content"]
    path.write_text(json.dumps(content))
    error = refusal(made)
    assert "(151671, 151670), the released ones are (151670, 151671)" in error.what


def test_ids_without_an_embedding(folder: Path, tmp_path: Path) -> None:
    edit_config(folder, vocab_size=200)
    edit_weights(
        folder,
        lambda w: w.update({"model.embed_tokens.weight": w["model.embed_tokens.weight"][:200] * 1}),
    )
    assert "embeds 200 tokens only" in refusal(folder).what


@pytest.mark.parametrize("key", ["hidden_size", "vocab_size", "max_position_embeddings"])
@pytest.mark.parametrize("value", [None, "64", 0, True])
def test_bad_sizes_in_the_config(folder: Path, key: str, value: Any) -> None:
    edit_config(folder, **{key: value})
    assert f"a positive {key}" in refusal(folder).what


@pytest.mark.parametrize(
    "layers", [["full_attention"], "full_attention", ["full_attention", "linear"], [1, 2]]
)
def test_bad_layer_types(folder: Path, layers: Any) -> None:
    edit_config(folder, layer_types=layers)
    assert "layer_types should list" in refusal(folder).what


@pytest.mark.parametrize(
    "config",
    [{}, {"use_sliding_window": True}, {"sliding_window": 64, "use_sliding_window": False}],
)
def test_sliding_layers_without_a_window_would_be_plausible_and_wrong(
    folder: Path, config: dict[str, Any]
) -> None:
    edit_config(folder, layer_types=["sliding_attention", "full_attention"], **config)
    assert "Some layers are sliding" in refusal(folder).what


@pytest.mark.parametrize(
    "change",
    [
        {"model_type": "no-such-type"}, {"model_type": None}, {"num_hidden_layers": "2"},
        {"rms_norm_eps": "x"}, {"num_attention_heads": 0},
    ],
)  # fmt: skip
def test_a_config_that_transformers_does_not_take(folder: Path, change: dict[str, Any]) -> None:
    edit_config(folder, **change)
    assert "transformers cannot load tiny" in refusal(folder).what


def test_a_tokenizer_that_no_library_knows(folder: Path) -> None:
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "model": {"type": "Telepathy"}}))
    assert "transformers cannot load tiny" in refusal(folder).what


def test_positions_must_be_stated(folder: Path) -> None:
    edit_config(folder, rope_theta=None)
    assert "does not state rope_theta" in refusal(folder).what
    edit_config(folder, rope_parameters={"rope_type": "default", "rope_theta": 1e6})
    edit_config(folder, rope_scaling=None)
    assert len(open_reranker(str(folder)).score(ASKED)[0]) == 2


@pytest.mark.parametrize("kind", ["dynamic", "longrope"])
def test_positions_that_depend_on_other_lists_are_refused(folder: Path, kind: str) -> None:
    edit_config(folder, rope_scaling={"rope_type": kind, "factor": 2.0})
    assert "depend on other lists" in refusal(folder).what
    edit_config(folder, rope_scaling="yarn")
    assert "rope_scaling should be an object" in refusal(folder).what


@pytest.mark.parametrize("theta", [1_000_000, 500_000])
def test_the_stated_positions_reach_the_model(folder: Path, theta: int) -> None:
    edit_config(folder, rope_theta=theta)
    model: Any = LbnlReranker.from_pretrained(str(folder))._model
    frequencies = model.backbone.rotary_emb.inv_freq
    assert float(frequencies[1]) == pytest.approx(theta ** (-2 / 16))


def test_a_config_cannot_ask_for_a_foreign_kernel(folder: Path, tmp_path: Path) -> None:
    expected = open_reranker(str(folder)).score(ASKED)[0]
    for key in ("attn_implementation", "_attn_implementation"):
        edit_config(folder, **{key: "evil-org/evil-kernel"})
    np.testing.assert_array_equal(open_reranker(str(folder)).score(ASKED)[0], expected)
    other = write_cross_encoder(tmp_path / "cross")
    edit_config(other, attn_implementation="evil-org/evil-kernel")
    with pytest.raises(CheckpointError, match="asks for an attention kernel from the hub"):
        open_reranker(str(other))


def test_the_window_is_never_more_than_the_positions(folder: Path) -> None:
    edit_config(folder, max_position_embeddings=40_960)
    assert open_reranker(str(folder)).info.settings["max_length"] == 40_960


# --- making one ---------------------------------------------------------------------------------


def test_init_lbnl_writes_a_checkpoint_that_scores(cli: Cli, tmp_path: Path) -> None:
    done = cli("models", "init-lbnl", "fresh", "--layers", "3", "--sliding-window", "32")
    assert done.code == 0, done.err
    assert "next: jrv3-eval demo --model fresh" in done.out
    assert open_reranker("fresh").info.family == "lbnl"
    [scores] = open_reranker("fresh").score(ASKED)
    assert len(np.unique(scores)) == 2
    config = json.loads((tmp_path / "fresh" / "config.json").read_text())
    assert config["layer_types"] == ["sliding_attention", "sliding_attention", "full_attention"]


def test_the_same_seed_gives_the_same_weights(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        initialise(tmp_path / name, seed=seed)
    a, b, c = (open_reranker(str(tmp_path / n)).info.weights for n in "abc")
    assert a == b != c


def test_making_one_leaves_the_callers_random_numbers_alone(tmp_path: Path) -> None:
    import torch

    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    initialise(tmp_path / "a")
    assert torch.equal(torch.rand(3), expected)


def test_qwen3s_tokenizer_gives_the_released_vocabulary(tmp_path: Path, data: Path) -> None:
    initialise(tmp_path / "q", Size(1, 8, 8, 1, 1, 8), tokenizer=data / "tokenizer-qwen3")
    config = json.loads((tmp_path / "q" / "config.json").read_text())
    assert config["vocab_size"] == 151_936
    assert open_reranker(str(tmp_path / "q")).info.settings["max_length"] == 131_072


def test_the_released_size_has_the_released_parameters() -> None:
    """By the formula of the reference (section 1.2); the slow test writes it."""
    s = RELEASED
    layer = 2 * s.hidden * (s.heads + s.key_heads) * s.head_dim + 3 * s.hidden * s.intermediate
    layer += 2 * s.hidden + 2 * s.head_dim
    backbone = s.layers * layer + s.hidden + 151_936 * s.hidden
    projector = s.hidden // 2 * s.hidden + s.projection * (s.hidden // 2)
    assert backbone + projector == 596_836_352


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--heads", "3", "--key-heads", "2"], "3 heads cannot share 2 key heads"),
        (["--head-dim", "7"], "must be even"),
        (["--dtype", "int8"], "Unknown dtype 'int8'"),
        (["--tokenizer", "absent"], "has no tokenizer.json"),
        (["--layers", "0"], "greater than or equal to 1"),
        (["--size", "huge"], "tiny"),
    ],
)
def test_init_lbnl_says_what_is_wrong(cli: Cli, arguments: list[str], message: str) -> None:
    done = cli("models", "init-lbnl", "fresh", *arguments)
    assert done.code == 2
    assert message in done.err
    assert done.out == ""


def test_sizes_are_checked_in_python_too(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="layers must be 1 or more"):
        initialise(tmp_path / "x", Size(layers=0))
    with pytest.raises(UsageError, match="sliding_window must be 1 or more"):
        initialise(tmp_path / "x", TINY, sliding_window=0)


def test_a_folder_that_is_not_empty_is_left_alone(cli: Cli, folder: Path) -> None:
    before = sorted(folder.iterdir())
    done = cli("models", "init-lbnl", folder)
    assert done.code == 2
    assert "not empty" in done.err
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tokenizer.json", b"{}"),
        ("tokenizer.json.gz", gzip.compress(b"{}" * 99, mtime=0)[:20]),
        ("tokenizer.json.gz", b"no gzip"),
    ],
)
def test_a_broken_tokenizer_leaves_no_half_checkpoint(
    tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / "tok").mkdir()
    (tmp_path / "tok" / name).write_bytes(content)
    with pytest.raises(CheckpointError, match="This tokenizer cannot be read") as caught:
        initialise(tmp_path / "x", tokenizer=tmp_path / "tok" / name)  # its file will do as well
    assert str(caught.value.where) == str(tmp_path / "tok")
    assert not (tmp_path / "x").exists()


def test_a_projection_that_would_be_refused_is_not_written(tmp_path: Path, data: Path) -> None:
    size = Size(1, 1024, 8, 1, 1, 8, projection=256)
    with pytest.raises(UsageError, match="a projection of 256 is refused on loading"):
        initialise(tmp_path / "x", size, tokenizer=data / "tokenizer-qwen3")


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="Cannot write"):
        initialise(tmp_path / "file" / "inside")
