"""One task, ready to be reranked: its collection, candidates and judgements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from ..candidates import CandidateSet
from ..cards import Suite, TaskCard
from ..collection import Collection
from ..first_stage import AnyStage, take_candidates
from ..hashing import hash_text
from ..metrics import DEFAULT_METRICS, Qrels
from ..relevance import judgements_for
from ..sources import load_collection

BY_MATCH = ("success@1", "success@10", "success@100", "mrr@10")


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
    judgements: Mapping[str, Mapping[str, int]]
    limit: int | None

    @cached_property
    def qrels(self) -> Qrels:
        """What the run is scored by. By answer match a query counts without any judgement."""
        return Qrels.from_dict(self.judgements, all_count=self.card.relevance == "answer-match")

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics of the record, the primary one among them.

        By answer match the number of relevant passages in the corpus is unknown, so that nDCG,
        recall and MAP have no ideal to compare with.
        """
        by_match = self.card.relevance == "answer-match"
        return tuple(
            dict.fromkeys((*(BY_MATCH if by_match else DEFAULT_METRICS), self.suite.metric))
        )


def prepare_task(
    suite: Suite, card: TaskCard, stage: AnyStage, options: Options, cache: Path
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
    judgements = judgements_for(collection, candidates)
    return Task(suite, card, collection, candidates, judgements, limit)
