"""The local engine: pending batches through one reranker in this process."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import ScoreError
from ..progress import Bar
from ..rerankers.protocol import CountsTokens, LoadsWeights, PlansAhead, Reranker, Usage, WorksAhead
from .store import ScoreStore, StoredScores
from .work import Batch, Unit, plan_batches

N = TypeVar("N", int, float)


@dataclass(frozen=True)
class ScoredWork:
    """Scores aligned with the work list, and what they cost.

    latencies: seconds a scored query, its share of the batch by documents, as measured when
    it was scored (by this run or an earlier one). model_calls: batches scored by this run.
    cached: queries taken from the store. blocks: of each scored list that a listwise reranker
    counted. the other counts: totals of `Usage`, or None where unknown.
    """

    scores: list[NDArray[np.float32]]
    latencies: list[float]
    tokens: int | None
    truncated_documents: int | None
    truncated_queries: int | None
    blocks: list[int]
    calls: int | None
    malformed: int | None
    billed: float | None
    scored_documents: int
    model_calls: int
    cached: int

    @property
    def seconds(self) -> float:
        """Time that the model took for all of it."""
        return float(sum(self.latencies))


def score_work(
    units: Sequence[Unit],
    reranker: Reranker,
    store: ScoreStore,
    documents_per_batch: int,
    bar: Bar,
) -> ScoredWork:
    """Score what the store does not hold. The bar counts documents.

    Raises ScoreError where the reranker breaks its contract, StorageError where the store
    cannot be written or another run holds it.
    """
    over_plan = isinstance(reranker, PlansAhead)
    batches = plan_batches(units, documents_per_batch, over_plan=over_plan)
    results: dict[bytes, StoredScores] = {}
    pending = _take_stored(batches, store, results)
    if pending:
        store.acquire()
        pending = _take_stored(pending, store, results)
    cached = len(results)
    bar.reused(sum(b.documents for b in batches) - sum(b.documents for b in pending))
    if pending and isinstance(reranker, LoadsWeights):
        reranker.load()  # before the clock starts: loading is no part of what a document costs
    if pending and isinstance(reranker, PlansAhead):
        reranker.prepare([unit.request for batch in batches for unit in batch.units])
    for index, batch in enumerate(pending):
        if isinstance(reranker, WorksAhead):
            near = pending[index : index + 2]
            reranker.expect([unit.request for coming in near for unit in coming.units])
        scored = _score_batch(reranker, batch)
        store.write(batch, scored)
        results.update(zip((unit.content for unit in batch.units), scored, strict=True))
        bar.advance(batch.documents)
    return _collect(units, results, model_calls=len(pending), cached=cached)


def _take_stored(
    batches: Sequence[Batch], store: ScoreStore, results: dict[bytes, StoredScores]
) -> list[Batch]:
    """Add what the store holds to `results`; returns the batches that it does not hold."""
    pending = []
    for batch in batches:
        stored = store.read(batch)
        if stored is None:
            pending.append(batch)
        else:
            results.update(stored)
    return pending


def _score_batch(reranker: Reranker, batch: Batch) -> list[StoredScores]:
    requests = [unit.request for unit in batch.units]
    start = time.perf_counter()
    returned = reranker.score(requests)
    seconds = time.perf_counter() - start
    with np.errstate(over="ignore"):  # what overflows float32 is refused below
        scores = [np.asarray(values, dtype=np.float32) for values in returned]
    _check_scores(reranker, batch, scores)
    usage: Sequence[Usage | None] = [None] * len(requests)
    if isinstance(reranker, CountsTokens):
        usage = reranker.usage(requests)
    return [
        StoredScores(
            values,
            used,
            seconds * len(request.documents) / batch.documents,
        )
        for request, values, used in zip(requests, scores, usage, strict=True)
    ]


def _check_scores(reranker: Reranker, batch: Batch, scores: Sequence[NDArray[np.float32]]) -> None:
    name = f"reranker {reranker.info.name!r}"
    step = "this is a fault of the reranker's code or weights; nothing of this batch was stored"
    if len(scores) != len(batch.units):
        raise ScoreError(
            f"It returned {len(scores)} lists of scores for {len(batch.units)} queries.",
            where=name,
            next_step=step,
        )
    for unit, values in zip(batch.units, scores, strict=True):
        where = f"{name}, query {unit.request.qid!r}"
        expected = len(unit.request.documents)
        if np.shape(values) != (expected,):
            raise ScoreError(
                f"It returned scores of shape {np.shape(values)} for {expected} documents.",
                where=where,
                next_step=step,
            )
        wrong = np.flatnonzero(~np.isfinite(values))
        if len(wrong):
            raise ScoreError(
                f"It returned {values[wrong[0]]} for the document at position {wrong[0]}.",
                where=where,
                next_step=step,
            )


def _collect(
    units: Sequence[Unit], results: dict[bytes, StoredScores], *, model_calls: int, cached: int
) -> ScoredWork:
    scored = [results[unit.content] for unit in units if unit.request.documents]
    usages = [result.usage for result in scored]
    known = [usage for usage in usages if usage is not None]
    return ScoredWork(
        scores=[
            results[unit.content].scores if unit.request.documents else np.empty(0, np.float32)
            for unit in units
        ],
        latencies=[result.seconds for result in results.values()],
        tokens=_complete([usage.tokens for usage in known], len(usages)),
        truncated_documents=_complete([u.truncated_documents for u in known], len(usages)),
        truncated_queries=_complete([u.truncated_query for u in known], len(usages)),
        blocks=[usage.blocks for usage in known if usage.blocks is not None],
        calls=_total([usage.calls for usage in known]),
        malformed=_total([usage.malformed for usage in known]),
        billed=_total([usage.billed for usage in known]),
        scored_documents=sum(len(result.scores) for result in results.values()),
        model_calls=model_calls,
        cached=cached,
    )


def _total(counts: Sequence[N | None]) -> N | None:
    """The sum of the counts that are known, None where none is."""
    known = [count for count in counts if count is not None]
    return sum(known[1:], known[0]) if known else None


def _complete(counts: Sequence[int | None], expected: int) -> int | None:
    """The sum of the counts, None where any of them is not known."""
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == expected else None
