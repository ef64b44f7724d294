"""Late interaction: the scores of a plain reading of ColBERT, in all layouts, encoded once."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import zlib
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from jrv3_eval.checkpoint import open_checkpoint
from jrv3_eval.errors import CheckpointError, RemoteCodeError, UsageError
from jrv3_eval.rerankers import RankingRequest, parse_settings
from jrv3_eval.rerankers.bi_encoder import family as bi_encoder
from jrv3_eval.rerankers.contract import check_reranker
from jrv3_eval.rerankers.late_interaction import LateInteraction, family, vectors
from jrv3_eval.rerankers.late_interaction.encoder import TokenEncoder
from jrv3_eval.rerankers.late_interaction.max_sim import max_sim
from models import write_bert, write_bi_encoder, write_json
from models_late import write_colbert, write_multi_vector, write_pylate

QUERY = "Longest river?"
DOCUMENTS = (
    "The river Nile flows north.",
    "a banana is a fruit",
    "",
    "... !?",
    "def max(key): return key",
    "water " * 200,
    "unknown \N{SNOWMAN} snow",
)
ASKED = RankingRequest("q", QUERY, DOCUMENTS)
WRITERS = {"pylate": write_pylate, "colbert": write_colbert, "multi-vector": write_multi_vector}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    root = tmp_path_factory.mktemp("late")
    return {name: write(root / name) for name, write in WRITERS.items()}


def opened(folder: Path, **settings: object) -> LateInteraction:
    texts = {key: str(value) for key, value in settings.items()}
    reranker = family.open(str(folder), parse_settings(family, texts))
    assert isinstance(reranker, LateInteraction)
    return reranker


def scores_of(folder: Path, *requests: RankingRequest, **settings: object) -> NDArray[np.float32]:
    return np.concatenate(opened(folder, **settings).score(requests or [ASKED]))


@pytest.mark.parametrize("layout", sorted(WRITERS))
def test_contract(layout: str, folders: Mapping[str, Path]) -> None:
    variants: list[dict[str, str]] = [{"tokens_per_batch": "1"}, {"group_documents": "2"}]
    check_reranker(
        lambda: opened(folders[layout]),
        pointwise=True,
        variants=[lambda s=s: opened(folders[layout], **s) for s in variants],  # type: ignore[misc]
    )


# --- the score


@given(
    counts=st.lists(st.integers(0, 4), min_size=1, max_size=6),
    query_tokens=st.integers(0, 3),
    seed=st.integers(0, 99),
)
def test_max_sim_is_the_double_loop(counts: list[int], query_tokens: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    query, vectors = (
        random.normal(size=(n, 5)).astype(np.float32) for n in (query_tokens, sum(counts))
    )
    offsets = np.cumsum([0, *counts], dtype=np.int64)
    expected = []
    for start, end in pairwise(offsets):
        total = 0.0
        for q in query:
            similar = [float(np.dot(q, d)) for d in vectors[start:end]]
            total += max(similar, default=0.0)
        expected.append(total)
    found = max_sim(query, vectors, offsets)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


class Straight:
    """ColBERT written down plainly: one text at a time, and loops.

    layout: markers and lengths, as their files' keys name them in PyLate.
    """

    def __init__(self, folder: Path, **layout: Any) -> None:
        from safetensors.torch import load_file
        from tokenizers import Tokenizer
        from transformers import BertModel

        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.bert = BertModel.from_pretrained(folder).eval()
        self.layout = layout
        rooms = sorted(folder.glob("*_Dense")) or [folder]
        self.dense = [load_file(room / "model.safetensors") for room in rooms]
        configs = [room / "config.json" for room in rooms]
        self.dense_configs = [json.loads(c.read_text()) for c in configs]

    def vectors(self, text: str, kind: str) -> list[NDArray[np.float64]]:
        import torch

        layout, token = self.layout, self.tokenizer.token_to_id
        prefix = layout[f"{kind}_prefix"]
        marker = [token(prefix)] if prefix else []
        room = layout[f"{kind}_length"] - 2 - len(marker)
        words = self.tokenizer.encode(text, add_special_tokens=False).ids[:room]
        ids = [token("[CLS]"), *marker, *words, token("[SEP]")]
        seen = [1] * len(ids)
        if kind == "query" and layout["do_query_expansion"]:
            missing = layout["query_length"] - len(ids)
            ids += [token("[MASK]")] * missing
            seen += [int(layout["attend_to_expansion_tokens"])] * missing
        with torch.no_grad():
            states = self.bert(
                input_ids=torch.tensor([ids]), attention_mask=torch.tensor([seen])
            ).last_hidden_state[0]
            for tensors, config in zip(self.dense, self.dense_configs, strict=True):
                before, states = states, states @ tensors["linear.weight"].T
                if config.get("bias"):
                    states = states + tensors["linear.bias"]
                if "GELU" in config.get("activation_function", ""):
                    states = torch.nn.functional.gelu(states)
                if config.get("use_residual"):
                    skip = tensors.get("residual.weight")
                    states = states + (before if skip is None else before @ skip.T)
        skipped = {token(w) for w in layout["skiplist_words"]} if kind == "document" else set()
        rows = zip(ids, states.double().numpy(), strict=True)
        return [row / np.linalg.norm(row) for i, row in rows if i not in skipped]

    def score(self, request: RankingRequest) -> list[float]:
        query = self.vectors(request.query, "query")
        found = []
        for document in request.documents:
            vectors = self.vectors(document, "document")
            found.append(sum(max(float(q @ d) for d in vectors) for q in query))
        return found


DEFAULTS: dict[str, Any] = {
    "query_prefix": "[Q] ",
    "document_prefix": "[D] ",
    "query_length": 32,
    "document_length": 100,
    "attend_to_expansion_tokens": False,
    "do_query_expansion": True,
    "skiplist_words": list("""!"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"""),
}
DEEP = [
    {
        "out_features": 24,
        "bias": True,
        "use_residual": True,
        "activation_function": "torch.nn.modules.activation.GELU",
    },
    {"out_features": 24, "use_residual": True},
    {},
]


