"""The main job: load tasks, take candidates, rerank, score, record."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from . import environment
from .baselines import Baseline, parse_baseline
from .candidates import CandidateSet
from .cards import Suite, TaskCard, load_suite, select_tasks
from .collection import Collection
from .engine.local import ScoredWork, score_work
from .engine.store import ScoreStore
from .engine.work import work_list
from .errors import UsageError
from .first_stage import FirstStage, open_first_stage, take_candidates
from .hashing import hash_text
from .metrics import (
    DEFAULT_METRICS,
    Evaluation,
    Qrels,
    Run,
    warm_up_in_background,
)
from .metrics import evaluate as evaluate_metrics
from .paths import cache_root, check_writable
from .progress import document_bar
from .record import (
    CandidatesPart,
    CostPart,
    DatasetPart,
    Difference,
    EnvironmentPart,
    LatencyPart,
    PerQuery,
    RerankerPart,
    TaskResult,
    TiesPart,
    TruncatedPart,
    write_result,
)
from .rerankers.protocol import Reranker
from .rerankers.registry import open_reranker
from .sources import load_collection
from .statistics import SEED, bootstrap_interval

ORACLE_METRIC = "ndcg@10"
NO_HEADROOM = 1e-6


@dataclass(frozen=True)
class Options:
    """How to evaluate; the defaults are the suite's own protocol."""

    tasks: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    first_stage: str | None = None
    depth: int | None = None
    limit: int | None = None
    results: Path = Path("results/runs")
    data_dir: Path | None = None
    tasks_dir: Path | None = None
    settings: Mapping[str, str] = field(default_factory=dict)


def evaluate(
    suite: str, models: str | Sequence[str] | None = None, options: Options | None = None
) -> list[TaskResult]:
    """Judge models on a suite: one result a (model, task), also written under options.results.

    models: SPECs (a folder, a hub id, `family:target`, `none`, `oracle`, `random:SEED`);
    None takes the suite's own. Raises Jrv3EvalError; bad input never yields a number.
    """
    options = options or Options()
    loaded = load_suite(suite, options.tasks_dir)
    specs = [models] if isinstance(models, str) else list(models or [])
    if not specs:
        if loaded.model is None:
            raise UsageError(
                f"Suite {suite!r} has no default model.",
                next_step="name one: --model DIR, --model HUB-ID, or --model none",
            )
        specs = [loaded.model]
    cards = select_tasks(loaded, options.tasks, options.languages)
    if (options.depth is not None and options.depth < 1) or (options.limit or 1) < 1:
        raise UsageError("--depth and --limit must be 1 or more.")
    check_writable(options.results)
    cache = cache_root()
    device = options.settings.get("device", "auto")
    spec = options.first_stage or loaded.first_stage
    stage = open_first_stage(spec, cache=cache, device=device)
    rankers = [parse_baseline(name) or open_reranker(name, options.settings) for name in specs]
    warm_up = warm_up_in_background()
    results = []
    for card in cards:
        task = _prepare(loaded, card, stage, options, cache)
        for ranker in rankers:
            scored, part = _rank(task, ranker, cache)
            warm_up.join()
            results.append(_record(task, part, scored, options))
    return results


@dataclass(frozen=True)
class _Task:
    """One task, ready to be reranked."""

    suite: Suite
    card: TaskCard
    collection: Collection
    candidates: CandidateSet
    qrels: Qrels


def _prepare(
    suite: Suite, card: TaskCard, stage: FirstStage, options: Options, cache: Path
) -> _Task:
    collection = load_collection(suite, card, cache=cache, data_dir=options.data_dir)
    depth = options.depth or suite.depth
    candidates = take_candidates(stage, collection, suite, card, depth, cache)
    qids = list(collection.queries)
    if options.limit is not None and options.limit < len(qids):
        # A stable sample, not the first ones: files are often sorted by topic.
        chosen = set(sorted(qids, key=hash_text)[: options.limit])
        qids = [qid for qid in qids if qid in chosen]
        candidates = candidates.select(qids)
    qrels = Qrels.from_dict({qid: collection.qrels[qid] for qid in qids})
    return _Task(suite, card, collection, candidates, qrels)


@dataclass(frozen=True)
class _Scored:
    """Scores aligned with the candidates; work is None for a baseline."""

    scores: list[NDArray[np.float32]]
    work: ScoredWork | None
    started: datetime.datetime


