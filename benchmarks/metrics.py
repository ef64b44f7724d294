"""Speed of the metrics, side by side with ranx's dict path and pytrec_eval, in one run.

    python benchmarks/metrics.py --queries 20000 --depth 100

Times are for four metrics with values per query. Imports and compilation are done before;
ours starts from columnar objects with string ids, whose construction is timed apart.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from jrv3_eval.metrics import Qrels, Run, evaluate, warm_up

METRICS = ("ndcg@10", "recall@100", "mrr@10", "map@100")
PYTREC = {"ndcg@10": "ndcg_cut_10", "recall@100": "recall_100", "map@100": "map_cut_100"}

Judgements = dict[str, dict[str, int]]
Scores = dict[str, dict[str, float]]


def synthetic(queries: int, depth: int, seed: int, ties: bool) -> tuple[Judgements, Scores]:
    """Random lists out of five million ids; some ten judgements a query, half of them found."""
    rng = np.random.default_rng(seed)
    qrels: Judgements = {}
    run: Scores = {}
    for i in range(queries):
        ids = [f"doc{n}" for n in dict.fromkeys(rng.integers(0, 5_000_000, depth + 5).tolist())]
        # Shuffled whole numbers are exact in float32, so no two scores are equal.
        scores = rng.permutation(len(ids)).astype(np.float64)
        scores = np.floor(scores / 2) if ties else scores
        run[f"q{i}"] = dict(zip(ids[:depth], scores[:depth].tolist(), strict=True))
        judged = rng.choice(len(ids) - 5, min(5, len(ids) - 5), replace=False).tolist()
        judged += range(len(ids) - 5, len(ids))
        qrels[f"q{i}"] = {ids[j]: int(rng.integers(0, 4)) for j in judged}
    return qrels, run


def timed(work: Callable[[], Any], repeats: int = 1) -> tuple[float, Any]:
    """Best wall time in seconds of some repeats, and the last result."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - start)
    return min(times), result


def by_ranx(qrels: Judgements, run: Scores) -> Any:
    import ranx

    return ranx.evaluate(ranx.Qrels(qrels), ranx.Run(run), list(METRICS), return_mean=False)


def by_pytrec_eval(qrels: Judgements, run: Scores) -> dict[str, dict[str, float]]:
    import pytrec_eval

    names = {"ndcg_cut.10", "recall.100", "map_cut.100", "recip_rank"}
    return dict(pytrec_eval.RelevanceEvaluator(qrels, names).evaluate(run))


def largest_difference(ours: Any, theirs: dict[str, dict[str, float]]) -> float:
    """Over all queries and metrics; trec_eval's reciprocal rank is cut at 10 by hand."""
    worst = 0.0
    for i, qid in enumerate(ours.qids):
        found = theirs[qid]
        reference = {name: found[theirs_name] for name, theirs_name in PYTREC.items()}
        reference["mrr@10"] = found["recip_rank"] if found["recip_rank"] > 1 / 10.5 else 0.0
        for name, value in reference.items():
            worst = max(worst, abs(ours.per_query[name][i] - value))
    return worst


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--queries", type=int, default=20_000)
    parser.add_argument("--depth", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--ties", action="store_true", help="give the documents equal scores in pairs"
    )
    options = parser.parse_args()

    qrels, run = synthetic(options.queries, options.depth, options.seed, options.ties)
    warm_up()
    # ranx's dict path is compiled anew for each longest id (numba's string type has a length).
    longest = [max(map(len, (d for docs in x.values() for d in docs))) for x in (qrels, run)]
    tiny = ({"q": {"d" * longest[0]: 1}}, {"q": {"d" * longest[1]: 1.0}})
    ranx_compiling, _ = timed(lambda: by_ranx(*tiny))
    by_pytrec_eval({"q": {"d": 1}}, {"q": {"d": 1.0}})

    building, columns = timed(lambda: (Qrels.from_dict(qrels), Run.from_dict(run)))
    ours_time, ours = timed(lambda: evaluate(*columns, METRICS), repeats=3)
    pytrec_time, theirs = timed(lambda: by_pytrec_eval(qrels, run))
    ranx_time, _ = timed(lambda: by_ranx(qrels, run))

    print(f"{options.queries} queries x {options.depth} documents, {', '.join(METRICS)}, per query")
    print(f"{'':34}{'seconds':>9}{'x ours':>8}")
    for name, seconds in (
        ("ours, from columns", ours_time),
        ("ours, from dicts", building + ours_time),
        ("pytrec_eval, from dicts", pytrec_time),
        ("ranx, from dicts", ranx_time),
    ):
        print(f"{name:34}{seconds:9.2f}{seconds / ours_time:8.1f}")
    print(f"ranx's dict path, first call with ids of this length: {ranx_compiling:.2f} s more")
    print(f"building our columns from dicts: {building:.2f} s")
    print(f"mean ndcg@10: {ours.means['ndcg@10']:.4f}; tied at rank 10: {ours.ties.queries:.0%}")
    print(f"largest difference to pytrec_eval: {largest_difference(ours, theirs):.1e}")


if __name__ == "__main__":
    main()
