"""A reranker inside `mteb.evaluate`: one list a query id, aligned scores, the same metrics."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from numpy.typing import NDArray

from fakes import FakeReranker, PlanningReranker, pair_score
from jrv3_eval.errors import DataError, ScoreError, UsageError
from jrv3_eval.metrics import evaluate_run
from jrv3_eval.rerankers import RankingRequest, RerankerInfo, open_reranker
from jrv3_eval.rerankers.in_mteb import MtebCrossEncoder
from models import write_cross_encoder

# Two queries of one text, each with candidates of its own; one query shares candidates with both.
QUERIES = {"q1": "longest river", "q2": "longest river", "q3": "banana fruit"}
CORPUS = {
    "d1": ("The Nile", "flows north"),
    "d2": ("", "a banana is a fruit"),
    "d3": ("", "water of the river"),
    "d4": ("Key", "def max ( key )"),
    "d5": ("", "the longest river in north"),
    "d6": ("", "return of a banana"),
}
QRELS = {"q1": {"d1": 2, "d3": 1, "d2": 0}, "q2": {"d5": 1, "d4": 0}, "q3": {"d2": 1, "d6": 2}}
TOP_RANKED = {"q1": ["d3", "d1", "d2"], "q2": ["d6", "d4", "d5", "d3"], "q3": ["d6", "d4", "d2"]}
PERMUTED = {qid: docids[::-1] for qid, docids in TOP_RANKED.items()}


def text(docid: str) -> str:
    """What mteb gives a model to read of a document."""
    return " ".join(CORPUS[docid]).strip()


class Listwise:
    """Scores depend on the whole list: its length, every place, and the neighbour before."""

    def __init__(self, listed: int | None = None, weights: str = "e" * 64) -> None:
        settings = {} if listed is None else {"batch_documents": listed}
        self.info = RerankerInfo("org/listwise", "fake", True, "c" * 40, weights, settings)
        self.calls: list[list[RankingRequest]] = []

    def score(self, requests: Sequence[RankingRequest]) -> list[NDArray[np.float32]]:
        self.calls.append(list(requests))
        return [self.one(request) for request in requests]

    @staticmethod
    def one(request: RankingRequest) -> NDArray[np.float32]:
        seen = [*request.documents[-1:], *request.documents]
        scores = [
            pair_score(request.query, document + before) - i / len(request.documents)
            for i, (before, document) in enumerate(zip(seen, request.documents, strict=False))
        ]
        return np.float32(scores)

    @property
    def requests(self) -> list[RankingRequest]:
        return [request for call in self.calls for request in call]


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: Any) -> NoReturn:
        raise AssertionError("a test opened a network connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setenv("MTEB_CACHE", str(tmp_path / "mteb"))


def rivers(top_ranked: Mapping[str, Sequence[str]] | None) -> Any:
    """A retrieval task in memory, with candidates."""
    from datasets import Dataset
    from mteb.abstasks.retrieval import AbsTaskRetrieval
    from mteb.abstasks.task_metadata import TaskMetadata

    class Rivers(AbsTaskRetrieval):
        metadata = TaskMetadata(
            name="Rivers",
            description="Two queries of one text.",
            dataset={"path": "none/rivers", "revision": "1"},
            type="Reranking",
            category="t2t",
            eval_splits=["test"],
            eval_langs=["eng-Latn"],
            main_score="ndcg_at_10",
        )

        def load_data(self, num_proc: int | None = None, **_: Any) -> None:
            corpus = [{"id": i, "title": t, "text": b} for i, (t, b) in CORPUS.items()]
            queries = [{"id": i, "text": t} for i, t in QUERIES.items()]
            split = {
                "corpus": Dataset.from_list(corpus),
                "queries": Dataset.from_list(queries),
                "relevant_docs": {qid: dict(judged) for qid, judged in QRELS.items()},
                "top_ranked": top_ranked and dict(top_ranked),
            }
            self.dataset = {"default": {"test": split}}
            self.data_loaded = True

    return Rivers()


def run(reranker: Any, task: Any, folder: Path, **options: Any) -> tuple[float, dict[str, Any]]:
    """mteb's nDCG@10, and the scores that it saved: qid -> docid -> score."""
    import mteb

    result = mteb.evaluate(
        MtebCrossEncoder(reranker),
        task,
        cache=None,
        co2_tracker=False,
        show_progress_bar=False,
        prediction_folder=folder,
        **options,
    )
    saved = json.loads((folder / "Rivers_predictions.json").read_text())
    return result.task_results[0].scores["test"][0]["ndcg_at_10"], saved["default"]["test"]


def expected_request(qid: str, docids: Sequence[str]) -> RankingRequest:
    return RankingRequest(qid, QUERIES[qid], tuple(text(docid) for docid in docids))


