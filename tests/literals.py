"""Records and published tables as literals, for tests of what is made of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jrv3_eval.metrics import Run
from jrv3_eval.published import PublishedTable
from jrv3_eval.record import (
    CandidatesPart,
    DatasetPart,
    PerQuery,
    ProtocolPart,
    RerankerPart,
    TaskResult,
    write_result,
)
from jrv3_eval.stored import Stored, System


def result(
    task: str = "nfcorpus",
    value: float = 0.3766,
    *,
    suite: str = "beir",
    metric: str = "ndcg@10",
    model: str = "jina-reranker-v3",
    listwise: bool = True,
    first_stage: str = "dense-jina-embeddings-v3",
    depth: int = 100,
    split: str = "test",
    limit: int | None = None,
    order: str = "first-stage",
    revision: str | None = None,
    published: str | None = None,
    published_as: str | None = None,
    not_comparable: str | None = None,
) -> TaskResult:
    """A record with what matching reads; the protocol that is asked for is the paper's."""
    baseline = model in ("none", "oracle", "random")
    return TaskResult.model_construct(
        suite=suite,
        task=task,
        dataset=DatasetPart.model_construct(fingerprint="f" * 64, revision=revision, split=split),
        protocol=ProtocolPart.model_construct(
            published=published, published_as=published_as, not_comparable=not_comparable
        ),
        primary_metric=metric,
        limit=limit,
        order=order,
        candidates=CandidatesPart.model_construct(
            first_stage=first_stage, settings={}, depth=depth, metrics={metric: 0.3665},
            oracle={metric: 0.6},
        ),
        reranker=RerankerPart(
            name=model, family="baseline" if baseline else "lbnl", listwise=listwise,
            revision=None, weights=None, settings={},
        ),
        metrics={metric: value},
    )  # fmt: skip


def table(rows: list[dict[str, Any]] | None = None, **changes: Any) -> PublishedTable:
    """A table of a paper that states its whole protocol; `protocol` may change a part of it."""
    stated = {
        "first_stage": "jina-embeddings-v3", "depth": 100, "split": "test", "order": "first-stage",
        "revisions": {"nfcorpus": "a" * 40}, **changes.pop("protocol", {}),
    }  # fmt: skip
    row = {"model": "jina-reranker-v3", "scores": {"ndcg@10": {"nfcorpus": 37.66}},
           "averages": {"ndcg@10": 61.85}}  # fmt: skip
    return PublishedTable.model_validate(
        {
            "schema": 1,
            "name": "paper",
            "suite": "beir",
            "metrics": ["ndcg@10"],
            "decimals": 2,
            "protocol": stated,
            "source": {"title": "the paper", "url": "https://example.org", "table": "Table 3"},
            "rows": [{"label": str(i), **one} for i, one in enumerate(rows or [row])],
            **changes,
        }
    )


def write_stored(
    folder: Path,
    values: Mapping[str, float],
    *,
    lists: Mapping[str, Mapping[str, float]] | None = None,
    first: Mapping[str, float] | None = None,
    **changes: Any,
) -> Stored:
    """A whole record on disk with these values a query, and its run; `changes` go in the record.

    Of `changes`, those with a dot belong to a part, such as `candidates.depth`.
    """
    metric = changes.get("primary_metric", "ndcg@10")
    before = dict.fromkeys(values, 0.0) | dict(first or {})
    means = {metric: float(np.mean(list(values.values())))}
    record: dict[str, Any] = {
        "schema": 1, "suite": "zoo", "task": "animals", "language": "en",
        "dataset": {
            "fingerprint": "f" * 64, "revision": None, "split": "test", "documents": 6,
            "queries": len(values), "judgements": 6, "missing_judged": 0,
            "duplicate_documents": 0, "empty_documents": 0,
        },
        "protocol": None, "primary_metric": metric, "limit": None, "order": "first-stage",
        "candidates": {
            "first_stage": "bm25", "settings": {}, "depth": 100, "hash": "c" * 64,
            "documents": 6, "empty": 0, "metrics": {metric: float(np.mean(list(before.values())))},
            "oracle": {metric: 1.0},
        },
        "reranker": {
            "name": "model", "family": "fake", "listwise": False, "revision": None,
            "weights": "a" * 64, "settings": {},
        },
        "metrics": means, "interval": {}, "difference": {}, "headroom": None,
        "ties": {"queries": 0.0, "lowest": None, "highest": None},
        "truncated": {"documents": 0.0, "queries": 0.0}, "blocks": None,
        "cost": {
            "seconds": 0.0, "documents_per_s": None, "tokens_per_s": None,
            "latency_ms": {"p50": None, "p95": None}, "peak_memory_bytes": 0, "model_calls": 0,
            "cached": 0,
        },
        "environment": {
            "versions": {}, "hardware": {}, "command": "a test", "seed": 0, "started": "now",
        },
    }  # fmt: skip
    for key, value in changes.items():
        part, dot, name = key.partition(".")
        (record[part] if dot else record)[name or part] = value
    written = TaskResult.from_json(record)
    per_query = PerQuery(
        tuple(values),
        np.full(len(values), 6),
        {metric: np.array(list(values.values()))},
        np.array([before[qid] for qid in values]),
        np.ones(len(values)),
    )
    shown = lists or {qid: {"cat": 2.0, "dog": 1.0} for qid in values}
    return Stored(written, write_result(folder, written, Run.from_dict(shown), per_query))


def system(name: str, *stored: Stored) -> System:
    """One system of these results."""
    return System(name, {(one.result.suite, one.result.task): one for one in stored})
