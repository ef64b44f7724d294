"""What a source delivers, before it is checked and cached."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

Join = Literal["title text", "text"]


class Document(NamedTuple):
    """A document as its source has it; title and text are not yet joined."""

    docid: str
    title: str
    text: str


class Judgement(NamedTuple):
    """One line of the qrels."""

    qid: str
    docid: str
    relevance: int


@dataclass(frozen=True)
class RawDataset:
    """What a source delivers: streams, and how to name the place of an id in an error.

    identity: JSON value that changes whenever the streams would (file sizes and times,
    a checksum, a version); it keys the cache. locate(kind, id): where an id stands.
    corpus_identity: the same for the documents alone, where other datasets share them.
    answers: query id and its accepted answers, instead of judgements (`relevance:
    answer-match`); then `judgements` is not read. pools: query id and the document ids that
    the dataset itself gives to a reranker, in its order.
    """

    identity: Any
    revision: str | None
    documents: Callable[[], Iterator[Document]]
    queries: Callable[[], Iterator[tuple[str, str]]]
    judgements: Callable[[], Iterator[Judgement]]
    locate: Callable[[Literal["document", "query", "judgement"], str], str]
    answers: Callable[[], Iterator[tuple[str, tuple[str, ...]]]] | None = None
    pools: Callable[[], Iterator[tuple[str, tuple[str, ...]]]] | None = None
    corpus_identity: Any = None
