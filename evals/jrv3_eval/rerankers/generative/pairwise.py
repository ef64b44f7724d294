"""Pairwise: which of two passages is more relevant, asked in both orders (PRP, arXiv 2306.17563).

A win needs both answers; else the pair is undecided.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from .sorting import Asking, Order, Shown, Undecided, fallback


def best_of(shown: Shown, undecided: Undecided = "shown") -> Asking[int]:
    """Who beats the best so far, from the first on; two questions a comparison.

    undecided: who stays the best of an undecided pair.
    """
    best = 0
    for other in range(1, len(shown)):
        pair = (shown[best], shown[other])
        winner = _winner((yield _both_orders(*pair)))
        if (fallback(pair, undecided) if winner is None else winner) == 1:
            best = other
    return best


def all_pairs(count: int) -> Asking[list[int]]:
    """All documents by wins, a tie counts half; equals stay as they were. count (count-1) prompts.

    llm-rankers takes the first k of this order only; the others are in order just as well.
    """
    pairs = list(combinations(range(count), 2))
    answers = yield [shown for pair in pairs for shown in _both_orders(*pair)]
    wins = [0.0] * count
    for i, pair in enumerate(pairs):
        winner = _winner(answers[2 * i : 2 * i + 2])
        for place, document in enumerate(pair):
            wins[document] += 0.5 if winner is None else float(winner == place)
    return sorted(range(count), key=lambda i: -wins[i])


def _both_orders(one: int, other: int) -> list[Shown]:
    return [(one, other), (other, one)]


def _winner(answers: Sequence[Order]) -> int | None:
    """0 for the one, 1 for the other of a pair, from both answers; None: undecided."""
    there, back = answers
    if not there or not back or there[0] == back[0]:
        return None
    return there[0]
