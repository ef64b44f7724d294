"""Uncertainty of means over queries: intervals, paired tests, corrections, power."""

from .intervals import bootstrap_interval, interval
from .paired import OneSided, one_sided, randomisation_p, shape, standard_error
from .power import Shape, detectable_difference, detectable_drop, holm, queries_needed
from .resampling import RESAMPLES, SEED, Contrast, Resampling, Sample

__all__ = [
    "RESAMPLES",
    "SEED",
    "Contrast",
    "OneSided",
    "Resampling",
    "Sample",
    "Shape",
    "bootstrap_interval",
    "detectable_difference",
    "detectable_drop",
    "holm",
    "interval",
    "one_sided",
    "queries_needed",
    "randomisation_p",
    "shape",
    "standard_error",
]
