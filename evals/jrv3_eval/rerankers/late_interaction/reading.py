"""Texts to token ids as ColBERT reads them: marker, expansion of queries, skipped tokens.

Source: PyLate 1.6, models/colbert.py (tokenize, encode); colbert-ai 0.2.22,
modeling/tokenization. The two agree, but for a skipped word that is no token: PyLate skips the
unknown token then, and so does this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...checkpoint import Checkpoint
from ...embedding import Kind
from ...errors import CheckpointError
from .._pointwise import readable
from .layout import Layout


@dataclass(frozen=True)
class ReadText:
    """What the model reads of one text.

    ids: token ids. seen: 1 where the other tokens attend to a token, else 0. counts: True where
    a token's vector takes part in the score. truncated: the text was longer than the model reads.
    """

    ids: list[int]
    seen: list[int]
    counts: list[bool]
    truncated: bool


class Reading:
    """A tokenizer with a checkpoint's markers, lengths and skiplist.

    Raises CheckpointError where the tokenizer has no token for a marker, which would get a
    random vector, or none to expand queries with.
    """

    def __init__(self, checkpoint: Checkpoint, layout: Layout, tokenizer: Any) -> None:
        self._layout, self._tokenizer = layout, tokenizer
        self._markers: dict[Kind, int | None] = {
            "query": _marker(checkpoint, tokenizer, layout.query_marker),
            "document": _marker(checkpoint, tokenizer, layout.document_marker),
        }
        ids = (tokenizer.convert_tokens_to_ids(word) for word in layout.skiplist)
        self._skipped = frozenset(i for i in ids if i is not None)
        # A masked language model expands with its mask token, a decoder with its end token.
        fill = (tokenizer.mask_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
        self._fill = next((i for i in fill if i is not None), None)
        if layout.expand and self._fill is None:
            raise CheckpointError(
                f"{checkpoint.name} expands queries, but its tokenizer has no mask token.",
                where=str(checkpoint.folder),
            )

    @property
    def marker_ids(self) -> list[int]:
        """Ids that every checkpoint must have an embedding for."""
        return [i for i in self._markers.values() if i is not None]

    def read(self, texts: Sequence[str], kind: Kind) -> list[ReadText]:
        """What the model reads of each text, unpadded."""
        layout, marker = self._layout, self._markers[kind]
        query = kind == "query"
        length = layout.query_length if query else layout.document_length
        prompt = layout.query_prompt if query else layout.document_prompt
        clean = [f"{prompt}{readable(t)}".strip() for t in texts]
        encoded = self._tokenizer(
            [t.lower() for t in clean] if layout.lower_case else clean,
            truncation=True,
            max_length=length if marker is None else length - 1,
            return_overflowing_tokens=True,  # what was cut, as further rows of the same text
            return_attention_mask=False,
            verbose=False,
        )
        first: dict[int, list[int]] = {}
        cut = set()
        for ids, text in zip(
            encoded["input_ids"], encoded["overflow_to_sample_mapping"], strict=True
        ):
            if text in first:
                cut.add(text)
            else:
                first[text] = list(ids)
        return [self._complete(first[i], kind, i in cut) for i in range(len(texts))]

    def _complete(self, ids: list[int], kind: Kind, truncated: bool) -> ReadText:
        layout, marker = self._layout, self._markers[kind]
        seen = [1] * len(ids)
        if kind == "query" and layout.expand and self._fill is not None:
            missing = layout.query_length - (marker is not None) - len(ids)
            before, after = (missing, 0) if self._pads_left else (0, missing)
            ids = [self._fill] * before + ids + [self._fill] * after
            seen = [0] * before + seen + [0] * after
        if marker is not None:  # PyLate: the second position, whatever stands there
            ids.insert(1, marker)
            seen.insert(1, 1)
        if kind == "query" and layout.attend:
            seen = [1] * len(ids)
        counts = [kind == "query" or i not in self._skipped for i in ids]
        return ReadText(ids, seen, counts, truncated)

    @property
    def _pads_left(self) -> bool:
        return bool(self._tokenizer.padding_side == "left")


def _marker(checkpoint: Checkpoint, tokenizer: Any, token: str) -> int | None:
    if not token:
        return None
    found = tokenizer.convert_tokens_to_ids(token)
    if found is None or (found == tokenizer.unk_token_id and token != tokenizer.unk_token):
        raise CheckpointError(
            f"The tokenizer of {checkpoint.name} has no token {token!r}, which marks queries or "
            "documents; it would get a random vector.",
            where=str(checkpoint.folder),
            next_step="use a checkpoint that was trained for late interaction",
        )
    if token not in tokenizer.get_added_vocab():
        tokenizer.add_tokens([token])  # as PyLate: in a text it is one token, too
    return int(found)
