"""The reranker: the sorts of all lists of a call ask their questions together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ..protocol import RankingRequest, RerankerInfo, Usage
from ..services.schemas import read_count
from . import pairwise, setwise
from .chat import Chat, Question, Said
from .fitting import Texts, fit, prepare
from .parsing import Reply, read_choice, read_order
from .prompts import LABELS, Prompt
from .settings import GenerativeSettings
from .sorting import Asking, Order, Shown, bubblesort, heapsort
from .window import sliding_windows


class GenerativeReranker:
    """Ranks by what a chat model writes.

    Scores are n minus rank, so only their order means something, and no two are equal. Prompts
    of one list follow from each other; those of the lists of a call are asked together.
    """

    def __init__(
        self, chat: Chat, prompt: Prompt, settings: GenerativeSettings, info: RerankerInfo
    ) -> None:
        self.info = info
        self._chat, self._prompt, self._settings = chat, prompt, settings
        self._latest: tuple[tuple[RankingRequest, ...], list[Usage]] | None = None

    def load(self) -> None:
        """Load tokenizer and weights now. Raises CheckpointError as `score` does."""
        self._chat.load()

    def score(self, requests: Sequence[RankingRequest]) -> list[NDArray[np.float32]]:
        """One float32 array a request: n - rank (from 1) of each of its n documents.

        Raises CheckpointError if the model cannot be loaded, UsageError if a prompt does not fit
        into the context, UnavailableError if a server fails.
        """
        called = tuple(requests)
        lists = [_List(r, _sort(len(r.documents), self._settings)) for r in called]
        while waiting := [one for one in lists if one.open]:
            questions = [self._question(one, shown) for one in waiting for shown in one.open]
            said = iter(self._chat.complete(questions))
            for one in waiting:
                one.take([next(said) for _ in one.open], self._reader)
        self._latest = (called, [one.usage() for one in lists])
        return [_scores(one.order) for one in lists]

    def usage(self, requests: Sequence[RankingRequest]) -> list[Usage]:
        """Tokens of all prompts, calls, and answers that had to be repaired; of each request."""
        if self._latest is None or self._latest[0] != tuple(requests):
            self.score(requests)
        assert self._latest is not None
        return self._latest[1]

    @property
    def _reader(self) -> Callable[[str, int], Reply]:
        return read_order if self._prompt.method == "listwise" else read_choice

    def _question(self, one: _List, shown: Shown) -> Question:
        """The prompt about the documents that are shown, as far as they fit."""
        chat, prompt = self._chat, self._prompt
        expected = _expected(prompt, len(shown))
        room = chat.room(expected)
        if one.texts is None:
            one.texts = prepare(one.request, prompt, chat.tokens, room)
        words = self._settings.passage_words or prompt.passage_words
        fitted = fit(prompt, one.texts, shown, words, chat.tokens, room)
        one.cut |= fitted.cut
        choice = prompt.method != "listwise"
        return Question(
            fitted.messages,
            prompt.prefill,
            expected,
            one_token=choice and bool(prompt.prefill),
            labels=LABELS[: len(shown)] if self._settings.scoring == "likelihood" else "",
        )


class _List:
    """One request on its way: what its sort wants to know, and what it knows.

    open: what is to be asked next, each once; nothing when it is sorted.
    """

    def __init__(self, request: RankingRequest, sort: Asking[list[int]]) -> None:
        self.request = request
        self.texts: Texts | None = None
        self.cut: set[int] = set()
        self.order: list[int] = []
        self.open: list[Shown] = []
        self._sort = sort
        self._asked: Sequence[Shown] | None = None
        self._known: dict[Shown, Order] = {}  # the same question has the same answer
        self._tokens: list[int | None] = []  # of each answer
        self._malformed = 0
        self._proceed()

    def take(self, said: Sequence[Said], read: Callable[[str, int], Reply]) -> None:
        """The answers to what was open."""
        for shown, answer in zip(self.open, said, strict=True):
            reply = read(answer.text, len(shown))
            self._known[shown] = reply.order
            self._tokens.append(answer.tokens)
            self._malformed += not reply.clean
        self._proceed()

    def usage(self) -> Usage:
        """What it took."""
        known = [tokens for tokens in self._tokens if tokens is not None]
        return Usage(
            tokens=read_count(sum(known)) if len(known) == len(self._tokens) else None,
            truncated_documents=len(self.cut),
            truncated_query=self.texts is not None and self.texts.query_cut,
            calls=len(self._known),
            malformed=self._malformed,
        )

    def _proceed(self) -> None:
        """Go on until the sort asks something new, or ends."""
        try:
            if self._asked is None:
                self._asked = next(self._sort)
            while not (new := [s for s in dict.fromkeys(self._asked) if s not in self._known]):
                self._asked = self._sort.send([self._known[s] for s in self._asked])
            self.open = new
        except StopIteration as end:
            self.order, self.open = end.value, []


def _sort(count: int, settings: GenerativeSettings) -> Asking[list[int]]:
    """The sort that the settings name, over `count` documents."""
    if settings.method == "listwise":
        return sliding_windows(count, settings.window, settings.stride, settings.passes)
    if settings.sort == "allpair":
        return pairwise.all_pairs(count)
    sort = heapsort if settings.sort == "heapsort" else bubblesort
    if settings.method == "setwise":
        children, best = settings.children, setwise.best_of
    else:
        children, best = (2 if sort is heapsort else 1), pairwise.best_of
    return sort(count, settings.top_k, children, partial(best, undecided=settings.undecided))


def _expected(prompt: Prompt, count: int) -> str:
    """An answer of the length that is expected."""
    if prompt.method == "listwise":
        return " > ".join(f"[{i + 1}]" for i in range(count))
    return "Passage A"


def _scores(order: Sequence[int]) -> NDArray[np.float32]:
    scores = np.empty(len(order), dtype=np.float32)
    scores[list(order)] = np.arange(len(order) - 1, -1, -1, dtype=np.float32)
    return scores