@pytest.mark.parametrize("listed", [None, 1, 7])
@pytest.mark.parametrize("top_ranked", [TOP_RANKED, PERMUTED])
def test_one_list_a_query_id(
    listed: int | None, top_ranked: Mapping[str, Sequence[str]], tmp_path: Path
) -> None:
    reranker = Listwise(listed)
    # Batches of two pairs cut through every list; that must not show.
    ndcg, scores = run(reranker, rivers(top_ranked), tmp_path, encode_kwargs={"batch_size": 2})
    wanted = {qid: expected_request(qid, docids) for qid, docids in top_ranked.items()}
    assert reranker.requests == list(wanted.values())
    assert [len(call) for call in reranker.calls] == {None: [3], 1: [1, 1, 1], 7: [2, 1]}[listed]
    for qid, docids in top_ranked.items():
        assert list(scores[qid]) == list(docids)
        np.testing.assert_array_equal(list(scores[qid].values()), Listwise.one(wanted[qid]))
    assert ndcg == pytest.approx(evaluate_run(QRELS, scores)["ndcg@10"], abs=1e-5)  # mteb rounds


def test_ndcg_by_hand(tmp_path: Path) -> None:
    """q1 is ranked d3, d1, d2; q2 and q3 keep their first place and lose the rest to it."""

    class KeepsOrder(Listwise):
        @staticmethod
        def one(request: RankingRequest) -> NDArray[np.float32]:
            return -np.arange(len(request.documents), dtype=np.float32)

    ndcg, _ = run(KeepsOrder(), rivers(TOP_RANKED), tmp_path)
    second, third = 1 / np.log2(3), 1 / np.log2(4)
    ideal = 2 + second
    by_hand = [(1 + 2 * second) / ideal, third, (2 + third) / ideal]
    assert ndcg == pytest.approx(np.mean(by_hand), abs=1e-5)


def test_a_query_without_candidates_counts_as_zero(tmp_path: Path) -> None:
    reranker = Listwise()
    ndcg, scores = run(reranker, rivers({**TOP_RANKED, "q2": []}), tmp_path)
    assert [request.qid for request in reranker.requests] == ["q1", "q3"]
    assert scores["q2"] == {}
    assert ndcg == pytest.approx(evaluate_run(QRELS, scores)["ndcg@10"], abs=1e-5)


def test_order_of_convert_to_reranking_is_by_score(tmp_path: Path) -> None:
    """Candidates from a file of another model's predictions: best first, cut at top_k."""
    saved = {
        "q1": {"d2": 0.1, "d1": 0.9, "d3": 0.5},
        "q2": {"d3": 7.0, "d5": 8.0},
        "q3": {"d2": 0.0, "d6": -1.0},
    }
    file = tmp_path / "first_stage.json"
    file.write_text(json.dumps({"mteb_model_meta": {}, "default": {"test": saved}}))
    reranker = Listwise()
    run(reranker, rivers(None).convert_to_reranking(file, top_k=2), tmp_path)
    order = {"q1": ["d1", "d3"], "q2": ["d5", "d3"], "q3": ["d2", "d6"]}
    assert reranker.requests == [expected_request(qid, docids) for qid, docids in order.items()]


def test_a_real_cross_encoder(tmp_path: Path) -> None:
    folder = write_cross_encoder(tmp_path / "ckpt")
    ndcg, scores = run(open_reranker(str(folder)), rivers(TOP_RANKED), tmp_path / "out")
    requests = [expected_request(qid, docids) for qid, docids in TOP_RANKED.items()]
    direct = open_reranker(str(folder)).score(requests)
    for values, (qid, docids) in zip(direct, TOP_RANKED.items(), strict=True):
        np.testing.assert_allclose([scores[qid][d] for d in docids], values, atol=1e-5)
    assert ndcg == pytest.approx(evaluate_run(QRELS, scores)["ndcg@10"], abs=1e-5)


def test_a_planning_reranker_sees_the_whole_work_list(tmp_path: Path) -> None:
    reranker = PlanningReranker()
    run(reranker, rivers(TOP_RANKED), tmp_path)
    assert reranker.plan == ("q1", "q2", "q3")
    assert reranker.calls == [["q1"], ["q2"], ["q3"]]  # its batch_documents is 4


def test_mtebs_cache_tells_settings_apart(tmp_path: Path) -> None:
    """mteb returns a cached result only for the same weights and settings."""
    import mteb

    cache = mteb.ResultCache(tmp_path / "results")
    rerankers = [Listwise(), Listwise(1), Listwise(weights="f" * 64), Listwise()]
    for reranker in rerankers:
        model = MtebCrossEncoder(reranker)
        mteb.evaluate(model, rivers(TOP_RANKED), cache=cache, co2_tracker=False)
    assert [len(reranker.calls) for reranker in rerankers] == [1, 3, 1, 0]


