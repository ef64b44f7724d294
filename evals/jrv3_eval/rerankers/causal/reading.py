"""From pairs to token ids: each piece tokenised by itself, the document cut to what fits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ...errors import CheckpointError, UsageError
from .._pointwise import Cut, Inputs, Pairs, distinct_pairs, usage_of
from ..protocol import RankingRequest
from .templates import Template


@dataclass(frozen=True)
class Labels:
    """Token ids of the answers; irrelevant is None where only the one logit counts."""

    relevant: int
    irrelevant: int | None


class PairReader:
    """Writes a template's prompt for every pair, as token ids.

    Every piece is tokenised alone, without special tokens of the tokenizer's own. Pieces with a
    share are cut to it; the document's piece is cut at its end to the room that max_length
    leaves. positions: of the model, or None; max_length shrinks so that all fits into them.
    """

    def __init__(
        self,
        tokenizer: Any,
        template: Template,
        *,
        instruction: str | None,
        max_length: int,
        positions: int | None,
    ) -> None:
        self._tokenizer = tokenizer
        self._template = template
        self._given = {} if instruction is None else {"instruction": instruction}
        self._pieces = template.pieces
        slots = [piece.slots(instruction is not None) for piece in self._pieces]
        self._last = next(i for i, names in enumerate(slots) if "document" in names)
        self._query_too = "query" in slots[self._last]
        self._fixed = {
            i: self._ids([piece.fill(self._given)])[0]
            for i, piece in enumerate(self._pieces)
            if not slots[i] & {"query", "document"}
        }
        begin = tokenizer.bos_token_id
        has_begin = template.begin and begin is not None and begin != tokenizer.pad_token_id
        self._begin = [begin] if has_begin else []
        self.max_length = self._bounded(max_length, positions)
        self.labels = self._labels()

    def read(self, requests: Sequence[RankingRequest]) -> Pairs:
        """Prompts of the distinct pairs of some requests."""
        found = distinct_pairs(requests)
        texts = [
            {**self._given, "query": query, "document": document}
            for query, document in zip(found.queries, found.documents, strict=True)
        ]
        parts = {
            i: self._encoded([piece.fill(values) for values in texts])
            for i, piece in enumerate(self._pieces)
            if i not in self._fixed
        }
        inputs: list[Inputs] = []
        cuts = []
        for place, values in enumerate(texts):
            ids, cut = self._prompt({i: encoded[place] for i, encoded in parts.items()}, values)
            inputs.append({"input_ids": ids})
            cuts.append(cut)
        tokens = [len(pair["input_ids"]) for pair in inputs]
        return Pairs(inputs, found.places, usage_of(found.places, tokens, cuts))

    def _prompt(self, parts: dict[int, Any], values: dict[str, str]) -> tuple[list[int], Cut]:
        """Token ids of one pair, and what was cut. parts: encodings of the pieces with texts."""
        pieces = {**self._fixed, **{i: encoding.ids for i, encoding in parts.items()}}
        cut_query = False
        left = (
            self.max_length
            - len(self._begin)
            - sum(self._pieces[i].counts * len(ids) for i, ids in self._fixed.items())
        )
        for i in parts:
            share = self._pieces[i].share
            limit = int(share * self.max_length) if share else max(left, 0)
            cut_query |= i != self._last and limit < len(pieces[i])
            pieces[i] = pieces[i][:limit]
        counted = len(self._begin) + sum(
            piece.counts * len(pieces[i]) for i, piece in enumerate(self._pieces) if i != self._last
        )
        pieces[self._last] = pieces[self._last][: max(self.max_length - counted, 0)]
        whole, stays = parts[self._last], len(pieces[self._last])
        if stays < len(whole.ids) and self._query_too:
            start = self._pieces[self._last].before_document(values)
            cut_query |= stays < sum(begin < start for begin, _ in whole.offsets)
        ids = [*self._begin, *(t for i in range(len(self._pieces)) for t in pieces[i])]
        return ids, Cut(cut_query, stays < len(whole.ids))

    def _bounded(self, wanted: int, positions: int | None) -> int:
        """max_length, less where prompts would not fit into the positions.

        Raises UsageError where no token is left for a document.
        """
        begin = len(self._begin)
        weighted = [(self._pieces[i].counts, len(ids)) for i, ids in self._fixed.items()]
        if positions is not None:
            # At most: max_length, and what does not count towards it.
            beyond = sum((1 - counts) * tokens for counts, tokens in weighted)
            wanted = min(wanted, positions - beyond)
        empty = {**self._given, "query": "", "document": ""}
        (around,) = self._ids([self._pieces[self._last].fill(empty)])
        taken = begin + len(around) + sum(counts * tokens for counts, tokens in weighted)
        if wanted <= taken:
            raise UsageError(
                f"max_length={wanted} leaves no room for a document beside the template "
                f"{self._template.name!r}.",
                next_step="set a larger max_length",
            )
        return wanted

    def _labels(self) -> Labels:
        template = self._template
        relevant = self._first_id(template.relevant)
        irrelevant = None if template.irrelevant is None else self._first_id(template.irrelevant)
        if relevant == irrelevant:
            raise CheckpointError(
                f"{template.relevant!r} and {template.irrelevant!r} start with the same token "
                f"({relevant}), so no score can tell them apart.",
                where=f"template {template.name}",
                next_step="use the template and the tokenizer that the model was trained with",
            )
        return Labels(relevant, irrelevant)

    def _first_id(self, text: str) -> int:
        (ids,) = self._ids([text])
        if not ids or ids[0] == self._tokenizer.unk_token_id:
            raise CheckpointError(
                f"The tokenizer has no token for the answer {text!r}.",
                where=f"template {self._template.name}",
            )
        return ids[0]

    def _ids(self, texts: Iterable[str]) -> list[list[int]]:
        return [list(encoding.ids) for encoding in self._encoded(list(texts))]

    def _encoded(self, texts: list[str]) -> list[Any]:
        """Encodings (ids, offsets) of texts; equal texts are tokenised once."""
        distinct = list(dict.fromkeys(texts))
        if not distinct:
            return []
        batch = self._tokenizer(
            distinct, add_special_tokens=False, padding=False, truncation=False, verbose=False
        )
        encodings = dict(zip(distinct, batch.encodings, strict=True))
        return [encodings[text] for text in texts]
