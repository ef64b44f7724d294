"""MKQA's questions in one language over the passages of another dataset.

Which questions count, and by which answers, is as in Contriever's preprocessing of MKQA
(Izacard et al. 2022, arXiv 2112.09118), which FlagEmbedding's C_MTEB/MKQA and so the paper's
evaluation follow: 6,619 of the 10,000 questions.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from ..cards import MkqaSource
from ..collection import RawDataset
from ..errors import DataError

WITHOUT_SHORT_ANSWER = ("unanswerable", "binary", "long_answer")


@dataclass(frozen=True)
class Question:
    """A question that has a short answer in English. line: where it stands in the file."""

    qid: str
    text: str
    answers: tuple[str, ...]
    line: int


def open_mkqa(source: MkqaSource, file: Path, sha256: str, corpus: RawDataset) -> RawDataset:
    """The questions of `file` (MKQA's own format, its digest `sha256`) over `corpus`.

    Raises DataError, when it is read, on a line that is not in that format.
    """

    shared = corpus.corpus_identity

    @cache
    def questions() -> tuple[Question, ...]:
        return tuple(read_questions(file, source.language))

    def locate(kind: Literal["document", "query", "judgement"], identifier: str) -> str:
        if kind == "document":
            return corpus.locate(kind, identifier)
        lines = [question.line for question in questions() if question.qid == identifier]
        return ", ".join(f"{file}:{line}" for line in lines) or str(file)

    return RawDataset(
        identity={
            "kind": "mkqa",
            "questions": sha256,
            "language": source.language,
            "corpus": corpus.identity,
        },
        revision=f"questions sha256:{sha256}; corpus {corpus.revision or 'local copy'}",
        documents=corpus.documents,
        queries=lambda: ((question.qid, question.text) for question in questions()),
        judgements=lambda: iter(()),
        locate=locate,
        answers=lambda: ((question.qid, question.answers) for question in questions()),
        # So that all languages, and the corpus's own task, share its texts and its index.
        corpus_identity=corpus.identity if shared is None else shared,
    )


def read_questions(file: Path, language: str) -> Iterator[Question]:
    """Questions in `language` with their accepted English answers, those without left out.

    A question counts if the last of its English answers is short (not unanswerable, yes/no or
    long): the reference's rule. Its answers are the aliases and texts of all short ones.
    """
    opened: Callable[..., Any] = gzip.open if file.suffix == ".gz" else open
    try:
        with opened(file, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    question = _question(line, language, f"{file}:{number}", number)
                    if question is not None:
                        yield question
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise DataError(
            f"The file of questions cannot be read: {error}.",
            where=str(file),
            next_step="fetch it again",
        ) from error


def _question(line: str, language: str, where: str, number: int) -> Question | None:
    try:
        record = json.loads(line)
        qid, texts = str(record["example_id"]), record["queries"]
        english = [
            (a["type"], a.get("text"), a.get("aliases") or []) for a in record["answers"]["en"]
        ]
        known = sorted(texts)
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
        raise DataError(
            f"The line is not in MKQA's format: {error!r}.",
            where=where,
            next_step="a line has example_id, queries by language, and answers with type and text",
        ) from error
    if language not in texts:
        raise DataError(
            f"The question has no language {language!r}.",
            where=where,
            next_step=f"the card's source may say one of: {', '.join(known)}",
        )
    if not english or english[-1][0] in WITHOUT_SHORT_ANSWER:
        return None
    short = [answer for answer in english if answer[0] not in WITHOUT_SHORT_ANSWER]
    accepted = [alias for _, text, aliases in short for alias in (*aliases, text) if alias]
    if not all(isinstance(answer, str) for answer in accepted):
        raise DataError("An answer is not a text.", where=where, next_step="fetch the file again")
    answers = tuple(dict.fromkeys(map(_clean, accepted)))
    return Question(qid, _clean(str(texts[language])), answers, number)


def _clean(text: str) -> str:
    """A lone surrogate (from a broken escape) is no character and could not be stored."""
    return text.encode("utf-8", "replace").decode()
