"""A verdict for CI that can be trusted: it fails regressions and nothing else."""

from .decision import ALPHA, MARGIN, Gate, Hypothesis, decide, holm_levels, judge
from .systems import gate_panel
from .writing import bound, reason, remarks, to_json, to_junit, to_markdown

__all__ = [
    "ALPHA",
    "MARGIN",
    "Gate",
    "Hypothesis",
    "bound",
    "decide",
    "gate_panel",
    "holm_levels",
    "judge",
    "reason",
    "remarks",
    "to_json",
    "to_junit",
    "to_markdown",
]