@pytest.mark.parametrize(
    ("settings", "dense"),
    [
        pytest.param({}, None, id="defaults"),
        pytest.param({"attend_to_expansion_tokens": True}, None, id="expansion is attended to"),
        pytest.param({"do_query_expansion": False}, None, id="no expansion"),
        pytest.param({"query_prefix": "", "document_prefix": ""}, None, id="no markers"),
        pytest.param({"skiplist_words": ["the", "[SEP]", "no token"]}, None, id="other skiplist"),
        pytest.param({"query_length": 6, "document_length": 7}, None, id="cut"),
        pytest.param({}, DEEP, id="three projections"),
    ],
)
def test_pylate_layout_is_as_written_down(
    settings: dict[str, Any], dense: Any, tmp_path: Path
) -> None:
    folder = write_pylate(tmp_path / "model", dense=dense, **settings)
    layout = {**DEFAULTS, **settings}
    # A word that is no token stands for the unknown token, in PyLate.
    known = {"no token": "[UNK]"}
    layout["skiplist_words"] = [known.get(w, w) for w in layout["skiplist_words"]]
    np.testing.assert_allclose(
        scores_of(folder), Straight(folder, **layout).score(ASKED), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize(
    ("metadata", "layout"),
    [
        pytest.param({}, {}, id="defaults"),
        pytest.param(
            {"attend_to_mask_tokens": True, "query_maxlen": 20, "doc_maxlen": 9},
            {"attend_to_expansion_tokens": True, "query_length": 20, "document_length": 9},
            id="attend",
        ),
        pytest.param({"mask_punctuation": False}, {"skiplist_words": []}, id="punctuation"),
        pytest.param(
            {"query_token_id": "[SEP]", "doc_token_id": "[PAD]"},
            {"query_prefix": "[SEP]", "document_prefix": "[PAD]"},
            id="markers",
        ),
    ],
)
def test_colbert_layout_is_as_written_down(
    metadata: dict[str, Any], layout: dict[str, Any], tmp_path: Path
) -> None:
    folder = write_colbert(tmp_path / "model", **metadata)
    markers = {"query_prefix": "[unused0]", "document_prefix": "[unused1]"}
    straight = Straight(folder, **{**DEFAULTS, **markers, **layout})
    np.testing.assert_allclose(scores_of(folder), straight.score(ASKED), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layout", sorted(WRITERS))
def test_scores_are_those_of_sentence_transformers(
    layout: str, folders: Mapping[str, Path]
) -> None:
    library = pytest.importorskip("sentence_transformers", minversion="6")
    model = library.MultiVectorEncoder(str(folders[layout]), device="cpu")
    query = model.encode_query([QUERY])
    documents = model.encode_document(list(DOCUMENTS))
    expected = model.similarity(query, documents)[0].numpy()
    np.testing.assert_allclose(scores_of(folders[layout]), expected, rtol=1e-5, atol=1e-5)


QUERIES = (QUERY, "", "river", "the river nile flows north " * 9)
MASKED = {"strategy": "fixed", "attend": True, "token": "[UNK]", "length": 16}
FLOOR = {"strategy": "min", "attend": False, "token": None, "length": 10}
SPACED = (*DOCUMENTS, "  river  ", "[MASK] [D] river")


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({}, id="defaults"),
        pytest.param({"transformer": {"query_expansion": MASKED}}, id="other expansion"),
        pytest.param({"transformer": {"query_expansion": FLOOR, "query_length": 20}}, id="floor"),
        pytest.param({"transformer": {"query_expansion": FLOOR}}, id="floor alone"),
        pytest.param({"transformer": {"query_expansion": None}}, id="no expansion"),
        pytest.param(
            {"transformer": {"query_expansion": None, "document_length": None}}, id="no lengths"
        ),
        pytest.param({"mask": {"skiplist_words": []}}, id="no skiplist"),
        pytest.param({"mask": {"skiplist_words": ["the", "no token", "river"]}}, id="skiplist"),
        pytest.param({"mask": {"skiplist_tasks": ["query", "document"]}}, id="skips queries"),
        pytest.param({"mask": {"skiplist_tasks": ["query"]}}, id="skips queries only"),
        pytest.param({"prompts": {"query": "find : ", "passage": "x"}}, id="words for prompts"),
        pytest.param({"default_prompt_name": "x", "prompts": {"x": "in : "}}, id="default prompt"),
        pytest.param({"similarity_fn_name": "meanmaxsim"}, id="mean"),
        pytest.param({"modules": ("MultiVectorMask", "Normalize")}, id="no projection"),
        pytest.param({"modules": ("Dense", "Normalize")}, id="no mask"),
        pytest.param(
            {"modules": ("Dense", "Normalize"), "transformer": {"query_expansion": MASKED}},
            id="no mask, attended",
        ),
    ],
)
def test_what_sentence_transformers_saves_scores_as_there(
    changed: dict[str, Any], tmp_path: Path
) -> None:
    library = pytest.importorskip("sentence_transformers", minversion="6")
    written = write_multi_vector(tmp_path / "written", **changed)
    model = library.MultiVectorEncoder(str(written), device="cpu")
    model.save_pretrained(str(tmp_path / "saved"), create_model_card=False)
    requests = [RankingRequest(str(i), query, SPACED) for i, query in enumerate(QUERIES)]
    documents = model.encode_document(list(SPACED))
    expected = [  # one at a time: its padding to the longest query is no part of a query
        model.similarity(model.encode_query([r.query]), documents)[0].numpy() for r in requests
    ]
    for folder in (written, tmp_path / "saved"):
        found = opened(folder).score(requests)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("changed", "layout"),
    [
        pytest.param({}, {}, id="defaults"),
        pytest.param(
            {"transformer": {"query_expansion": {**MASKED, "token": None}}},
            {"query_length": 16, "attend_to_expansion_tokens": True},
            id="attend",
        ),
        pytest.param(
            {"mask": {"skiplist_words": ["the", "no token"]}}, {"skiplist_words": ["the"]}, id="the"
        ),
    ],
)
def test_multi_vector_layout_is_as_written_down(
    changed: dict[str, Any], layout: dict[str, Any], tmp_path: Path
) -> None:
    folder = write_multi_vector(tmp_path / "model", **changed)
    straight = Straight(folder, **{**DEFAULTS, **layout})
    np.testing.assert_allclose(scores_of(folder), straight.score(ASKED), rtol=1e-5, atol=1e-5)


