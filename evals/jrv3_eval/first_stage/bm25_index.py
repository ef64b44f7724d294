"""A BM25 index in shards of documents, on disk and memory-mapped.

The scores are bm25s' (Lu 2024, arXiv 2407.03618): computed when the index is built, summed when
it is asked. Document frequencies and the mean length are the whole corpus's, so that a score
does not depend on the shards, bit for bit; memory grows with a shard and the vocabulary.
"""

from __future__ import annotations

import json
import math
import shutil
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..collection import Corpus, build_folder, rows_of
from ..hashing import digest_json
from ..progress import document_bar

FORMAT = 2
INDEX = "shards.json"
SHARD_TOKENS = 8_000_000  # bounds what is sorted at once to some hundreds of megabytes
VOCABULARY_ROWS = 65536
Terms = Callable[[str], list[str]]


@dataclass(frozen=True)
class Shard:
    """Postings of the documents first:first + documents, term by term.

    terms: int32 [t], ascending. starts: int64 [t + 1] into rows (int32, from `first`) and
    scores (float32).
    """

    first: int
    documents: int
    terms: NDArray[np.int32]
    starts: NDArray[np.int64]
    rows: NDArray[np.int32]
    scores: NDArray[np.float32]

    def add(self, wanted: NDArray[np.int64], total: NDArray[np.float32]) -> bool:
        """Add the scores of these terms, in their order; whether any document has one."""
        if not len(self.terms):
            return False
        places = np.searchsorted(self.terms, wanted)
        places = np.minimum(places, len(self.terms) - 1)
        found = places[self.terms[places] == wanted]
        for place in found:
            start, end = self.starts[place], self.starts[place + 1]
            total[self.rows[start:end]] += self.scores[start:end]  # a row once a term
        return bool(len(found))


@dataclass(frozen=True)
class BM25Index:
    """An index on disk: its vocabulary and its shards."""

    folder: Path
    shards: tuple[int, ...]

    def term_ids(self, terms: Sequence[str]) -> NDArray[np.int64]:
        """Ids of terms, -1 where no document has one. The vocabulary streams past."""
        with pa.memory_map(str(self.folder / "vocabulary.arrow")) as source:
            known = pa.ipc.open_file(source).read_all().column("term")
        return rows_of(known, pa.array(terms, pa.large_string()))

    def iter_shards(self) -> Iterator[Shard]:
        """The shards, each opened when its turn comes."""
        for number, (first, end) in enumerate(pairwise(self.shards)):
            files = {
                name: np.load(self.folder / f"{number}.{name}.npy", mmap_mode="r")
                for name in ("terms", "starts", "rows", "scores")
            }
            yield Shard(first, end - first, **files)


def open_index(
    corpus: Corpus,
    terms: Terms,
    identity: Mapping[str, Any],
    *,
    k1: float,
    b: float,
    shard_tokens: int = SHARD_TOKENS,
) -> BM25Index:
    """The corpus's index with these terms, k1 and b; built where it is not, or is not whole.

    identity: all that the terms depend on (the analysis and its libraries' versions). The index
    stands in the corpus's folder in the cache and may be deleted. Raises StorageError where it
    cannot be written.
    """
    key = digest_json([FORMAT, dict(identity), k1, b])[:16]
    folder = corpus.folder / f"bm25-{key}"
    firsts = _whole(folder)
    if firsts is None:
        shutil.rmtree(folder, ignore_errors=True)  # what a deletion or a full disk left
        build_folder(folder, lambda work: _build(corpus, terms, work, k1, b, shard_tokens))
        firsts = _whole(folder) or ()
    return BM25Index(folder, firsts)


