"""Judgements and run, joined query by query and cut into chunks of integer arrays.

Here string ids end: a chunk says for each ranked document how relevant it is, and ranx
gets small integer codes in which only relevant documents can match anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .columns import Qrels, Run
from .order import rank_lists_by_rule

# Bounds the padded arrays of a chunk to some tens of megabytes, whatever the run's size.
MAX_CELLS = 1 << 19
NO_MATCH, PADDING = -1.0, -2.0


@dataclass(frozen=True, eq=False)
class Judged:
    """The queries that count, and their judgements made ready for joining.

    queries: int64 (judged queries,), positions in the qrels that count: with a judgement, or all.
    gains: int64 (judgements,), relevance with negative values raised to 0.
    codes: float64 (judgements,), position among the query's relevant documents, the most
    relevant first; NO_MATCH where the gain is 0.
    relevant: int64 (queries in the qrels,), relevant documents of each.
    """

    qrels: Qrels
    queries: NDArray[np.int64]
    gains: NDArray[np.int64]
    codes: NDArray[np.float64]
    relevant: NDArray[np.int64]

    @classmethod
    def of(cls, qrels: Qrels) -> Judged:
        gains = np.maximum(qrels.relevance, 0)
        lengths = qrels.lengths
        owner = np.repeat(np.arange(len(qrels)), lengths)
        order = np.lexsort((-gains, owner))
        codes = np.empty(len(gains))
        codes[order] = np.arange(len(gains)) - np.repeat(qrels.offsets[:-1], lengths)
        codes[gains == 0] = NO_MATCH
        relevant = np.bincount(owner[gains > 0], minlength=len(qrels))
        counted = np.arange(len(qrels)) if qrels.all_count else np.flatnonzero(lengths)
        return cls(qrels, counted, gains, codes, relevant)


@dataclass(frozen=True, eq=False)
class Chunk:
    """Some judged queries with their lists in ranked order.

    lengths: int64 (queries,), the candidates of each; offsets: int64 (queries + 1,).
    scores: float32 (rows,). gains: int64 (rows,), 0 if not judged. judged: bool (rows,).
    ranx_qrels: float64 (queries, most relevant documents, 2), code and gain, best first.
    ranx_run: float64 (queries, width, 2), code and a strictly descending surrogate score.
    """

    lengths: NDArray[np.int64]
    offsets: NDArray[np.int64]
    scores: NDArray[np.float32]
    gains: NDArray[np.int64]
    judged: NDArray[np.bool_]
    ranx_qrels: NDArray[np.float64]
    ranx_run: NDArray[np.float64]

    def top(self, values: NDArray[Any], width: int, fill: float) -> NDArray[Any]:
        """The first `width` values of each list, (queries, width), padded with `fill`."""
        return _pad(values, self.lengths, width, fill)


def chunks(judged: Judged, run: Run, depth: int) -> Iterator[Chunk]:
    """The judged queries in qrels order; ranx sees each list down to `depth`."""
    rows = np.array([run.index.get(judged.qrels.qids[i], -1) for i in judged.queries], np.int64)
    # An extra, empty list at the end stands for every query that the run does not answer.
    starts, lengths = run.offsets, np.append(run.lengths, 0)[rows]
    sizes = np.maximum(np.maximum(lengths, judged.relevant[judged.queries]), 1).tolist()
    begin = widest = 0
    for end, size in enumerate(sizes):
        widest = max(widest, size)
        if (end + 1 - begin) * widest > MAX_CELLS and end > begin:
            yield _chunk(judged, run, begin, end, starts[rows], lengths, depth)
            begin, widest = end, size
    if begin < len(sizes):
        yield _chunk(judged, run, begin, len(sizes), starts[rows], lengths, depth)


def _chunk(
    judged: Judged,
    run: Run,
    begin: int,
    end: int,
    run_starts: NDArray[np.int64],
    run_lengths: NDArray[np.int64],
    depth: int,
) -> Chunk:
    qrels, queries = judged.qrels, judged.queries[begin:end]
    starts, lengths = run_starts[begin:end], run_lengths[begin:end]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    flat = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
    docids, scores = run.docids[flat], run.scores[flat]

    order = rank_lists_by_rule(docids, scores, offsets)
    found = _find(qrels, queries, docids, offsets)[order]
    is_judged = found >= 0
    gains = np.where(is_judged, judged.gains[found], 0)
    codes = np.where(is_judged, judged.codes[found], NO_MATCH)

    width = max(1, min(depth, int(lengths.max())))
    ranx_run = np.empty((len(queries), width, 2))
    ranx_run[:, :, 0] = _pad(codes, lengths, width, NO_MATCH)
    ranx_run[:, :, 1] = np.arange(width, 0, -1)
    return Chunk(
        lengths,
        offsets,
        scores[order],
        gains,
        is_judged,
        _ranx_qrels(judged, queries),
        ranx_run,
    )


def _find(
    qrels: Qrels,
    queries: NDArray[np.int64],
    docids: NDArray[np.object_],
    offsets: NDArray[np.int64],
) -> NDArray[np.int64]:
    """For each candidate the row of its judgement, int64 (rows,); -1 if it has none."""
    candidates, bounds = docids.tolist(), offsets.tolist()
    begins, ends = qrels.offsets[queries].tolist(), qrels.offsets[queries + 1].tolist()
    found: list[int] = []
    for i, (begin, end) in enumerate(zip(begins, ends, strict=True)):
        row = dict(zip(qrels.docids[begin:end], range(begin, end), strict=True))
        found.extend(map(row.get, candidates[bounds[i] : bounds[i + 1]], repeat(-1)))
    return np.array(found, dtype=np.int64)


def _ranx_qrels(judged: Judged, queries: NDArray[np.int64]) -> NDArray[np.float64]:
    """Relevant documents only: ranx takes its ideal from the first rows, so best first."""
    width = max(1, int(judged.relevant[queries].max()))
    table = np.zeros((len(queries), width, 2))
    table[:, :, 0] = PADDING
    begins, lengths = judged.qrels.offsets[queries], judged.qrels.lengths[queries]
    owner = np.repeat(np.arange(len(queries)), lengths)
    flat = np.arange(len(owner)) + np.repeat(begins - (np.cumsum(lengths) - lengths), lengths)
    flat, owner = flat[judged.gains[flat] > 0], owner[judged.gains[flat] > 0]
    codes = judged.codes[flat].astype(np.int64)
    table[owner, codes, 0] = codes
    table[owner, codes, 1] = judged.gains[flat]
    return table


def _pad(values: NDArray[Any], lengths: NDArray[np.int64], width: int, fill: float) -> NDArray[Any]:
    padded = np.full((len(lengths), width), fill, dtype=values.dtype)
    rank = np.arange(len(values)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    padded[np.arange(width) < lengths[:, None]] = values[rank < width]
    return padded
