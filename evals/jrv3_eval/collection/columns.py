"""Document ids and text hashes of a corpus in one piece, on disk.

Arrow's batches would have to be copied together into memory to be sorted; these files are
mapped, so that the system can take their pages back.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..hashing import TEXT_HASH_BYTES

_NAMES = ("ids.bytes", "ids.offsets", "ids.hashes")


class ColumnFiles:
    """Three files in a folder: written batch by batch inside `with`, mapped afterwards."""

    def __init__(self, folder: Path) -> None:
        self._paths = [folder / name for name in _NAMES]
        self._files: list[IO[bytes]] = []
        self._end = 0

    def __enter__(self) -> ColumnFiles:
        self._files = [path.open("wb") for path in self._paths]
        self._files[1].write(np.zeros(1, np.int64).tobytes())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for file in self._files:
            file.close()

    def add(self, docids: Sequence[str], hashes: Sequence[bytes]) -> None:
        """The next documents' ids and 16-byte hashes."""
        encoded = [docid.encode() for docid in docids]
        ends = self._end + np.cumsum([len(docid) for docid in encoded], dtype=np.int64)
        self._end = int(ends[-1])
        for file, content in zip(
            self._files, (b"".join(encoded), ends.tobytes(), b"".join(hashes)), strict=True
        ):
            file.write(content)

    def docids(self) -> pa.Array:
        """All ids as one Arrow array (large_string) over the mapped files."""
        content, offsets = (self._map(path) for path in self._paths[:2])
        count = len(offsets) // 8 - 1
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(content)]
        return pa.Array.from_buffers(pa.large_string(), count, buffers)

    def hashes(self) -> NDArray[np.uint8]:
        """All hashes, uint8 [documents, 16], mapped."""
        return self._map(self._paths[2]).reshape(-1, TEXT_HASH_BYTES)

    def _map(self, path: Path) -> NDArray[np.uint8]:
        if not path.stat().st_size:  # an empty file cannot be mapped
            return np.empty(0, np.uint8)
        mapped: NDArray[np.uint8] = np.memmap(path, np.uint8, "r")
        return mapped


def count_distinct(hashes: NDArray[np.uint8]) -> int:
    """Distinct texts, by the first half of their hashes: 8 of 16 bytes, one number each.

    Among ten million texts two different ones share it with a chance of 1 in 300,000.
    """
    if not len(hashes):
        return 0
    keys = np.array(hashes[:, :8], order="C").view(np.uint64).ravel()
    keys.sort()
    return 1 + int(np.count_nonzero(keys[1:] != keys[:-1]))
