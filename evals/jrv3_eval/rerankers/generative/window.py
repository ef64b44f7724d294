"""Listwise: windows that slide over a list from the bottom up."""

from __future__ import annotations

from collections.abc import Iterator

from .sorting import Asking


def windows(count: int, window: int, stride: int) -> Iterator[tuple[int, int]]:
    """Start and end of each window over `count` documents, from the bottom up.

    The last one starts at the top, whatever the length; a shorter list is one window. Reference:
    castorini/rank_llm sliding_windows. (RankGPT's loop stops before a window that would be
    shorter, so of 25 documents it never ranks the first five; RankLLM's leaves out a list as
    long as its stride.)
    """
    if count < 2:
        return
    start, end = max(0, count - window), count
    yield start, end
    while start > 0:
        start, end = max(0, start - stride), end - stride
        yield start, end


def sliding_windows(count: int, window: int, stride: int, passes: int) -> Asking[list[int]]:
    """The order of a list after some passes of windows.

    The first `window - stride` are then the best of the list, in order, if the answers are right.
    stride: less than window.
    """
    order = list(range(count))
    for _ in range(passes):
        for start, end in windows(count, window, stride):
            shown = tuple(order[start:end])
            (answer,) = yield [shown]
            order[start:end] = [shown[i] for i in answer]
    return order
