"""The reranker: lists in, scores out; tokenising runs ahead of the model."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from itertools import groupby, islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from ..checkpoint import Checkpoint, open_checkpoint
from ..device import computing_versions, cpu_instructions, resolve_device, torch_dtype
from ..errors import ScoreError, UsageError
from ..rerankers.protocol import RankingRequest, RerankerInfo, Usage
from .blocks import BlockVectors, fuse
from .layout import Layout, read_layout
from .reading import Limits, PromptReader, Reading, TokenisedPrompt
from .settings import LbnlSettings, resolve

if TYPE_CHECKING:
    from .model import LbnlModel

FAMILY = "lbnl"
_LIBRARIES = ("torch", "transformers", "tokenizers")
_AHEAD = 64  # lists that are tokenised before the model needs them


_Key = tuple[str, tuple[str, ...]]  # all that a reading depends on


class Ranked(TypedDict):
    """One document of `rerank`'s answer: the released method's fields, as JSON can hold them.

    index: its place in the input. embedding: the projected vector, not normalised, or None.
    """

    document: str
    relevance_score: float
    index: int
    embedding: list[float] | None


class LbnlReranker:
    """jina-reranker-v3 and its like: a query and its documents share one causal context.

    Scores are float32 cosines (reference: reranker-models.md, section 1). Blocks of several
    queries share a forward pass up to `tokens_per_pass`. Weights load on the first score.
    """

    def __init__(self, checkpoint: Checkpoint, settings: LbnlSettings | None = None) -> None:
        self._layout: Layout = read_layout(checkpoint)
        self._checkpoint = checkpoint
        self._settings = resolve(settings or LbnlSettings(), checkpoint, self._layout)
        self.info = RerankerInfo(
            name=checkpoint.name,
            family=FAMILY,
            listwise=True,
            revision=checkpoint.revision,
            weights=checkpoint.weights,
            settings=self._settings.model_dump(exclude={"device"}),
            versions=_versions(self._settings),
        )
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="lbnl-tokenise")
        self._expected: dict[_Key, Future[Reading]] = {}
        self._usage: dict[_Key, Usage] = {}

    @classmethod
    def from_pretrained(cls, target: str, **settings: Any) -> LbnlReranker:
        """The reranker for a folder, hub id or package:NAME, with settings by name.

        Raises CheckpointError for a checkpoint of another kind or a damaged one, UsageError for
        bad settings. Weights load on the first score, or on `load()`.
        """
        from ..rerankers.registry import parse_settings
        from .family import family

        parsed = parse_settings(family, {k: str(v) for k, v in settings.items() if v is not None})
        chosen = LbnlSettings.model_validate(parsed.model_dump())
        return cls(open_checkpoint(target, allow_auto_map=True), chosen)

    def load(self) -> None:
        """Load tokenizer and weights now. Raises CheckpointError and UsageError as `score`."""
        _ = (self._reader, self._model)

    def score(self, requests: Sequence[RankingRequest]) -> list[NDArray[np.float32]]:
        """Cosines as one float32 array a request, aligned with its documents.

        Raises CheckpointError if the checkpoint cannot be loaded, UsageError if device or
        attention are not to be had here.
        """
        self._usage = {}
        found = [np.zeros(0, np.float32) for _ in requests]
        # Prompts are read in order, so the blocks of a request follow each other.
        for index, group in groupby(self._vectors(requests), key=itemgetter(0)):
            found[index] = fuse([vectors for _, vectors in group])
        return found

    def usage(self, requests: Sequence[RankingRequest]) -> list[Usage]:
        """Tokens, cuts and blocks of requests that were just scored."""
        missing = [request for request in requests if _key(request) not in self._usage]
        for request, reading in zip(missing, self._readings(missing), strict=True):
            self._usage[_key(request)] = _usage(reading)
        return [self._usage[_key(request)] for request in requests]

    def expect(self, requests: Sequence[RankingRequest]) -> None:
        """These come next, in this order: tokenise them while the model is busy."""
        keyed = {_key(request): request for request in requests[:_AHEAD]}
        for key in [k for k in self._expected if k not in keyed]:
            self._expected.pop(key).cancel()
        for key, request in keyed.items():
            if key not in self._expected:
                self._expected[key] = self._submit(request)

    def rerank(
        self,
        query: str,
        documents: Sequence[str],
        top_n: int | None = None,
        return_embeddings: bool = False,
        max_doc_length: int | None = None,
        max_query_length: int | None = None,
        instruction: str | None = None,
    ) -> list[Ranked]:
        """Documents by relevance, best first; equal scores keep their input order.

        The released method, with its fields; lengths and instruction replace the settings' own
        for this call. Raises UsageError for texts that are none and a length or top_n below 1,
        ScoreError where the model gives no number, and as `score`.
        """
        _check_texts(query, documents)
        given = {
            "top_n": top_n,
            "max_doc_length": max_doc_length,
            "max_query_length": max_query_length,
        }
        for name, value in given.items():
            if value is not None and (not isinstance(value, int) or value < 1):
                raise UsageError(f"{name} must be a whole number of 1 or more, not {value!r}.")
        own = self._settings.limits
        limits = Limits(
            max_query_length or own.max_query_length,
            max_doc_length or own.max_doc_length,
            own.max_length,
            own.block_documents,
        )
        if not documents:
            return []
        asked = instruction if instruction is not None else self._settings.instruction
        reading = self._thread.submit(self._reader.read, query, documents, limits, asked).result()
        blocks = [self._read([prompt])[0] for prompt in reading.prompts]
        scores = fuse(blocks)
        if not np.isfinite(scores).all():
            raise ScoreError(
                "The model's vectors are not finite.",
                where=self.info.name,
                next_step="try dtype=float32; if that is no better, the weights are damaged",
            )
        vectors = np.concatenate([b.documents for b in blocks])
        best = np.argsort(-scores, kind="stable")[:top_n]
        return [
            Ranked(
                document=documents[i],
                relevance_score=float(scores[i]),
                index=int(i),
                embedding=vectors[i].tolist() if return_embeddings else None,
            )
            for i in best
        ]

    def _vectors(self, requests: Sequence[RankingRequest]) -> Iterator[tuple[int, BlockVectors]]:
        """Each block's vectors with the place of its request; several blocks a forward pass."""
        for pack in _packs(self._prompts(requests), self._settings.tokens_per_pass):
            found = self._read([prompt for _, prompt in pack])
            yield from zip((index for index, _ in pack), found, strict=True)

    def _prompts(self, requests: Sequence[RankingRequest]) -> Iterator[tuple[int, TokenisedPrompt]]:
        for index, reading in enumerate(self._readings(requests)):
            self._usage[_key(requests[index])] = _usage(reading)
            for prompt in reading.prompts:
                yield index, prompt

    def _read(self, prompts: Sequence[TokenisedPrompt]) -> list[BlockVectors]:
        """One forward pass. Raises UsageError where torch.compile cannot work."""
        try:
            return self._model.read(prompts)
        except RuntimeError as error:
            if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
                raise
            raise UsageError(
                f"torch.compile does not work here: {str(error).splitlines()[0]}",
                next_step="leave out --compile or --attention flex_attention, or install a C++ "
                "compiler (on a GPU: Triton)",
            ) from error

    def _readings(self, requests: Iterable[RankingRequest]) -> Iterator[Reading]:
        """Tokenised requests in order, a few of them ahead of the one that is taken."""
        ahead: deque[Future[Reading]] = deque()
        rest = iter(requests)
        try:
            while True:
                for request in islice(rest, _AHEAD - len(ahead)):
                    key = _key(request)
                    early = key in self._expected
                    ahead.append(self._expected.pop(key) if early else self._submit(request))
                if not ahead:
                    return
                yield ahead.popleft().result()
        finally:  # after an error or Ctrl-C nobody waits for the rest
            for future in ahead:
                future.cancel()

    def _submit(self, request: RankingRequest) -> Future[Reading]:
        return self._thread.submit(
            self._reader.read,
            request.query,
            request.documents,
            self._settings.limits,
            self._settings.instruction,
        )

    @cached_property
    def _reader(self) -> PromptReader:
        from .loading import load_tokenizer

        return PromptReader(load_tokenizer(self._checkpoint, self._layout))

    @cached_property
    def _model(self) -> LbnlModel:
        from .kernels import find_kernel
        from .loading import load_model

        device = resolve_device(self._settings.device)
        dtype = torch_dtype(self._settings.dtype)
        kernel = find_kernel(self._settings.attention, device=device, dtype=dtype)
        return load_model(
            self._checkpoint,
            self._layout,
            device=device,
            dtype=dtype,
            kernel=kernel,
            compiled=self._settings.compile,
        )


