"""The order in which a model sees the candidates: permuted for it, undone before any number."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import jrv3_eval
from conftest import Cli
from fakes import FakeReranker, pair_score
from jrv3_eval import evaluation
from jrv3_eval.baselines import Baseline
from jrv3_eval.candidates import CandidateSet, candidate_set
from jrv3_eval.collection import Collection, ingest
from jrv3_eval.engine.local import score_work
from jrv3_eval.engine.order import FIRST_STAGE, Order, parse_order
from jrv3_eval.engine.store import ScoreStore
from jrv3_eval.engine.work import work_list
from jrv3_eval.errors import UsageError
from jrv3_eval.hashing import hash_text
from jrv3_eval.progress import Bar
from jrv3_eval.rerankers.protocol import RankingRequest
from jrv3_eval.sources.folder import open_folder
from jrv3_eval.trec import read_run

REVERSE = Order("reverse")
ORDERS = st.one_of(
    st.just(FIRST_STAGE), st.just(REVERSE), st.builds(Order, st.just("random"), st.integers(0, 99))
)
LISTS = {"q1": ["fox", "dog", "cat"], "q2": ["sea", "fox"], "q3": ["sun", "sea", "nil", "cat"]}


class FirstSeenFirst(FakeReranker):
    """Depends on nothing but the position: 0, -1, -2, ... in the order that it sees."""

    def score(self, requests: Sequence[RankingRequest]) -> list[NDArray[np.float32]]:
        super().score(requests)
        return [-np.arange(len(request.documents), dtype=np.float32) for request in requests]


# --- the permutation and the way back -----------------------------------------------------------


def test_reverse_by_hand() -> None:
    assert REVERSE.positions("q1", 3).tolist() == [2, 1, 0]
    # The model saw c, b, a and gave them 9, 5, 1: so a has 1, b has 5, c has 9.
    assert REVERSE.restore("q1", np.float32([9, 5, 1])).tolist() == [1, 5, 9]
    assert FIRST_STAGE.restore("q1", np.float32([9, 5, 1])).tolist() == [9, 5, 1]


def test_a_random_order_by_hand() -> None:
    order = Order("random", 7)
    seen = [["a", "b", "c"][position] for position in order.positions("q1", 3)]
    given_to = dict(zip(seen, [9, 5, 1], strict=True))
    restored = order.restore("q1", np.float32([9, 5, 1]))
    assert restored.tolist() == [given_to["a"], given_to["b"], given_to["c"]]


@given(ORDERS, st.text(), st.integers(0, 60))
def test_an_order_is_a_permutation_and_mapping_back_inverts_it(
    order: Order, qid: str, count: int
) -> None:
    positions = order.positions(qid, count)
    assert positions.dtype == np.int64
    assert sorted(positions.tolist()) == list(range(count))
    scores = np.random.default_rng(0).random(count, dtype=np.float32)
    assert order.restore(qid, scores[positions]).tolist() == scores.tolist()
    assert order.restore(qid, scores).dtype == np.float32


def test_random_depends_on_seed_and_query_alone() -> None:
    def drawn(seed: int, qid: str) -> tuple[int, ...]:
        return tuple(Order("random", seed).positions(qid, 20).tolist())

    assert drawn(7, "q1") == drawn(7, "q1")
    assert len({drawn(seed, "q1") for seed in range(20)}) == 20
    assert len({drawn(7, f"q{i}") for i in range(20)}) == 20
    assert drawn(1, "1") != drawn(11, "")


def test_a_random_order_is_not_the_baseline_of_the_same_seed() -> None:
    # Else a model that keeps the order it sees would repeat the baseline, number for number.
    docids = [f"d{i:02}" for i in range(20, 0, -1)]
    lists = [(docids, np.zeros(20, np.float32))]
    many = candidate_set(["q"], lists, first_stage="x", depth=20, dataset="d", settings={})
    for seed in range(5):
        kept = Order("random", seed).restore("q", np.arange(20, 0, -1, dtype=np.float32))
        assert kept.tolist() != Baseline("random", seed).scores(many, {"q": {}})[0].tolist()


@pytest.mark.parametrize("spec", ["first-stage", "reverse", "random:0", "random:7"])
def test_an_order_is_named_as_it_is_given(spec: str) -> None:
    assert parse_order(spec).name == spec


def test_a_seed_has_one_name() -> None:
    assert parse_order("random:007") == Order("random", 7)
    assert parse_order("random:007").name == "random:7"


BAD_SPECS = [
    ("revers", "did you mean 'reverse'"),
    ("Reverse", "did you mean 'reverse'"),
    ("first_stage", "did you mean 'first-stage'"),
    ("reverse:1", "did you mean 'reverse'"),
    ("", "Unknown order ''"),
    ("random", "names no seed"),
    ("random:", "no whole number"),
    ("random:x", "no whole number"),
    ("random:-1", "no whole number"),
    ("random:1.5", "no whole number"),
    ("random: 1", "no whole number"),
    ("random:1\n", "no whole number"),
    ("random:²", "no whole number"),
    ("random:" + "9" * 5000, "no whole number"),
]


@pytest.mark.parametrize(("spec", "message"), BAD_SPECS)
def test_a_bad_spec_is_an_error(spec: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_order(spec)


# --- the work list ------------------------------------------------------------------------------


@pytest.fixture
def collection(animals: Path, cache: Path) -> Collection:
    return ingest(open_folder(animals, "test"), join="title text", split="test", cache=cache)


@pytest.fixture
def candidates() -> CandidateSet:
    lists = [(ids, -np.arange(len(ids), dtype=np.float32)) for ids in LISTS.values()]
    return candidate_set(list(LISTS), lists, first_stage="x", depth=4, dataset="d", settings={})


def test_the_model_sees_the_documents_in_the_order(
    collection: Collection, candidates: CandidateSet
) -> None:
    straight = work_list(collection, candidates)
    reverse = work_list(collection, candidates, REVERSE)
    assert [document[:11] for document in straight[0].request.documents] == [
        "a quick bro", "the dog cha", "the cat sat",
    ]  # fmt: skip
    for one, other in zip(straight, reverse, strict=True):
        assert other.request.documents == one.request.documents[::-1]
        assert (other.request.qid, other.request.query) == (one.request.qid, one.request.query)


@pytest.mark.parametrize("order", [FIRST_STAGE, REVERSE, Order("random", 1)])
def test_the_content_hash_covers_the_texts_as_seen(
    collection: Collection, candidates: CandidateSet, order: Order
) -> None:
    for unit in work_list(collection, candidates, order):
        texts = (unit.request.query, *unit.request.documents)
        by_hand = hashlib.sha256(b"".join(hash_text(text) for text in texts)).digest()
        assert unit.content == by_hand


def test_no_order_given_is_the_first_stages(
    collection: Collection, candidates: CandidateSet
) -> None:
    assert work_list(collection, candidates) == work_list(collection, candidates, FIRST_STAGE)
    straight = {unit.content for unit in work_list(collection, candidates)}
    assert straight.isdisjoint(u.content for u in work_list(collection, candidates, REVERSE))


def test_twins_are_mapped_back_each_by_its_own_order(
    collection: Collection, tmp_path: Path
) -> None:
    # Six queries of one text and one list: where a random order repeats, they share a unit.
    qids = [f"t{i}" for i in range(6)]
    twins = replace(collection, queries=dict.fromkeys(qids, "cat"))
    lists = [(["fox", "cat"], np.float32([2, 1]))] * 6
    same = candidate_set(qids, lists, first_stage="x", depth=2, dataset="d", settings={})
    order = Order("random", 0)
    units = work_list(twins, same, order)
    assert len({unit.content for unit in units}) == 2
    with ScoreStore(tmp_path / "s.sqlite") as store:
        work = score_work(units, FakeReranker(), store, 100, Bar())
    expected = [pair_score("cat", text) for text in twins.texts(twins.rows(["fox", "cat"]))]
    for qid, scores in zip(qids, work.scores, strict=True):
        assert order.restore(qid, scores).tolist() == np.float32(expected).tolist()


# --- the whole job ------------------------------------------------------------------------------


@pytest.fixture
def arguments(tasks_dir: Path, tmp_path: Path) -> dict[str, Any]:
    """Arguments of evaluate(): the tiny suite on the candidates of LISTS."""
    lines = [
        f"{qid} Q0 {docid} {rank} {9 - rank} x\n"
        for qid, docids in LISTS.items()
        for rank, docid in enumerate(docids)
    ]
    (tmp_path / "first.run").write_text("".join(lines))
    return {
        "suite": "zoo",
        "tasks_dir": tasks_dir,
        "first_stage": f"run:{tmp_path / 'first.run'}",
        "results": tmp_path / "results",
    }


def use(model: FakeReranker, monkeypatch: pytest.MonkeyPatch) -> FakeReranker:
    """Let every model SPEC name this one."""
    monkeypatch.setattr(evaluation, "open_reranker", lambda spec, settings: model)
    return model


def ranked(path: Path) -> dict[str, list[str]]:
    """Document ids of a run file by query, best first."""
    run = read_run(path)
    bounds = zip(run.qids, run.offsets[:-1], run.offsets[1:], strict=True)
    return {
        qid: [str(run.docids[i]) for i in sorted(range(a, b), key=lambda i: -run.scores[i])]
        for qid, a, b in bounds
    }


SHARED = ("metrics", "interval", "difference", "headroom", "ties", "candidates", "truncated")


@pytest.mark.parametrize("order", ["reverse", "random:0", "random:1"])
def test_a_model_that_scores_pairs_gets_the_same_numbers_in_every_order(
    arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, order: str
) -> None:
    use(FakeReranker(), monkeypatch)
    [straight] = jrv3_eval.evaluate(**arguments, model="x")
    [other] = jrv3_eval.evaluate(**arguments, model="x", order=order)
    for key in SHARED:
        assert getattr(other, key) == getattr(straight, key)
    runs = [tmp_path / "results" / r.folder() / "animals.run.gz" for r in (straight, other)]
    assert read_run(runs[0]).scores.tolist() == read_run(runs[1]).scores.tolist()
    assert read_run(runs[0]).docids.tolist() == read_run(runs[1]).docids.tolist()


def test_a_model_that_heeds_the_position_is_aligned_with_the_candidates(
    arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use(FirstSeenFirst(), monkeypatch)
    [straight] = jrv3_eval.evaluate(**arguments, model="x")
    [reverse] = jrv3_eval.evaluate(**arguments, model="x", order="reverse")
    assert ranked(tmp_path / "results" / straight.folder() / "animals.run.gz") == LISTS
    assert ranked(tmp_path / "results" / reverse.folder() / "animals.run.gz") == {
        "q1": ["cat", "dog", "fox"],
        "q2": ["fox", "sea"],
        "q3": ["cat", "nil", "sea", "sun"],
    }
    # The first relevant document stands at 2, 2, 1, and reversed at 1, 1, 4.
    assert straight.metrics["mrr@10"] == pytest.approx((1 / 2 + 1 / 2 + 1) / 3)
    assert reverse.metrics["mrr@10"] == pytest.approx((1 + 1 + 1 / 4) / 3)
    assert straight.metrics == straight.candidates.metrics
    assert reverse.candidates == straight.candidates  # the yardstick does not move


def test_the_record_says_the_order_and_overwrites_no_other(
    arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use(FirstSeenFirst(), monkeypatch)
    orders = ["first-stage", "reverse", "random:1", "random:2"]
    results = [jrv3_eval.evaluate(**arguments, model="x", order=order)[0] for order in orders]
    assert [result.order for result in results] == orders
    files = {result.order: tmp_path / "results" / result.folder() for result in results}
    for order, folder in files.items():
        assert json.loads((folder / "animals.json").read_text())["order"] == order
    assert len(set(files.values())) == 4
    assert "-reverse-" in files["reverse"].parent.name
    assert "-random-1-" in files["random:1"].parent.name


def test_a_second_run_in_the_same_order_makes_no_model_call(
    arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = use(FirstSeenFirst(), monkeypatch)
    [straight] = jrv3_eval.evaluate(**arguments, model="x")
    [first] = jrv3_eval.evaluate(**arguments, model="x", order="random:3")
    calls = len(model.calls)
    assert calls > straight.cost.model_calls  # another order was not served from the store
    [second] = jrv3_eval.evaluate(**arguments, model="x", order="random:3")
    assert len(model.calls) == calls
    assert (second.cost.model_calls, second.cost.cached) == (0, 3)
    assert (second.metrics, second.folder()) == (first.metrics, first.folder())


def test_a_baseline_beside_a_model_stays_in_first_stage_order(
    arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    use(FakeReranker(), monkeypatch)
    models = ["none", "oracle", "random:1", "x"]
    results = jrv3_eval.evaluate(**arguments, model=models, order="reverse")
    assert [r.order for r in results] == ["first-stage", "first-stage", "first-stage", "reverse"]
    alone = jrv3_eval.evaluate(**arguments, model=models[:3])
    assert [r.metrics for r in alone] == [r.metrics for r in results[:3]]


# --- the command --------------------------------------------------------------------------------


def test_the_command_takes_an_order(
    cli: Cli, tasks_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(FakeReranker(), monkeypatch)
    done = cli("zoo", "--tasks-dir", tasks_dir, "--model", "x", "--order", "random:5", "--json")
    assert done.code == 0, done.err
    assert [record["order"] for record in json.loads(done.out)] == ["random:5"]


@pytest.mark.parametrize(("spec", "message"), [*BAD_SPECS[:1], *BAD_SPECS[4:9]])
def test_a_bad_order_ends_with_2_a_message_and_no_number(
    cli: Cli, tasks_dir: Path, spec: str, message: str
) -> None:
    done = cli("zoo", "--tasks-dir", tasks_dir, "--model", "none", "--order", spec)
    assert done.code == 2
    assert message in done.err
    assert "Traceback" not in done.err
    assert done.out == ""


def test_an_order_that_no_model_sees_is_refused(cli: Cli, tasks_dir: Path) -> None:
    arguments = ("zoo", "--tasks-dir", tasks_dir, "--model", "none", "--model", "oracle", "--order")
    done = cli(*arguments, "reverse")
    assert done.code == 2
    assert "no model that could see it" in done.err
    assert done.out == ""
    assert cli(*arguments, "first-stage").code == 0
