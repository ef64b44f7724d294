"""Metrics: trec_eval's numbers, from ranx's kernels, without the traps between them."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from itertools import permutations, product
from math import log2
from pathlib import Path

import numpy as np
import pytest

from jrv3_eval.errors import DataError, UsageError
from jrv3_eval.metrics import (
    DEFAULT_METRICS,
    Evaluation,
    Qrels,
    Run,
    evaluate,
    evaluate_run,
    oracle_scores,
    parse_metric,
    rank_by_rule,
    rank_lists_by_rule,
    warm_up_in_background,
)
from jrv3_eval.metrics import align as align_module
from jrv3_eval.trec import read_qrels, read_run
from trec_eval import Judgements, Scores, assert_equals_pytrec_eval


def score(qrels: Judgements, run: Scores, metrics: tuple[str, ...] = DEFAULT_METRICS) -> Evaluation:
    return evaluate(Qrels.from_dict(qrels), Run.from_dict(run), metrics)


# The numbers themselves ------------------------------------------------------------------


def test_a_query_by_hand() -> None:
    qrels = {"q": {"good": 3, "fair": 1, "bad": 0, "missed": 2}}
    run = {"q": {"bad": 9.0, "good": 8.0, "unseen": 7.0, "fair": 6.0}}
    evaluation = score(qrels, run)
    gained = 3 / log2(3) + 1 / log2(5)
    ideal = 3 / log2(2) + 2 / log2(3) + 1 / log2(4)
    assert evaluation.means == pytest.approx(
        {
            "ndcg@10": gained / ideal,
            "recall@10": 2 / 3,
            "recall@100": 2 / 3,
            "mrr@10": 1 / 2,
            "map@100": (1 / 2 + 2 / 4) / 3,
            "judged@10": 3 / 4,
        }
    )
    assert next(iter(evaluation.means)) == "ndcg@10"


def test_any_depth_of_any_family() -> None:
    qrels = {"q": {"a": 1, "b": 1}}
    run = {"q": {"x": 3.0, "a": 2.0, "b": 1.0}}
    names = ("precision@2", "success@1", "success@2", "mrr@1", "judged@1", "judged@3", "ndcg@1")
    assert score(qrels, run, names).means == pytest.approx(
        dict(zip(names, (0.5, 0.0, 1.0, 0.0, 0.0, 2 / 3, 0.0), strict=True))
    )


@pytest.mark.parametrize("name", ["ndgc@10", "ndcg", "ndcg@0", "ndcg@x", "NDCG@10", "ndcg@10 "])
def test_unknown_metric(name: str) -> None:
    with pytest.raises(UsageError, match="Unknown metric"):
        parse_metric(name)


def test_unknown_metric_says_what_was_meant() -> None:
    with pytest.raises(UsageError, match="did you mean 'ndcg@10'"):
        parse_metric("ndgc@10")


def test_a_judgement_below_zero_gains_nothing_but_is_judged() -> None:
    evaluation = score({"q": {"spam": -2, "good": 1}}, {"q": {"spam": 2.0, "good": 1.0}})
    assert evaluation.means["ndcg@10"] == pytest.approx(1 / log2(3))
    assert evaluation.means["judged@10"] == 1.0
    assert evaluation.means["mrr@10"] == 0.5


def test_a_query_without_positive_judgement_counts_and_scores_zero() -> None:
    evaluation = score({"q": {"a": 1}, "none": {"b": 0}}, {"q": {"a": 1.0}, "none": {"b": 1.0}})
    assert evaluation.means["ndcg@10"] == 0.5
    assert evaluation.judged_queries == 2
    assert evaluation.unanswered_queries == 0


def test_a_query_without_judgement_does_not_count() -> None:
    evaluation = score({"empty": {}, "q": {"a": 1}}, {"q": {"a": 1.0}, "other": {"a": 1.0}})
    assert evaluation.qids == ("q",)
    assert evaluation.means["ndcg@10"] == 1.0


def test_nothing_to_score_against() -> None:
    with pytest.raises(DataError, match="no judgement"):
        score({"q": {}}, {"q": {"a": 1.0}})


# 1,000 random pairs, seen by trec_eval ---------------------------------------------------

WORDS = ("007", "7", "1e5", "NA", "a", "A", "aa", "é", "中文", "\U0001f600", "ｚ", "'q'", '"')


def random_pair(rng: random.Random) -> tuple[Judgements, Scores]:
    """Up to six queries with ties, missing queries, graded and negative judgements."""
    qrels: Judgements = {}
    run: Scores = {}
    for i in range(rng.randint(1, 6)):
        pool = [f"{rng.choice(WORDS)}{n}" for n in range(rng.choice((3, 12, 130)))]
        judged = rng.sample(pool, rng.randint(1, len(pool)))
        qrels[f"q{i}"] = {d: rng.choice((-2, -1, 0, 0, 0, 1, 1, 2, 3)) for d in judged}
        # One or two distinct scores tie everything; 0.1 + 1e-9 ties in float32 only.
        levels = [0.0, -0.0, 0.1, 0.1 + 1e-9, -1.5, *(rng.gauss(0, 9) for _ in range(60))]
        levels = rng.sample(levels, rng.choice((1, 2, 5, 60)))
        listed = rng.sample(pool, rng.randint(0, len(pool)))
        if rng.random() < 0.85:
            run[f"q{i}"] = {d: rng.choice(levels) for d in listed}
    run["not judged"] = {"7": 1.0}
    return qrels, run


def test_equals_pytrec_eval_on_a_thousand_random_pairs() -> None:
    rng = random.Random(20_240)
    for _ in range(1_000):
        qrels, run = random_pair(rng)
        evaluation = score(qrels, run)
        assert_equals_pytrec_eval(evaluation, qrels, run)
        ties = evaluation.ties
        assert 0 <= ties.lowest <= evaluation.means["ndcg@10"] <= ties.highest <= 1 + 1e-12
        assert evaluation.unanswered_queries == sum(not run.get(qid) for qid in qrels)
        for i, (qid, judged) in enumerate(qrels.items()):
            docs = run.get(qid, {})
            values = list(docs.values())
            top = [list(docs)[j] for j in rank_by_rule(list(docs), values)][:10]
            share = sum(d in judged for d in top) / len(top) if top else 0.0
            assert evaluation.per_query["judged@10"][i] == pytest.approx(share)


def test_chunks_do_not_change_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(1)
    pairs = [random_pair(rng) for _ in range(30)]
    qrels = {f"{i}-{qid}": docs for i, (q, _) in enumerate(pairs) for qid, docs in q.items()}
    run = {f"{i}-{qid}": docs for i, (_, r) in enumerate(pairs) for qid, docs in r.items()}
    whole = score(qrels, run)
    monkeypatch.setattr(align_module, "MAX_CELLS", 200)
    pieces = score(qrels, run)
    for metric in DEFAULT_METRICS:
        np.testing.assert_array_equal(pieces.per_query[metric], whole.per_query[metric])
    assert pieces.ties.queries == whole.ties.queries
    assert pieces.ties.lowest == pytest.approx(whole.ties.lowest, abs=1e-12)
    assert pieces.ties.highest == pytest.approx(whole.ties.highest, abs=1e-12)


# The traps, by their numbers in the list -------------------------------------------------


def test_trap_1_ties_do_not_follow_the_candidates_order() -> None:
    qrels = {"q": {"a": 1}}
    tied_first, tied_last = {"q": {"a": 1.0, "b": 1.0}}, {"q": {"b": 1.0, "a": 1.0}}
    # By the rule "b" comes before "a", wherever the first stage had put them.
    assert score(qrels, tied_first).means["mrr@10"] == 0.5
    assert score(qrels, tied_last).means["mrr@10"] == 0.5


def test_trap_1_saturated_scores_are_reported() -> None:
    docs = [f"d{i:02}" for i in range(20)]
    evaluation = score({"q": {"d00": 1}}, {"q": dict.fromkeys(docs, 0.999)})
    assert evaluation.ties.queries == 1.0
    assert (evaluation.ties.lowest, evaluation.ties.highest) == (0.0, 1.0)
    assert evaluation.means["ndcg@10"] == 0.0  # d00 has the smallest id


def test_trap_1_no_ties_leave_no_room() -> None:
    docs = {f"d{i:02}": float(i) for i in range(20)}
    evaluation = score({"q": {"d15": 1}}, {"q": docs})
    assert evaluation.ties.queries == 0.0
    assert evaluation.ties.lowest == evaluation.ties.highest == evaluation.means["ndcg@10"]


def test_trap_1_the_share_counts_ties_across_rank_10_only() -> None:
    above = {f"d{i:02}": float(i // 2) for i in range(20)}  # equal pairs: 9-10 and 11-12
    across = {f"d{i:02}": float((i + 1) // 2) for i in range(20)}  # ... 10-11
    short = dict.fromkeys("abcdefghij", 1.0)  # ten documents have no rank 11
    qids = ("above", "across", "short", "missing")
    run = {"above": above, "across": across, "short": short}
    evaluation = score({qid: {"x": 1} for qid in qids}, run)
    assert evaluation.ties.queries == 0.25


def test_trap_6_documents_are_matched_by_name_not_by_place() -> None:
    qrels = {"q1": {"a": 1, "b": 2}, "q2": {"c": 1}}
    run = {"q2": {"z": 1.0, "c": 2.0}, "q1": {"y": 1.0, "a": 2.0, "b": 3.0}}
    evaluation = score(qrels, run)
    assert evaluation.qids == ("q1", "q2")
    assert evaluation.means["ndcg@10"] == 1.0


def test_trap_6_ids_with_spaces_are_ids() -> None:
    evaluation = score({"q 1": {"a b": 1, "a": 0}}, {"q 1": {"a b": 2.0, "a": 1.0}})
    assert evaluation.means["ndcg@10"] == 1.0


def test_trap_7_a_missing_query_scores_zero_and_is_counted() -> None:
    evaluation = score({"q1": {"a": 1}, "q2": {"b": 1}}, {"q1": {"a": 1.0}})
    assert evaluation.means["ndcg@10"] == 0.5
    assert (evaluation.judged_queries, evaluation.unanswered_queries) == (2, 1)


def test_trap_7_a_query_without_candidates_is_unanswered() -> None:
    evaluation = score({"q1": {"a": 1}, "q2": {"b": 1}}, {"q1": {"a": 1.0}, "q2": {}})
    assert evaluation.per_query["judged@10"].tolist() == [1.0, 0.0]
    assert (evaluation.judged_queries, evaluation.unanswered_queries) == (2, 1)


def test_trap_7_a_run_that_answers_nothing() -> None:
    evaluation = score({"q": {"a": 1}}, {})
    assert set(evaluation.means.values()) == {0.0}
    assert evaluation.unanswered_queries == 1


def test_trap_9_the_ideal_is_over_all_judgements() -> None:
    evaluation = score({"q": {"a": 1, "lost": 1, "lost too": 1}}, {"q": {"a": 1.0}})
    assert evaluation.means["ndcg@10"] == pytest.approx(0.469, abs=5e-4)


# The tie rule and its bounds -------------------------------------------------------------


def test_rule_is_score_then_id_both_descending() -> None:
    docids = ["a", "B", "b", "é", "low"]
    order = rank_by_rule(docids, [1, 1, 1, 1, 0.5])
    assert [docids[i] for i in order] == ["é", "b", "a", "B", "low"]


def test_rule_compares_float32() -> None:
    assert rank_by_rule(["a", "b"], [1 + 1e-9, 1.0]).tolist() == [1, 0]
    assert rank_by_rule(["a", "b"], [0.0, -0.0]).tolist() == [1, 0]


def test_rule_of_extreme_and_negative_scores() -> None:
    scores = np.array([-1e-45, 1e-45, 0, -3e38, 3e38, -1, 1], dtype=np.float32)
    order = rank_by_rule(list("abcdefg"), scores)
    assert scores[order].tolist() == sorted(scores.tolist(), reverse=True)


def test_rule_on_no_document() -> None:
    assert rank_by_rule([], []).tolist() == []


def test_many_lists_are_ranked_as_each_alone() -> None:
    scores = np.array([1, 2, 2, 5, 5, 5, 7], dtype=np.float32)
    docids = list("abcabca")
    order = rank_lists_by_rule(docids, scores, np.array([0, 3, 3, 6, 7]))
    assert order.tolist() == [2, 1, 0, 5, 4, 3, 6]


def ndcg10(gains: list[int], judged: list[int]) -> float:
    def dcg(values: list[int]) -> float:
        return sum(max(v, 0) / log2(i + 2) for i, v in enumerate(values[:10]))

    ideal = dcg(sorted(judged, reverse=True))
    return dcg(gains) / ideal if ideal else 0.0


def test_tie_bounds_are_those_of_all_orders() -> None:
    rng = random.Random(3)
    for _ in range(60):
        sizes = rng.choice([(1, 3, 2), (8, 4, 1), (2, 2, 5, 4), (4, 1), (9, 3)])
        sizes = sizes if sizes[0] < 5 else (*[1] * sizes[0], *sizes[1:])
        groups = [[f"{g}-{i}" for i in range(size)] for g, size in enumerate(sizes)]
        run = {d: float(-g) for g, group in enumerate(groups) for d in group}
        judged = {d: rng.choice((-1, 0, 1, 2)) for d in run if rng.random() < 0.7} | {"lost": 2}
        values = [
            ndcg10([judged.get(d, 0) for group in orders for d in group], list(judged.values()))
            for orders in product(*map(permutations, groups))
        ]
        ties = score({"q": judged}, {"q": run}).ties
        assert (ties.lowest, ties.highest) == pytest.approx((min(values), max(values)))


# The oracle ------------------------------------------------------------------------------


def test_oracle_ranks_by_relevance_then_given_order() -> None:
    scores = oracle_scores({"b": 1, "d": 2, "e": -1}, ["a", "b", "c", "d", "e"])
    assert scores.dtype == np.float32
    assert scores.tolist() == [3.0, 4.0, 2.0, 5.0, 1.0]


def test_no_reranker_beats_the_oracle() -> None:
    rng = random.Random(5)
    for _ in range(50):
        qrels, run = Qrels.from_dict((pair := random_pair(rng))[0]), Run.from_dict(pair[1])
        given = {qid: list(docs) for qid, docs in pair[1].items()}
        ideal = [(docs, oracle_scores(qrels.of(qid), docs)) for qid, docs in given.items()]
        ceiling = evaluate(qrels, Run.from_ranked(list(given), ideal))
        assert ceiling.means["ndcg@10"] >= evaluate(qrels, run).ties.highest - 1e-12
        assert ceiling.ties.queries == 0.0


# Columns refuse what cannot be ranked ----------------------------------------------------


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e39])
def test_a_score_that_is_not_finite(bad: float) -> None:
    with pytest.raises(DataError, match=r"not a finite[\s\S]*query 'q2', document 'b'"):
        Run.from_dict({"q1": {"a": 1.0}, "q2": {"a": 1.0, "b": bad}})


def test_a_repeated_document() -> None:
    with pytest.raises(DataError, match=r"appears twice[\s\S]*query 'q2', document 'b'"):
        Run.from_ranked(["q1", "q2"], [(["b"], [1.0]), (["b", "a", "b"], [3.0, 2.0, 1.0])])


def test_a_repeated_query() -> None:
    with pytest.raises(DataError, match="query 'q'"):
        Run.from_ranked(["q", "q"], [(["a"], [1.0]), (["b"], [1.0])])


def test_scores_of_another_length() -> None:
    with pytest.raises(DataError, match="2 documents, but scores of shape"):
        Run.from_ranked(["q"], [(["a", "b"], [1.0])])


def test_an_id_that_is_not_a_string() -> None:
    with pytest.raises(DataError, match="not a string: 7"):
        Qrels.from_dict({"q": {7: 1}})  # type: ignore[dict-item]


def test_a_relevance_that_is_not_whole() -> None:
    with pytest.raises(DataError, match=r"not a whole number: 0\.5"):
        Qrels.from_dict({"q": {"a": 0.5}})  # type: ignore[dict-item]


def test_from_ranked_equals_from_dict() -> None:
    ranked = Run.from_ranked(["q1", "q2"], [(["a", "b"], np.array([2.0, 1.0])), ([], [])])
    flat = Run.from_dict({"q1": {"a": 2.0, "b": 1.0}, "q2": {}})
    assert ranked.qids == flat.qids
    assert ranked.offsets.tolist() == flat.offsets.tolist() == [0, 2, 2]
    assert ranked.docids.tolist() == flat.docids.tolist()
    assert ranked.scores.tolist() == flat.scores.tolist()


# One call, and its cost ------------------------------------------------------------------


def test_evaluate_run_takes_mappings_or_files(tmp_path: Path) -> None:
    (tmp_path / "qrels.txt").write_text("q1 0 a 1\nq2 0 b 1\n")
    (tmp_path / "run.txt").write_text("q1 Q0 a 1 2.5 x\n")
    from_files = evaluate_run(tmp_path / "qrels.txt", str(tmp_path / "run.txt"))
    assert from_files == evaluate_run({"q1": {"a": 1}, "q2": {"b": 1}}, {"q1": {"a": 2.5}})
    assert list(from_files) == list(DEFAULT_METRICS)
    assert from_files["ndcg@10"] == 0.5


@pytest.mark.parametrize("run", [{}, {"q1": {}}, {"Q1": {"a": 1.0}}])
def test_evaluate_run_refuses_a_run_of_other_queries(run: Scores) -> None:
    with pytest.raises(DataError, match=r"no document for any judged query[\s\S]*judged: 'q1'"):
        evaluate_run({"q1": {"a": 1}}, run)


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = (
        "import sys, jrv3_eval.metrics, jrv3_eval.trec;"
        "print({'ranx', 'numba', 'pandas', 'pyarrow', 'scipy', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_warm_up_runs_beside_an_evaluation() -> None:
    thread = warm_up_in_background()
    assert thread.daemon
    for _ in range(20):
        assert score({"q": {"a": 1}}, {"q": {"a": 1.0}}).means["ndcg@10"] == 1.0
    thread.join(timeout=120)
    assert not thread.is_alive()


def test_numba_keeps_its_threads() -> None:
    import numba

    before = numba.get_num_threads()
    score({"q": {"a": 1}}, {"q": {"a": 1.0}})  # below ten queries ranx asks for one thread
    assert numba.get_num_threads() == before


# Real runs -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "ndcg"),
    [("runs/BM25.trec.gz", 0.5058), ("reranked/rankvicuna-7b.trec.gz", 0.6682)],
)
def test_trec_dl19_has_its_published_values(file: str, ndcg: float) -> None:
    if not (data := os.environ.get("JRV3_EVAL_DATA")):
        pytest.skip("JRV3_EVAL_DATA names no folder with real data")
    folder = Path(data) / "trec-dl19-passage-top100"
    qrels, run = read_qrels(folder / "qrels" / "test.tsv"), read_run(folder / file)
    evaluation = evaluate(qrels, run)
    assert round(evaluation.means["ndcg@10"], 4) == ndcg
    assert (evaluation.judged_queries, evaluation.unanswered_queries) == (43, 0)
    as_dicts = {qid: qrels.of(qid) for qid in qrels.qids}
    lists = {
        qid: dict(
            zip(
                run.docids[run.offsets[i] : run.offsets[i + 1]],
                run.scores[run.offsets[i] : run.offsets[i + 1]].tolist(),
                strict=True,
            )
        )
        for i, qid in enumerate(run.qids)
    }
    assert_equals_pytrec_eval(evaluation, as_dicts, lists)


def test_one_metric_alone() -> None:
    """ranx itself fails with a single metric that has a depth."""
    qrels = Qrels.from_dict({"q": {"a": 1, "b": 2}})
    run = Run.from_dict({"q": {"a": 2.0, "b": 1.0}})
    alone = evaluate(qrels, run, ["ndcg@10"])
    assert alone.means == {"ndcg@10": evaluate(qrels, run).means["ndcg@10"]}
    assert evaluate(qrels, run, ["success@1"]).means == {"success@1": 1.0}
