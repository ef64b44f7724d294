"""The queries that moved most, with their documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..stored import Place, Stored, cached_candidates, cached_collection

CLIPPED = 300  # characters of a text
_GAP = " ..."
Lists = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class ShownDocument:
    """A document at its place. before, after: ranks from 1, None where it is not in the list.

    relevance: None where it was not judged. text: clipped; None where the cache has it not.
    """

    docid: str
    before: int | None
    after: int | None
    relevance: int | None
    text: str | None


@dataclass(frozen=True)
class MovedQuery:
    """A query whose value changed. before, after: the metric, fractions, by the orders named.

    lists_known: whether both orders are at hand. judgements_known: whether the dataset is.
    """

    suite: str
    task: str
    metric: str
    qid: str
    text: str | None
    before_name: str
    after_name: str
    before: float
    after: float
    top_before: tuple[ShownDocument, ...]
    top_after: tuple[ShownDocument, ...]
    lists_known: bool = True
    judgements_known: bool = True


def largest(change: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Positions of the largest changes, losses and gains alike; none that did not change."""
    order = np.argsort(-np.abs(change), kind="stable")[:count]
    return order[np.abs(change[order]) > 0]


def moved_between(
    place: Place,
    first: Stored,
    second: Stored,
    names: tuple[str, str],
    count: int,
    top: int,
    cache: Path,
) -> list[MovedQuery]:
    """The queries on which two results differ most."""
    metric = first.result.primary_metric
    before, after = first.values.of(metric), second.values.of(metric)
    chosen = [first.values.qids[i] for i in largest(after - before, count)]
    lists = [
        {qid: [docid for docid, _ in ranked] for qid, ranked in stored.lists(chosen).items()}
        for stored in (first, second)
    ]
    values = (_by_qid(first, before), _by_qid(second, after))
    return _shown(place, first, chosen, (lists[0], lists[1]), values, names, top, cache)


def moved_by_reranking(
    place: Place,
    stored: Stored,
    name: str,
    count: int,
    top: int,
    cache: Path,
    unranked: Stored | None = None,
) -> list[MovedQuery]:
    """The queries that a reranker moved most from the first stage's order.

    unranked: a result of that order itself. Without it the first stage's list stands only
    where the cache still has the candidates.
    """
    metric = stored.result.primary_metric
    before = stored.values.columns[f"first_stage_{metric}"]
    after = stored.values.of(metric)
    chosen = [stored.values.qids[i] for i in largest(after - before, count)]
    ranked = {qid: [docid for docid, _ in ranked] for qid, ranked in stored.lists(chosen).items()}
    given: dict[str, list[str]] = {qid: [] for qid in chosen}
    if unranked is not None:
        given = {q: [docid for docid, _ in lines] for q, lines in unranked.lists(chosen).items()}
    elif candidates := cached_candidates(stored.result, stored.values.qids, cache):
        position = {qid: i for i, qid in enumerate(candidates.qids)}
        given = {qid: candidates.of(position[qid])[0] for qid in chosen}
    names = (f"first stage {stored.result.candidates.first_stage}", name)
    values = (_by_qid(stored, before), _by_qid(stored, after))
    return _shown(place, stored, chosen, (given, ranked), values, names, top, cache)


def _by_qid(stored: Stored, values: NDArray[np.float64]) -> dict[str, float]:
    return dict(zip(stored.values.qids, values.tolist(), strict=True))


def _shown(
    place: Place,
    stored: Stored,
    qids: Sequence[str],
    lists: tuple[Lists, Lists],
    values: tuple[Mapping[str, float], Mapping[str, float]],
    names: tuple[str, str],
    top: int,
    cache: Path,
) -> list[MovedQuery]:
    collection = cached_collection(stored.result.dataset.fingerprint, cache)
    shown = []
    for qid in qids:
        before, after = lists[0][qid], lists[1][qid]
        wanted = list(dict.fromkeys([*before[:top], *after[:top]]))
        texts: dict[str, str] = {}
        judged: Mapping[str, int] = {}
        if collection is not None:
            texts = dict(zip(wanted, collection.texts(collection.rows(wanted)), strict=True))
            judged = collection.qrels.get(qid, {})
        ranks = [{docid: i for i, docid in enumerate(order, start=1)} for order in (before, after)]

        def document(
            docid: str,
            ranks: Sequence[Mapping[str, int]] = ranks,
            judged: Mapping[str, int] = judged,
            texts: Mapping[str, str] = texts,
        ) -> ShownDocument:
            text = texts.get(docid)
            return ShownDocument(
                docid=docid,
                before=ranks[0].get(docid),
                after=ranks[1].get(docid),
                relevance=judged.get(docid),
                text=None if text is None else clipped(text),
            )

        query = None if collection is None else collection.queries.get(qid)
        shown.append(
            MovedQuery(
                suite=place[0],
                task=place[1],
                metric=stored.result.primary_metric,
                qid=qid,
                text=None if query is None else clipped(query),
                before_name=names[0],
                after_name=names[1],
                before=values[0][qid],
                after=values[1][qid],
                top_before=tuple(document(docid) for docid in before[:top]),
                top_after=tuple(document(docid) for docid in after[:top]),
                lists_known=bool(before),
                judgements_known=collection is not None,
            )
        )
    return shown


def clipped(text: str) -> str:
    """A text of at most 300 characters, its white space made plain."""
    read = 4 * CLIPPED
    plain = " ".join(text[:read].split())
    whole = len(plain) <= CLIPPED and len(text) <= read
    return plain if whole else plain[: CLIPPED - len(_GAP)] + _GAP
