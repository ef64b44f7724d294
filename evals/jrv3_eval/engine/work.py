"""Units of work and the batch plan: one query with its whole, ordered candidate list."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..candidates import CandidateSet
from ..collection import Collection
from ..errors import DataError
from ..hashing import hash_text
from ..rerankers.protocol import RankingRequest
from .order import FIRST_STAGE, Order


@dataclass(frozen=True, slots=True)
class Unit:
    """A request and the hash of all that a reranker sees of it (query text, ordered texts)."""

    request: RankingRequest
    content: bytes


@dataclass(frozen=True, slots=True)
class Batch:
    """Units that are scored in one call, committed together and retried together.

    identity: 32-byte digest of its units in order (and of the whole plan, for a reranker
    that groups documents over the plan), so that stored scores are exactly those which an
    undisturbed run of this plan would compute.
    """

    identity: bytes
    units: tuple[Unit, ...]

    @property
    def documents(self) -> int:
        """Documents to score in this batch."""
        return sum(len(unit.request.documents) for unit in self.units)


def work_list(
    collection: Collection, candidates: CandidateSet, order: Order = FIRST_STAGE
) -> list[Unit]:
    """One unit a query in the order of the set; texts of shared documents are shared.

    Documents stand as `order` shows them to the model, and the content hash follows, so that
    stored scores of one order never serve another.

    Raises DataError where the set names a document that the corpus has not.
    """
    distinct = candidates.docids.unique()
    rows = collection.rows(distinct)
    if (rows < 0).any():
        docid = distinct[int(np.argmin(rows))].as_py()
        raise DataError(
            f"Candidate document {docid!r} is not in the corpus.",
            next_step="use candidates made for this dataset version",
        )
    names = distinct.to_pylist()
    texts = dict(zip(names, collection.texts(rows), strict=True))
    hashes = dict(zip(names, collection.text_hashes(rows), strict=True))
    units = []
    for index, qid in enumerate(candidates.qids):
        docids, _ = candidates.of(index)
        query = collection.queries[qid]
        content = hashlib.sha256(hash_text(query))
        seen = [docids[position] for position in order.positions(qid, len(docids))]
        for docid in seen:
            content.update(hashes[docid])
        request = RankingRequest(qid, query, tuple(texts[docid] for docid in seen))
        units.append(Unit(request, content.digest()))
    return units


def plan_batches(
    units: Sequence[Unit], documents_per_batch: int, *, over_plan: bool
) -> list[Batch]:
    """Cut the work list into batches of whole queries, in order.

    A pure function of its arguments: what is already scored plays no part. Units with the
    same content are planned once, empty lists not at all.
    """
    distinct: dict[bytes, Unit] = {}
    for unit in units:
        if unit.request.documents:
            distinct.setdefault(unit.content, unit)
    scope = hashlib.sha256(b"".join(distinct)).digest() if over_plan else b""
    batches: list[Batch] = []
    current: list[Unit] = []
    size = 0
    for unit in distinct.values():
        count = len(unit.request.documents)
        if current and size + count > documents_per_batch:
            batches.append(_batch(current, scope))
            current, size = [], 0
        current.append(unit)
        size += count
    if current:
        batches.append(_batch(current, scope))
    return batches


def _batch(units: Sequence[Unit], scope: bytes) -> Batch:
    digest = hashlib.sha256(scope)
    for unit in units:
        digest.update(unit.content)
    return Batch(digest.digest(), tuple(units))
