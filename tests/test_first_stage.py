"""First stages: exact under the tie rule, zero scores left out, self-retrieval before the cut."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import QRELS, write_beir
from jrv3_eval.candidates import CandidateSet
from jrv3_eval.cards import Suite, TaskCard, load_suite
from jrv3_eval.collection import Collection, ingest
from jrv3_eval.embedding import EncodedGroup
from jrv3_eval.errors import DataError, Jrv3EvalError, UsageError
from jrv3_eval.first_stage import PerTask, open_first_stage, take_candidates
from jrv3_eval.first_stage.analysis import analysis_for, split_identifiers
from jrv3_eval.first_stage.top_k import largest, sort_keys, unpack
from jrv3_eval.metrics import Qrels, Run, evaluate, evaluate_run
from jrv3_eval.sources import load_collection
from jrv3_eval.sources.folder import open_folder
from trec_eval import assert_equals_pytrec_eval

CARD = TaskCard(name="animals")
SUITE = Suite(suite="zoo", title="t", tasks=(CARD,))


def load(folder: Path, cache: Path) -> Collection:
    return ingest(open_folder(folder, "test"), join="title text", split="test", cache=cache)


def take(
    spec: str, collection: Collection, cache: Path, depth: int = 100, card: TaskCard = CARD
) -> CandidateSet:
    stage = open_first_stage(spec, cache=cache)
    return take_candidates(stage, collection, SUITE, card, depth, cache)


def run_of(candidates: CandidateSet) -> dict[str, dict[str, float]]:
    lists = [candidates.of(index) for index in range(len(candidates))]
    return {
        qid: dict(zip(ids, scores.tolist(), strict=True))
        for qid, (ids, scores) in zip(candidates.qids, lists, strict=True)
    }


# --- top k --------------------------------------------------------------------------------------

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(st.lists(st.one_of(st.sampled_from([-1.0, -0.0, 0.0, 1.0]), FLOATS)), st.integers(1, 8))
def test_top_k_is_a_sort_by_score_then_rank(scores: list[float], k: int) -> None:
    values = np.asarray(scores, dtype=np.float32)
    rank = np.random.default_rng(0).permutation(len(values)).astype(np.int32)
    best, ranks = unpack(largest(sort_keys(values, rank), k))
    pairs = sorted(zip(values.tolist(), rank.tolist(), strict=True), reverse=True)[:k]
    assert [(a, b) for a, b in zip(best.tolist(), ranks.tolist(), strict=True)] == pairs


# --- BM25 ---------------------------------------------------------------------------------------


def test_bm25_lists_hold_only_documents_that_match(animals: Path, cache: Path) -> None:
    candidates = take("bm25", load(animals, cache), cache)
    assert candidates.of(0)[0] == ["cat", "dog"]  # trap 16: no padding with score 0
    assert candidates.of(2)[0][0] == "sun"


def test_a_query_that_matches_nothing_has_an_empty_list(tmp_path: Path, cache: Path) -> None:
    folder = write_beir(tmp_path / "d", {"a": "cat"}, {"q": "zebra"}, {"q": {"a": 1}})
    assert take("bm25", load(folder, cache), cache).of(0)[0] == []


def test_ties_at_the_cut_are_broken_by_id(tmp_path: Path, cache: Path) -> None:
    documents = {f"d{i}": "the same words" for i in range(9)} | {"x": "other"}
    folder = write_beir(tmp_path / "d", documents, {"q": "same words"}, {"q": {"d1": 1}})
    assert take("bm25", load(folder, cache), cache, depth=3).of(0)[0] == ["d8", "d7", "d6"]


def test_self_retrieval_is_removed_before_the_cut(tmp_path: Path, cache: Path) -> None:
    documents = {f"d{i}": f"argument number {i}" for i in range(5)}
    folder = write_beir(tmp_path / "d", documents, {"d3": "argument 3"}, {"d3": {"d1": 1}})
    collection = load(folder, cache)
    remove = CARD.model_copy(update={"self_retrieval": "remove"})
    kept = take("bm25", collection, cache, depth=4).of(0)[0]
    removed = take("bm25", collection, cache, depth=4, card=remove).of(0)[0]
    assert "d3" in kept
    assert sorted(removed) == ["d0", "d1", "d2", "d4"]  # trap 8: still four candidates


def test_options_change_the_scores_and_the_record(animals: Path, cache: Path) -> None:
    collection = load(animals, cache)
    default = take("bm25", collection, cache)
    anserini = take("bm25:k1=0.9,b=0.4", collection, cache)
    assert (default.settings["k1"], default.settings["b"]) == (1.5, 0.75)
    assert (anserini.settings["k1"], anserini.settings["b"]) == (0.9, 0.4)
    assert (default.first_stage, anserini.first_stage) == ("bm25", "bm25:k1=0.9,b=0.4")
    assert default.of(0)[1].tolist() != anserini.of(0)[1].tolist()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("bm52", "did you mean 'bm25'"),
        ("bm25:k3=1", "Unknown option of bm25 'k3'"),
        ("bm25:b=2", "'b=2' is not a number from 0 to 1"),
        ("bm25:k1=high", "not a number"),
        ("bm25:k1", "not a number"),
        ("run", r"run:FILE"),
        ("dense:", "dense:MODEL"),
        ("run:absent.run", "does not exist"),
        ("candidates:absent", "does not exist"),
    ],
)
def test_bad_specs_are_refused(animals: Path, cache: Path, spec: str, message: str) -> None:
    with pytest.raises(Jrv3EvalError, match=message):
        take(spec, load(animals, cache), cache)


def test_identifiers_are_split_at_underscores_and_capitals() -> None:
    words = ["parse", "http", "header", "v", "2", "max", "size"]
    assert split_identifiers("parseHTTPHeader_v2 MAX_SIZE") == words


def test_analysis_follows_the_card() -> None:
    english = analysis_for(CARD)
    assert english.terms("The running dogs, and a cat") == ["run", "dog", "cat"]
    assert english.name == "words+stop-en+snowball-english"
    pairs = analysis_for(CARD.model_copy(update={"language": "ko"}))
    assert pairs.name == "bigrams-ko"
    assert analysis_for(CARD.model_copy(update={"analysis": "code"})).name == "identifiers"


@pytest.mark.parametrize(("task", "published"), [("nfcorpus", 0.3208), ("scifact", 0.6874)])
def test_bm25_agrees_with_mtebs_baseline(
    data: Path, cache: Path, task: str, published: float
) -> None:
    names = {"nfcorpus": "NFCorpus", "scifact": "SciFact"}
    file = next((data / "mteb-results/mteb__baseline-bm25s").glob(f"*/{names[task]}.json.gz"))
    reported = json.loads(gzip.decompress(file.read_bytes()))["scores"]["test"][0]["ndcg_at_10"]
    assert reported == pytest.approx(published, abs=5e-5)
    suite = load_suite("beir")
    card = next(card for card in suite.tasks if card.name == task)
    collection = load_collection(suite, card, cache=cache, data_dir=data)
    run = run_of(take("bm25", collection, cache, card=card))
    ours = evaluate(Qrels.from_dict(collection.qrels), Run.from_dict(run))
    assert ours.means["ndcg@10"] > published - 0.002
    assert_equals_pytrec_eval(ours, collection.qrels, run)


# --- the cache of candidates --------------------------------------------------------------------


def test_a_second_call_reads_the_cache_and_a_damaged_file_is_rebuilt(
    animals: Path, cache: Path
) -> None:
    collection = load(animals, cache)
    first = take("bm25", collection, cache)
    [file] = (cache / "candidates").iterdir()
    written = file.stat().st_mtime_ns
    assert take("bm25", collection, cache).hash == first.hash
    assert file.stat().st_mtime_ns == written
    file.write_text("damaged")
    assert take("bm25", collection, cache).hash == first.hash


# --- run files ----------------------------------------------------------------------------------


def test_a_run_is_read_by_its_scores_not_its_ranks(
    tmp_path: Path, animals: Path, cache: Path
) -> None:
    run = tmp_path / "mine.run"
    run.write_text("q1 Q0 dog 1 0.5 x\nq1 Q0 cat 2 0.9 x\nq1 Q0 sea 3 0.5 x\nother Q0 zzz 1 1 x\n")
    candidates = take(f"run:{run}", load(animals, cache), cache)
    assert candidates.of(0)[0] == ["cat", "sea", "dog"]
    assert candidates.of(1)[0] == []  # a judged query that the run leaves out
    assert candidates.first_stage == "run-mine"


def test_a_run_with_unknown_or_repeated_documents_is_refused(
    tmp_path: Path, animals: Path, cache: Path
) -> None:
    collection = load(animals, cache)
    run = tmp_path / "bad.run"
    run.write_text("q1 Q0 zebra 1 0.5 x\n")
    with pytest.raises(DataError, match="document 'zebra' for query 'q1'"):
        take(f"run:{run}", collection, cache)
    run.write_text("q1 Q0 cat 1 0.5 x\nq1 Q0 cat 2 0.4 x\n")
    with pytest.raises(DataError, match=r"'cat' appears twice"):
        take(f"run:{run}", collection, cache)
    run.write_text("q7 Q0 cat 1 0.5 x\n")
    with pytest.raises(DataError, match="none of the 3 queries"):
        take(f"run:{run}", collection, cache)


def test_self_retrieval_is_removed_from_a_run_before_the_cut(tmp_path: Path, cache: Path) -> None:
    documents = {"a": "x", "b": "y", "c": "z"}
    folder = write_beir(tmp_path / "d", documents, {"a": "x"}, {"a": {"b": 1}})
    run = tmp_path / "self.run"
    run.write_text("a Q0 a 1 3 x\na Q0 b 2 2 x\na Q0 c 3 1 x\n")
    remove = CARD.model_copy(update={"self_retrieval": "remove"})
    found = take(f"run:{run}", load(folder, cache), cache, depth=2, card=remove)
    assert found.of(0)[0] == ["b", "c"]


@pytest.mark.parametrize(
    ("file", "expected"), [("runs/BM25", 0.5058), ("reranked/rankvicuna-7b", 0.6682)]
)
def test_dl19_runs_score_as_published(data: Path, cache: Path, file: str, expected: float) -> None:
    folder = data / "trec-dl19-passage-top100"
    collection = load(folder, cache)
    candidates = take(f"run:{folder / file}.trec.gz", collection, cache)
    means = evaluate_run(collection.qrels, run_of(candidates))
    assert round(means["ndcg@10"], 4) == expected
    assert collection.missing_judged == 5305


# --- saved sets ---------------------------------------------------------------------------------


def test_a_saved_set_is_refused_for_another_dataset_or_depth(
    tmp_path: Path, animals: Path, cache: Path
) -> None:
    collection = load(animals, cache)
    take("bm25", collection, cache, depth=2)
    [file] = (cache / "candidates").iterdir()
    assert take(f"candidates:{file}", collection, cache, depth=1).of(0)[0] == ["cat"]
    with pytest.raises(UsageError, match="reach depth 2, but 100"):
        take(f"candidates:{file}", collection, cache)
    remove = CARD.model_copy(update={"self_retrieval": "remove"})
    with pytest.raises(DataError, match="built with self_retrieval: keep"):
        take(f"candidates:{file}", collection, cache, depth=1, card=remove)
    other = write_beir(tmp_path / "other", {"cat": "x"}, {"q1": "x"}, {"q1": {"cat": 1}})
    with pytest.raises(DataError, match="were built for dataset"):
        take(f"candidates:{file}", load(other, cache), cache, depth=1)


# --- dense --------------------------------------------------------------------------------------


@pytest.fixture
def whole_number_encoder(monkeypatch: pytest.MonkeyPatch) -> Callable[..., EncodedGroup]:
    """An encoder of small whole numbers: exact products, many ties, and a count of its texts."""
    from jrv3_eval.first_stage import dense, dense_spec

    def encode(texts: Sequence[str], kind: str = "document") -> EncodedGroup:
        seeds = [sum(text.encode()) % 5 for text in texts]
        vectors = np.stack([np.random.default_rng(seed).integers(-3, 4, 4) for seed in seeds])
        zero = np.zeros(len(texts))
        encoded.extend(texts if kind == "document" else [])
        return EncodedGroup(vectors.astype(np.float32), zero.astype(np.int32), zero.astype(bool))

    encoded: list[str] = []
    encode.encoded = encoded  # type: ignore[attr-defined]
    fake = SimpleNamespace(
        fingerprint="f" * 64,
        encode=encode,
        versions={},
        recorded_settings={},
        checkpoint=SimpleNamespace(name="fake", revision=None, weights="w" * 64),
    )
    checkpoint = SimpleNamespace(config={}, read_json=lambda _: {})
    monkeypatch.setattr(dense_spec, "open_checkpoint", lambda *_, **__: checkpoint)
    monkeypatch.setattr(dense_spec, "similarity_of", lambda _: "cosine")
    monkeypatch.setattr(dense_spec, "encoder_of", lambda *_: fake)
    monkeypatch.setattr(dense, "GROUP_TEXTS", 2)  # several chunks
    return encode


def test_dense_search_is_exact_and_merges_chunks(
    animals: Path, cache: Path, whole_number_encoder: Callable[..., EncodedGroup]
) -> None:
    collection = load(animals, cache)
    candidates = take("dense:fake", collection, cache, depth=4)
    docids = collection.docids.to_pylist()
    documents = whole_number_encoder(collection.texts(np.arange(6))).vectors
    for index, query in enumerate(collection.queries.values()):
        scores = documents @ whole_number_encoder([query], "query").vectors[0]
        pairs = zip(scores.tolist(), docids, strict=True)
        expected = [docid for _, docid in sorted(pairs, reverse=True)]
        assert candidates.of(index)[0] == expected[:4]
    assert set(QRELS) == set(candidates.qids)


def test_copies_of_a_text_are_encoded_once_and_tie(
    tmp_path: Path, cache: Path, whole_number_encoder: Any
) -> None:
    documents = {f"d{i}": ["same", "other", "third"][i % 3] for i in range(9)}
    folder = write_beir(tmp_path / "d", documents, {"d0": "same"}, {"d0": {"d3": 1}})
    remove = CARD.model_copy(update={"self_retrieval": "remove"})
    found = take("dense:fake", load(folder, cache), cache, card=remove)
    docids, scores = found.of(0)
    assert sorted(docids) == [f"d{i}" for i in range(1, 9)]  # d0 is the query's own
    by_text = {text: [d for d in docids if documents[d] == text] for text in documents.values()}
    for copies in by_text.values():
        assert copies == sorted(copies, reverse=True)
        assert len({float(scores[docids.index(docid)]) for docid in copies}) == 1
    assert whole_number_encoder.encoded == ["same", "other", "third"]


def test_dense_follows_the_similarity_that_the_checkpoint_declares(
    tmp_path: Path, cache: Path
) -> None:
    from models import write_bi_encoder

    folder = write_bi_encoder(tmp_path / "dot")
    config = folder / "config_sentence_transformers.json"
    stored = json.loads(config.read_text()) if config.exists() else {}
    config.write_text(json.dumps({**stored, "similarity_fn_name": "dot"}))
    opened = open_first_stage(f"dense:{folder}", cache=cache)
    assert isinstance(opened, PerTask)
    settings = opened.for_task(SUITE, CARD).settings(CARD)
    assert (settings["similarity"], settings["normalize"]) == ("dot", False)
    config.write_text(json.dumps({**stored, "similarity_fn_name": "euclidean"}))
    with pytest.raises(UsageError, match="euclidean"):
        open_first_stage(f"dense:{folder}", cache=cache)
