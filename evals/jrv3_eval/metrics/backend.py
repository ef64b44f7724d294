"""ranx, and nothing else of it than its metric kernels on aligned arrays.

Importing ranx and compiling its kernels takes seconds, so both happen on first use, or
before it in the background while a model scores.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .names import DEFAULT_METRICS, JUDGED, Metric, parse_metrics

# ranx selects numba's workqueue threading layer, which ends the process when two Python
# threads enter parallel kernels at once (the background warm-up could be one of them).
_KERNELS = threading.Lock()
# ranx 0.3.21 fails with a KeyError where one metric with a depth is asked alone.
_BESIDE = ("hit_rate@1", "hits@1")


def score_arrays(
    qrels: NDArray[np.float64], run: NDArray[np.float64], metrics: Sequence[Metric]
) -> dict[Metric, NDArray[np.float64]]:
    """Values of each metric for each query, float64 (queries,).

    qrels: float64 (queries, relevant, 2). run: float64 (queries, width, 2), ranked.
    """
    with _KERNELS:
        import numba
        import ranx

        threads = numba.get_num_threads()
        try:
            names = dict.fromkeys([*(metric.ranx_name for metric in metrics), *_BESIDE])
            scored = ranx.evaluate(qrels, run, list(names), return_mean=False)
        finally:
            # ranx sets one thread for fewer than ten queries, and leaves it at that.
            numba.set_num_threads(threads)
    return {metric: scored[metric.ranx_name] for metric in metrics}


def warm_up(metrics: Sequence[str] = DEFAULT_METRICS) -> None:
    """Import ranx and compile (or load from numba's cache) the kernels of these metrics."""
    wanted = [metric for metric in parse_metrics(metrics).values() if metric.family != JUDGED]
    score_arrays(np.ones((1, 1, 2)), np.ones((1, 1, 2)), wanted)


def warm_up_in_background(metrics: Sequence[str] = DEFAULT_METRICS) -> threading.Thread:
    """`warm_up` in a daemon thread, started; `evaluate` waits for it by itself."""
    thread = threading.Thread(
        target=warm_up, args=(metrics,), name="jrv3-eval-metrics-warm-up", daemon=True
    )
    thread.start()
    return thread
