"""What rerankers that encode every distinct text once share: the plan over a work list."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar

from ..embedding import Kind
from ..hashing import hash_text
from .protocol import RankingRequest, RerankerInfo, Usage


class TextGroups(ABC):
    """Distinct texts in order of first appearance, in groups that are encoded when needed."""

    def __init__(self, texts: Iterable[str], size: int) -> None:
        distinct: dict[bytes, str] = {}
        for text in texts:
            distinct.setdefault(hash_text(text), text)
        self._size = size
        self._place = {digest: place for place, digest in enumerate(distinct)}
        self._texts = list(distinct.values())
        self._hashes = list(distinct)

    def __contains__(self, text: str) -> bool:
        return hash_text(text) in self._place

    def places(self, texts: Iterable[str]) -> list[int]:
        """The place of each text among the distinct ones."""
        return [self._place[hash_text(text)] for text in texts]

    def counts(self, texts: Iterable[str]) -> tuple[int, int]:
        """Tokens of the distinct texts, and how many of all the texts were cut."""
        places = self.places(texts)
        tokens = sum(self._counted(place)[0] for place in dict.fromkeys(places))
        return tokens, sum(self._counted(place)[1] for place in places)

    @abstractmethod
    def _counted(self, place: int) -> tuple[int, bool]:
        """Tokens of one text, and whether it was cut."""

    def _span(self, number: int) -> slice:
        """Places of a group."""
        return slice(number * self._size, (number + 1) * self._size)


G = TypeVar("G", bound=TextGroups)


class EncodingOnce(ABC, Generic[G]):
    """Every distinct query and document is encoded once.

    `prepare` cuts the distinct texts of the whole work list into groups; a group is encoded,
    through a cache, when a score first needs it. A call with texts that were not prepared makes
    groups of its own.
    """

    def __init__(self, info: RerankerInfo) -> None:
        self.info = info
        self._prepared = self._plan(())
        self._latest = (tuple[RankingRequest, ...](), self._prepared)

    @abstractmethod
    def _groups(self, kind: Kind, texts: Iterable[str]) -> G:
        """The groups of some texts; encodes nothing."""

    def prepare(self, requests: Sequence[RankingRequest]) -> None:
        """Plan the groups for a work list; encodes nothing. Replaces an earlier plan."""
        self._prepared = self._plan(requests)

    def usage(self, requests: Sequence[RankingRequest]) -> list[Usage]:
        """Tokens of each query and its documents; a document that queries share counts in each."""
        queries, documents = self._plan_for(requests)
        found = []
        for request in requests:
            query_tokens, query_cut = queries.counts([request.query])
            tokens, cut = documents.counts(request.documents)
            found.append(Usage(query_tokens + tokens, cut, query_cut > 0))
        return found

    def _plan(self, requests: Sequence[RankingRequest]) -> tuple[G, G]:
        return (
            self._groups("query", (r.query for r in requests)),
            self._groups("document", (d for r in requests for d in r.documents)),
        )

    def _plan_for(self, requests: Sequence[RankingRequest]) -> tuple[G, G]:
        queries, documents = self._prepared
        if all(r.query in queries and all(d in documents for d in r.documents) for r in requests):
            return self._prepared
        called = tuple(requests)
        if self._latest[0] != called:
            self._latest = (called, self._plan(called))
        return self._latest[1]
