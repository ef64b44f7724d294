"""Vectors on disk: each text of a corpus or work list is encoded once.

The unit is a group of texts that are encoded together. Its key covers the encoder and the
ordered texts, so a group is a pure function of its key: an interrupted run that continues
reads or computes the same bytes as one that was never interrupted.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..hashing import digest_parts, hash_text
from ..paths import atomic_path
from .encoder import EncodedGroup, Kind

GROUP_TEXTS = 256


class TextEncoder(Protocol):
    """What the cache needs of an encoder: an identity and a pure function of texts."""

    @property
    def fingerprint(self) -> str: ...

    def encode(self, texts: Sequence[str], kind: Kind = "document") -> EncodedGroup: ...


class EmbeddingCache:
    """Encoded groups under `<root>/embeddings/<encoder>/<key[:2]>/<key>.npy` (and `.npz`).

    The .npy is float32 [n, d] and is read memory-mapped; the .npz beside it holds token
    counts, truncation flags and a checksum. A damaged or half-written pair is computed again.
    """

    def __init__(self, root: Path, encoder: TextEncoder) -> None:
        self.encoder = encoder
        self.folder = root / "embeddings" / encoder.fingerprint[:16]

    def group(
        self,
        texts: Sequence[str],
        kind: Kind = "document",
        *,
        hashes: Sequence[bytes] | None = None,
    ) -> EncodedGroup:
        """The encoded texts, from disk or computed now and stored.

        hashes: `hash_text` of each text where the caller has them; then `texts` is not read
        on a hit and may be a lazy sequence. Raises StorageError if the vectors cannot be
        written.
        """
        digests = [hash_text(t) for t in texts] if hashes is None else list(hashes)
        if not digests:
            return self.encoder.encode([], kind)
        key = digest_parts([self.encoder.fingerprint.encode(), kind.encode(), *digests])
        path = self.folder / key[:2] / f"{key}.npy"
        stored = _read(path, len(digests))
        if stored is not None:
            return stored
        fresh = self.encoder.encode(list(texts), kind)
        _write(path, fresh)
        return _read(path, len(digests)) or fresh

    def groups(
        self, texts: Iterable[str], kind: Kind = "document", size: int = GROUP_TEXTS
    ) -> Iterator[EncodedGroup]:
        """Encoded groups of `size` texts in order (the last may be smaller), one at a time."""
        stream = iter(texts)
        while chunk := list(islice(stream, size)):
            yield self.group(chunk, kind)


def _read(path: Path, expected: int) -> EncodedGroup | None:
    """A stored group, or None if it is absent, damaged or of another length."""
    try:
        with np.load(path.with_suffix(".npz"), allow_pickle=False) as notes:
            tokens, truncated, checksum = notes["tokens"], notes["truncated"], notes["checksum"]
        vectors: NDArray[np.float32] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        return None
    whole = (
        vectors.dtype == np.float32
        and vectors.ndim == 2
        and len(vectors) == len(tokens) == len(truncated) == expected
        and zlib.crc32(np.ascontiguousarray(vectors).data) == int(checksum)
    )
    return EncodedGroup(vectors, tokens, truncated) if whole else None


def _write(path: Path, group: EncodedGroup) -> None:
    vectors = np.ascontiguousarray(group.vectors, dtype=np.float32)
    with atomic_path(path.with_suffix(".npz")) as temporary, temporary.open("wb") as stream:
        np.savez(
            stream,
            tokens=group.tokens,
            truncated=group.truncated,
            checksum=np.uint32(zlib.crc32(vectors.data)),
        )
    # The vectors come last: a group without them is absent.
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.save(stream, vectors, allow_pickle=False)
