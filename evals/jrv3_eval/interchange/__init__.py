"""Stored results in the formats that others read: mteb's result files and TREC runs."""

from .mteb_results import LeftOut, MtebFile, mteb_files, other_data, write_mteb
from .trec_runs import TrecRun, trec_runs, write_trec

__all__ = [
    "LeftOut",
    "MtebFile",
    "TrecRun",
    "mteb_files",
    "other_data",
    "trec_runs",
    "write_mteb",
    "write_trec",
]