def test_scores_of_real_passages_are_as_written_down(
    data: Path, folders: Mapping[str, Path]
) -> None:
    source = data / "trec-dl19-passage-top100"
    with gzip.open(source / "corpus.jsonl.gz", "rt", encoding="utf-8") as lines:
        passages = tuple(json.loads(next(lines))["text"] for _ in range(12))
    query = json.loads((source / "queries.jsonl").read_text().splitlines()[0])["text"]
    request = RankingRequest("q", query, passages)
    np.testing.assert_allclose(
        scores_of(folders["pylate"], request),
        Straight(folders["pylate"], **DEFAULTS).score(request),
        rtol=1e-5,
        atol=1e-5,
    )


def test_a_document_without_tokens_scores_zero(tmp_path: Path) -> None:
    folder = write_pylate(tmp_path / "model", skiplist_words=["[CLS]", "[D] ", "[SEP]", ".", "!"])
    asked = RankingRequest("q", QUERY, (". . !", "", "river."))
    scores = scores_of(folder, asked)
    assert scores[0] == scores[1] == 0 != scores[2]
    assert np.array_equal(scores_of(folder, asked), scores)  # from the cache
    nothing = scores_of(folder, RankingRequest("q", QUERY, ("", "!")), group_documents=2)
    assert nothing.tolist() == [0, 0]


