"""Candidate sets for others: built with their quality, refused for another dataset version."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ..baselines import Baseline
from ..candidates import Manifest, save_candidates
from ..cards import load_suite, select_tasks
from ..errors import DataError
from ..first_stage import check_tasks, open_first_stage
from ..paths import cache_root, check_writable
from ..sources import load_collection
from .judge import evaluate_baseline, shown_oracle
from .task import Options, prepare_task

SHOWN = ("ndcg@10", "recall@100", "success@10", "success@100")


def build_sets(suite: str, to: Path, options: Options) -> Iterator[tuple[Path, Manifest]]:
    """Write the candidates of each task as `<suite>-<task>.parquet`, one after the other."""
    loaded = load_suite(suite, options.tasks_dir)
    cards = select_tasks(loaded, options.tasks, options.languages)
    check_writable(to)
    cache = cache_root()
    device = options.settings.get("device", "auto")
    stage = open_first_stage(options.first_stage or loaded.first_stage, cache=cache, device=device)
    check_tasks(stage, loaded, cards)
    for card in cards:
        task = prepare_task(loaded, card, stage, options, cache)
        first = evaluate_baseline(task, Baseline("none")).means
        deepest = min(task.candidates.depth, 100)
        metrics = {
            f"{name.partition('@')[0]}@{deepest}" if name.endswith("@100") else name: first[name]
            for name in SHOWN
            if name in first
        }
        oracle = shown_oracle(evaluate_baseline(task, Baseline("oracle")), loaded.metric)
        path = to / f"{loaded.suite}-{card.name}.parquet"
        manifest = save_candidates(
            task.candidates,
            path,
            suite=loaded.suite,
            task=card.name,
            metrics=metrics,
            oracle=oracle,
        )
        yield path, manifest


def refuse_other_datasets(
    bundle: Path, manifests: Sequence[Manifest], *, data_dir: Path | None, tasks_dir: Path | None
) -> None:
    """Raise DataError where a set was built for another dataset version than is here."""
    for manifest in manifests:
        suite = load_suite(manifest.suite, tasks_dir)
        [card] = select_tasks(suite, (manifest.task,))
        collection = load_collection(suite, card, cache=cache_root(), data_dir=data_dir)
        if collection.fingerprint != manifest.dataset:
            raise DataError(
                f"The candidates of {manifest.suite}-{manifest.task} were built for dataset "
                f"{manifest.dataset[:12]}, but here it is {collection.fingerprint[:12]}.",
                where=str(bundle),
                next_step="use the dataset version that they were built for",
            )
