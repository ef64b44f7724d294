"""Sorting the top of a list by asking which of a few is best.

A sort is a generator: it yields what it wants to know, and is sent the answers, so that the
questions of many lists can be asked together. Reference: ielab/llm-rankers setwise.py and
pairwise.py.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Literal, TypeVar

Shown = tuple[int, ...]  # documents of one prompt, in order, by their place in the request
Order = tuple[int, ...]  # an answer: positions in what was shown, best first; empty: not clear
T = TypeVar("T")
Asking = Generator[Sequence[Shown], Sequence[Order], T]
Best = Callable[[Shown], Asking[int]]  # the position of the best
Undecided = Literal["shown", "candidates"]


def heapsort(count: int, k: int, children: int, best: Best) -> Asking[list[int]]:
    """The top k by a heap of which each parent has `children`; the others follow as they were."""
    heap = list(range(count))
    for parent in range((count - 2) // children, -1, -1):
        yield from _sift(heap, count, parent, children, best)
    top: list[int] = []
    for size in range(count - 1, -1, -1):
        top.append(heap[0])
        if len(top) == k:
            break
        heap[0] = heap[size]
        yield from _sift(heap, size, 0, children, best)
    return _then_the_rest(top, count)


def bubblesort(count: int, k: int, children: int, best: Best) -> Asking[list[int]]:
    """The top k in k passes from the bottom up, one and its `children` at a time.

    llm-rankers starts a pass above what the last one left as it was; here every pass starts at
    the bottom, and who asks remembers the answers.
    """
    order = list(range(count))
    for goal in range(min(k, count)):
        end = count
        while end - goal > 1:
            start = max(goal, end - children - 1)
            found = start + (yield from best(tuple(order[start:end])))
            order[start], order[found] = order[found], order[start]
            end = start + 1
    return _then_the_rest(order[:k], count)


def fallback(shown: Shown, undecided: Undecided) -> int:
    """The position that is taken where no answer is clear.

    shown: the first that is shown, as in llm-rankers; a heap that gets no clear answer then turns
    its list upside down. candidates: the one that stood first in the list.
    """
    return 0 if undecided == "shown" else shown.index(min(shown))


def _sift(heap: list[int], size: int, parent: int, children: int, best: Best) -> Asking[None]:
    """Let the parent sink to its place among the first `size` of the heap."""
    while (first := children * parent + 1) < size:
        places = (parent, *range(first, min(first + children, size)))
        found = places[(yield from best(tuple(heap[p] for p in places)))]
        if found == parent:
            return
        heap[parent], heap[found] = heap[found], heap[parent]
        parent = found


def _then_the_rest(top: Sequence[int], count: int) -> list[int]:
    ranked = set(top)
    return [*top, *(i for i in range(count) if i not in ranked)]
