"""Content hashes: the identity of texts, files and settings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

TEXT_HASH_BYTES = 16


def hash_text(text: str) -> bytes:
    """16-byte BLAKE2b digest of a text; lone surrogates are hashed as they stand."""
    return hashlib.blake2b(
        text.encode("utf-8", "surrogatepass"), digest_size=TEXT_HASH_BYTES
    ).digest()


def digest_json(value: Any) -> str:
    """Hex SHA-256 of a value's canonical JSON (sorted keys, no spaces)."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def digest_parts(parts: Iterable[bytes]) -> str:
    """Hex SHA-256 over length-prefixed parts, so that no two lists of parts collide."""
    sha = hashlib.sha256()
    for part in parts:
        sha.update(len(part).to_bytes(8, "little"))
        sha.update(part)
    return sha.hexdigest()


def digest_file(path: Path, algorithm: str = "sha256") -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()
