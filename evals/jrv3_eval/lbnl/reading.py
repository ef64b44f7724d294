"""From texts to the token ids of a whole prompt, each document tokenised once.

The released code tokenises the prompt as one string. The same ids come out of pieces, if pieces
are cut where no token can reach across: at special tokens, and (for Qwen's own pre-tokeniser)
after the line break that ends `<passage id="k">`. So a document's ids are kept and reused in
every prompt. With any other kind of tokeniser the prompt is tokenised as one string.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CheckpointError
from ..hashing import hash_text
from .blocks import split_blocks
from .prompt import CLOSING, DOCUMENT_MARKER, QUERY_MARKER, head, opening, prompt, sanitise, tail

Ids = NDArray[np.int32]

CACHED_TOKENS = 32_000_000  # 128 MB of ids, the oldest documents go first
# Qwen's rule (2 and 3): punctuation takes the line breaks that follow it, a digit stands alone,
# and nothing looks back. So `">\n` is always cut from a text that does not start a new line.
QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a text is read. All in tokens, but for block_documents."""

    max_query_length: int
    max_doc_length: int
    max_length: int
    block_documents: int


@dataclass(frozen=True, slots=True)
class CutText:
    """A text as the prompt holds it: cut, then sanitised.

    tokens: counted after the cut and before sanitising, as the released code counts. cut: True
    if tokens were lost. ids: of the text alone, None where its context can change them. text:
    empty for a document with ids.
    """

    text: str
    tokens: int
    cut: bool
    ids: Ids | None


@dataclass(frozen=True, slots=True)
class TokenisedPrompt:
    """One block up to its query marker. ids: int32 [n]; marks: int64 [documents + 1], positions
    of the document markers and, last, of the query marker (n - 1)."""

    ids: Ids
    marks: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Reading:
    """One query with its whole list, ready for the model: a prompt a block, in order."""

    prompts: tuple[TokenisedPrompt, ...]
    truncated_documents: int
    truncated_query: bool

    @property
    def tokens(self) -> int:
        return sum(len(p.ids) for p in self.prompts)


