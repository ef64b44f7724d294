"""Token vectors on disk: each text is encoded once.

As with `embedding.cache`, the unit is a group of texts that are encoded together. Its key
covers the encoder and the ordered texts, so a group is a pure function of its key, and an
interrupted run that continues reads or computes the same bytes as one that was not.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from ...embedding import Kind
from ...hashing import digest_parts
from ...paths import atomic_path

_MOST_MAPS = 4096  # a process may have 65,536 maps on Linux
_FEW_MAPS = 256


@dataclass(frozen=True)
class TokenVectors:
    """Vectors of the tokens of some texts, in the order of the texts, packed without padding.

    vectors: float32 [t, d], unit length. offsets: int64 [n + 1]; text i has the rows offsets[i]
    to offsets[i + 1]. tokens: int32 [n], read by the model, those without a vector included.
    truncated: bool [n], True where a text was longer than the model reads.
    """

    vectors: NDArray[np.float32]
    offsets: NDArray[np.int64]
    tokens: NDArray[np.int32]
    truncated: NDArray[np.bool_]

    def text(self, place: int) -> NDArray[np.float32]:
        """The token vectors of one text. float32 [its tokens, d]."""
        return self.vectors[self.offsets[place] : self.offsets[place + 1]]


class TokenVectorEncoder(Protocol):
    """What the cache needs of an encoder: an identity and a pure function of texts."""

    @property
    def fingerprint(self) -> str: ...

    def encode(self, texts: Sequence[str], kind: Kind) -> TokenVectors: ...


class TokenVectorCache:
    """Groups under `<root>/token-vectors/<encoder>/<key[:2]>/<key>.npy` (and `.npz`).

    The .npy holds the vectors as float32 and is read memory-mapped; the .npz beside it holds
    the rest and a checksum. A damaged or half-written pair is computed again. A group is read
    whole and verified once; it stays mapped until too many others were used since, and is then
    mapped again without that.
    """

    def __init__(self, root: Path, encoder: TokenVectorEncoder) -> None:
        self.encoder = encoder
        self.folder = root / "token-vectors" / encoder.fingerprint[:16]
        self._mapped: dict[str, TokenVectors] = {}
        self._verified: dict[str, _Notes] = {}
        self._limit = groups_at_a_time()

    def key(self, kind: Kind, hashes: Sequence[bytes]) -> str:
        """The key of a group. hashes: `hash_text` of each text."""
        return digest_parts([self.encoder.fingerprint.encode(), kind.encode(), *hashes])

    def group(self, key: str, texts: Sequence[str], kind: Kind) -> TokenVectors:
        """The encoded texts, mapped, from disk, or computed now and stored.

        Raises StorageError if the vectors cannot be written.
        """
        group = self._mapped.pop(key, None)
        if group is None:
            path = self.folder / key[:2] / f"{key}.npy"
            group = self._read(key, path, len(texts))
            if group is None:
                fresh = self.encoder.encode(texts, kind)
                _write(path, fresh)
                group = self._read(key, path, len(texts)) or fresh
        self._mapped[key] = group  # last again: the first is the one longest unused
        if len(self._mapped) > self._limit:
            del self._mapped[next(iter(self._mapped))]
        return group

    def _read(self, key: str, path: Path, expected: int) -> TokenVectors | None:
        """A stored group, or None if it is absent, damaged or of another length."""
        notes = self._verified.pop(key, None)
        vectors = None if notes is None else _map(path, notes)
        if notes is None or vectors is None:
            notes = _read_notes(path.with_suffix(".npz"), expected)
            vectors = None if notes is None else _map(path, notes)
            if notes is None or vectors is None:
                return None
            if zlib.crc32(np.ascontiguousarray(vectors).data) != notes.checksum:
                return None
        self._verified[key] = notes
        return TokenVectors(vectors, notes.offsets, notes.tokens, notes.truncated)


@dataclass(frozen=True)
class _Notes:
    """What is known of a group beside its vectors."""

    offsets: NDArray[np.int64]
    tokens: NDArray[np.int32]
    truncated: NDArray[np.bool_]
    checksum: int


def groups_at_a_time() -> int:
    """Groups that may be mapped at once: each holds a file open, of which a process has few."""
    try:
        import resource
    except ImportError:  # Windows
        return _FEW_MAPS
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return _MOST_MAPS if files < 0 else max(1, min(_MOST_MAPS, files // 2))


def _read_notes(path: Path, expected: int) -> _Notes | None:
    """The notes of a group, or None if they are absent, damaged or of another length."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            offsets, tokens, truncated = stored["offsets"], stored["tokens"], stored["truncated"]
            notes = _Notes(offsets, tokens, truncated, int(stored["checksum"]))
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        return None
    return notes if len(offsets) - 1 == len(tokens) == len(truncated) == expected else None


def _map(path: Path, notes: _Notes) -> NDArray[np.float32] | None:
    """The vectors of a group, of the right form but not verified; None if they are absent."""
    try:
        # Nothing can be mapped where no text has a token left.
        mode: Literal["r"] | None = "r" if notes.offsets[-1] else None
        vectors: NDArray[np.float32] = np.load(path, mmap_mode=mode, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    fits = vectors.dtype == np.float32 and vectors.ndim == 2 and len(vectors) == notes.offsets[-1]
    return vectors if fits else None


def _write(path: Path, group: TokenVectors) -> None:
    vectors = np.ascontiguousarray(group.vectors, dtype=np.float32)
    with atomic_path(path.with_suffix(".npz")) as temporary, temporary.open("wb") as stream:
        np.savez(
            stream,
            offsets=group.offsets,
            tokens=group.tokens,
            truncated=group.truncated,
            checksum=np.uint32(zlib.crc32(vectors.data)),
        )
    # The vectors come last: a group without them is absent.
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.save(stream, vectors, allow_pickle=False)
