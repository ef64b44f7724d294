"""Systems against each other, on the same candidates only."""

from .agreement import Agreement, agreement
from .moved import MovedQuery, ShownDocument, moved_between, moved_by_reranking
from .pairs import Pair, compare_panel, compare_two, corrected
from .panel import Mean, Panel, key, means_of, one_panel, panels

__all__ = [
    "Agreement",
    "Mean",
    "MovedQuery",
    "Pair",
    "Panel",
    "ShownDocument",
    "agreement",
    "compare_panel",
    "compare_two",
    "corrected",
    "key",
    "means_of",
    "moved_between",
    "moved_by_reranking",
    "one_panel",
    "panels",
]