def cased(folder: Path) -> Path:
    """The model, with a tokenizer that keeps capital letters."""
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["normalizer"]["lowercase"] = False
    write_json(folder / "tokenizer.json", tokenizer)
    return folder


def test_prompts_stand_before_the_text(tmp_path: Path) -> None:
    prompts = {"query": "find : ", "document": "text : "}
    named = write_pylate(tmp_path / "named", prompts=prompts)
    default = write_pylate(tmp_path / "default", prompts={"x": "in : "}, default_prompt_name="x")
    plain = write_pylate(tmp_path / "plain")

    def written(query: str, document: str) -> RankingRequest:
        return RankingRequest("q", query + QUERY, tuple(document + d for d in DOCUMENTS))

    expected = scores_of(plain, written("find : ", "text : "))
    np.testing.assert_array_equal(scores_of(named), expected)
    given = scores_of(plain, query_prompt="find : ", document_prompt="text : ")
    np.testing.assert_array_equal(given, expected)
    np.testing.assert_array_equal(scores_of(default), scores_of(plain, written("in : ", "in : ")))
    np.testing.assert_array_equal(
        scores_of(named, query_prompt="", document_prompt=""), scores_of(plain)
    )


@pytest.mark.parametrize("lower", [True, False])
def test_do_lower_case_is_heeded(lower: bool, tmp_path: Path) -> None:
    folder = cased(write_pylate(tmp_path / "model"))
    write_json(folder / "sentence_bert_config.json", {"do_lower_case": lower})
    loud, quiet = scores_of(folder, RankingRequest("q", QUERY, ("RIVER NILE", "river nile")))
    assert bool(loud == quiet) is lower


