"""Vectors: what an encoder returns, and a cache that gives the same bytes or computes again."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from jrv3_eval.checkpoint import open_checkpoint
from jrv3_eval.device import accelerator_may_exist, device_kind, resolve_device, torch_dtype
from jrv3_eval.embedding import EmbeddingCache, EncodedGroup, Encoder, EncoderSettings, open_encoder
from jrv3_eval.embedding.adapters import AdapterEncoder
from jrv3_eval.embedding.encoder import Kind
from jrv3_eval.errors import CheckpointError, StorageError, UsageError
from jrv3_eval.hashing import hash_text
from models import write_bi_encoder, write_cross_encoder, write_json

TEXTS = [
    "the river flows north",
    "",
    "banana fruit " * 200,
    "日本の河",
    "broken \ud800 text",
    "water",
]


class Counting:
    """A stand-in encoder that counts what it is asked to encode."""

    fingerprint = "f" * 64

    def __init__(self) -> None:
        self.encoded: list[list[str]] = []

    def encode(self, texts: Sequence[str], kind: Kind = "document") -> EncodedGroup:
        self.encoded.append(list(texts))
        vectors = np.asarray([[len(t), len(kind), 1] for t in texts], dtype=np.float32)
        tokens = np.asarray([len(t) for t in texts], dtype=np.int32)
        return EncodedGroup(vectors, tokens, tokens > 10)


class Unread(Sequence[str]):
    """Texts that must not be looked at."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: object) -> str:  # type: ignore[override]
        raise AssertionError("the texts were read")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bi_encoder(tmp_path_factory.mktemp("models") / "tiny")


def test_encode_gives_aligned_unit_vectors_and_counts(folder: Path) -> None:
    group = open_encoder(str(folder)).encode(TEXTS)
    assert group.vectors.shape == (len(TEXTS), 32)
    assert group.vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(group.vectors, axis=1), 1, atol=1e-6)
    assert group.truncated.tolist() == [False, False, True, False, False, False]
    assert group.tokens[:3].tolist() == [6, 2, 64]
    alone = open_encoder(str(folder)).encode(TEXTS[3:4])
    np.testing.assert_allclose(alone.vectors[0], group.vectors[3], atol=1e-6)


def test_encode_equals_sentence_transformers(folder: Path) -> None:
    from sentence_transformers import SentenceTransformer

    theirs = SentenceTransformer(str(folder), device="cpu").encode(TEXTS[:4])
    settings = EncoderSettings(device="cpu", normalize=False)
    np.testing.assert_allclose(
        open_encoder(str(folder), settings).encode(TEXTS[:4]).vectors, theirs, atol=1e-6
    )


def test_no_texts(folder: Path) -> None:
    group = open_encoder(str(folder)).encode([])
    assert len(group.vectors) == len(group.tokens) == len(group.truncated) == 0


def test_prompts_come_from_the_checkpoint_unless_set(tmp_path: Path) -> None:
    prompts = {"query": "water ", "passage": "banana "}
    own = open_encoder(str(write_bi_encoder(tmp_path / "own", prompts=prompts)))
    assert own.recorded_settings["query_prompt"] == "water "
    assert own.recorded_settings["document_prompt"] == "banana "
    off = Encoder(own.checkpoint, EncoderSettings(query_prompt="", document_prompt=""))
    assert off.fingerprint != own.fingerprint
    text = "the river flows north"
    for kind, prompt in (("query", "water "), ("document", "banana ")):
        np.testing.assert_allclose(
            own.encode([text], kind).vectors,
            off.encode([prompt + text], kind).vectors,
            atol=1e-6,
        )
    assert own.encode([text], "query").tokens[0] == off.encode([text], "query").tokens[0] + 1


