"""Time, memory and size of a report over 13 datasets x 12 models x 10,000 queries.

The records are made up (their values do not matter here, only their number and size); runs of
100 documents a query lie beside them, as `jrv3-eval` writes them.

    python benchmarks/reports.py [--queries 10000] [--models 12] [--datasets 13]
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from jrv3_eval.cards import load_suite
from jrv3_eval.metrics import Run
from jrv3_eval.record import PerQuery, TaskResult, write_result

DEPTH = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--models", type=int, default=12)
    parser.add_argument("--datasets", type=int, default=13)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_results(folder / "results", asked.queries, asked.models, asked.datasets)
        command = [sys.executable, "-m", "jrv3_eval", "report", "results", "--to", "report"]
        started = time.monotonic()
        subprocess.run(
            command, cwd=folder, check=True, env={**os.environ, "JRV3_EVAL_CACHE": name + "/cache"}
        )
        seconds = time.monotonic() - started
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        page = (folder / "report" / "report.html").stat().st_size / 2**20
        print(
            f"{asked.datasets} datasets x {asked.models} models x {asked.queries} queries: "
            f"{seconds:.1f} s, {peak:,.0f} MiB at most, page {page:.2f} MiB"
        )


def _write_results(results: Path, queries: int, models: int, datasets: int) -> None:
    rng = np.random.default_rng(0)
    tasks = list(load_suite("beir").default)[:datasets]
    qids = tuple(f"query-{i:06d}" for i in range(queries))
    for task in tasks:
        run = Run.from_ranked(
            qids,
            [
                ([f"document-{i}-{d}" for d in range(DEPTH)], rng.permutation(DEPTH) / DEPTH)
                for i in range(queries)
            ],
        )
        first = _values(rng, queries, 0.45)
        oracle = np.maximum(first, _values(rng, queries, 0.9))
        written: Path | None = None
        for model in range(models):
            reranked = np.clip(first + rng.normal(0.02 + 0.005 * model, 0.2, queries), 0, oracle)
            result = _record(task, f"model-{model:02d}", queries, reranked, first, oracle)
            values = PerQuery(
                qids=qids,
                candidates=np.full(queries, DEPTH),
                reranked={"ndcg@10": reranked},
                first_stage=first,
                oracle=oracle,
            )
            # The run is written once a dataset and linked: reading is what is measured.
            small = run if written is None else Run.from_ranked(qids[:1], [(["d"], [1.0])])
            record = write_result(results, result, small, values)
            path = record.with_suffix(".run.gz")
            if written is not None:
                path.unlink()
                path.hardlink_to(written)
            written = written or path
        sys.stderr.write(f"{task} written\n")


def _values(rng: np.random.Generator, count: int, mean: float) -> np.ndarray:
    return np.where(rng.random(count) < 0.25, 0.0, rng.beta(4 * mean, 4 * (1 - mean), count))


def _record(
    task: str, model: str, queries: int, reranked: np.ndarray, first: np.ndarray, oracle: np.ndarray
) -> TaskResult:
    metric = "ndcg@10"
    mean = {metric: float(reranked.mean()), "judged@10": 0.2}
    gain = float(reranked.mean() - first.mean())
    return TaskResult.from_json(
        {
            "schema": 1,
            "suite": "beir",
            "task": task,
            "language": "en",
            "dataset": {
                "fingerprint": f"{task:x<64}",
                "revision": None,
                "split": "test",
                "documents": 1_000_000,
                "queries": queries,
                "judgements": 2 * queries,
                "missing_judged": 0,
                "duplicate_documents": 0,
                "empty_documents": 0,
            },
            "protocol": None,
            "primary_metric": metric,
            "limit": None,
            "order": "first-stage",
            "candidates": {
                "first_stage": "bm25",
                "settings": {},
                "depth": DEPTH,
                "hash": f"{task:y<64}",
                "documents": DEPTH * queries,
                "empty": 0,
                "metrics": {metric: float(first.mean()), "recall@100": 0.9},
                "oracle": {metric: float(oracle.mean())},
            },
            "reranker": {
                "name": model,
                "family": "cross-encoder",
                "listwise": False,
                "revision": None,
                "weights": f"{model:z<64}",
                "settings": {},
            },
            "metrics": mean,
            "interval": {metric: [mean[metric] - 0.01, mean[metric] + 0.01]},
            "difference": {metric: {"value": gain, "low": gain - 0.01, "high": gain + 0.01}},
            "headroom": gain / float(oracle.mean() - first.mean()),
            "ties": {"queries": 0.0, "lowest": mean[metric], "highest": mean[metric]},
            "truncated": {"documents": 0.0, "queries": 0.0},
            "cost": {
                "seconds": 1.0,
                "documents_per_s": 100.0 + 10 * int(model[-2:]),
                "tokens_per_s": None,
                "latency_ms": {"p50": 10.0, "p95": 20.0},
                "peak_memory_bytes": 1,
                "model_calls": 1,
                "cached": 0,
            },
            "environment": {
                "versions": {},
                "hardware": {},
                "command": "jrv3-eval beir",
                "seed": 0,
                "started": "2026-01-01T00:00:00",
            },
        }
    )


if __name__ == "__main__":
    main()
