"""What a reader must know about numbers, in lines of text."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .record import AnswersPart, TaskResult

REPLACED = ("--first-stage", "--depth", "--limit", "--order")
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
    if result.reranker.unpinned:
        lines[f"{start} unpinned: the service's model can change unseen"] = None
    if (answers := result.answers) is not None:
        lines[f"{start} {_answers(answers)}"] = None
    if result.order != "first-stage":
        lines[f"{start} the model saw the order {result.order}"] = None
    if blocks and blocks.several:
        lines[
            f"{start} {blocks.several:.1%} of lists were read in several blocks, "
            f"at most {blocks.most}"
        ] = None
    if ties.queries:
        allowed = ""
        if ties.lowest is not None and ties.highest is not None:
            allowed = f"; ties allow {ties.lowest:.4f} to {ties.highest:.4f}"
        lines[f"{start} {ties.queries:.1%} of queries have a tie across rank 10{allowed}"] = None
    if cost.documents_per_s:
        lines[
            f"{start} {cost.seconds:.1f} s of scoring, {cost.documents_per_s:,.0f} documents/s; "
            f"{cost.model_calls} model calls, {cost.cached} queries from the score store"
        ] = None


def _answers(answers: AnswersPart) -> str:
    """What a generating model or a service was asked, and how well it answered."""
    parts = [f"{answers.calls:,} calls"]
    if answers.malformed is not None:
        share = answers.malformed / answers.calls if answers.calls else 0.0
        parts.append(f"{answers.malformed:,} malformed answers repaired ({share:.1%})")
    if answers.tokens:
        parts.append(f"{answers.tokens:,} tokens")
    if answers.billed is not None:
        parts.append(f"{answers.billed:g} billed units")
    return ", ".join(parts)


def _about_published(result: TaskResult, lines: Lines) -> None:
    """The command that gives comparable numbers, where this run does not."""
    protocol = result.protocol
    if protocol is None or protocol.published is None or protocol.paper_first_stage is None:
        return
    start = f"{result.suite}: not comparable with {protocol.published}"
    if protocol.not_comparable:
        lines[f"{start}: {protocol.not_comparable}"] = None
        return
    spec = protocol.paper_first_stage
    reasons = [
        reason
        for differs, reason in (
            (result.candidates.first_stage != first_stage_name(spec), f"which reranks {spec}"),
            (result.candidates.depth != protocol.depth, f"which has depth {protocol.depth}"),
            (result.limit is not None, "which has all queries"),
            (result.order != "first-stage", "which has the first stage's order"),
        )
        if differs
    ]
    if reasons:
        lines[f"{start}, {', '.join(reasons)}; comparable: {_comparable_command(result)}"] = None


def _comparable_command(result: TaskResult) -> str:
    """This run's command with the published first stage, depth, order and all queries."""
    kept: list[str] = []
    arguments = iter(shlex.split(result.environment.command))
    for argument in arguments:
        if argument in REPLACED:
            next(arguments, None)
        elif argument.partition("=")[0] not in REPLACED:
            kept.append(argument)
    if not kept[0].endswith("jrv3-eval") and kept[:3] != ["python", "-m", "jrv3_eval"]:
        kept = ["jrv3-eval", result.suite]
    return shlex.join([*kept, "--first-stage", "paper"])


def first_stage_name(spec: str) -> str:
    """The name under which a SPEC's first stage stands in a record."""
    kind, _, target = spec.partition(":")
    if kind != "dense":
        return spec
    model = target.partition("#")[0].partition("@")[0]
    return f"dense-{model}"
