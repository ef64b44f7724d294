"""TREC runs and qrels on disk, plain or .gz.

A run has six columns, `qid Q0 docid rank score tag`; its rank column is ignored, since
only scores rank. Qrels are TREC's `qid 0 docid relevance` or BEIR's TSV with a header.
Ids are taken as they stand: nothing is unquoted, and "007", "1e5" and "NA" stay strings.
White space separates columns. Where the first line has all its columns set apart by single
tabs, only tabs do, so that ids with spaces survive.
"""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from jrv3_eval.errors import DataError
from jrv3_eval.metrics.columns import Qrels, Run
from jrv3_eval.metrics.order import rank_lists_by_rule
from jrv3_eval.paths import atomic_path

RUN_COLUMNS, QRELS_COLUMNS, BEIR_COLUMNS = 6, 4, 3
_OVERFLOW = (2 - 2**-24) * 2.0**127  # the smallest number that float32 rounds to infinity
_WRITABLE = re.compile("(?! )[^\t\n\r\v\f\ud800-\udfff]+(?<! )")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_HEADER_FIRST = {b"query-id", b"qid", b"query_id", b"queryid"}
_HEADER_LAST = {b"score", b"relevance", b"rel", b"label", b"judgement", b"judgment", b"grade"}


class _Table(NamedTuple):
    """Lines with their numbers, how to split one, and the columns of the first."""

    lines: Iterator[tuple[int, bytes]]
    split: Callable[[bytes], list[bytes]]
    columns: int


def read_run(path: str | Path) -> Run:
    """Read a TREC run; leading lines that start with `#` are skipped."""
    lists: dict[str, dict[str, float]] = {}
    last: bytes | None = None
    scores: dict[str, float] = {}
    # One plain loop: for two million lines it beats pandas, and it knows its line.
    with _table(path, comments=True) as (lines, split, _):
        for number, line in lines:
            try:
                qid, _, name, _, score, _ = split(line)
                if b"_" in score:  # float reads 1_0 as 10
                    raise ValueError
                docid, value = name.decode(), float(score)
                if qid != last:
                    scores, last = lists.setdefault(qid.decode(), {}), qid
            except ValueError as error:
                raise _broken(path, number, split(line), RUN_COLUMNS, "score", 4) from error
            if docid in scores:
                raise _at(path, number, f"Document {docid!r} appears twice for a query.")
            if not -_OVERFLOW < value < _OVERFLOW:  # also false for NaN
                raise _at(path, number, f"The score is not a finite float32: {value}.")
            scores[docid] = value
    return Run.from_dict(lists)


def read_qrels(path: str | Path) -> Qrels:
    """Read TREC qrels or a BEIR TSV. A judgement that is repeated unchanged counts once.

    The first line is a header if a usual column name stands in its last or first column.
    """
    lists: dict[str, dict[str, int]] = {}
    with _table(path, comments=False) as (lines, split, found):
        columns = found if found == BEIR_COLUMNS else QRELS_COLUMNS
        for place, (number, line) in enumerate(lines):
            fields = split(line)
            try:
                if len(fields) != columns:
                    raise ValueError
                qid, docid = fields[0].decode(), fields[-2].decode()
                relevance = _whole(fields[-1])
            except ValueError as error:
                if place == 0 and len(fields) == columns and _is_header(fields):
                    continue
                raise _broken(path, number, fields, columns, "relevance", -1) from error
            if not -(2**31) <= relevance < 2**31:
                raise _at(path, number, f"The relevance is beyond 32 bits: {relevance}.")
            if lists.setdefault(qid, {}).setdefault(docid, relevance) != relevance:
                raise _at(path, number, f"Document {docid!r} has two different judgements.")
    return Qrels.from_dict(lists)


def write_run(
    path: str | Path, run: Run, *, tag: str = "jrv3-eval", header: Sequence[str] = ()
) -> None:
    """Write a run, ranked by the tie rule; whole or not at all; the same bytes each time.

    header: lines of ir_metadata YAML, written as leading comments. A path that ends in .gz
    is compressed. Scores read back as the same float32. If an id has a space, the file is
    separated by tabs, which `read_run` understands and trec_eval does not.
    """
    separator = _separator(run, tag)
    line = separator.join(("%s", "Q0", "%s", "%d", "%.9g", "%s")) + "\n"
    order = rank_lists_by_rule(run.docids, run.scores, run.offsets)
    docids, scores = run.docids[order].tolist(), run.scores[order].tolist()
    bounds = run.offsets.tolist()
    text = io.StringIO()
    comments = "\n".join(header).split("\n") if header else []
    text.writelines(f"# {comment}".rstrip() + "\n" for comment in comments)
    for i, qid in enumerate(run.qids):
        for rank, row in enumerate(range(bounds[i], bounds[i + 1]), start=1):
            text.write(line % (qid, docids[row], rank, scores[row], tag))
    content = text.getvalue().encode()
    with atomic_path(Path(path)) as temporary:
        temporary.write_bytes(_gzip(content) if Path(path).suffix == ".gz" else content)


