"""Judgements + run -> values for each query and their means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jrv3_eval.errors import DataError

from .align import Chunk, Judged, chunks
from .backend import score_arrays
from .columns import Qrels, Run
from .names import DEFAULT_METRICS, JUDGED, Metric, parse_metrics
from .ties import CUT, TieReport, ndcg_bounds, tied_across_cut

_TIE_METRIC = Metric("ndcg", CUT)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The metrics of one run. Every array is aligned with `qids`.

    qids: every query with a judgement, in the order of the qrels; all of them count.
    per_query: metric -> float64 (judged queries,). means: metric -> mean over them.
    unanswered_queries: those for which the run has no document; they score 0.
    """

    qids: tuple[str, ...]
    per_query: dict[str, NDArray[np.float64]]
    means: dict[str, float]
    judged_queries: int
    unanswered_queries: int
    ties: TieReport


def evaluate(qrels: Qrels, run: Run, metrics: Sequence[str] = DEFAULT_METRICS) -> Evaluation:
    """Score a run as trec_eval would, over all judged queries.

    A query counts if it has any judgement, also if none is positive. A judgement below 0
    is a gain of 0. Queries of the run without judgements are ignored.
    """
    wanted = parse_metrics(metrics)
    judged = Judged.of(qrels)
    if not len(judged.queries):
        raise DataError("There is no judgement to score against.")
    by_ranx = [metric for metric in wanted.values() if metric.family != JUDGED]
    by_ranx = list(dict.fromkeys([*by_ranx, _TIE_METRIC]))
    depth = max(metric.depth for metric in by_ranx)

    values: dict[Metric, list[NDArray[np.float64]]] = {
        metric: [] for metric in [*by_ranx, *wanted.values()]
    }
    tied, lowest, highest, unanswered = 0, 0.0, 0.0, 0
    for chunk in chunks(judged, run, depth):
        scored = score_arrays(chunk.ranx_qrels, chunk.ranx_run, by_ranx)
        for metric, parts in values.items():
            parts.append(scored[metric] if metric in scored else _judged_share(chunk, metric))
        worst, best = ndcg_bounds(chunk, scored[_TIE_METRIC])
        lowest, highest = lowest + float(worst.sum()), highest + float(best.sum())
        tied += int(tied_across_cut(chunk).sum())
        unanswered += int((chunk.lengths == 0).sum())

    count = len(judged.queries)
    columns = {metric: np.concatenate(parts) for metric, parts in values.items()}
    mean = float(columns[_TIE_METRIC].mean())
    return Evaluation(
        qids=tuple(qrels.qids[i] for i in judged.queries),
        per_query={name: columns[metric] for name, metric in wanted.items()},
        means={name: float(columns[metric].mean()) for name, metric in wanted.items()},
        judged_queries=count,
        unanswered_queries=unanswered,
        ties=TieReport(tied / count, min(lowest / count, mean), max(highest / count, mean)),
    )


def evaluate_run(
    qrels: str | Path | Mapping[str, Mapping[str, int]],
    run: str | Path | Mapping[str, Mapping[str, float]],
) -> dict[str, float]:
    """The means of the default metrics, as fractions.

    qrels: a file (TREC, or BEIR's TSV with its header) or `{qid: {docid: relevance}}`.
    run: a TREC run file or `{qid: {docid: score}}`. Files may end in .gz.
    Raises DataError where the run answers no judged query: the ids are then of two sets.
    """
    from jrv3_eval.trec import read_qrels, read_run

    judgements = Qrels.from_dict(qrels) if isinstance(qrels, Mapping) else read_qrels(qrels)
    scores = Run.from_dict(run) if isinstance(run, Mapping) else read_run(run)
    evaluation = evaluate(judgements, scores)
    if evaluation.unanswered_queries == evaluation.judged_queries:
        raise DataError(
            "The run has no document for any judged query.",
            where=f"judged: {_first(evaluation.qids)}; in the run: {_first(scores.qids)}",
            next_step="check that both use the same query ids",
        )
    return evaluation.means


def _first(qids: Sequence[str]) -> str:
    return ", ".join(map(repr, qids[:3])) + (", ..." if len(qids) > 3 else "") or "no query"


def _judged_share(chunk: Chunk, metric: Metric) -> NDArray[np.float64]:
    """Share of the top documents that have any judgement, float64 (queries,); 0 if empty."""
    seen: NDArray[np.int64] = chunk.top(chunk.judged, metric.depth, False).sum(axis=1)
    return seen / np.maximum(np.minimum(chunk.lengths, metric.depth), 1)
