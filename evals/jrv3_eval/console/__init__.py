"""Tables for a terminal."""

from .models import print_family, print_models
from .results import print_results, print_tasks
from .verdicts import print_beside, print_gate, print_moved, print_pairs, print_published

__all__ = [
    "print_beside",
    "print_family",
    "print_gate",
    "print_models",
    "print_moved",
    "print_pairs",
    "print_published",
    "print_results",
    "print_tasks",
]
