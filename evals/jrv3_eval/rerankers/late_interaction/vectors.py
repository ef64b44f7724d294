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
    the rest and a checksum. A damaged or half-written pair is computed again.
    """

    def __init__(self, root: Path, encoder: TokenVectorEncoder) -> None:
        self.encoder = encoder
        self.folder = root / "token-vectors" / encoder.fingerprint[:16]

    def group(self, texts: Sequence[str], kind: Kind, *, hashes: Sequence[bytes]) -> TokenVectors:
        """The encoded texts, from disk or computed now and stored.

        hashes: `hash_text` of each text. Raises StorageError if the vectors cannot be written.
        """
        key = digest_parts([self.encoder.fingerprint.encode(), kind.encode(), *hashes])
        path = self.folder / key[:2] / f"{key}.npy"
        stored = _read(path, len(hashes))
        if stored is not None:
            return stored
        fresh = self.encoder.encode(texts, kind)
        _write(path, fresh)
        return _read(path, len(hashes)) or fresh


def _read(path: Path, expected: int) -> TokenVectors | None:
    """A stored group, or None if it is absent, damaged or of another length."""
    try:
        with np.load(path.with_suffix(".npz"), allow_pickle=False) as notes:
            offsets, tokens, truncated = notes["offsets"], notes["tokens"], notes["truncated"]
            checksum = int(notes["checksum"])
        # Nothing can be mapped where no text has a token left.
        mode: Literal["r"] | None = "r" if offsets[-1] else None
        vectors: NDArray[np.float32] = np.load(path, mmap_mode=mode, allow_pickle=False)
    except (OSError, ValueError, EOFError, KeyError, IndexError, zipfile.BadZipFile):
        return None
    whole = (
        vectors.dtype == np.float32
        and vectors.ndim == 2
        and len(vectors) == offsets[-1]
        and len(offsets) - 1 == len(tokens) == len(truncated) == expected
        and zlib.crc32(np.ascontiguousarray(vectors).data) == checksum
    )
    return TokenVectors(vectors, offsets, tokens, truncated) if whole else None


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
