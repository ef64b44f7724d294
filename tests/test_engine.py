"""The engine: a plan made before the store is asked, whole batches, no faulty score let in."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import FakeReranker, PlanningReranker, pair_score
from jrv3_eval.engine.local import ScoredWork, score_work
from jrv3_eval.engine.store import ScoreStore
from jrv3_eval.engine.work import Unit, plan_batches
from jrv3_eval.errors import ScoreError, StorageError
from jrv3_eval.hashing import hash_text
from jrv3_eval.progress import Bar
from jrv3_eval.rerankers.protocol import RankingRequest


def unit(qid: str, documents: int, query: str | None = None) -> Unit:
    request = RankingRequest(qid, query or qid, tuple(f"{qid} text {i}" for i in range(documents)))
    return Unit(request, hash_text(request.query + "\0".join(request.documents)))


WORK = [unit("a", 3), unit("b", 2), unit("none", 0), unit("c", 4), unit("d", 1), unit("e", 6)]


def work(
    path: Path, reranker: FakeReranker, units: list[Unit] = WORK, batch: int = 4
) -> ScoredWork:
    with ScoreStore(path) as store:
        return score_work(units, reranker, store, batch, Bar())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store" / "scores.sqlite"


# --- the plan -----------------------------------------------------------------------------------


def test_batches_hold_whole_queries() -> None:
    plan = plan_batches(WORK, 4, over_plan=False)
    assert [[u.request.qid for u in batch.units] for batch in plan] == [
        ["a"],
        ["b"],
        ["c"],
        ["d"],
        ["e"],  # six documents are more than four: one query is never split
    ]


@given(st.lists(st.integers(0, 9), max_size=20), st.integers(1, 12))
def test_a_plan_covers_each_unit_once_in_order(sizes: list[int], limit: int) -> None:
    units = [unit(f"q{i}", size) for i, size in enumerate(sizes)]
    plan = plan_batches(units, limit, over_plan=False)
    assert [u for batch in plan for u in batch.units] == [u for u in units if u.request.documents]
    assert all(len(batch.units) == 1 or batch.documents <= limit for batch in plan)
    assert plan == plan_batches(units, limit, over_plan=False)


def test_equal_content_is_planned_once_and_equal_queries_stay_apart() -> None:
    # Trap 4: two queries with one text but other candidates are two units.
    twin = Unit(RankingRequest("twin", "a", WORK[0].request.documents), WORK[0].content)
    apart = unit("apart", 2, query="a")
    plan = plan_batches([WORK[0], twin, apart], 100, over_plan=False)
    assert [u.request.qid for u in plan[0].units] == ["a", "apart"]


# --- running it ---------------------------------------------------------------------------------


def test_scores_are_aligned_with_the_work_list(path: Path) -> None:
    done = work(path, FakeReranker())
    for one, scores in zip(WORK, done.scores, strict=True):
        expected = [pair_score(one.request.query, d) for d in one.request.documents]
        assert scores.tolist() == np.float32(expected).tolist()
        assert scores.dtype == np.float32
    assert (done.model_calls, done.cached) == (5, 0)
    assert (done.tokens, done.truncated_documents, done.scored_documents) == (160, 5, 16)


def test_a_second_run_makes_no_model_call(path: Path) -> None:
    first, silent = work(path, FakeReranker()), FakeReranker()
    second = work(path, silent)
    assert silent.calls == []
    assert (second.model_calls, second.cached) == (0, 5)
    assert [s.tobytes() for s in second.scores] == [s.tobytes() for s in first.scores]
    assert second.seconds == pytest.approx(first.seconds)


@pytest.mark.parametrize("batches_done", [0, 1, 3, 4])
def test_an_interrupted_run_continues_where_it_was(path: Path, batches_done: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        work(path, FakeReranker(interrupt_at=batches_done))
    resumed = FakeReranker()
    done = work(path, resumed)
    assert resumed.calls == [["a"], ["b"], ["c"], ["d"], ["e"]][batches_done:]
    undisturbed = work(path.with_name("other.sqlite"), FakeReranker())
    assert [s.tobytes() for s in done.scores] == [s.tobytes() for s in undisturbed.scores]


def test_a_batch_is_retried_whole(path: Path) -> None:
    two = [unit("a", 2), unit("b", 2)]
    work(path, FakeReranker(), two)
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM scores WHERE content = ?", (two[0].content,))
    again = FakeReranker()
    work(path, again, two)
    assert again.calls == [["a", "b"]]


def test_a_batch_of_other_queries_is_another_batch(path: Path) -> None:
    # Its rounding may differ, and then the bytes would depend on what ran before.
    work(path, FakeReranker(), [unit("a", 2)])
    other = FakeReranker()
    work(path, other, [unit("a", 2), unit("b", 2)])
    assert other.calls == [["a", "b"]]


def test_a_reranker_that_plans_sees_the_whole_list_also_when_it_resumes(path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        work(path, PlanningReranker(interrupt_at=2))
    resumed = PlanningReranker()
    work(path, resumed)
    assert resumed.plan == ("a", "b", "c", "d", "e")
    longer = PlanningReranker()
    work(path, longer, [*WORK, unit("f", 1)])
    assert longer.calls[0] == ["a"]  # another plan shares nothing with it


def test_weights_load_before_the_clock_starts_and_only_if_needed(path: Path) -> None:
    class Heavy(FakeReranker):
        loaded = 0

        def load(self) -> None:
            self.loaded += 1
            time.sleep(0.3)

    first, second = Heavy(), Heavy()
    assert work(path, first).seconds < 0.2
    work(path, second)
    assert (first.loaded, second.loaded) == (1, 0)


# --- faults of a reranker -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (lambda scores: scores[:-1], "0 lists of scores for 1 queries"),
        (lambda scores: [s[:-1] for s in scores], r"shape \(2,\) for 3 documents"),
        (lambda scores: [s * np.nan for s in scores], "returned nan for the document at"),
        (lambda scores: [s + np.inf for s in scores], "returned inf for the document at"),
        (lambda scores: [s.astype(float) + 1e300 for s in scores], "returned inf for the document"),
        (lambda scores: [s[:, None] for s in scores], r"shape \(3, 1\) for 3 documents"),
    ],
)
def test_a_broken_score_ends_the_run_and_is_not_stored(
    path: Path, fault: object, message: str
) -> None:
    with pytest.raises(ScoreError, match=message):
        work(path, FakeReranker(fault=fault))  # type: ignore[arg-type]
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM scores").fetchone() == (0,)


# --- the store ----------------------------------------------------------------------------------


def test_two_runs_cannot_write_one_store(path: Path) -> None:
    class Nested(FakeReranker):
        def score(self, requests: object) -> list[np.ndarray]:  # type: ignore[override]
            with pytest.raises(StorageError, match="Another run is writing this score store"):
                work(path, FakeReranker())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work(path, Nested())
    assert work(path, FakeReranker()).model_calls == 5  # the lock went with its holder


def test_finished_stores_can_be_read_side_by_side(path: Path) -> None:
    work(path, FakeReranker())
    with ScoreStore(path):
        assert work(path, FakeReranker()).model_calls == 0


def test_a_full_disk_keeps_what_was_committed(path: Path) -> None:
    class Filling(ScoreStore):
        written = 0

        def write(self, *arguments: object) -> None:  # type: ignore[override]
            self.written += 1
            if self.written == 3:  # SQLite itself reports this database as full
                pages = self._connection.execute("PRAGMA page_count").fetchone()[0]
                self._connection.execute(f"PRAGMA max_page_count = {pages}")
            super().write(*arguments)  # type: ignore[arg-type]

    big = [unit(f"q{i}", 3000) for i in range(4)]
    with Filling(path) as store, pytest.raises(StorageError, match="The disk is full"):
        score_work(big, FakeReranker(), store, 1, Bar())
    resumed = FakeReranker()
    assert work(path, resumed, big, batch=1).cached == 2
    assert resumed.calls == [["q2"], ["q3"]]


def test_a_file_that_is_no_store_is_an_error(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("this is not a database, and long enough to be looked at " * 20)
    with pytest.raises(StorageError, match="damaged"):
        ScoreStore(path)


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="Cannot write"):
        ScoreStore(tmp_path / "file" / "scores.sqlite")
