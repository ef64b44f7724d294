"""How mteb names a two-stage system: whose result it is, by which protocol, over what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
_SEARCHES = ("bm25:", "dense-", "mteb-")
# Else the languages of a task would not come into one file, nor a suite's tasks under one model.
_OF_THE_CARD = ("analysis", "self_retrieval", "mteb_task")


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


def stated(result: TaskResult) -> dict[str, Any]:
    """Which candidates, of which data, in which order: what tells results of one name apart."""
    candidates = result.candidates
    return {
        "depth": candidates.depth,
        "candidates": candidates.hash,
        "order": result.order,
        "dataset": result.dataset.fingerprint,
        "dataset_revision": result.dataset.revision,
        "self_retrieval": result.protocol.self_retrieval if result.protocol else None,
        "evaluated_by": _evaluated_by(result),
    }


def previous_results(result: TaskResult) -> dict[str, Any]:
    """What was reranked. The first two keys are those that mteb itself writes there."""
    candidates = result.candidates
    metrics = {metric_name(name): value for name, value in candidates.metrics.items()}
    return {
        "model_name": candidates.first_stage,
        "revision": candidates.settings.get("revision"),
        "settings": candidates.model_dump(mode="json")["settings"],
        "scores": {name: value for name, value in metrics.items() if name},
        **({"unpinned": True} if result.reranker.unpinned else {}),
        **stated(result),
    }


def is_search(result: TaskResult) -> bool:
    """Whether nothing came before: a search of the corpus that was made here.

    A run, a pool or a fusion may hold a reranking that was made elsewhere.
    """
    stage = result.candidates.first_stage
    made_here = stage == "bm25" or stage.startswith(_SEARCHES)
    return result.reranker.family == "baseline" and made_here


def model_of(result: TaskResult, together: Sequence[TaskResult]) -> MtebModel:
    """A reranker with its protocol, or the first stage itself where nothing reranked.

    together: all results of the system over this first stage, which become one model.
    """
    reranker, candidates = result.reranker, result.candidates
    protocol: dict[str, str | int] = {
        "depth": candidates.depth,
        "evaluated_by": "jrv3-eval",
        "first_stage_settings": _digest(_chosen(r.candidates.settings) for r in together),
    }
    if reranker.family == "baseline":
        named = candidates.settings.get("model")
        name = named if isinstance(named, str) and "/" in named else ""
        revision = candidates.settings.get("revision") if name else None
        return MtebModel(
            name or f"jrv3-eval/{path_segment(candidates.first_stage)}",
            str(revision or _evaluated_by(result)),
            "sparse" if candidates.first_stage.startswith("bm25") else "dense",
            tuple(sorted(protocol.items())),
        )
    weights = reranker.weights or ""
    if reranker.family == "run":  # of a folder of runs, each task has its own file
        digests = sorted({r.reranker.weights or "" for r in together})
        weights = digests[0] if len(digests) == 1 else digest_json(digests)
    protocol |= {
        "reranks": candidates.first_stage,
        "settings": digest_json([reranker.family, reranker.settings])[:8],
        **({} if result.order == "first-stage" else {"order": result.order}),
        **({"unpinned": True} if reranker.unpinned else {}),
    }
    return MtebModel(
        _name(result),
        reranker.revision or (weights or "imported-run")[:12],
        MODEL_TYPES.get(reranker.family, "cross-encoder"),
        tuple(sorted(protocol.items())),
    )


def _name(result: TaskResult) -> str:
    """As the hub names it, where it is a model of the hub; a service's may change unseen."""
    name = result.reranker.name
    if result.reranker.unpinned:
        return f"service/{path_segment(name)}"
    return name if "/" in name else f"local/{path_segment(name)}"


def _digest(settings: Iterable[Mapping[str, Any]]) -> str:
    """Of the distinct ones, whatever their order."""
    digests = sorted({digest_json(one) for one in settings})
    return (digests[0] if len(digests) == 1 else digest_json(digests))[:8]


def _chosen(settings: Any) -> Any:
    """A first stage's settings without what follows from a task's card, also of its parts."""
    if isinstance(settings, Mapping):
        return {k: _chosen(v) for k, v in settings.items() if k not in _OF_THE_CARD}
    return [_chosen(one) for one in settings] if isinstance(settings, list) else settings


def _evaluated_by(result: TaskResult) -> str:
    return f"jrv3-eval-{result.environment.versions.get('jrv3-eval', 'unknown')}"
