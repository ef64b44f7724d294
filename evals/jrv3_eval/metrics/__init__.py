"""Scores and judgements to metrics: ranx behind one module, the tie rule, values per query.

`evaluate_run(qrels, run)` is the one-call form. Importing this package imports numpy only.
"""

from .backend import warm_up, warm_up_in_background
from .columns import Qrels, Run
from .evaluation import Evaluation, evaluate, evaluate_run
from .names import DEFAULT_METRICS, Metric, parse_metric
from .oracle import oracle_scores
from .order import rank_by_rule, rank_lists_by_rule
from .ties import TieReport

__all__ = [
    "DEFAULT_METRICS",
    "Evaluation",
    "Metric",
    "Qrels",
    "Run",
    "TieReport",
    "evaluate",
    "evaluate_run",
    "oracle_scores",
    "parse_metric",
    "rank_by_rule",
    "rank_lists_by_rule",
    "warm_up",
    "warm_up_in_background",
]
