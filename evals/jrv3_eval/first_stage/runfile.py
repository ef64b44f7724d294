"""Candidates from runs, read by their scores and the tie rule, not by their ranks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..candidates import CandidateSet
from ..cards import Suite, TaskCard
from ..collection import Collection
from ..errors import DataError, UsageError
from ..hashing import digest_file
from ..metrics import Run, rank_by_rule
from .files import file_of_task
from .listing import list_candidates
from .run_formats import ENDINGS, FORMATS, read_any_run
from .stage import FirstStage


class Runs:
    """`run:FILE` for one task, or a folder with one file a task."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._task: str | None = None

    def for_task(self, suite: Suite, card: TaskCard) -> FirstStage:
        """The run of this task. Raises DataError where there is none, or more than one.

        One file is one task's: tasks with the same query ids, as MKQA's languages, would else
        be scored by a run of another.
        """
        if self.path.is_dir():
            return RunFile(file_of_task(self.path, suite, card, ENDINGS))
        if self._task not in (None, card.name):
            raise UsageError(
                f"One run was given for several tasks: {self._task}, {card.name}.",
                where=str(self.path),
                next_step="name one task with --tasks, or give a folder with one run a task",
            )
        self._task = card.name
        return RunFile(self.path)


@dataclass(frozen=True)
class RunFile:
    """The run of one task, gzipped or not, in one of the formats of `run_formats`."""

    path: Path
    cached: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """`run-` and the file's name without its endings."""
        return f"run-{self.path.name.partition('.')[0]}"

    def settings(self, card: TaskCard) -> dict[str, Any]:
        """The file's name and content hash."""
        return {
            "file": self.path.name,
            "sha256": digest_file(self.path),
            "self_retrieval": card.self_retrieval,
        }

    def retrieve(self, collection: Collection, card: TaskCard, depth: int) -> CandidateSet:
        """The run's best `depth` documents for every judged query; lists may be empty.

        Queries of the run that the task does not judge are left out. Raises DataError on a
        document that the corpus has not, and where no query of the task is in the run.
        """
        if not self.path.is_file():
            raise DataError("The run file does not exist.", where=str(self.path), next_step=FORMATS)
        run = read_any_run(self.path, card)
        if not any(qid in run.index for qid in collection.queries):
            raise DataError(
                f"The run has none of the {len(collection.queries)} queries of task {card.name!r}.",
                where=str(self.path),
                next_step="name a run for this task and split",
            )
        self._refuse_unknown(run, collection, card)
        lists: list[tuple[list[str], NDArray[np.float32]]] = []
        for qid in collection.queries:
            index = run.index.get(qid)
            if index is None:
                lists.append(([], np.empty(0, np.float32)))
                continue
            rows = slice(run.offsets[index], run.offsets[index + 1])
            docids, scores = run.docids[rows], run.scores[rows]
            order = rank_by_rule(docids.tolist(), scores)
            if card.self_retrieval == "remove":
                order = order[docids[order] != qid]  # before the cut
            order = order[:depth]
            lists.append((docids[order].tolist(), scores[order]))
        return list_candidates(self, collection, card, depth, lists)

    def _refuse_unknown(self, run: Run, collection: Collection, card: TaskCard) -> None:
        rows = collection.rows(run.docids.tolist())
        for index, qid in enumerate(run.qids):
            if qid not in collection.queries:
                continue
            part = rows[run.offsets[index] : run.offsets[index + 1]]
            if len(part) and part.min() < 0:
                docid = run.docids[run.offsets[index] + int(np.argmin(part))]
                raise DataError(
                    f"The run names document {docid!r} for query {qid!r}, "
                    f"but the corpus of task {card.name!r} has no such document.",
                    where=str(self.path),
                    next_step="name a run over this dataset version",
                )