@pytest.mark.parametrize("lower", [True, False])
def test_markers_in_the_text_are_not_lower_cased(lower: bool, tmp_path: Path) -> None:
    library = pytest.importorskip("sentence_transformers", minversion="6")
    changed = {"do_lower_case": lower}
    folder = cased(write_multi_vector(tmp_path / "model", transformer=changed))
    model = library.MultiVectorEncoder(str(folder), device="cpu")
    expected = model.similarity(
        model.encode_query([QUERY]), model.encode_document(["RIVER NILE", "river nile"])
    )[0].numpy()
    found = scores_of(folder, RankingRequest("q", QUERY, ("RIVER NILE", "river nile")))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert bool(found[0] == found[1]) is lower


def test_usage_counts_markers_and_expansion(folders: Mapping[str, Path]) -> None:
    asked = RankingRequest("q", "river", ("nile", "river nile north", "water " * 200, "nile"))
    reranker = opened(folders["pylate"], query_length=8, document_length=20)
    reranker.score([asked])
    (usage,) = reranker.usage([asked])
    assert usage.tokens == 8 + 4 + 6 + 20  # [CLS] [D] and [SEP], and each document once
    assert (usage.truncated_documents, usage.truncated_query) == (1, False)
    cut = RankingRequest("q", "river " * 6, ())
    reranker.score([cut])
    assert reranker.usage([cut])[0].truncated_query


# --- the cache


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that were encoded, as `kind:text`, in order."""
    seen: list[str] = []
    original = TokenEncoder.encode

    def counted(self: TokenEncoder, texts: Sequence[str], kind: Any) -> Any:
        seen.extend(f"{kind}:{t}" for t in texts)
        return original(self, texts, kind)

    monkeypatch.setattr(TokenEncoder, "encode", counted)
    return seen


WORK = (
    RankingRequest("1", QUERY, DOCUMENTS),
    RankingRequest("2", "banana", (*DOCUMENTS[::-1], "new")),
)


def test_every_text_is_encoded_once(folders: Mapping[str, Path], encoded: list[str]) -> None:
    reranker = opened(folders["pylate"], group_documents=2)
    reranker.prepare(WORK)
    assert encoded == []
    first = reranker.score(WORK)
    texts = [*(f"query:{q}" for q in (QUERY, "banana"))]
    texts += [f"document:{d}" for d in (*DOCUMENTS, "new")]
    assert sorted(encoded) == sorted(texts)
    again = opened(folders["pylate"], group_documents=2)
    again.prepare(WORK)
    for left, right in zip(first, again.score(WORK), strict=True):
        assert left.tobytes() == right.tobytes()
    assert len(encoded) == len(texts)


def test_a_resumed_run_computes_the_same_bytes(
    folders: Mapping[str, Path], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = opened(folders["colbert"], group_documents=2)
    whole.prepare(WORK)
    expected = [whole.score([r])[0] for r in WORK]
    stored = {p.name: p.read_bytes() for p in (cache / "token-vectors").rglob("*.npy")}
    monkeypatch.setenv("JRV3_EVAL_CACHE", str(cache / "other"))
    resumed = opened(folders["colbert"], group_documents=2)
    resumed.prepare(WORK)
    (found,) = resumed.score(WORK[1:])  # the first batch is in the score store
    assert found.tobytes() == expected[1].tobytes()
    resumed.score(WORK[:1])
    again = {p.name: p.read_bytes() for p in (cache / "other").rglob("*.npy")}
    assert again == stored


@pytest.mark.parametrize("damage", ["vectors", "cut", "notes", "no notes"])
def test_damaged_vectors_are_computed_again(
    damage: str, folders: Mapping[str, Path], cache: Path, encoded: list[str]
) -> None:
    expected = scores_of(folders["pylate"])
    before = len(encoded)
    for path in cache.rglob("*.npy" if damage in ("vectors", "cut") else "*.npz"):
        content = bytearray(path.read_bytes())
        content[-5] ^= 1
        if damage == "no notes":
            path.unlink()
        else:
            path.write_bytes(bytes(content[:-9] if damage in ("cut", "notes") else content))
    np.testing.assert_array_equal(scores_of(folders["pylate"]), expected)
    assert len(encoded) == 2 * before


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Bytes of every checksum that was made."""
    seen: list[int] = []

    class Counted:
        @staticmethod
        def crc32(content: memoryview) -> int:
            seen.append(content.nbytes)
            return zlib.crc32(content)

    monkeypatch.setattr(vectors, "zlib", Counted)
    return seen


