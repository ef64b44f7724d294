"""The contract of a reranker as checks, for the tests of this and of other packages.

    from jrv3_eval.rerankers.contract import check_reranker
    check_reranker(lambda: open_reranker("my-family:./ckpt"), pointwise=True)

Every check raises AssertionError with what was expected. Scores agree when they differ by at
most 1e-5 (absolute, and relative for large scores).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from .protocol import CountsTokens, PlansAhead, RankingRequest, Reranker

Factory = Callable[[], Reranker]
TOLERANCE = 1e-5

_DOCUMENTS = (
    "The Nile is a river in north-eastern Africa.",
    "",
    "河は北へ流れる。长江是亚洲最长的河流。",
    "Bananas are rich in potassium \U0001f34c and cafe\u0301s sell them.",
    "النيل أطول أنهار العالم، وهو يجري شمالًا.",
    "def longest(rivers):\n    return max(rivers, key=len)",
    "The Nile is a river in north-eastern Africa. It flows north for 6,650 kilometres.",
    " \t\n ",
    "a lone surrogate \ud800 from a broken crawl",
)


def check_reranker(
    factory: Factory, *, pointwise: bool, variants: Sequence[Factory] = (), long: int = 100_000
) -> None:
    """Check the whole contract.

    factory: makes a fresh reranker of the same model and settings each time. pointwise: a
    document's score does not depend on the other documents of its list. variants: makers that
    differ only in how work is batched; their scores must agree. long: characters of the very
    long document.
    """
    reranker = factory()
    check_no_mutation(reranker)
    check_shapes(reranker, long=long)
    check_independence(reranker, (factory, *variants))
    check_equal_queries(reranker)
    check_neighbours(reranker)
    check_usage(reranker)
    if pointwise:
        check_alignment(reranker)
        check_repeats(reranker)


def check_shapes(reranker: Reranker, *, long: int = 100_000) -> None:
    """One finite float32 array a request, as long as its documents, also at the extremes."""
    words = "river delta water north flow "
    very_long = words * (long // len(words) + 1)
    lists = ((), ("one",), ("",), (very_long,), ("short", very_long, ""), _DOCUMENTS)
    requests = [RankingRequest(f"q{i}", "longest river?", docs) for i, docs in enumerate(lists)]
    requests.append(RankingRequest("empty query", "", _DOCUMENTS[:2]))
    requests.append(RankingRequest("long query", very_long, _DOCUMENTS[:2]))
    _scores(reranker, requests)
    _require(_scores(reranker, []) == [], "no requests give no arrays")


def check_no_mutation(reranker: Reranker) -> None:
    """The requests and their list are as they were, and the same call gives the same scores."""
    requests, before = _work(), _work()
    first = _scores(reranker, requests)
    _require(requests == before, "score must not change its input")
    copies = [scores.copy() for scores in first]
    for scores in first:  # a reranker must not hand out what it keeps
        if scores.flags.writeable:
            scores += 1
    _agree(copies, _scores(reranker, requests), "the same call twice")


def check_independence(reranker: Reranker, variants: Sequence[Factory] = ()) -> None:
    """Scores do not depend on batching, on the other requests, or on `prepare`."""
    requests = _work()
    together = _scores(reranker, requests)
    alone = [_scores(reranker, [r])[0] for r in requests]
    _agree(together, alone, "all requests in one call, and each alone")
    backwards = _scores(reranker, requests[::-1])[::-1]
    _agree(together, backwards, "the requests in reverse order")
    for i, variant in enumerate(variants):
        other = variant()
        if isinstance(other, PlansAhead):
            other.prepare(requests)
        halves = [*_scores(other, requests[:1]), *_scores(other, requests[1:])]
        _agree(together, halves, f"batching variant {i}, prepared, in two calls")


def check_equal_queries(reranker: Reranker) -> None:
    """Two queries with the same text but different documents stay apart."""
    left = RankingRequest("left", "longest river?", _DOCUMENTS[:3])
    right = RankingRequest("right", "longest river?", _DOCUMENTS[3:])
    together = _scores(reranker, [left, right])
    alone = [_scores(reranker, [r])[0] for r in (left, right)]
    _agree(together, alone, "two queries of equal text")


def check_neighbours(reranker: Reranker) -> None:
    """Whatever the other queries of a call are, a list scores as it does alone.

    The scores of a listwise reranker may depend on the other documents of their own list, and
    on its order; on another query's, never.
    """
    asked = RankingRequest("asked", "longest river?", _DOCUMENTS[:4])
    (alone,) = _scores(reranker, [asked])
    others = (
        RankingRequest("asked too", "longest river?", _DOCUMENTS[:4]),  # the very same list
        RankingRequest("order", "longest river?", _DOCUMENTS[3::-1]),
        RankingRequest("longer", "longest river?", _DOCUMENTS * 3),
        RankingRequest("other query", "which fruit has potassium", _DOCUMENTS[:4]),
        RankingRequest("empty", "", ()),
    )
    for other in others:
        before = _scores(reranker, [other, asked])[1]
        after = _scores(reranker, [asked, other])[0]
        _agree([alone, alone], [before, after], f"beside the request {other.qid!r}")


def check_alignment(reranker: Reranker) -> None:
    """Pointwise: permuted candidates give permuted scores, and the scores can tell them apart."""
    order = np.random.default_rng(7).permutation(len(_DOCUMENTS))
    asked = RankingRequest("q", "longest river?", _DOCUMENTS)
    permuted = RankingRequest("q", asked.query, tuple(_DOCUMENTS[i] for i in order))
    straight, shuffled = _scores(reranker, [asked, permuted])
    _agree([straight[order]], [shuffled], "permuted candidates")
    _require(len(np.unique(straight)) > 2, "different documents get different scores")


def check_repeats(reranker: Reranker) -> None:
    """Pointwise: a document that is listed twice gets exactly equal scores."""
    documents = (*_DOCUMENTS, _DOCUMENTS[0], *_DOCUMENTS[2:4])
    (scores,) = _scores(reranker, [RankingRequest("q", "longest river?", documents)])
    repeated = scores[len(_DOCUMENTS) :]
    _require(bool(np.array_equal(repeated, scores[[0, 2, 3]])), "a repeated document scores alike")


def check_usage(reranker: Reranker) -> None:
    """Where the reranker counts tokens: one plausible count a request."""
    if not isinstance(reranker, CountsTokens):
        return
    requests = _work()
    reranker.score(requests)
    usage = reranker.usage(requests)
    _require(len(usage) == len(requests), "one usage a request")
    for request, used in zip(requests, usage, strict=True):
        if used.tokens is not None:
            _require(used.tokens > 0 or not request.documents, "tokens were read")
        cut = used.truncated_documents or 0
        _require(0 <= cut <= len(request.documents), "truncated documents are among the documents")


def _work() -> list[RankingRequest]:
    queries = ("longest river?", "which fruit has potassium", "日本の河", "max by key")
    return [
        RankingRequest(f"q{i}", query, _DOCUMENTS[i:] + _DOCUMENTS[: i // 2])
        for i, query in enumerate(queries)
    ]


def _scores(reranker: Reranker, requests: Sequence[RankingRequest]) -> list[NDArray[np.float32]]:
    """Scores after the checks that every call must pass."""
    scores = reranker.score(requests)
    _require(len(scores) == len(requests), f"{len(requests)} requests gave {len(scores)} arrays")
    for request, values in zip(requests, scores, strict=True):
        where = f"request {request.qid!r}"
        _require(isinstance(values, np.ndarray), f"{where}: scores are a numpy array")
        _require(values.dtype == np.float32, f"{where}: scores are float32, not {values.dtype}")
        expected = (len(request.documents),)
        _require(values.shape == expected, f"{where}: shape {values.shape}, not {expected}")
        _require(bool(np.isfinite(values).all()), f"{where}: scores are finite")
    return scores


def _agree(
    expected: Sequence[NDArray[np.float32]], found: Sequence[NDArray[np.float32]], when: str
) -> None:
    for i, (left, right) in enumerate(zip(expected, found, strict=True)):
        np.testing.assert_allclose(
            right, left, rtol=TOLERANCE, atol=TOLERANCE, err_msg=f"{when}: list {i}"
        )


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise AssertionError(what)
