"""One task, ready to be reranked: its collection, candidates and judgements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..candidates import CandidateSet
from ..cards import Suite, TaskCard
from ..collection import Collection
from ..first_stage import FirstStage, take_candidates
from ..hashing import hash_text
from ..metrics import Qrels
from ..sources import load_collection


@dataclass(frozen=True)
class Options:
    """How to evaluate; the defaults are the suite's own protocol."""

    tasks: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    first_stage: str | None = None
    depth: int | None = None
    limit: int | None = None
    order: str = "first-stage"
    results: Path = Path("results/runs")
    data_dir: Path | None = None
    tasks_dir: Path | None = None
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """One task, ready to be reranked."""

    suite: Suite
    card: TaskCard
    collection: Collection
    candidates: CandidateSet
    qrels: Qrels
    limit: int | None


def prepare_task(
    suite: Suite, card: TaskCard, stage: FirstStage, options: Options, cache: Path
) -> Task:
    collection = load_collection(suite, card, cache=cache, data_dir=options.data_dir)
    depth = options.depth or suite.depth
    candidates = take_candidates(stage, collection, suite, card, depth, cache)
    qids = list(collection.queries)
    limit = options.limit if options.limit and options.limit < len(qids) else None
    if limit is not None:
        # A stable sample, not the first ones: files are often sorted by topic.
        chosen = set(sorted(qids, key=hash_text)[:limit])
        qids = [qid for qid in qids if qid in chosen]
        candidates = candidates.select(qids)
    qrels = Qrels.from_dict({qid: collection.qrels[qid] for qid in qids})
    return Task(suite, card, collection, candidates, qrels, limit)