def _whole(folder: Path) -> tuple[int, ...] | None:
    """First rows of the shards, and the end; None unless every file is as long as it was."""
    try:
        content = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
        if all(sizes.get(name) == size for name, size in content["sizes"].items()):
            return tuple(content["firsts"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        pass
    return None


def _build(
    corpus: Corpus, terms: Terms, work: Path, k1: float, b: float, shard_tokens: int
) -> None:
    """First the counts of each shard, then, when the whole corpus is known, the scores."""
    vocabulary: dict[str, int] = {}
    frequencies = np.zeros(0, np.int64)
    firsts, tokens = [0], 0
    with document_bar("index for BM25", corpus.documents) as bar:
        for number, (ids, lengths) in enumerate(
            _shards(corpus, terms, vocabulary, shard_tokens, bar.advance)
        ):
            found, counts = _count(work, number, ids, lengths)
            frequencies = np.pad(frequencies, (0, len(vocabulary) - len(frequencies)))
            frequencies[found] += counts
            firsts.append(firsts[-1] + len(lengths))
            tokens += len(ids)
    _write_vocabulary(work / "vocabulary.arrow", vocabulary)
    vocabulary.clear()
    idf = _idf(frequencies, corpus.documents)
    mean = np.float64(tokens or 1) / corpus.documents  # no token: no score, but no 0/0
    for number in range(len(firsts) - 1):
        _score(work, number, idf, mean, k1, b)
    sizes = {path.name: path.stat().st_size for path in sorted(work.iterdir())}
    content = json.dumps({"firsts": firsts, "sizes": sizes})
    (work / INDEX).write_text(content, encoding="utf-8")


def _shards(
    corpus: Corpus,
    terms: Terms,
    vocabulary: dict[str, int],
    shard_tokens: int,
    advance: Callable[[int], None],
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int64]]]:
    """Term ids (int32, document after document) and lengths of each shard's documents."""
    ids, lengths = array("i"), array("q")
    for texts in corpus.iter_texts():
        for text in texts:
            found = [vocabulary.setdefault(term, len(vocabulary)) for term in terms(text)]
            if lengths and len(ids) + len(found) > shard_tokens:
                yield np.frombuffer(ids, np.int32), np.frombuffer(lengths, np.int64)
                ids, lengths = array("i"), array("q")
            ids.extend(found)
            lengths.append(len(found))
        advance(len(texts))
    yield np.frombuffer(ids, np.int32), np.frombuffer(lengths, np.int64)


def _count(
    work: Path, number: int, ids: NDArray[np.int32], lengths: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Write a shard's postings, and return its terms with their document frequencies."""
    width = len(lengths)
    keys = ids.astype(np.int64) * width + np.repeat(np.arange(width), lengths)
    keys.sort()
    first = np.flatnonzero(np.diff(keys, prepend=-1))  # of each pair of term and document
    counts = np.diff(first, append=len(keys)).astype(np.int32)
    pairs = keys[first]
    del keys, first
    rows, term_of = (pairs % width).astype(np.int32), pairs // width
    del pairs
    begins = np.flatnonzero(np.diff(term_of, prepend=-1))
    terms = term_of[begins].astype(np.int32)
    starts = np.append(begins, len(rows)).astype(np.int64)
    for name, values in (
        ("terms", terms),
        ("starts", starts),
        ("rows", rows),
        ("counts", counts),
        ("lengths", lengths),
    ):
        np.save(work / f"{number}.{name}.npy", values)
    return terms, np.diff(starts)


def _idf(frequencies: NDArray[np.int64], documents: int) -> NDArray[np.float32]:
    """Lucene's inverse document frequency, float32 [vocabulary], by Python's own logarithm."""
    distinct, inverse = np.unique(frequencies, return_inverse=True)
    values = [math.log(1 + (documents - df + 0.5) / (df + 0.5)) for df in distinct.tolist()]
    idf: NDArray[np.float32] = np.asarray(values, np.float32)[inverse]
    return idf


def _score(
    work: Path, number: int, idf: NDArray[np.float32], mean: np.float64, k1: float, b: float
) -> None:
    """A shard's counts as scores, in bm25s' arithmetic: float64, rounded to float32."""
    parts: dict[str, Any] = {
        name: np.load(work / f"{number}.{name}.npy")
        for name in ("terms", "starts", "rows", "counts", "lengths")
    }
    norms = k1 * ((1 - b) + b * parts["lengths"] / mean)
    counts = parts["counts"].astype(np.float64)
    weights = np.repeat(idf[parts["terms"]].astype(np.float64), np.diff(parts["starts"]))
    scores = weights * (counts / (norms[parts["rows"]] + counts))
    np.save(work / f"{number}.scores.npy", scores.astype(np.float32))
    for name in ("counts", "lengths"):
        (work / f"{number}.{name}.npy").unlink()


def _write_vocabulary(path: Path, vocabulary: dict[str, int]) -> None:
    """Terms in the order of their ids."""
    schema = pa.schema([("term", pa.large_string())])
    names = list(vocabulary)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for start in range(0, len(names), VOCABULARY_ROWS):
            column = pa.array(names[start : start + VOCABULARY_ROWS], pa.large_string())
            writer.write_batch(pa.record_batch([column], schema=schema))