class PromptReader:
    """Tokenises queries with their lists. Not for several threads at a time."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._backend = tokenizer.backend_tokenizer
        self._backend.no_truncation()
        self._backend.no_padding()
        self._document_id, self._query_id = marker_ids(tokenizer)
        self.by_document = cuts_after_opening(tokenizer)
        self._documents: OrderedDict[tuple[bytes, int], CutText] = OrderedDict()
        self._cached_tokens = 0
        self._leads: dict[str, Ids] = {}

    def read(
        self, query: str, documents: Sequence[str], limits: Limits, instruction: str | None = None
    ) -> Reading:
        """The prompts of one list of documents, which may be empty.

        Raises CheckpointError if the tokenizer does not keep the markers apart.
        """
        [asked] = self._cut([_encodable(query)], limits.max_query_length, document=False)
        cuts = self._cut_documents([_encodable(d) for d in documents], limits.max_doc_length)
        blocks = split_blocks(
            asked.tokens,
            [c.tokens for c in cuts],
            max_length=limits.max_length,
            max_doc_length=limits.max_doc_length,
            block_documents=limits.block_documents,
        )
        instruct = sanitise(_encodable(instruction)) if instruction else None
        compose = self._from_pieces if self.by_document else self._from_string
        return Reading(
            tuple(compose(asked.text, [cuts[i] for i in block], instruct) for block in blocks),
            truncated_documents=sum(c.cut for c in cuts),
            truncated_query=asked.cut,
        )

    def _encode(self, texts: Sequence[str]) -> list[Ids]:
        encoded = self._backend.encode_batch_fast(list(texts), add_special_tokens=False)
        return [np.asarray(e.ids, dtype=np.int32) for e in encoded]

    def _cut_documents(self, texts: Sequence[str], limit: int) -> list[CutText]:
        keys = [(hash_text(text), limit) for text in texts]
        absent = {k: t for k, t in zip(keys, texts, strict=True) if k not in self._documents}
        cuts = self._cut(list(absent.values()), limit, document=True)
        found = dict(zip(absent, cuts, strict=True))
        for key in keys:
            if key not in found:
                self._documents.move_to_end(key)
                found[key] = self._documents[key]
        for key in absent:
            self._documents[key] = found[key]
            self._cached_tokens += found[key].tokens + 64
        while self._cached_tokens > CACHED_TOKENS and self._documents:
            _, oldest = self._documents.popitem(last=False)
            self._cached_tokens -= oldest.tokens + 64
        return [found[key] for key in keys]

    def _cut(self, texts: Sequence[str], limit: int, *, document: bool) -> list[CutText]:
        """Texts of `limit` tokens or more are decoded from their first `limit` tokens, also where
        that loses nothing: the released code does, and a round trip may change a text."""
        return [
            self._cut_one(text, ids, limit, document=document)
            for text, ids in zip(texts, self._encode(texts), strict=True)
        ]

    def _cut_one(self, text: str, ids: Ids, limit: int, *, document: bool) -> CutText:
        kept: Ids = ids[:limit]
        if self._tokenizer.truncation_side == "left":
            kept = ids[max(len(ids) - limit, 0) :]
        read = text if len(kept) < limit else self._tokenizer.decode(kept.tolist())
        clean = sanitise(read)
        alone: Ids | None = kept
        if not self.by_document or clean.startswith(("\n", "\r")):
            alone = None
        elif clean != text:
            [alone] = self._encode([clean])
        kept_text = clean if alone is None or not document else ""  # the ids say it all
        return CutText(kept_text, len(kept), len(kept) < len(ids), alone)

    def _from_pieces(
        self, query: str, cuts: Sequence[CutText], instruction: str | None
    ) -> TokenisedPrompt:
        """Every segment ends with a marker, so the markers stand where the segments end."""
        segments = []
        lead = head(len(cuts), query, instruction) + opening(0)
        for place, cut in enumerate(cuts):
            if cut.ids is None:  # its line breaks join the token that ends the opening
                pieces = self._encode([lead + cut.text])
            else:
                pieces = [self._lead(lead, place), cut.ids]
            segments.append(np.concatenate([*pieces, [self._document_id]]))
            lead = CLOSING + opening(place + 1)
        segments.append(np.concatenate([*self._encode([tail(query)]), [self._query_id]]))
        marks = np.cumsum([len(s) for s in segments]) - 1
        return TokenisedPrompt(np.concatenate(segments).astype(np.int32), marks)

    def _lead(self, text: str, place: int) -> Ids:
        """Ids of what stands before a document; kept for all but the head, which has the query."""
        if place == 0:
            return self._encode([text])[0]
        if text not in self._leads:
            [self._leads[text]] = self._encode([text])
        return self._leads[text]

    def _from_string(
        self, query: str, cuts: Sequence[CutText], instruction: str | None
    ) -> TokenisedPrompt:
        whole = prompt(query, [c.text for c in cuts], instruction)
        ids = np.asarray(self._tokenizer(whole, verbose=False)["input_ids"], dtype=np.int32)
        documents = np.flatnonzero(ids == self._document_id)
        queries = np.flatnonzero(ids == self._query_id)
        if len(documents) != len(cuts) or len(queries) != 1 or documents[-1] > queries[0]:
            raise CheckpointError(
                f"The tokenizer gives {len(documents)} document and {len(queries)} query markers "
                f"for a prompt with {len(cuts)} documents.",
                next_step="add both markers to the tokenizer as special tokens",
            )
        return TokenisedPrompt(
            ids[: queries[0] + 1], np.concatenate([documents, queries]).astype(np.int64)
        )


def marker_ids(tokenizer: Any) -> tuple[int, int]:
    """Ids of the document and the query marker. Raises CheckpointError where one is missing."""
    added = tokenizer.get_added_vocab()
    absent = [m for m in (DOCUMENT_MARKER, QUERY_MARKER) if m not in added]
    if absent:
        raise CheckpointError(
            f"The tokenizer lacks the marker {' and '.join(absent)} as a special token.",
            next_step="use the tokenizer of the release, or add the markers and train them",
        )
    return int(added[DOCUMENT_MARKER]), int(added[QUERY_MARKER])


def cuts_after_opening(tokenizer: Any) -> bool:
    """True if the tokenizer is built as Qwen's, so that a document's ids do not depend on what
    stands before it (but for line breaks that it starts with)."""
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    splitter = backend["pre_tokenizer"] or {}
    steps = splitter.get("pretokenizers") or [{}, {}]
    split, bytes_ = steps[0], steps[-1]
    return bool(
        len(steps) == 2
        and (backend["normalizer"] or {}).get("type") in (None, "NFC")
        and split.get("pattern") == {"Regex": QWEN_SPLIT}
        and (split.get("behavior"), split.get("invert")) == ("Isolated", False)
        and bytes_.get("type") == "ByteLevel"
        and not (bytes_.get("add_prefix_space") or bytes_.get("use_regex"))
        and backend["model"]["type"] == "BPE"
        and not backend["model"].get("dropout")
        and tokenizer.backend_tokenizer.num_special_tokens_to_add(False) == 0
        and all(_stands_alone(token) for token in backend["added_tokens"])
    )


def _stands_alone(token: dict[str, Any]) -> bool:
    """True if an added token takes nothing from its neighbours and cannot overlap a marker."""
    content = token["content"]
    if any(token[flag] for flag in ("lstrip", "rstrip", "single_word", "normalized")):
        return False
    return content in (DOCUMENT_MARKER, QUERY_MARKER) or not any(
        marker in content or any(content.endswith(marker[:n]) for n in range(1, len(marker)))
        for marker in (DOCUMENT_MARKER, QUERY_MARKER)
    )


def _encodable(text: str) -> str:
    """The text with lone surrogates replaced, which no tokenizer takes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text
