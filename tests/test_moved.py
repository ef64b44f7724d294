"""The queries that moved most, with texts and judgements where the cache still has them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from conftest import QUERIES, write_beir
from jrv3_eval import evaluate
from jrv3_eval.compare import MovedQuery, moved_between, moved_by_reranking
from jrv3_eval.compare.moved import CLIPPED, clipped, largest
from jrv3_eval.stored import Stored, read_results
from literals import write_stored

PLACE = ("zoo", "animals")
LONG = "word " * 200


def write_run(path: Path, ranked: dict[str, list[str]]) -> str:
    """A run in this order, as a SPEC."""
    lines = [f"{q} Q0 {d} 0 {-i} t\n" for q, docs in ranked.items() for i, d in enumerate(docs)]
    path.write_text("".join(lines))
    return f"run:{path}"


@pytest.fixture
def pair(tasks_dir: Path, tmp_path: Path) -> tuple[Stored, Stored]:
    """A first stage and its reranking: q1 is much worse, q2 better, q3 as it was."""
    first = {"q1": ["dog", "cat", "sea"], "q2": ["sea", "fox"], "q3": ["sun", "sea"]}
    after = {"q1": ["sea", "nil", "cat", "dog"], "q2": ["fox", "sea"], "q3": ["sun", "sea"]}
    first["q1"].append("nil")
    results = tmp_path / "results"
    evaluate(
        "zoo",
        ["none", write_run(tmp_path / "after.run", after)],
        first_stage=write_run(tmp_path / "first.run", first),
        tasks_dir=tasks_dir,
        results=results,
    )
    [one] = read_results(results / "none@baseline")
    [other] = [s for s in read_results(results) if s.result.reranker.name == "after"]
    return one, other


def moved(
    pair: tuple[Stored, Stored], cache: Path, count: int = 9, top: int = 2
) -> list[MovedQuery]:
    return moved_between(PLACE, *pair, ("before", "after"), count, top, cache)


def test_the_largest_changes_come_first_and_none_that_did_not_change() -> None:
    change = np.array([0.0, 0.1, -0.5, 0.0, 0.1, 0.3])
    assert largest(change, 9).tolist() == [2, 5, 1, 4]
    assert largest(change, 2).tolist() == [2, 5]
    assert largest(np.zeros(3), 2).tolist() == []
    assert largest(change, 0).tolist() == []


def test_moved_queries_have_both_orders_with_texts_and_judgements(
    pair: tuple[Stored, Stored], cache: Path
) -> None:
    found = moved(pair, cache)
    assert [query.qid for query in found] == ["q1", "q2"]
    worse, better = found
    assert worse.before == pytest.approx(1.0)
    assert worse.after < 0.6
    assert better.before < better.after == pytest.approx(1.0)
    assert (worse.text, worse.metric) == (QUERIES["q1"], "ndcg@10")
    assert (worse.before_name, worse.after_name) == ("before", "after")
    assert [(d.docid, d.before, d.after, d.relevance) for d in worse.top_before] == [
        ("dog", 1, 4, 2), ("cat", 2, 3, 1),
    ]  # fmt: skip
    assert [(d.docid, d.before, d.after, d.relevance) for d in worse.top_after] == [
        ("sea", 3, 1, None), ("nil", 4, 2, None),
    ]  # fmt: skip
    assert worse.top_before[0].text == "the dog chased the cat up a tree"
    assert worse.top_after[1].text == ""
    assert better.top_after[1].relevance == 0  # judged, and not relevant


def test_only_as_many_queries_as_were_asked_for(pair: tuple[Stored, Stored], cache: Path) -> None:
    assert [query.qid for query in moved(pair, cache, count=1)] == ["q1"]
    assert moved(pair, cache, count=0) == []
    assert [len(query.top_before) for query in moved(pair, cache, top=9)] == [4, 2]


def test_without_the_cache_there_are_ids_only(pair: tuple[Stored, Stored], tmp_path: Path) -> None:
    worse, _ = moved(pair, tmp_path / "no cache")
    assert worse.text is None
    assert [(d.docid, d.relevance, d.text) for d in worse.top_before] == [
        ("dog", None, None), ("cat", None, None),
    ]  # fmt: skip


def test_what_a_reranker_moved_is_seen_from_the_first_stages_order(
    tasks_dir: Path, tmp_path: Path, cache: Path
) -> None:
    evaluate("zoo", "oracle", tasks_dir=tasks_dir, results=tmp_path / "results")
    [stored] = read_results(tmp_path / "results")
    [query] = moved_by_reranking(PLACE, stored, "best", 9, 2, cache)
    assert (query.qid, query.before_name, query.after_name) == ("q1", "first stage bm25", "best")
    assert [(d.docid, d.before, d.after) for d in query.top_before] == [
        ("cat", 1, 2),
        ("dog", 2, 1),
    ]
    assert [(d.docid, d.relevance) for d in query.top_after] == [("dog", 2), ("cat", 1)]
    assert query.before < query.after == pytest.approx(1.0)


def test_without_the_candidates_the_first_stages_list_is_empty(
    pair: tuple[Stored, Stored], cache: Path
) -> None:
    # Those of a run file are its own, and never in the cache.
    worse, _ = moved_by_reranking(PLACE, pair[1], "mine", 9, 2, cache)
    assert worse.before_name == "first stage run-first"
    assert worse.top_before == ()
    assert [(d.docid, d.before, d.after) for d in worse.top_after] == [
        ("sea", None, 1), ("nil", None, 2),
    ]  # fmt: skip
    assert worse.before == pytest.approx(1.0)


def test_first_stage_order_itself_moves_nothing(pair: tuple[Stored, Stored], cache: Path) -> None:
    assert moved_by_reranking(PLACE, pair[0], "none", 9, 2, cache) == []
    assert moved((pair[0], pair[0]), cache) == []


def test_values_stand_with_their_own_query(tmp_path: Path) -> None:
    one = write_stored(tmp_path / "1", {"q1": 0.5, "q2": 0.25, "q3": 1.0})
    other = write_stored(tmp_path / "2", {"q1": 0.5, "q2": 0.75, "q3": 0.0})
    found = moved_between(PLACE, one, other, ("a", "b"), 9, 1, tmp_path)
    assert [(q.qid, q.before, q.after) for q in found] == [("q3", 1.0, 0.0), ("q2", 0.25, 0.75)]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain words", "plain words"),
        ("  two\n\tlines  ", "two lines"),
        ("x" * 300, "x" * 300),
        ("x" * 301, "x" * 296 + " ..."),
        ("日" * 301, "日" * 296 + " ..."),
        ("", ""),
        ("x" + " " * 2000 + "y", "x ..."),  # cut in its white space
    ],
)
def test_texts_are_clipped_at_300_characters(text: str, shown: str) -> None:
    assert clipped(text) == shown
    assert len(clipped(text)) <= CLIPPED


def test_long_texts_are_clipped_on_the_way(tmp_path: Path, tasks_dir: Path, cache: Path) -> None:
    documents = {"a": f"word {LONG}", "b": LONG.replace("w", "s")}
    write_beir(tmp_path / "data/animals", documents, {"q1": f"{LONG} sord"}, {"q1": {"b": 1}})
    (tasks_dir / "zoo.yaml").write_text(
        "suite: zoo\ntitle: Long texts\ntasks:\n"
        "  - {name: animals, sources: [{kind: folder, path: ../data/animals}]}\n"
    )
    evaluate("zoo", "oracle", tasks_dir=tasks_dir, results=tmp_path / "results")
    [stored] = read_results(tmp_path / "results")
    [query] = moved_by_reranking(PLACE, stored, "oracle", 1, 5, cache)
    shown = [document.text for document in query.top_before]
    assert (query.text, shown) == (clipped(LONG), [clipped(LONG), clipped(documents["b"])])
    assert len(clipped(LONG)) == CLIPPED
    assert clipped(LONG).endswith("word w ...")
