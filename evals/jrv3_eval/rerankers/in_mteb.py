"""Any reranker of this project as a cross-encoder of mteb, with one list a query id.

    import mteb
    from jrv3_eval.rerankers import open_reranker
    from jrv3_eval.rerankers.in_mteb import MtebCrossEncoder

    task = mteb.get_task("SciFact").convert_to_reranking("predictions", top_k=100)
    mteb.evaluate(MtebCrossEncoder(open_reranker("./ckpt")), task, cache=None)

mteb hands over flat pairs. They are grouped by query id, since two queries may have the same
text. Importing this module imports neither mteb nor torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from importlib import import_module
from itertools import zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, ScoreError, UsageError
from ..progress import Bar, document_bar
from .protocol import PlansAhead, RankingRequest, Reranker, RerankerInfo, WorksAhead

# What mteb's loaders yield: columns of a batch. `text` is what mteb wants a model to read: of a
# document title and text joined, of a query its text and its instruction.
Loader = Iterable[Mapping[str, Any]]

_EXPECTED = {"batch_size", "show_progress_bar"}  # mteb always sends the first


class MtebCrossEncoder:
    """A reranker for `mteb.evaluate`, on every task with candidates (`top_ranked`).

    A query's candidates are one request, in the order in which the task lists them. What
    `convert_to_reranking` reads is sorted by first-stage score. A reranking task of mteb may list
    its relevant documents first (its conversion of old ones did), which a listwise model sees.

    mteb's cache knows the model and its settings (by `mteb_model_meta`), but not the candidates:
    with others for the same task, pass `cache=None` or `overwrite_strategy="always"`.
    """

    def __init__(self, reranker: Reranker) -> None:
        self._reranker = reranker

    @property
    def mteb_model_meta(self) -> Any:
        """An mteb ModelMeta: the name as org/name, revision, settings, fingerprint.

        The revision is that of the hub or package, else the first digits of the weights'
        digest. Settings and fingerprint are `experiment_kwargs`: part of the key of mteb's cache.
        """
        # Not an import statement: mypy would then read all of mteb, in half a minute.
        meta = import_module("mteb.models.model_meta").ModelMeta
        info = self._reranker.info
        return meta.create_empty(
            overwrites={
                "name": info.name if "/" in info.name else f"local/{info.name}",
                "revision": info.revision or info.weights[:12],
                "model_type": ["cross-encoder"],
                "modalities": ["text"],
                "experiment_kwargs": {**info.settings, "fingerprint": info.fingerprint[:12]},
            }
        )

    def predict(
        self,
        inputs1: Loader,
        inputs2: Loader,
        *,
        task_metadata: Any,
        hf_split: str,
        hf_subset: str,
        prompt_type: Any = None,
        **encode_kwargs: Any,
    ) -> NDArray[np.float32]:
        """Scores of pairs, float32, aligned with them.

        inputs1, inputs2: batches of queries and of documents, pair by pair, with the columns
        `id` and `text`. All pairs are read before the first is scored, so no list is split.
        `batch_size` plays no part: the reranker's own settings say how it batches.

        Raises UsageError for loaders without these columns (without ids, queries of equal text
        cannot be told apart) and for other `encode_kwargs`, DataError where a document is
        listed twice for a query, ScoreError where the reranker breaks its contract.
        """
        where = f"task {task_metadata.name}, {hf_subset}/{hf_split}"
        _refuse_settings(encode_kwargs, where)
        lists = _group(_rows(inputs1, "queries", where), _rows(inputs2, "documents", where), where)
        requests = [entry.request(qid) for qid, entry in lists.items()]
        places = [entry.places for entry in lists.values()]
        scores = np.empty(sum(map(len, places)), dtype=np.float32)
        with self._bar(len(scores), encode_kwargs) as bar:
            for values, rows in zip(self._score(requests, bar, where), places, strict=True):
                scores[rows] = values
        return scores

    def _score(
        self, requests: Sequence[RankingRequest], bar: Bar, where: str
    ) -> Iterator[NDArray[np.float32]]:
        """Checked scores of each request, in order, over calls of whole requests."""
        info = self._reranker.info
        if isinstance(self._reranker, PlansAhead):
            self._reranker.prepare(requests)
        parts = list(_slices(requests, info.settings.get("batch_documents")))
        for index, part in enumerate(parts):
            if isinstance(self._reranker, WorksAhead):
                self._reranker.expect([r for near in parts[index : index + 2] for r in near])
            returned = self._reranker.score(part)
            yield from _checked(part, returned, info, where)
            bar.advance(sum(len(request.documents) for request in part))

    def _bar(self, documents: int, encode_kwargs: Mapping[str, Any]) -> Any:
        if not encode_kwargs.get("show_progress_bar", True):
            return nullcontext(Bar())
        return document_bar(self._reranker.info.name, documents)


@dataclass(slots=True)
class _List:
    """The candidates of one query id, and the places of their pairs among all pairs."""

    query: str
    documents: dict[str, str] = field(default_factory=dict)
    places: list[int] = field(default_factory=list)

    def request(self, qid: str) -> RankingRequest:
        return RankingRequest(qid, self.query, tuple(self.documents.values()))


def _refuse_settings(encode_kwargs: Mapping[str, Any], where: str) -> None:
    unused = sorted(set(encode_kwargs) - _EXPECTED)
    if unused:
        raise UsageError(
            f"encode_kwargs has {', '.join(map(repr, unused))}, which would have no effect.",
            where=where,
            next_step="give settings to the reranker: open_reranker(spec, {name: value})",
        )


def _rows(loader: Loader, kind: str, where: str) -> Iterator[tuple[str, str]]:
    """Id and text of every row of a loader."""
    for batch in loader:
        absent = [column for column in ("id", "text") if column not in batch]
        if absent:
            raise UsageError(
                f"mteb gave {kind} without {' and '.join(absent)} (columns: {', '.join(batch)}).",
                where=where,
                next_step="evaluate it on text retrieval or reranking tasks: they have both",
            )
        ids = batch["id"]
        ids = ids.tolist() if hasattr(ids, "tolist") else ids  # whole numbers come as a tensor
        yield from zip(map(str, ids), batch["text"], strict=True)


def _group(
    queries: Iterator[tuple[str, str]], documents: Iterator[tuple[str, str]], where: str
) -> dict[str, _List]:
    """Query id -> its list, ids in order of first appearance, documents in order of the pairs."""
    lists: dict[str, _List] = {}
    shared: dict[str, str] = {}  # a text that many queries list is kept once
    for place, (asked, listed) in enumerate(zip_longest(queries, documents)):
        if asked is None or listed is None:
            more = "documents" if asked is None else "queries"
            raise DataError(f"mteb gave more {more}: {place} pairs are complete.", where=where)
        (qid, query), (docid, text) = asked, listed
        entry = lists.setdefault(qid, _List(query))
        _refuse_conflict(entry, qid, query, docid, where)
        entry.documents[docid] = shared.setdefault(text, text)
        entry.places.append(place)
    return lists


def _refuse_conflict(entry: _List, qid: str, query: str, docid: str, where: str) -> None:
    if query != entry.query:
        raise DataError(
            f"Query id {qid!r} has two texts: {entry.query[:60]!r} and {query[:60]!r}.",
            where=where,
            next_step="give every query of the task an id of its own",
        )
    if docid in entry.documents:
        raise DataError(
            f"Document {docid!r} is listed twice for query {qid!r}.",
            where=where,
            next_step="remove the repeats from the task's top_ranked (or queries)",
        )


def _slices(requests: Sequence[RankingRequest], size: object) -> Iterator[list[RankingRequest]]:
    """Whole requests in order, at most `size` documents a slice, as the engine cuts them.

    One slice where the reranker has no such setting.
    """
    limit = size if isinstance(size, int) else sum(len(r.documents) for r in requests)
    part: list[RankingRequest] = []
    documents = 0
    for request in requests:
        count = len(request.documents)
        if part and documents + count > limit:
            yield part
            part, documents = [], 0
        part.append(request)
        documents += count
    if part:
        yield part


def _checked(
    requests: Sequence[RankingRequest],
    returned: Sequence[NDArray[np.float32]],
    info: RerankerInfo,
    where: str,
) -> Iterator[NDArray[np.float32]]:
    """Scores as float32. Raises ScoreError for a wrong count or shape, NaN or infinity."""
    where = f"reranker {info.name!r}, {where}"
    if len(returned) != len(requests):
        raise ScoreError(
            f"It returned {len(returned)} lists of scores for {len(requests)} queries.", where=where
        )
    for request, given in zip(requests, returned, strict=True):
        with np.errstate(over="ignore"):  # what overflows float32 is refused below
            values = np.asarray(given, dtype=np.float32)
        at = f"{where}, query {request.qid!r}"
        expected = (len(request.documents),)
        if values.shape != expected:
            raise ScoreError(
                f"It returned scores of shape {values.shape}, not {expected}.", where=at
            )
        wrong = np.flatnonzero(~np.isfinite(values))
        if len(wrong):
            raise ScoreError(
                f"It returned {values[wrong[0]]} for the document at position {wrong[0]}.", where=at
            )
        yield values
