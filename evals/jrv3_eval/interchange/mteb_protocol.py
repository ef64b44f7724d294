"""How mteb names a two-stage system: whose result it is, by which protocol, over what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..hashing import digest_json
from ..record import TaskResult, path_segment

# Our family of metrics -> mteb's; `judged` has none there.
FAMILIES = {
    "ndcg": "ndcg",
    "map": "map",
    "mrr": "mrr",
    "recall": "recall",
    "precision": "precision",
    "success": "hit_rate",
}
# Of families; all others score pairs or lists.
MODEL_TYPES = {"bi-encoder": "dense", "late-interaction": "late-interaction"}


@dataclass(frozen=True)
class MtebModel:
    """Whose file it is: name, revision, kind, and the protocol as sorted items."""

    name: str
    revision: str
    kind: str
    protocol: tuple[tuple[str, str | int], ...]


def metric_name(name: str) -> str | None:
    """`ndcg@10` -> `ndcg_at_10`; None for a metric that mteb has not."""
    family, _, depth = name.partition("@")
    return f"{FAMILIES[family]}_at_{depth}" if family in FAMILIES else None


def previous_results(result: TaskResult) -> dict[str, Any]:
    """What was reranked. The first two keys are those that mteb itself writes there."""
    candidates = result.candidates
    metrics = {metric_name(name): value for name, value in candidates.metrics.items()}
    return {
        "model_name": candidates.first_stage,
        "revision": candidates.settings.get("revision"),
        "depth": candidates.depth,
        "candidates": candidates.hash,
        "order": result.order,
        "settings": candidates.model_dump(mode="json")["settings"],
        "scores": {name: value for name, value in metrics.items() if name},
        "dataset": result.dataset.fingerprint,
        "dataset_revision": result.dataset.revision,
        "self_retrieval": result.protocol.self_retrieval if result.protocol else None,
        "evaluated_by": _evaluated_by(result),
    }


def model_of(result: TaskResult) -> MtebModel:
    """A reranker with its protocol, or the first stage itself where nothing reranked."""
    reranker, candidates = result.reranker, result.candidates
    if reranker.family == "baseline":
        named = candidates.settings.get("model")
        name = named if isinstance(named, str) and "/" in named else ""
        revision = candidates.settings.get("revision") if name else None
        return MtebModel(
            name or f"jrv3-eval/{path_segment(candidates.first_stage)}",
            str(revision or _evaluated_by(result)),
            "sparse" if candidates.first_stage.startswith("bm25") else "dense",
            (("depth", candidates.depth), ("evaluated_by", "jrv3-eval")),
        )
    weights = None if reranker.family == "run" else reranker.weights  # a file for each task
    settings = digest_json([reranker.family, reranker.settings])[:8]
    protocol: dict[str, str | int] = {
        "depth": candidates.depth,
        "evaluated_by": "jrv3-eval",
        "reranks": candidates.first_stage,
        "settings": settings,
        **({} if result.order == "first-stage" else {"order": result.order}),
    }
    return MtebModel(
        reranker.name if "/" in reranker.name else f"local/{path_segment(reranker.name)}",
        reranker.revision or (weights or "imported-run")[:12],
        MODEL_TYPES.get(reranker.family, "cross-encoder"),
        tuple(sorted(protocol.items())),
    )


def _evaluated_by(result: TaskResult) -> str:
    return f"jrv3-eval-{result.environment.versions.get('jrv3-eval', 'unknown')}"
