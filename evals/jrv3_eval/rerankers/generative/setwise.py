"""Setwise: which of a few passages is the most relevant (arXiv 2310.09497)."""

from __future__ import annotations

from .sorting import Asking, Shown, Undecided, fallback


def best_of(shown: Shown, undecided: Undecided = "shown") -> Asking[int]:
    """One question. undecided: what is taken where the answer is not clear."""
    (answer,) = yield [shown]
    return answer[0] if answer else fallback(shown, undecided)
