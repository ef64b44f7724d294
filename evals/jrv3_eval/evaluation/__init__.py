"""The main job: load tasks, take candidates, rerank, score, record."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..baselines import Baseline, parse_baseline
from ..cards import load_suite, select_tasks
from ..device import check_device
from ..engine.local import score_work
from ..engine.order import FIRST_STAGE, Order, parse_order
from ..engine.store import ScoreStore
from ..engine.work import work_list
from ..errors import UsageError
from ..first_stage import check_tasks, open_first_stage
from ..imported import ImportedRun, parse_imported
from ..metrics import warm_up_in_background
from ..paths import cache_root, check_writable
from ..progress import document_bar
from ..record import RerankerPart, TaskResult
from ..rerankers.protocol import Reranker
from ..rerankers.registry import open_reranker
from .judge import Scored, judge
from .task import Options, Task, prepare_task

__all__ = ["Options", "evaluate", "evaluate_suite"]

DOCUMENTS_PER_BATCH = 200
Ranker = Baseline | ImportedRun | Reranker


def evaluate(
    suite: str,
    model: str | Sequence[str] | None = None,
    *,
    tasks: str | Sequence[str] = (),
    languages: str | Sequence[str] = (),
    first_stage: str | None = None,
    depth: int | None = None,
    limit: int | None = None,
    order: str = "first-stage",
    results: str | Path = "results/runs",
    data_dir: str | Path | None = None,
    tasks_dir: str | Path | None = None,
    settings: Mapping[str, str] | None = None,
) -> list[TaskResult]:
    """Judge models on a suite: one result a (task, model), also written under `results`.

    model: one SPEC or several (a folder, a hub id, `family:target`, `run:FILE`, `none`,
    `oracle`, `random:SEED`); None takes the suite's own. What is left out is the suite's
    own protocol.
    order: in which models see the candidates, `first-stage`, `reverse` or `random:SEED`.
    settings: of the reranker, as `--set` gives them. Raises Jrv3EvalError; bad input never
    yields a number.
    """
    options = Options(
        tasks=(tasks,) if isinstance(tasks, str) else tuple(tasks),
        languages=(languages,) if isinstance(languages, str) else tuple(languages),
        first_stage=first_stage,
        depth=depth,
        limit=limit,
        order=order,
        results=Path(results),
        data_dir=None if data_dir is None else Path(data_dir),
        tasks_dir=None if tasks_dir is None else Path(tasks_dir),
        settings=settings or {},
    )
    return evaluate_suite(suite, [model] if isinstance(model, str) else list(model or []), options)


def evaluate_suite(suite: str, models: Sequence[str], options: Options) -> list[TaskResult]:
    """The same from one value of options, as the command line has them."""
    loaded = load_suite(suite, options.tasks_dir)
    specs = list(models)
    if not specs:
        if loaded.model is None:
            raise UsageError(
                f"Suite {suite!r} has no default model.",
                next_step="name one: --model DIR, --model HUB-ID, or --model none",
            )
        specs = [loaded.model]
    cards = select_tasks(loaded, options.tasks, options.languages)
    for name, value in (("depth", options.depth), ("limit", options.limit)):
        if value is not None and value < 1:
            raise UsageError(f"--{name} must be 1 or more, not {value}.")
    order = parse_order(options.order)
    check_writable(options.results)
    cache = cache_root()
    device = check_device(options.settings.get("device", "auto"))
    stage = open_first_stage(options.first_stage or loaded.first_stage, cache=cache, device=device)
    check_tasks(stage, loaded, cards)
    # Every name, dataset and candidate set is checked before the first model call.
    rankers = [
        parse_baseline(name) or parse_imported(name) or open_reranker(name, options.settings)
        for name in specs
    ]
    for ranker in rankers:
        if isinstance(ranker, ImportedRun):
            for card in cards:
                ranker.file(loaded, card)
    _refuse_idle_options(options, order, rankers)
    warm_up = warm_up_in_background()
    tasks = [prepare_task(loaded, card, stage, options, cache) for card in cards]
    del stage  # and its model, where it has one
    results: list[list[TaskResult]] = [[] for _ in tasks]
    while rankers:
        ranker = rankers.pop(0)  # a model is let go before the next one loads
        for task, collected in zip(tasks, results, strict=True):
            scored, part = _rank(task, ranker, order, cache)
            warm_up.join()
            collected.append(judge(task, part, scored, options))
    return [result for collected in results for result in collected]


def _refuse_idle_options(options: Options, order: Order, rankers: Sequence[Ranker]) -> None:
    """Raises UsageError on what only a model could heed, where there is none."""
    if not all(isinstance(ranker, Baseline | ImportedRun) for ranker in rankers):
        return
    if order != FIRST_STAGE:
        raise UsageError(
            f"The order {order.name} was given, but no model that could see it.",
            next_step="leave out --order, or name a model",
        )
    idle = sorted(set(options.settings) - {"device"})
    if idle:
        raise UsageError(
            f"Settings were given ({', '.join(idle)}), but no model that could use them.",
            next_step="leave out --set, or name a model",
        )


def _rank(task: Task, ranker: Ranker, order: Order, cache: Path) -> tuple[Scored, RerankerPart]:
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
        scores = ranker.scores(task.candidates, task.judgements)
        # It reads no text, so that there is nothing to show it in another order.
        return Scored(scores, None, FIRST_STAGE, started), part
    if isinstance(ranker, ImportedRun):
        part = RerankerPart(
            name=ranker.name,
            family="run",
            listwise=False,
            revision=None,
            weights=ranker.digest(task.suite, task.card),
            settings={},
        )
        given = ranker.scores(task.suite, task.card, task.candidates)
        return Scored(given, None, FIRST_STAGE, started), part
    info = ranker.info
    units = work_list(task.collection, task.candidates, order)
    name = f"{task.suite.suite}-{task.card.name}"
    store_path = cache / "scores" / info.fingerprint[:32] / f"{name}.shard0.sqlite"
    total = sum(len(unit.request.documents) for unit in units)
    documents_per_batch = int(info.settings.get("batch_documents") or DOCUMENTS_PER_BATCH)
    with (
        ScoreStore(store_path) as store,
        document_bar(f"{name}  {info.name}", total) as bar,
    ):
        work = score_work(units, ranker, store, documents_per_batch, bar)
    pairs = zip(units, work.scores, strict=True)
    scores = [order.restore(unit.request.qid, as_seen) for unit, as_seen in pairs]
    part = RerankerPart(
        name=info.name,
        family=info.family,
        listwise=info.listwise,
        revision=info.revision,
        weights=info.weights,
        settings={**info.settings, "device": info.versions.get("device")},
        unpinned=not info.pinned,
    )
    return Scored(scores, work, order, started), part
