"""Texts to token ids as ColBERT reads them: marker, expansion of queries, skipped tokens.

Source: PyLate 1.6, models/colbert.py (tokenize, encode); colbert-ai 0.2.22,
modeling/tokenization. The two agree, but for a skipped word that is no token: PyLate skips the
unknown token then, and so does this. For sentence-transformers' own layout, `multi_vector`.
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

    The tokenizer is changed: markers become tokens of its own, and it lower-cases where the layout
    does. Raises CheckpointError where it has no token for a marker, which would get a random
    vector, or none to expand queries with.
    """

    def __init__(self, checkpoint: Checkpoint, layout: Layout, tokenizer: Any) -> None:
        self._layout, self._tokenizer = layout, tokenizer
        self._markers: dict[Kind, int | None] = {
            "query": _marker(checkpoint, tokenizer, layout.query_marker),
            "document": _marker(checkpoint, tokenizer, layout.document_marker),
        }
        unknown = tokenizer.unk_token_id if layout.skip_unknown else None
        ids = (_id_of(tokenizer, word, unknown) for word in layout.skiplist)
        self._skipped = frozenset(i for i in ids if i is not None)
        self._fill = _expansion(checkpoint, layout, tokenizer) if layout.expand else None
        if layout.lower_case:
            _lower_case(tokenizer)

    @property
    def marker_ids(self) -> list[int]:
        """Ids that every checkpoint must have an embedding for."""
        prompts = [self._layout.query_prompt, self._layout.document_prompt]
        ids = self._tokenizer(prompts, add_special_tokens=False)["input_ids"]
        marking = [*self._markers.values(), self._fill]
        return [*(i for i in marking if i is not None), *ids[0], *ids[1]]

    def read(self, texts: Sequence[str], kind: Kind) -> list[ReadText]:
        """What the model reads of each text, unpadded."""
        layout, marker = self._layout, self._markers[kind]
        query = kind == "query"
        length = layout.query_length if query else layout.document_length
        prompt = layout.query_prompt if query else layout.document_prompt
        clean = [f"{prompt}{readable(t)}" for t in texts]
        encoded = self._tokenizer(
            [t.strip() for t in clean] if layout.strip else clean,
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
        if kind == "query" and self._fill is not None:
            least = layout.query_length if layout.expand_to is None else layout.expand_to
            missing = max(0, min(least, layout.query_length) - (marker is not None) - len(ids))
            # Up to a least length, sentence-transformers expands a single query on the right.
            left = self._pads_left and layout.expand_to is None
            before, after = (missing, 0) if left else (0, missing)
            ids = [self._fill] * before + ids + [self._fill] * after
            seen = [0] * before + seen + [0] * after
        if marker is not None:  # PyLate: the second position, whatever stands there
            ids.insert(1, marker)
            seen.insert(1, 1)
        if kind == "query" and layout.attend:
            seen = [1] * len(ids)
        counts = [kind not in layout.skip_in or i not in self._skipped for i in ids]
        return ReadText(ids, seen, counts, truncated)

    @property
    def _pads_left(self) -> bool:
        return bool(self._tokenizer.padding_side == "left")


def _marker(checkpoint: Checkpoint, tokenizer: Any, token: str) -> int | None:
    if not token:
        return None
    found = _id_of(tokenizer, token)
    if found is None:
        raise CheckpointError(
            f"The tokenizer of {checkpoint.name} has no token {token!r}, which marks queries or "
            "documents; it would get a random vector.",
            where=str(checkpoint.folder),
            next_step="use a checkpoint that was trained for late interaction",
        )
    if token not in tokenizer.get_added_vocab():
        tokenizer.add_tokens([token])  # as PyLate: in a text it is one token, too
    return found


def _id_of(tokenizer: Any, token: str, unknown: int | None = None) -> int | None:
    """Id of a token, or what is given for one that the tokenizer does not have."""
    found: int | None = tokenizer.convert_tokens_to_ids(token)
    if found is None or (found == tokenizer.unk_token_id and token != tokenizer.unk_token):
        return unknown
    return found


def _expansion(checkpoint: Checkpoint, layout: Layout, tokenizer: Any) -> int:
    """The token that queries are filled up with."""
    token = layout.expansion_token
    if token is not None:
        fill = [_id_of(tokenizer, token)]
    else:
        # A masked language model expands with its mask token, a decoder with its end token.
        fill = [tokenizer.mask_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id]
    known = [i for i in fill if i is not None]
    if not known:
        raise CheckpointError(
            f"{checkpoint.name} expands queries, but its tokenizer has no "
            f"{'mask token' if token is None else f'token {token!r}'}.",
            where=str(checkpoint.folder),
        )
    return int(known[0])


def _lower_case(tokenizer: Any) -> None:
    """Lower-case texts, but not the special tokens in them, as sentence-transformers since 5.4."""
    from tokenizers import normalizers

    own = tokenizer.backend_tokenizer.normalizer
    steps = [normalizers.Lowercase(), *([own] if own is not None else [])]
    tokenizer.backend_tokenizer.normalizer = normalizers.Sequence(steps)