def test_a_group_is_verified_once_however_often_it_is_mapped(
    folders: Mapping[str, Path],
    checked: list[int],
    encoded: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(vectors, "groups_at_a_time", lambda: 3)
    documents = tuple(f"river {'nile ' * i}" for i in range(8))
    asked = [RankingRequest(q, q, documents) for q in (QUERY, "banana", "snow", "key")]
    small = opened(folders["pylate"], group_documents=1)
    small.prepare(asked)
    first = small.score(asked)
    groups = len(asked) + len(documents)
    assert len(encoded) == groups
    assert len(checked) == 2 * groups  # as it is written, and as it is first read
    assert len(small._cache._mapped) == 3
    np.testing.assert_array_equal(small.score(asked), first)
    assert len(checked) == 2 * groups
    resumed = opened(folders["pylate"], group_documents=1)
    resumed.prepare(asked)
    np.testing.assert_array_equal(resumed.score(asked), first)
    assert len(checked) == 3 * groups
    assert len(encoded) == groups
    np.testing.assert_allclose(first[0], scores_of(folders["pylate"], asked[0]), rtol=1e-5)
    assert small.usage(asked)[0].tokens > 0


@pytest.mark.parametrize("damage", ["gone", "cut"])
def test_a_verified_group_that_is_damaged_since_is_computed_again(
    damage: str,
    folders: Mapping[str, Path],
    cache: Path,
    encoded: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(vectors, "groups_at_a_time", lambda: 1)
    reranker = opened(folders["pylate"], group_documents=2)
    reranker.prepare([ASKED])
    expected = reranker.score([ASKED])[0]
    before = len(encoded)
    for path in cache.rglob("*.npy"):
        content = path.read_bytes()
        path.unlink()  # a map of it stays whole
        if damage == "cut":
            path.write_bytes(content[:-9])
    np.testing.assert_array_equal(reranker.score([ASKED])[0], expected)
    assert len(encoded) == 2 * before


def test_maps_leave_files_for_others() -> None:
    """A process that scores with all its groups mapped can still open files."""
    pytest.importorskip("resource")  # Windows has no such limit
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 4096))\n"
        "from jrv3_eval.rerankers.late_interaction.vectors import groups_at_a_time\n"
        "print(groups_at_a_time())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert int(done.stdout) == 128
    assert 1 <= vectors.groups_at_a_time() <= 4096


# --- the checkpoint


def test_checkpoints_are_recognised(folders: Mapping[str, Path], tmp_path: Path) -> None:
    others = {
        "bi-encoder": write_bi_encoder(tmp_path / "bi"),
        "cross-encoder": write_bert(tmp_path / "ce", "BertForSequenceClassification"),
        "plain": write_bert(tmp_path / "plain", "BertModel"),
    }

    def recognised(folder: Path) -> bool:
        checkpoint = open_checkpoint(str(folder))
        return family.recognises(checkpoint.config, checkpoint.files)

    assert {name for name, folder in {**folders, **others}.items() if recognised(folder)} == {
        *folders
    }
    dense = frozenset({"modules.json", "1_Pooling/config.json", "2_Dense/config.json"})
    assert not family.recognises({"model_type": "bert"}, dense)
    assert bi_encoder.recognises({"model_type": "bert"}, dense)
    static = frozenset({"modules.json", "0_StaticEmbedding/x.json", "1_Dense/config.json"})
    assert not family.recognises({}, static)