def test_model_meta() -> None:
    import mteb

    model = MtebCrossEncoder(Listwise(7))
    assert isinstance(model, mteb.CrossEncoderProtocol)
    assert not isinstance(model, mteb.EncoderProtocol | mteb.SearchProtocol)
    meta = model.mteb_model_meta
    assert (meta.name, meta.revision) == ("org/listwise", "c" * 40)
    assert meta.is_cross_encoder
    assert meta.experiment_kwargs["batch_documents"] == 7
    type(meta).model_validate(meta.model_dump())  # create_empty does not validate
    local = MtebCrossEncoder(FakeReranker(weights="0123456789abcdef" * 4)).mteb_model_meta
    assert (local.name, local.revision) == ("local/fake", "0123456789ab")


def test_the_module_imports_nothing_heavy() -> None:
    code = (
        "import sys, jrv3_eval.rerankers.in_mteb\n"
        "heavy = {'torch', 'mteb', 'datasets', 'transformers', 'ranx'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- predict, called as mteb calls it


class Task:
    name = "Rivers"


def batch(*rows: tuple[Any, str]) -> dict[str, list[Any]]:
    return {"id": [i for i, _ in rows], "text": [t for _, t in rows]}


def predict(reranker: Any, queries: Any, documents: Any, **options: Any) -> NDArray[np.float32]:
    model = MtebCrossEncoder(reranker)
    where = {"task_metadata": Task(), "hf_split": "test", "hf_subset": "default"}
    return model.predict(queries, documents, **where, **options)


def test_pairs_of_one_query_id_need_not_be_neighbours() -> None:
    reranker = Listwise()
    queries = [batch(("a", "x"), ("b", "x"), ("a", "x")), batch(("b", "x"))]
    documents = [batch(("1", "one")), batch(("1", "one"), ("2", "two"), ("3", "three"))]
    scores = predict(reranker, queries, documents)
    a, b = reranker.requests
    assert (a.qid, a.documents, b.qid, b.documents) == ("a", ("one", "two"), "b", ("one", "three"))
    np.testing.assert_array_equal(scores[[0, 2]], Listwise.one(a))
    np.testing.assert_array_equal(scores[[1, 3]], Listwise.one(b))


def test_no_pairs_and_numbers_as_ids() -> None:
    reranker = Listwise()
    scores = predict(reranker, [], [])
    assert (scores.dtype, scores.shape, reranker.calls) == (np.float32, (0,), [])
    queries = [{"id": np.array([7, 8]), "text": ["x", "x"]}]
    predict(reranker, queries, [batch(("1", "one"), ("1", "one"))])
    assert [request.qid for request in reranker.requests] == ["7", "8"]


ONE = [batch(("q", "x"))]


@pytest.mark.parametrize(
    ("queries", "documents", "error", "message"),
    [
        ([{"text": ["x"]}], ONE, UsageError, r"queries without id \(columns: text\)"),
        (ONE, [{"image": [0]}], UsageError, "documents without id and text"),
        (ONE * 2, [batch(("d", "1"), ("d", "1"))], DataError, "'d' is listed twice for query 'q'"),
        ([batch(("q", "x"), ("q", "y"))], [batch(("d", ""), ("e", ""))], DataError, "two texts"),
        (ONE * 2, ONE, DataError, "more queries: 1 pairs"),
        (ONE, ONE * 2, DataError, "more documents: 1 pairs"),
    ],
)
def test_bad_input(queries: Any, documents: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        predict(FakeReranker(), queries, documents)
    assert "task Rivers, default/test" in str(caught.value)


def test_settings_do_not_come_from_mteb() -> None:
    predict(FakeReranker(), ONE, ONE, batch_size=64, show_progress_bar=True, prompt_type=None)
    with pytest.raises(UsageError, match="'max_length', 'precision', which would have no effect"):
        predict(FakeReranker(), ONE, ONE, batch_size=1, precision="int8", max_length=8)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (lambda scores: scores[:-1], "0 lists of scores for 1 queries"),
        (lambda scores: [s[:-1] for s in scores], r"shape \(0,\), not \(1,\)"),
        (lambda scores: [s + np.nan for s in scores], "nan for the document at position 0"),
        (lambda scores: [s.astype(float) + 1e300 for s in scores], "inf for the document"),
    ],
)
def test_broken_scores(fault: Any, message: str) -> None:
    with pytest.raises(ScoreError, match=message) as caught:
        predict(FakeReranker(fault), ONE, ONE)
    assert "reranker 'fake', task Rivers" in str(caught.value)
