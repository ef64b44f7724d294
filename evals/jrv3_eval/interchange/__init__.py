"""Stored results in the formats that others read: mteb's result files and TREC runs."""

from .mteb_results import LeftOut, MtebFile, check_mteb, mteb_files, other_data, write_mteb
from .trec_runs import TrecRun, check_trec, trec_runs, write_trec

__all__ = [
    "LeftOut",
    "MtebFile",
    "TrecRun",
    "check_mteb",
    "check_trec",
    "mteb_files",
    "other_data",
    "trec_runs",
    "write_mteb",
    "write_trec",
]
