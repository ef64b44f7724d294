"""A reranking that was made elsewhere: `--model run:FILE` takes its scores for the candidates."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .candidates import CandidateSet
from .cards import Suite, TaskCard
from .errors import DataError
from .first_stage.files import file_of_task
from .first_stage.run_formats import ENDINGS, FORMATS, read_any_run
from .hashing import digest_file
from .metrics import Run

PREFIX = "run:"
ENDING = re.compile(r"(\.(trec|run|txt|tsv|json|parquet|gz))+$")


@dataclass(frozen=True)
class ImportedRun:
    """`run:FILE` for one task, or a folder with one file a task, as a first stage takes them."""

    path: Path

    @property
    def name(self) -> str:
        """The file's or folder's name without the endings of runs."""
        return ENDING.sub("", self.path.name)

    def file(self, suite: Suite, card: TaskCard) -> Path:
        """The file of this task. Raises DataError where there is none."""
        path = file_of_task(self.path, suite, card, ENDINGS) if self.path.is_dir() else self.path
        if not path.is_file():
            raise DataError("The run file does not exist.", where=str(path), next_step=FORMATS)
        return path

    def digest(self, suite: Suite, card: TaskCard) -> str:
        """SHA-256 of the task's file: what stands for the weights."""
        return digest_file(self.file(suite, card))

    def scores(
        self, suite: Suite, card: TaskCard, candidates: CandidateSet
    ) -> list[NDArray[np.float32]]:
        """The run's scores, one float32 array a query, aligned with its candidates.

        Raises DataError where the run lacks a candidate or ranks other documents: it then is
        no reranking of these candidates.
        """
        path = self.file(suite, card)
        run = read_any_run(path, card)
        lists = (candidates.of(index)[0] for index in range(len(candidates)))
        pairs = zip(candidates.qids, lists, strict=True)
        return [self._aligned(run, qid, docids, path) for qid, docids in pairs]

    def _aligned(self, run: Run, qid: str, docids: list[str], path: Path) -> NDArray[np.float32]:
        index = run.index.get(qid)
        scores: dict[str, float] = {}
        if index is not None:
            rows = slice(run.offsets[index], run.offsets[index + 1])
            scores = dict(zip(run.docids[rows].tolist(), run.scores[rows].tolist(), strict=True))
        missing = [docid for docid in docids if docid not in scores]
        others = len(scores) - (len(docids) - len(missing))
        if missing or others:
            what = (
                f"has no score for {len(missing)} of {len(docids)} candidates "
                f"of query {qid!r}, such as {missing[0]!r}"
                if missing
                else f"ranks {others} documents for query {qid!r} that are no candidates"
            )
            raise DataError(
                f"The run {what}.",
                where=str(path),
                next_step="name the candidates that it reranked: --first-stage run:FILE --depth N",
            )
        return np.array([scores[docid] for docid in docids], np.float32)


def parse_imported(spec: str) -> ImportedRun | None:
    """The run that a model SPEC names, or None if it names something else."""
    if not spec.startswith(PREFIX):
        return None
    path = Path(spec.removeprefix(PREFIX)).expanduser()
    if not path.exists():
        raise DataError("The run file does not exist.", where=str(path), next_step=FORMATS)
    return ImportedRun(path)