def test_info_is_known_before_loading(folders: Mapping[str, Path]) -> None:
    info = opened(folders["colbert"]).info
    assert (info.family, info.listwise, info.pinned) == ("late-interaction", False, True)
    assert (info.settings["query_length"], info.settings["document_length"]) == (32, 100)
    assert {"torch", "transformers", "tokenizers", "device"} <= set(info.versions)
    changed = {"query_length": 9}, {"document_prompt": "x"}, {"group_documents": 3}
    prints = {opened(folders["colbert"], **c).info.fingerprint for c in changed}
    assert len(prints | {info.fingerprint}) == 4


def test_metadata_is_part_of_the_weights(folders: Mapping[str, Path], tmp_path: Path) -> None:
    other = write_colbert(tmp_path / "other", doc_maxlen=50)
    before = open_checkpoint(str(folders["colbert"])).weights
    assert open_checkpoint(str(other)).weights != before


def test_opening_imports_no_model_library(folders: Mapping[str, Path]) -> None:
    code = (
        "import sys; from jrv3_eval.rerankers import parse_settings\n"
        "from jrv3_eval.rerankers.late_interaction import family\n"
        f"for f in {[str(f) for f in folders.values()]!r}:\n"
        "    family.open(f, parse_settings(family, {'device': 'cpu'}))\n"
        "heavy = {'torch', 'transformers', 'sentence_transformers'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def changed_json(path: Path, **changes: Any) -> None:
    write_json(path, {**json.loads(path.read_text()), **changes})


def test_jina_colbert_v2_needs_its_own_code(tmp_path: Path) -> None:
    folder = write_colbert(tmp_path / "model")
    changed_json(folder / "config.json", auto_map={"AutoModel": "modeling_xlm_roberta.Model"})
    with pytest.raises(RemoteCodeError, match="remote code"):
        opened(folder)


def test_module_classes_are_never_imported(tmp_path: Path) -> None:
    folder = write_pylate(tmp_path / "model")
    modules = json.loads((folder / "modules.json").read_text())
    modules[1]["type"] = "custom_code.Dense"
    write_json(folder / "modules.json", modules)
    with pytest.raises(RemoteCodeError, match=r"custom_code\.Dense"):
        opened(folder)


@pytest.mark.parametrize(
    ("settings", "dense", "message"),
    [
        ({}, {"activation_function": "torch.nn.modules.activation.PReLU"}, "PReLU"),
        ({}, {"activation_function": "os.GELU"}, r"os\.GELU"),
        ({"query_length": 3}, {}, "at least 4"),
        ({"document_length": "300"}, {}, "of type int"),
        ({"skiplist_words": "the"}, {}, "of type list"),
    ],
)
def test_what_is_not_built_in_is_refused(
    settings: dict[str, Any], dense: dict[str, Any], message: str, tmp_path: Path
) -> None:
    folder = write_pylate(tmp_path / "model", dense=[dense], **settings)
    with pytest.raises(CheckpointError, match=message):
        opened(folder)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"modules": ("Dense", "MultiVectorMask")}, "does not normalise"),
        ({"modules": ("Normalize", "Dense", "MultiVectorMask")}, "does not normalise"),
        ({"normalize": {"module_input_name": "sentence_embedding"}}, "does not normalise"),
        (
            {"modules": ("Dense", "MultiVectorMask", "Normalize", "HierarchicalTokenPooling")},
            "module HierarchicalTokenPooling",
        ),
        ({"modules": ("Dense", "MultiVectorMask", "Normalize", "Pooling")}, "module Pooling"),
        ({"mask": {"keep_only_token_ids": [3]}}, "keep_only_token_ids"),
        ({"mask": {"skiplist_words": "the"}}, "of type list"),
        ({"transformer": {"transformer_task": "fill-mask"}}, "transformer_task 'fill-mask'"),
        ({"transformer": {"modality_config": {"message": {}}}}, "chat template"),
        ({"transformer": {"modality_config": {"image": {}}}}, "modality_config"),
        ({"transformer": {"processing_kwargs": {"text": {}}}}, "processing_kwargs"),
        ({"transformer": {"query_expansion": {"strategy": "max"}}}, "query_expansion 'max'"),
        ({"transformer": {"query_expansion": {"strategy": "min"}}}, "length of .* at least 4"),
        ({"transformer": {"query_length": 31}}, "at least the 32 tokens"),
        ({"query_prefix": "[Q] "}, "query_prefix of PyLate"),
    ],
)
def test_parts_of_a_multi_vector_encoder_that_are_not_built_in(
    changed: dict[str, Any], message: str, tmp_path: Path
) -> None:
    folder = write_multi_vector(tmp_path / "model", **changed)
    checkpoint = open_checkpoint(str(folder))
    if "MultiVectorMask" in changed.get("modules", ("MultiVectorMask",)):
        assert family.recognises(checkpoint.config, checkpoint.files)
        assert not bi_encoder.recognises(checkpoint.config, checkpoint.files)
    with pytest.raises(CheckpointError, match=message):
        opened(folder)


