"""The judgements that a run is scored by."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..candidates import CandidateSet
from ..collection import Collection
from ..progress import document_bar
from .answers import AnswerMatcher, normalized
from .passages import with_plain_signs

BATCH = 4096


def judgements_for(
    collection: Collection, candidates: CandidateSet
) -> Mapping[str, Mapping[str, int]]:
    """Relevance by document id, by query id, for the candidates' queries.

    The collection's own judgements; or, where it has answers instead, 1 for every candidate
    that holds one and 0 for the others. Then a query without candidates has an empty mapping,
    and counts all the same. Only the candidates' texts are read, a few thousand at a time.
    """
    if not collection.answers:
        return {qid: collection.qrels[qid] for qid in candidates.qids}
    matchers = [AnswerMatcher(collection.answers[qid]) for qid in candidates.qids]
    docids = candidates.docids.to_pylist()
    query_of = np.repeat(np.arange(len(candidates)), np.diff(candidates.offsets))
    row_of = collection.rows(candidates.docids)
    order = np.argsort(row_of, kind="stable")  # a passage is read once for all its queries
    found: dict[str, dict[str, int]] = {qid: {} for qid in candidates.qids}
    with document_bar("match answers", len(order)) as bar:
        for start in range(0, len(order), BATCH):
            places = order[start : start + BATCH]
            rows, inverse = np.unique(row_of[places], return_inverse=True)
            passages = [normalized(with_plain_signs(text)) for text in collection.texts(rows)]
            for place, number in zip(places.tolist(), inverse.tolist(), strict=True):
                query = int(query_of[place])
                hit = matchers[query].in_normalized(passages[number])
                found[candidates.qids[query]][docids[place]] = int(hit)
            bar.advance(len(places))
    return found
