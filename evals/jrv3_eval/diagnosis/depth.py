"""Quality by depth, without a model call: what a reranker would do with fewer candidates."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..candidates import CandidateSet
from ..collection import Collection
from ..metrics import Qrels, Run, evaluate
from ..relevance import judgements_for
from ..stored import Place, Stored, System, cached_candidates, cached_collection

DEPTHS = (10, 20, 50, 100)


@dataclass(frozen=True)
class DepthPoint:
    """A mean of the primary metric at a depth. exact: a run of this depth, or follows from one."""

    place: Place
    system: str
    depth: int
    value: float


def depth_curve(system: System, place: Place, cache: Path) -> list[DepthPoint]:
    """Values at 10, 20, 50 and 100 candidates of a pointwise system, from its one run.

    A pointwise score does not depend on the other candidates, so the run over fewer of them is
    exactly this one, restricted. Empty for listwise models, and where the cache has no longer
    the candidates or the dataset.
    """
    stored = system.tasks[place]
    reranker = stored.result.reranker
    if reranker.listwise or reranker.family == "run":
        return []
    candidates = cached_candidates(stored.result, stored.values.qids, cache)
    collection = cached_collection(stored.result.dataset.fingerprint, cache)
    if candidates is None or collection is None:
        return []
    full = stored.result.candidates.depth
    points = [
        DepthPoint(place, system.name, depth, _value(stored, candidates, collection, depth))
        for depth in sorted({*(d for d in DEPTHS if d < full), full})
    ]
    # The whole run must give the record's own number, else these are not its candidates.
    stated = stored.result.metrics[stored.result.primary_metric]
    return points if abs(points[-1].value - stated) < 1e-9 else []


def _value(stored: Stored, candidates: CandidateSet, collection: Collection, depth: int) -> float:
    cut = candidates.cut(min(depth, candidates.depth))
    ranked = stored.lists(cut.qids)
    lists = []
    for index, qid in enumerate(cut.qids):
        kept = set(cut.of(index)[0])
        pairs = [(docid, score) for docid, score in ranked[qid] if docid in kept]
        lists.append(([docid for docid, _ in pairs], [score for _, score in pairs]))
    by_match = bool(collection.answers)
    judged = judgements_for(collection, cut)
    qrels = Qrels.from_dict({q: judged[q] for q in stored.values.qids}, all_count=by_match)
    metric = stored.result.primary_metric
    return evaluate(qrels, Run.from_ranked(cut.qids, lists), (metric,)).means[metric]