def test_fingerprint_covers_settings_and_weights(folder: Path, tmp_path: Path) -> None:
    base = open_encoder(str(folder))
    assert base.recorded_settings["max_length"] == 64
    assert base.fingerprint == open_encoder(str(folder)).fingerprint
    others = [{"max_length": 32}, {"dtype": "bfloat16"}, {"batch_size": 4}, {"normalize": False}]
    seen = {Encoder(base.checkpoint, EncoderSettings(**s)).fingerprint for s in others}
    seen.add(open_encoder(str(write_bi_encoder(tmp_path / "b", prompts={}))).fingerprint)
    assert len(seen | {base.fingerprint}) == 6
    assert set(base.versions) == {
        "torch",
        "transformers",
        "tokenizers",
        "sentence-transformers",
        "device",
    }


def test_half_precision_on_a_cpu_depends_on_its_instructions(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def versions_and_fingerprint(dtype: str) -> tuple[dict[str, str], str]:
        encoder = open_encoder(str(folder), EncoderSettings(device="cpu", dtype=dtype))
        return encoder.versions, encoder.fingerprint

    seen = {dtype: set[str]() for dtype in ("float32", "bfloat16", "float16")}
    for processor in ("avx2", "avx2+avx512_bf16"):
        monkeypatch.setattr("jrv3_eval.embedding.encoder.cpu_instructions", lambda p=processor: p)
        for dtype, fingerprints in seen.items():
            versions, fingerprint = versions_and_fingerprint(dtype)
            assert versions.get("instructions") == (None if dtype == "float32" else processor)
            fingerprints.add(fingerprint)
    assert {dtype: len(found) for dtype, found in seen.items()} == {
        "float32": 1, "bfloat16": 2, "float16": 2,
    }  # fmt: skip


def test_an_encoder_with_adapters_records_them_too(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(str(write_bi_encoder(tmp_path / "m")))
    for file in ("adapter_config.json", "adapter_model.safetensors"):
        (tmp_path / "m" / "task").mkdir(exist_ok=True)
        (tmp_path / "m" / "task" / file).write_bytes(b"{}")
    for dtype in ("float32", "bfloat16"):
        settings = EncoderSettings(device="cpu", dtype=dtype)
        encoder = AdapterEncoder(checkpoint, settings, {"query": "task", "document": "task"})
        assert ("instructions" in encoder.versions) is (dtype == "bfloat16")


def test_max_length_and_dtype_settings(folder: Path) -> None:
    checkpoint = open_checkpoint(str(folder))
    short = Encoder(checkpoint, EncoderSettings(max_length=8)).encode(TEXTS)
    assert short.tokens.max() == 8
    half = Encoder(checkpoint, EncoderSettings(dtype="bfloat16")).encode(TEXTS)
    assert half.vectors.dtype == np.float32
    np.testing.assert_allclose(
        half.vectors, open_encoder(str(folder)).encode(TEXTS).vectors, atol=0.1
    )
    with pytest.raises(UsageError, match="128 positions"):
        Encoder(checkpoint, EncoderSettings(max_length=129))
    with pytest.raises(UsageError, match="did you mean 'float32'"):
        Encoder(checkpoint, EncoderSettings(dtype="float23"))


def test_checkpoints_that_are_no_encoder(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no modules\.json"):
        open_encoder(str(write_cross_encoder(tmp_path / "cross")))
    refused = {
        "modeling.Custom": "remote code",
        "sentence_transformers.sparse_encoder.models.SpladePooling": "sparse_encoder",
    }
    for i, (module, message) in enumerate(refused.items()):
        other = write_bi_encoder(tmp_path / str(i))
        write_json(other / "modules.json", [{"idx": 0, "name": "0", "path": "", "type": module}])
        with pytest.raises(CheckpointError, match=message):
            open_encoder(str(other))
    with pytest.raises(CheckpointError, match="is a CrossEncoder"):
        open_encoder(str(write_bi_encoder(tmp_path / "c", model_type="CrossEncoder")))
    dense = write_bi_encoder(tmp_path / "dense")
    write_json(dense / "1_Pooling" / "config.json", {"activation_function": "os.abort"})
    with pytest.raises(CheckpointError, match=r"remote code \(os\.abort\)"):
        open_encoder(str(dense))


def test_opening_and_a_cache_hit_do_not_import_torch(folder: Path, tmp_path: Path) -> None:
    if accelerator_may_exist():
        pytest.skip("the device's name is only known to torch")
    EmbeddingCache(tmp_path, open_encoder(str(folder))).group(TEXTS[:2])
    code = (
        "import sys; from pathlib import Path\n"
        "from jrv3_eval.embedding import EmbeddingCache, open_encoder\n"
        f"cache = EmbeddingCache(Path({str(tmp_path)!r}), open_encoder({str(folder)!r}))\n"
        f"assert cache.group({TEXTS[:2]!r}).vectors.shape == (2, 32)\n"
        "heavy = {'torch', 'transformers', 'sentence_transformers'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_cache_encodes_a_group_once(tmp_path: Path) -> None:
    encoder = Counting()
    cache = EmbeddingCache(tmp_path, encoder)
    first = cache.group(["a", "bb"])
    again = EmbeddingCache(tmp_path, encoder).group(["a", "bb"])
    assert encoder.encoded == [["a", "bb"]]
    assert first.vectors.tobytes() == again.vectors.tobytes()
    assert again.tokens.tolist() == [1, 2]
    assert isinstance(again.vectors, np.memmap)
    cache.group(["bb", "a"])
    cache.group(["a", "bb"], "query")
    assert len(encoder.encoded) == 3
    assert all(p.parent.parent.name == "f" * 16 for p in tmp_path.rglob("*.npy"))


def test_cache_hit_by_hashes_reads_no_text(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path, Counting())
    cache.group(["a", "bb"])
    found = cache.group(Unread(), hashes=[hash_text("a"), hash_text("bb")])
    assert found.tokens.tolist() == [1, 2]


def test_groups_cut_a_stream(tmp_path: Path) -> None:
    encoder = Counting()
    texts = ["x" * i for i in range(7)]
    groups = list(EmbeddingCache(tmp_path, encoder).groups(iter(texts), size=3))
    assert [len(g.vectors) for g in groups] == [3, 3, 1]
    assert np.concatenate([g.tokens for g in groups]).tolist() == list(range(7))
    assert EmbeddingCache(tmp_path, encoder).group([]).vectors.size == 0


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "gone"])
def test_damaged_files_are_computed_again(tmp_path: Path, suffix: str, damage: str) -> None:
    encoder = Counting()
    cache = EmbeddingCache(tmp_path, encoder)
    good = cache.group(["a", "bb"]).vectors.tobytes()
    (path,) = tmp_path.rglob(f"*{suffix}")
    whole = path.read_bytes()
    damaged = {"cut": whole[:-4], "flip": whole[:-1] + b"\x7f", "empty": b"", "gone": b""}[damage]
    path.write_bytes(damaged)
    if damage == "gone":
        path.unlink()
    if damage == "flip" and suffix == ".npz":
        path.write_bytes(whole.replace(b"tokens", b"t0kens"))
    assert cache.group(["a", "bb"]).vectors.tobytes() == good
    assert len(encoder.encoded) == 2
    assert cache.group(["a", "bb"]).vectors.tobytes() == good
    assert len(encoder.encoded) == 2


def test_full_disk_and_unwritable_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(StorageError):
        EmbeddingCache(blocked, Counting()).group(["a"])

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(StorageError, match="disk is full"):
        EmbeddingCache(tmp_path, Counting()).group(["a"])
    assert not list(tmp_path.rglob("*.npy"))


def test_devices_and_dtypes() -> None:
    import torch

    assert device_kind("cpu") == "cpu"
    assert resolve_device("cpu") == torch.device("cpu")
    assert torch_dtype("bfloat16") is torch.bfloat16
    assert resolve_device("auto").type == device_kind("auto").split(":")[0]
    for bad in ("cuda:x", "gpu", "", "cpu:0"):
        with pytest.raises(UsageError, match="Unknown device"):
            device_kind(bad)
    if not torch.cuda.is_available():
        for absent in ("cuda", "cuda:3"):
            with pytest.raises(UsageError, match="not available"):
                device_kind(absent)
