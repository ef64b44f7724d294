"""trec_eval itself, through pytrec_eval: what the metrics are held against."""

from __future__ import annotations

import numpy as np
import pytrec_eval

from jrv3_eval.metrics import Evaluation

Judgements = dict[str, dict[str, int]]
Scores = dict[str, dict[str, float]]

PYTREC_NAMES = {
    "ndcg@10": "ndcg_cut_10",
    "recall@10": "recall_10",
    "recall@100": "recall_100",
    "map@100": "map_cut_100",
}


def by_pytrec_eval(qrels: Judgements, run: Scores) -> dict[str, list[float]]:
    """trec_eval's value for every judged query; it leaves out those that are missing.

    pytrec_eval 0.5.11 crashes (a segmentation fault) on a query whose judgements are all
    below -1 if another query came before it. Such a query is kept from it, and must score 0.
    """
    names = {"ndcg_cut.10", "recall.10,100", "map_cut.100", "recip_rank"}
    found = pytrec_eval.RelevanceEvaluator(
        {qid: docs for qid, docs in qrels.items() if max(docs.values()) >= 0}, names
    ).evaluate({qid: docs for qid, docs in run.items() if docs})
    values: dict[str, list[float]] = {
        ours: [found[qid][theirs] if qid in found else 0.0 for qid in qrels]
        for ours, theirs in PYTREC_NAMES.items()
    }
    first = [found[qid]["recip_rank"] if qid in found else 0.0 for qid in qrels]
    values["mrr@10"] = [value if value > 1 / 10.5 else 0.0 for value in first]
    return values


def assert_equals_pytrec_eval(evaluation: Evaluation, qrels: Judgements, run: Scores) -> None:
    for metric, expected in by_pytrec_eval(qrels, run).items():
        actual = evaluation.per_query[metric]
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-9, err_msg=metric)
