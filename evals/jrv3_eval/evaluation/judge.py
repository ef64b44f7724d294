"""From scores to a record: metrics beside the first stage's own and the oracle's."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from .. import environment
from ..baselines import Baseline
from ..cards import Suite, TaskCard
from ..collection import Collection
from ..engine.local import ScoredWork
from ..engine.order import Order
from ..metrics import Evaluation, Run
from ..metrics import evaluate as evaluate_metrics
from ..record import (
    AnswersPart,
    BlocksPart,
    CandidatesPart,
    CostPart,
    DatasetPart,
    Difference,
    EnvironmentPart,
    LatencyPart,
    PerQuery,
    ProtocolPart,
    RerankerPart,
    TaskResult,
    TiesPart,
    TruncatedPart,
    write_result,
)
from ..statistics import SEED, bootstrap_interval
from .task import Options, Task

ORACLE_METRIC = "ndcg@10"
NO_HEADROOM = 1e-6


@dataclass(frozen=True)
class Scored:
    """Scores aligned with the candidates; work is None for a baseline.

    work: its own scores stand in `order`, as the model saw the documents.
    """

    scores: list[NDArray[np.float32]]
    work: ScoredWork | None
    order: Order
    started: datetime.datetime


def judge(task: Task, part: RerankerPart, scored: Scored, options: Options) -> TaskResult:
    candidates = task.candidates
    lists = [candidates.of(index) for index in range(len(candidates))]
    run = Run.from_ranked(
        candidates.qids,
        [(ids, scores) for (ids, _), scores in zip(lists, scored.scores, strict=True)],
    )
    metric = task.suite.metric
    metrics = task.metrics
    reranked = evaluate_metrics(task.qrels, run, metrics)
    first = evaluate_baseline(task, Baseline("none"))
    oracle = evaluate_baseline(task, Baseline("oracle"))
    difference = reranked.per_query[metric] - first.per_query[metric]
    interval_of = partial(
        bootstrap_interval, ids=reranked.qids, group=query_group(task.suite.suite, task.card)
    )
    low, high = interval_of(difference)
    room = oracle.means[metric] - first.means[metric]
    gain = reranked.means[metric] - first.means[metric]
    counted = {name: reranked.means[name] for name in metrics}
    result = TaskResult(
        suite=task.suite.suite,
        task=task.card.name,
        language=task.card.language,
        dataset=_dataset_part(task.collection),
        protocol=_protocol_part(task.suite, task.card),
        primary_metric=metric,
        limit=task.limit,
        order=scored.order.name,
        candidates=CandidatesPart(
            first_stage=candidates.first_stage,
            settings=dict(candidates.settings),
            depth=candidates.depth,
            hash=candidates.hash,
            documents=len(candidates.docids),
            empty=int((np.diff(candidates.offsets) == 0).sum()),
            metrics=first.means,
            oracle=shown_oracle(oracle, metric),
        ),
        reranker=part,
        metrics=counted,
        interval={metric: interval_of(reranked.per_query[metric])},
        difference={metric: Difference(value=gain, low=low, high=high)},
        headroom=gain / room if room >= NO_HEADROOM else None,
        ties=TiesPart(
            queries=reranked.ties.queries,
            lowest=reranked.ties.lowest if ORACLE_METRIC in task.metrics else None,
            highest=reranked.ties.highest if ORACLE_METRIC in task.metrics else None,
        ),
        truncated=_truncated_part(scored.work, len(candidates)),
        blocks=_blocks_part(scored.work),
        answers=_answers_part(scored.work),
        cost=_cost_part(scored.work),
        environment=EnvironmentPart(
            versions=environment.versions(),
            hardware=environment.hardware(),
            command=environment.command(),
            seed=SEED,
            started=scored.started.isoformat(timespec="seconds"),
        ),
    )
    per_query = PerQuery(
        qids=reranked.qids,
        candidates=np.diff(candidates.offsets),
        reranked=reranked.per_query,
        first_stage=first.per_query[metric],
        oracle=oracle.per_query[metric],
    )
    write_result(options.results, result, run, per_query)
    return result


def query_group(suite: str, card: TaskCard) -> str:
    """Whose questions a task has: tasks of one group are resampled together."""
    return card.query_group or f"{suite}/{card.name}"


def shown_oracle(oracle: Evaluation, metric: str) -> dict[str, float]:
    """The ceilings that stand in a record: of the primary metric, and nDCG@10 where it exists."""
    names = dict.fromkeys((ORACLE_METRIC, metric))
    return {name: oracle.means[name] for name in names if name in oracle.means}


def evaluate_baseline(task: Task, baseline: Baseline) -> Evaluation:
    """A baseline's own order of the task's candidates, scored as any run of it is."""
    scores = baseline.scores(task.candidates, task.judgements)
    lists = [task.candidates.of(index)[0] for index in range(len(task.candidates))]
    run = Run.from_ranked(task.candidates.qids, list(zip(lists, scores, strict=True)))
    return evaluate_metrics(task.qrels, run, task.metrics)


def _dataset_part(collection: Collection) -> DatasetPart:
    return DatasetPart(
        fingerprint=collection.fingerprint,
        revision=collection.revision,
        split=collection.split,
        documents=collection.documents,
        queries=len(collection.queries),
        judgements=collection.judgements,
        missing_judged=collection.missing_judged,
        duplicate_documents=collection.corpus.duplicate_documents,
        empty_documents=collection.corpus.empty_documents,
    )


def _protocol_part(suite: Suite, card: TaskCard) -> ProtocolPart:
    return ProtocolPart(
        depth=suite.depth,
        relevance=card.relevance,
        join=card.join,
        self_retrieval=card.self_retrieval,
        corpus_language=card.text_language,
        query_group=card.query_group,
        published=suite.published_for(card),
        published_as=suite.published_as,
        paper_first_stage=suite.first_stage_of_paper(card),
        not_comparable=suite.not_comparable,
    )


def _truncated_part(work: ScoredWork | None, queries: int) -> TruncatedPart:
    if work is None or not work.scored_documents:
        return TruncatedPart(documents=0.0, queries=0.0)
    scored = sum(len(scores) for scores in work.scores)
    documents, asked = work.truncated_documents, work.truncated_queries
    return TruncatedPart(
        documents=None if documents is None else documents / scored,
        queries=None if asked is None else asked / queries,
    )


def _blocks_part(work: ScoredWork | None) -> BlocksPart | None:
    """None where no list was read as one."""
    if work is None or not work.blocks:
        return None
    several = sum(blocks > 1 for blocks in work.blocks)
    return BlocksPart(several=several / len(work.blocks), most=max(work.blocks))


def _answers_part(work: ScoredWork | None) -> AnswersPart | None:
    """None where nothing was generated and no service was asked."""
    if work is None or work.calls is None:
        return None
    return AnswersPart(
        calls=work.calls, malformed=work.malformed, tokens=work.tokens, billed=work.billed
    )


def _cost_part(work: ScoredWork | None) -> CostPart:
    seconds = work.seconds if work else 0.0
    tokens = work.tokens if work else None
    latencies = work.latencies if work else []
    p50, p95 = np.percentile(latencies, [50, 95]) * 1000 if latencies else (None, None)
    return CostPart(
        seconds=seconds,
        documents_per_s=work.scored_documents / seconds if work and seconds else None,
        tokens_per_s=tokens / seconds if tokens is not None and seconds else None,
        latency_ms=LatencyPart(p50=p50, p95=p95),
        peak_memory_bytes=environment.peak_memory_bytes(),
        model_calls=work.model_calls if work else 0,
        cached=work.cached if work else 0,
    )
