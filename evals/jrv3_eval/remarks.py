"""What a reader must know about numbers, in lines of text."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .record import TaskResult

Lines = dict[str, None]  # each line once, in order


def remarks(results: Sequence[TaskResult]) -> list[str]:
    """What must be known about these results, each line once."""
    lines: Lines = {}
    for result in results:
        _about_candidates(result, lines)
        _about_dataset(result, lines)
        _about_scoring(result, lines)
    for result in results:
        _about_published(result, lines)
    return list(lines)


def _about_candidates(result: TaskResult, lines: Lines) -> None:
    candidates, task = result.candidates, result.task
    cut = min(candidates.depth, 100)
    found = next(name for name in ("recall@100", "success@100") if name in candidates.metrics)
    lines[
        f"{task}: {candidates.first_stage}, depth {candidates.depth}, "
        f"{found.partition('@')[0]}@{cut} {candidates.metrics[found]:.4f}, "
        f"candidates {candidates.hash[:8]}, dataset {result.dataset.fingerprint[:8]}"
    ] = None
    if result.limit is not None:
        lines[f"{task}: limited to {result.limit} queries; not a result to publish"] = None
    if candidates.empty:
        lines[f"{task}: {candidates.empty} queries have no candidate and score 0"] = None


def _about_dataset(result: TaskResult, lines: Lines) -> None:
    dataset, task = result.dataset, result.task
    if dataset.missing_judged:
        lines[f"{task}: {dataset.missing_judged} judged documents are not in the corpus"] = None
    if dataset.duplicate_documents:
        lines[f"{task}: {dataset.duplicate_documents} documents repeat the text of another"] = None


def _about_scoring(result: TaskResult, lines: Lines) -> None:
    cost, blocks, ties = result.cost, result.blocks, result.ties
    start = f"{result.task}, {result.reranker.name}:"
    if result.order != "first-stage":
        lines[f"{start} the model saw the order {result.order}"] = None
    if blocks and blocks.several:
        lines[
            f"{start} {blocks.several:.1%} of lists were read in several blocks, "
            f"at most {blocks.most}"
        ] = None
    if ties.queries:
        allowed = f"; ties allow {ties.lowest:.4f} to {ties.highest:.4f}"
        if "ndcg@10" not in result.metrics:  # the bounds are of that metric
            allowed = ""
        lines[f"{start} {ties.queries:.1%} of queries have a tie across rank 10{allowed}"] = None
    if cost.documents_per_s:
        lines[
            f"{start} {cost.seconds:.1f} s of scoring, {cost.documents_per_s:,.0f} documents/s; "
            f"{cost.model_calls} model calls, {cost.cached} queries from the score store"
        ] = None


def _about_published(result: TaskResult, lines: Lines) -> None:
    """The command that gives comparable numbers, where this run's first stage does not."""
    protocol = result.protocol
    if protocol is None or protocol.published is None or protocol.paper_first_stage is None:
        return
    spec = protocol.paper_first_stage
    if result.candidates.first_stage == first_stage_name(spec):
        return
    arguments = shlex.split(result.environment.command)
    if "--first-stage" in arguments:
        place = arguments.index("--first-stage")
        del arguments[place : place + 2]
    if not arguments[0].endswith("jrv3-eval") and arguments[:3] != ["python", "-m", "jrv3_eval"]:
        arguments = ["jrv3-eval", result.suite]
    command = shlex.join([*arguments, "--first-stage", "paper"])
    lines[
        f"{result.suite}: not comparable with {protocol.published}, which reranks {spec}; "
        f"comparable: {command}"
    ] = None


def first_stage_name(spec: str) -> str:
    """The name under which a SPEC's first stage stands in a record."""
    kind, _, target = spec.partition(":")
    if kind != "dense":
        return spec
    model = target.partition("#")[0].partition("@")[0]
    return f"dense-{model}"
