"""A reranker behind a service: calls, scores back in place, what they took."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...errors import ScoreError, UsageError
from .._pointwise import readable
from ..protocol import RankingRequest, RerankerInfo, Usage
from .calls import in_parallel
from .client import Answer, JsonClient, RefusedError
from .endpoint import Endpoint, key_from, parse_endpoint
from .pacing import Pace
from .schemas import (
    Service,
    check_model,
    read_billed,
    read_count,
    read_scores,
    read_tokens,
)
from .settings import ServiceSettings

_TOO_LARGE = (413, 422)
_PLAUSIBLE = 100  # times what is expected; a count beyond that would stop all calls for hours


@dataclass(frozen=True)
class _Call:
    """Some documents of one request. places: of each document of the call, where its score goes."""

    request: int
    documents: tuple[str, ...]
    places: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class _Scored:
    scores: NDArray[np.float32]
    tokens: int | None
    billed: float | None


class ServiceReranker:
    """Scores by asking a service. Nothing is asked before the first score.

    Listwise: one call a request, its documents as they stand. Otherwise each distinct document
    of a request is asked once, `batch_limit` a call.
    """

    def __init__(
        self,
        service: Service,
        endpoint: Endpoint,
        model: str | None,
        settings: ServiceSettings,
        info: RerankerInfo,
    ) -> None:
        self.info = info
        self._service = service
        self._endpoint = endpoint
        self._model = model
        self._settings = settings
        self._pace = Pace(settings.requests_per_minute, settings.tokens_per_minute)
        self._client: JsonClient | None = None
        self._latest: tuple[tuple[RankingRequest, ...], list[Usage]] = ((), [])

    def load(self) -> None:
        """Make the client; nothing is sent.

        Raises UsageError without the key that the service needs, MissingExtraError without httpx.
        """
        self._connected()

    def score(self, requests: Sequence[RankingRequest]) -> list[NDArray[np.float32]]:
        """One float32 array a request, aligned with its documents.

        Raises UsageError for a list that is too long for one call or a call that is refused,
        UnavailableError when a service keeps failing, ScoreError for an answer that does not
        give every document one number.
        """
        asked = tuple(requests)
        calls = [call for i, request in enumerate(asked) for call in self._calls(i, request)]

        if calls:
            self._connected()  # before the threads, so that they share one client

        def answer(number: int, stop: threading.Event) -> _Scored:
            call = calls[number]
            return self._ask(asked[call.request], call, stop)

        scored = in_parallel(answer, len(calls), self._settings.concurrency)
        scores = [np.zeros(len(request.documents), dtype=np.float32) for request in asked]
        taken: list[list[_Scored]] = [[] for _ in asked]
        for call, result in zip(calls, scored, strict=True):
            taken[call.request].append(result)
            for value, places in zip(result.scores, call.places, strict=True):
                scores[call.request][list(places)] = value
        self._latest = (asked, [_usage(parts) for parts in taken])
        return scores

    def usage(self, requests: Sequence[RankingRequest]) -> list[Usage]:
        """Calls of the requests of the last `score`, and the tokens and units that they took.

        Tokens are None where the service does not say; what it cuts, no service says.
        """
        if tuple(requests) != self._latest[0]:
            return [_usage([]) for _ in requests]
        return list(self._latest[1])

    def _calls(self, number: int, request: RankingRequest) -> list[_Call]:
        """The calls of a request: none for an empty list."""
        documents = request.documents
        if not documents:
            return []
        limit = self._service.limit
        if self.info.listwise:
            if limit is not None and len(documents) > limit:
                raise UsageError(
                    f"{len(documents)} candidates are more than the {limit} documents that "
                    f"{self._service.title} takes in one call, and a list is never split.",
                    where=f"query {request.qid!r}",
                    next_step=f"use a smaller --depth (at most {limit}), or, for a model that "
                    "reads each document alone, --set listwise=false",
                )
            return [_Call(number, documents, tuple((i,) for i in range(len(documents))))]
        places: dict[str, list[int]] = {}
        for i, document in enumerate(documents):
            places.setdefault(document, []).append(i)
        distinct = list(places)
        size = self._settings.batch_limit or self._service.batch
        return [
            _Call(number, tuple(part), tuple(tuple(places[document]) for document in part))
            for part in (distinct[i : i + size] for i in range(0, len(distinct), size))
        ]

    def _ask(self, request: RankingRequest, call: _Call, stop: threading.Event) -> _Scored:
        about = f"query {request.qid!r}"
        query = readable(request.query)
        documents = [readable(document) for document in call.documents]
        expected = 0
        if self._settings.tokens_per_minute:  # four characters a token, until the answer says
            expected = sum(len(query) + len(document) for document in documents) // 4 + 1
        payload = self._service.payload(self._model, query, documents, self._settings)
        client = self._connected()
        try:
            answer = client.call("rerank", payload, about=about, tokens=expected, stop=stop)
        except RefusedError as error:
            if error.status in _TOO_LARGE and len(documents) > 1:
                raise self._too_large(error, len(documents)) from None
            raise
        tokens = read_tokens(answer)
        if expected and tokens is not None:
            self._pace.correct(expected, min(tokens, _PLAUSIBLE * expected))
        where = f"{client.endpoint.join('rerank')}, {about}"
        scores = self._read(client, answer, len(documents), where)
        return _Scored(scores, tokens, read_billed(answer))

    def _read(
        self, client: JsonClient, answer: Answer, count: int, where: str
    ) -> NDArray[np.float32]:
        """Scores of an answer. An error may quote it, and it may quote the key."""
        try:
            check_model(self._service, self._model, answer.value, where)
            return read_scores(answer.value, count, where)
        except (ScoreError, UsageError) as error:
            kind, what, step = type(error), error.what, error.next_step
        raise kind(
            client.redact(what), where=where, next_step=client.redact(step) if step else None
        )

    def _too_large(self, error: RefusedError, count: int) -> UsageError:
        step = f"set batch_limit below {count}"
        if self.info.listwise:
            step = (
                f"if {count} documents are too many for one call: use a smaller --depth, or, for "
                "a model that reads each document alone, --set listwise=false"
            )
        return UsageError(error.what, where=error.where, next_step=step)

    def _connected(self) -> JsonClient:
        if self._client is None:
            self._client = JsonClient(
                self._endpoint.url,
                key=self._key(),
                timeout=self._settings.timeout,
                tries=self._settings.tries,
                pace=self._pace,
                first_wait=self._settings.retry_wait,
            )
        return self._client

    def _key(self) -> str | None:
        """The key. The service's own variables serve its own endpoint only."""
        service, named = self._service, self._settings.key_env
        own = parse_endpoint(service.endpoint) if service.endpoint else None
        hosted = own is not None and (own.host, own.secure) == (
            self._endpoint.host,
            self._endpoint.secure,
        )
        variables = service.keys if hosted and named is None else (named,) if named else ()
        return key_from(self._endpoint, *variables)


def _usage(parts: Sequence[_Scored]) -> Usage:
    billed = [part.billed for part in parts if part.billed is not None]
    tokens = [part.tokens for part in parts if part.tokens is not None]
    return Usage(
        tokens=read_count(sum(tokens)) if len(tokens) == len(parts) else None,
        truncated_documents=None,
        truncated_query=None,
        calls=len(parts),
        billed=sum(billed) if billed else None,
    )