@contextmanager
def reading(path: str | Path) -> Iterator[BinaryIO]:
    """A file's bytes, unzipped where it ends in .gz. Raises DataError where it cannot be read."""
    try:
        with Path(path).open("rb") as stream:
            if Path(path).suffix == ".gz":
                yield cast(BinaryIO, gzip.GzipFile(fileobj=stream))
            else:
                yield stream
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(
            f"The file is cut short or is not gzip: {error}",
            where=str(path),
            next_step="fetch or write it again",
        ) from error
    except OSError as error:
        raise DataError(f"Cannot read the file: {error.strerror}.", where=str(path)) from error


@contextmanager
def _table(path: str | Path, *, comments: bool) -> Iterator[_Table]:
    """The lines of a file without blank ones, a byte order mark and, if asked, leading comments."""
    with reading(path) as stream:
        numbered = enumerate(stream, start=1)
        number, first = 0, b""
        for number, line in numbered:
            line = line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line
            if line.strip() and not (comments and line.startswith(b"#")):
                first = line
                break
        tabbed = first.count(b"\t") + 1
        by_tabs = tabbed in (RUN_COLUMNS, QRELS_COLUMNS, BEIR_COLUMNS)
        rest = ((number, line) for number, line in numbered if not line.isspace())
        yield _Table(
            chain([(number, first)] if first else [], rest),
            _split_tabs if by_tabs else bytes.split,
            tabbed if by_tabs else len(first.split()),
        )


def _split_tabs(line: bytes) -> list[bytes]:
    # An empty column is a missing one, as it is between spaces.
    return [field for field in map(bytes.strip, line.split(b"\t")) if field]


def _whole(field: bytes) -> int:
    """A whole number, also where it is written as 1.0; ValueError for anything else."""
    if b"_" in field:  # float reads 1_0 as 10
        raise ValueError("not a whole number")
    value = float(field)
    if not value.is_integer():
        raise ValueError(f"not a whole number: {value}")
    return int(value)


def _is_header(fields: list[bytes]) -> bool:
    return fields[-1].lower() in _HEADER_LAST or fields[0].lower() in _HEADER_FIRST


def _at(path: str | Path, number: int, what: str) -> DataError:
    return DataError(what, where=f"{path}:{number}", next_step="correct or remove the line")


def _broken(
    path: str | Path, number: int, fields: list[bytes], columns: int, name: str, column: int
) -> DataError:
    """Why a line could not be read."""
    if len(fields) != columns:
        return _at(path, number, f"Expected {columns} columns, found {len(fields)}.")
    try:
        b" ".join(fields).decode()
    except UnicodeDecodeError:
        return _at(path, number, "The line is not UTF-8.")
    kind = "number" if name == "score" else "whole number"
    return _at(path, number, f"The {name} is not a {kind}: {fields[column].decode()!r}.")


def is_writable_id(identifier: str) -> bool:
    """Whether an id can be written to a run and read back."""
    return _WRITABLE.fullmatch(identifier) is not None


def _separator(run: Run, tag: str) -> str:
    """A space, or a tab if an id has a space; a DataError if no reader could get an id back."""
    names = {*run.qids, *run.docids.tolist(), tag}
    wrong = [name for name in names if not is_writable_id(name)]
    wrong += [qid for qid in run.qids[:1] if qid.startswith("#")]  # would read as a comment
    if wrong:
        raise DataError(
            "An id cannot be written to a TREC run: it is empty, has a tab or line break, begins "
            "with # or a space, ends with a space, or is not Unicode text.",
            where=repr(min(wrong)),
            next_step="rename it in the dataset",
        )
    return "\t" if any(" " in name for name in names) else " "


def _gzip(content: bytes) -> bytes:
    packed = io.BytesIO()
    # No time and no file name in its header: equal runs are equal files.
    with gzip.GzipFile("", "wb", compresslevel=6, fileobj=packed, mtime=0) as stream:
        stream.write(content)
    return packed.getvalue()