def _packs(
    prompts: Iterable[tuple[int, TokenisedPrompt]], budget: int
) -> Iterator[list[tuple[int, TokenisedPrompt]]]:
    """Prompts in order, as many together as have at most `budget` tokens (or one)."""
    pack: list[tuple[int, TokenisedPrompt]] = []
    held = 0
    for index, prompt in prompts:
        if pack and held + len(prompt.ids) > budget:
            yield pack
            pack, held = [], 0
        pack.append((index, prompt))
        held += len(prompt.ids)
    if pack:
        yield pack


def _versions(settings: LbnlSettings) -> dict[str, str]:
    """Of all that computes these scores: half precision on a CPU depends on its instructions."""
    extra = []
    if settings.attention == "flash_attention_2":
        extra.append("flash-attn")
    if settings.compile or settings.attention == "flex_attention":
        extra.append("triton")
    found = computing_versions(*_LIBRARIES, *extra, device=settings.device)
    if found["device"] == "cpu" and settings.dtype != "float32":
        found["instructions"] = cpu_instructions()
    return found


def _check_texts(query: Any, documents: Any) -> None:
    """Raise UsageError unless these are a text and a list of texts."""
    listed = isinstance(documents, Sequence) and not isinstance(documents, str)
    if not isinstance(query, str) or not listed or not all(isinstance(d, str) for d in documents):
        raise UsageError(
            "rerank takes one text as the query and a list of texts as the documents.",
            next_step="rerank(query, [document, ...])",
        )


def _key(request: RankingRequest) -> _Key:
    return request.query, tuple(request.documents)


def _usage(reading: Reading) -> Usage:
    """What was read: a query without documents is not read at all."""
    blocks = len(reading.prompts)
    return Usage(
        reading.tokens, reading.truncated_documents, reading.truncated_query and blocks > 0, blocks
    )