def test_an_expansion_token_must_be_known(tmp_path: Path) -> None:
    expansion = {**MASKED, "token": "<none>"}
    folder = write_multi_vector(tmp_path / "model", transformer={"query_expansion": expansion})
    with pytest.raises(CheckpointError, match="no token '<none>'"):
        opened(folder).load()


@pytest.mark.parametrize("key", ["similarity", "interaction"])
def test_other_scores_are_refused(key: str, tmp_path: Path) -> None:
    folder = write_colbert(tmp_path / "model", seed=0, **{key: "l2"})
    with pytest.raises(CheckpointError, match=f"{key} 'l2'"):
        opened(folder)


def test_other_kinds_of_models_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="bi-encoder:TARGET"):
        opened(write_bi_encoder(tmp_path / "bi"))
    seq2seq = write_colbert(tmp_path / "seq2seq")
    changed_json(seq2seq / "config.json", is_encoder_decoder=True)
    with pytest.raises(CheckpointError, match="encoder-decoder"):
        opened(seq2seq)


def test_lengths_end_at_the_positions(folders: Mapping[str, Path]) -> None:
    assert opened(folders["pylate"], document_length=128).score([ASKED])
    with pytest.raises(UsageError, match="document_length=129 is more than the 128 positions"):
        opened(folders["pylate"], document_length=129)


def test_a_marker_without_a_vector_is_refused(tmp_path: Path) -> None:
    folder = write_pylate(tmp_path / "model", query_prefix="[QueryMarker]")
    with pytest.raises(CheckpointError, match=r"no token '\[QueryMarker\]'"):
        opened(folder).load()
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    last = {**tokenizer["added_tokens"][-1], "content": "[QueryMarker]"}
    tokenizer["added_tokens"].append({**last, "id": last["id"] + 1})
    write_json(folder / "tokenizer.json", tokenizer)
    with pytest.raises(CheckpointError, match="none for its markers"):
        opened(folder).load()


@pytest.mark.parametrize("layout", sorted(WRITERS))
def test_a_missing_projection_is_refused(layout: str, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = WRITERS[layout](tmp_path / "model")
    path = next(iter(folder.glob("1_Dense/*.safetensors")), folder / "model.safetensors")
    tensors = {k: v for k, v in load_file(path).items() if k != "linear.weight"}
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"project its token vectors: linear\.weight"):
        opened(folder).load()


def test_a_projection_of_another_size_is_refused(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    folder = write_pylate(tmp_path / "model")
    save_file({"linear.weight": torch.ones(16, 31)}, folder / "1_Dense" / "model.safetensors")
    with pytest.raises(CheckpointError, match="takes vectors of 31 numbers and is given 32"):
        opened(folder).load()
