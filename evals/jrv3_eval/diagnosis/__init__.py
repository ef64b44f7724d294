"""Why a number is what it is: from stored results, without a model call."""

from .depth import DEPTHS, DepthPoint, depth_curve
from .queries import HeadroomByQuery, ScoreSpread, headroom_by_query, score_spread
from .variants import OrderSpread, depth_runs, order_spreads

__all__ = [
    "DEPTHS",
    "DepthPoint",
    "HeadroomByQuery",
    "OrderSpread",
    "ScoreSpread",
    "depth_curve",
    "depth_runs",
    "headroom_by_query",
    "order_spreads",
    "score_spread",
]