def _rank(task: _Task, ranker: Baseline | Reranker, cache: Path) -> tuple[_Scored, RerankerPart]:
    started = datetime.datetime.now(datetime.UTC)
    if isinstance(ranker, Baseline):
        part = RerankerPart(
            name=ranker.name,
            family="baseline",
            listwise=False,
            revision=None,
            weights=None,
            settings={} if ranker.seed is None else {"seed": ranker.seed},
        )
        return _Scored(ranker.scores(task.candidates, task.collection.qrels), None, started), part
    info = ranker.info
    units = work_list(task.collection, task.candidates)
    name = f"{task.suite.suite}-{task.card.name}"
    store_path = cache / "scores" / info.fingerprint[:32] / f"{name}.shard0.sqlite"
    total = sum(len(unit.request.documents) for unit in units)
    with (
        ScoreStore(store_path) as store,
        document_bar(f"{name}  {info.name}", total) as advance,
    ):
        work = score_work(units, ranker, store, int(info.settings["batch_documents"] or 1), advance)
    part = RerankerPart(
        name=info.name,
        family=info.family,
        listwise=info.listwise,
        revision=info.revision,
        weights=info.weights,
        settings=dict(info.settings),
    )
    return _Scored(work.scores, work, started), part


def _record(task: _Task, part: RerankerPart, scored: _Scored, options: Options) -> TaskResult:
    candidates = task.candidates
    lists = [candidates.of(index) for index in range(len(candidates))]
    run = Run.from_ranked(
        candidates.qids,
        [(ids, scores) for (ids, _), scores in zip(lists, scored.scores, strict=True)],
    )
    metric = task.suite.metric
    metrics = tuple(dict.fromkeys((*DEFAULT_METRICS, metric)))
    reranked = evaluate_metrics(task.qrels, run, metrics)
    first = _baseline_evaluation(task, Baseline("none"), metrics)
    oracle = _baseline_evaluation(task, Baseline("oracle"), metrics)
    difference = reranked.per_query[metric] - first.per_query[metric]
    low, high = bootstrap_interval(difference)
    room = oracle.means[metric] - first.means[metric]
    gain = reranked.means[metric] - first.means[metric]
    counted = {name: reranked.means[name] for name in metrics}
    result = TaskResult(
        suite=task.suite.suite,
        task=task.card.name,
        language=task.card.language,
        dataset=_dataset_part(task.collection),
        primary_metric=metric,
        limit=options.limit,
        order="first-stage",
        candidates=CandidatesPart(
            first_stage=candidates.first_stage,
            settings=dict(candidates.settings),
            depth=candidates.depth,
            hash=candidates.hash,
            documents=len(candidates.docids),
            empty=int((np.diff(candidates.offsets) == 0).sum()),
            metrics=first.means,
            oracle={name: oracle.means[name] for name in dict.fromkeys((ORACLE_METRIC, metric))},
        ),
        reranker=part,
        metrics=counted,
        interval={metric: bootstrap_interval(reranked.per_query[metric])},
        difference={metric: Difference(value=gain, low=low, high=high)},
        headroom=gain / room if room >= NO_HEADROOM else None,
        ties=TiesPart(
            queries=reranked.ties.queries,
            lowest=reranked.ties.lowest,
            highest=reranked.ties.highest,
        ),
        truncated=_truncated_part(scored.work, len(candidates)),
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


def _baseline_evaluation(task: _Task, baseline: Baseline, metrics: Sequence[str]) -> Evaluation:
    scores = baseline.scores(task.candidates, task.collection.qrels)
    lists = [task.candidates.of(index)[0] for index in range(len(task.candidates))]
    run = Run.from_ranked(task.candidates.qids, list(zip(lists, scores, strict=True)))
    return evaluate_metrics(task.qrels, run, metrics)


def _dataset_part(collection: Collection) -> DatasetPart:
    return DatasetPart(
        fingerprint=collection.fingerprint,
        revision=collection.revision,
        split=collection.split,
        documents=collection.documents,
        queries=len(collection.queries),
        judgements=collection.judgements,
        missing_judged=collection.missing_judged,
        duplicate_documents=collection.duplicate_documents,
        empty_documents=collection.empty_documents,
    )


def _truncated_part(work: ScoredWork | None, queries: int) -> TruncatedPart:
    if work is None or not work.scored_documents:
        return TruncatedPart(documents=0.0, queries=0.0)
    scored = sum(len(scores) for scores in work.scores)
    return TruncatedPart(
        documents=work.truncated_documents / scored, queries=work.truncated_queries / queries
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
