"""Ours beside theirs: the protocol decides whether there is a difference at all."""

from __future__ import annotations

from typing import Any

import pytest

from jrv3_eval.published import (
    Beside,
    PublishedTable,
    beside,
    beside_remarks,
    measured_task,
    published_tables,
    shown_verdict,
    verdict_for,
)
from jrv3_eval.record import TaskResult
from literals import result, table


def only(measured: TaskResult, *tables: PublishedTable) -> Beside:
    [found] = beside(measured_task(measured), tables)
    return found


# --- equal, unknown, in conflict ----------------------------------------------------------------


def test_an_equal_protocol_gives_a_difference_in_points() -> None:
    found = only(result(value=0.3786, revision="a" * 40), table())
    assert found.difference == pytest.approx(0.2)
    assert (found.published, found.verdict, found.why()) == (37.66, "close", "")
    assert [(f.name, f.state) for f in found.fields] == [
        ("split", "equal"), ("first stage", "equal"), ("depth", "equal"),
        ("candidate order", "equal"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("difference", "verdict"),
    [
        (0.0, "reproduced"), (0.1, "reproduced"), (-0.1, "reproduced"), (37.76 - 37.66,
        "reproduced"), (0.11, "close"), (0.5, "close"), (-0.5, "close"), (0.51, "differs"),
        (-4.0, "differs"),
    ],
)  # fmt: skip
def test_a_tenth_of_a_point_is_reproduced_and_half_a_point_is_close(
    difference: float, verdict: str
) -> None:
    assert verdict_for(difference) == verdict


@pytest.mark.parametrize(
    ("measured", "published", "why"),
    [
        (
            {"first_stage": "bm25"},
            {},
            "first stage: bm25 here, jina-embeddings-v3 there",
        ),
        ({"depth": 50}, {}, "depth: 50 here, 100 there"),
        ({"split": "dev"}, {}, "split: dev here, test there"),
        ({"limit": 20}, {}, "queries: limited to 20 here, all there"),
        ({"order": "reverse"}, {}, "candidate order: reverse here, first-stage there"),
        ({"order": "random:3"}, {}, "candidate order: random:3 here, first-stage there"),
        (
            {"revision": "b" * 40},
            {},
            f"dataset version: {'b' * 12} here, {'a' * 12} there",
        ),
        ({}, {"superseded": "a bug"}, "table: any other here, superseded (a bug) there"),
        (
            {},
            {"protocol": {"kind": "gold-added"}},
            "candidates: of a first stage here, relevant documents added there",
        ),
        (
            {},
            {"protocol": {"settings": {"pool": "hard negatives"}}},
            "corpus: the card's here, hard negatives there",
        ),
    ],
)
def test_a_known_conflict_gives_no_difference_but_both_sides(
    measured: dict[str, Any], published: dict[str, Any], why: str
) -> None:
    found = only(result(**measured), table(**published))
    assert (found.difference, found.verdict, found.published) == (None, "not comparable", 37.66)
    assert found.why() == why
    assert shown_verdict(found) == "not comparable"
    assert beside_remarks([found])[0] == f"not comparable with paper: Table 3: {why}"


def test_several_conflicts_are_all_named() -> None:
    found = only(result(first_stage="bm25", depth=10), table())
    assert found.why() == (
        "first stage: bm25 here, jina-embeddings-v3 there; depth: 10 here, 100 there"
    )


def test_what_the_source_does_not_state_is_assumed_in_words() -> None:
    silent = {"first_stage": None, "depth": None, "split": None, "order": None, "revisions": {}}
    found = only(result(), table(protocol=silent))
    assert found.difference == pytest.approx(0)
    assert found.why() == (
        "assuming the same split, first stage, depth, candidate order, dataset version"
    )
    assert shown_verdict(found) == "reproduced*"


def test_a_conflict_outweighs_what_is_not_known() -> None:
    found = only(result(depth=50), table(protocol={"first_stage": None}))
    assert found.difference is None
    assert found.why() == "depth: 50 here, 100 there"
    assert "first stage" in found.assuming


# --- candidate order ----------------------------------------------------------------------------


def test_a_listwise_model_is_compared_with_the_line_of_its_order() -> None:
    rows = [
        {"model": "jina-reranker-v3", "order": order, "scores": {"ndcg@10": {"nfcorpus": value}}}
        for order, value in (("first-stage", 37.66), ("reverse", 39.14), ("random", 38.92))
    ]
    for order, value in (("first-stage", 37.66), ("reverse", 39.14), ("random:7", 38.92)):
        found = beside(measured_task(result(order=order)), [table(rows)])
        assert [row.published for row in found if row.verdict != "not comparable"] == [value]
        assert len(found) == 3


def test_a_pointwise_model_has_no_order_to_conflict() -> None:
    found = only(result(listwise=False, order="reverse"), table())
    assert "candidate order" not in {field.name for field in found.fields}
    assert found.difference is not None


# --- the names of models and first stages -------------------------------------------------------


@pytest.mark.parametrize("packaged", ["dense-jina-embeddings-v3-hf", "dense-jina-embeddings-v3"])
def test_another_packaging_of_the_first_stage_is_the_same_one(packaged: str) -> None:
    assert only(result(first_stage=packaged), table()).conflicts == ()


def test_other_names_of_the_first_stage_are_those_that_the_table_gives() -> None:
    named = table(protocol={"also_named": ("je3",)})
    assert only(result(first_stage="dense-je3"), named).conflicts == ()
    assert only(result(first_stage="dense-je3"), table()).conflicts != ()


def test_a_model_may_be_compared_with_one_of_another_name() -> None:
    checkpoint = measured_task(result(model="my-checkpoint"))
    assert beside(checkpoint, [table()]) == []
    [found] = beside(checkpoint, [table()], "jinaai/jina-reranker-v3")
    assert found.published == 37.66


def test_an_unknown_model_gets_its_protocol_checked_against_the_cards_table() -> None:
    paper = "arXiv 2509.25085v4, Table 3"
    for stage, verdict in (("dense-jina-embeddings-v3-hf", None), ("bm25", "not comparable")):
        found = only(result(model="mine", first_stage=stage, published=paper), *published_tables())
        assert (found.table.name, found.row, found.published) == (
            "jina-reranker-v3-beir", None, None,
        )  # fmt: skip
        assert (found.difference, found.verdict) == (None, verdict)
    assert "first stage: bm25 here, jina-embeddings-v3 there" in found.why()
    without = only(result(model="mine", published=paper), *published_tables())
    assert shown_verdict(without) == "no published value"
    assert beside_remarks([without])[0].endswith("(v4) has no line for mine")


# --- first stages beside first stages -----------------------------------------------------------

FIRST = {"model": "jina-embeddings-v3", "is_first_stage": True,
         "scores": {"ndcg@10": {"nfcorpus": 36.65}}}  # fmt: skip
MODEL = {"model": "jina-reranker-v3", "scores": {"ndcg@10": {"nfcorpus": 37.66}}}
RETRIEVER = {**FIRST, "is_first_stage": False}
RETRIEVAL = {"kind": "retrieval", "first_stage": None, "depth": None, "order": None}


def test_a_first_stage_is_matched_with_its_own_lines() -> None:
    measured = measured_task(
        result(model="none", value=0.3663, first_stage="dense-jina-embeddings-v3-hf")
    )
    tables = [table([FIRST, MODEL]), table([RETRIEVER], protocol=RETRIEVAL)]
    found = beside(measured, tables)
    assert [row.published for row in found] == [36.65, 36.65]
    assert [row.difference for row in found] == pytest.approx([-0.02, -0.02])
    assert [row.published_first_stage for row in found] == [None, None]


def test_a_retrievers_own_score_does_not_depend_on_the_depth_below_the_cut() -> None:
    tables = [table([RETRIEVER], protocol=RETRIEVAL)]
    deep, shallow = (
        only(result(model="none", depth=depth, listwise=False), *tables) for depth in (10, 5)
    )
    assert deep.conflicts == ()
    assert shallow.why() == "depth: 5 here, at least 10 there"


def test_a_reranker_is_not_matched_with_the_first_stages_line() -> None:
    row = only(result(), table([FIRST, MODEL]))
    assert (row.published, row.published_first_stage) == (37.66, 36.65)
    named_alike = measured_task(result(model="jina-embeddings-v3"))
    assert beside(named_alike, [table([FIRST, MODEL])]) == []


def test_what_was_not_reranked_is_not_matched_with_a_rerankers_line() -> None:
    measured = measured_task(result(model="none", first_stage="dense-jina-reranker-v3"))
    assert beside(measured, [table()]) == []


def test_a_reranker_in_mtebs_files_rests_on_candidates_that_are_not_known() -> None:
    found = only(result(), table([MODEL], protocol=RETRIEVAL))
    assert found.difference == pytest.approx(0)
    assert {"first stage", "depth", "candidate order"} <= set(found.assuming)


# --- MKQA ---------------------------------------------------------------------------------------


def test_success_is_matched_as_recall_only_where_the_card_says_so() -> None:
    rows = [{"model": "jina-reranker-v3", "scores": {"recall@10": {"mkqa-ar": 67.0},
                                                     "ndcg@10": {"mkqa-ar": 50.0}}}]  # fmt: skip
    mkqa = table(rows, suite="mkqa", metrics=["recall@10", "ndcg@10"])
    hit = {"suite": "mkqa", "task": "mkqa-ar", "value": 0.671}
    found = only(result(metric="success@10", published_as="Recall@10", **hit), mkqa)
    assert (found.published, found.difference) == (67.0, pytest.approx(0.1))
    assert beside(measured_task(result(metric="success@10", **hit)), [mkqa]) == []
    own = table(rows, suite="mkqa", metrics=["recall@10", "ndcg@10", "success@10"])
    assert beside(measured_task(result(metric="recall@10", published_as="R", **hit)), [own]) == []
