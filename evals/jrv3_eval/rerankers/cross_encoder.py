"""Family `cross-encoder`: a sequence classifier with one label reads query and document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ..checkpoint import Checkpoint, open_checkpoint
from ..device import check_dtype, computing_versions, quiet_loading, resolve_device, torch_dtype
from ..errors import CheckpointError, UsageError
from ._pairs import Pairs, Truncation, read_pairs
from .protocol import Family, RankingRequest, RerankerInfo, RerankerSettings, Usage

_LIBRARIES = ("torch", "transformers", "tokenizers")
_HEAD = "ForSequenceClassification"
_DEFAULT_LENGTH = 512
# Their positions start after the padding index, so two of them are never used.
_OFFSET_MODELS = ("roberta", "camembert", "mpnet", "longformer", "data2vec-text")


class CrossEncoderSettings(RerankerSettings):
    """Settings of the cross-encoder family."""

    max_length: int | None = Field(
        None, ge=8, description="tokens a pair; default: 512, or less if the model reads less"
    )
    truncation: Truncation = Field(
        "longest_first",
        description="longest_first (sentence-transformers), or only_second: cut the document, "
        "and the query to 3/4 of max_length (FlagEmbedding)",
    )
    tokens_per_batch: int = Field(16_384, ge=1, description="padded tokens in one forward pass")


class CrossEncoder:
    """Scores by the float32 logit of `tokenizer(query, document)`; no activation function.

    Pairs of all requests of a call are batched together, longest first. The model loads on
    the first score.
    """

    def __init__(
        self, checkpoint: Checkpoint, settings: CrossEncoderSettings, info: RerankerInfo
    ) -> None:
        self.info = info
        self._checkpoint = checkpoint
        self._settings = settings
        self._latest: tuple[tuple[RankingRequest, ...], Pairs] | None = None

    def load(self) -> None:
        """Load tokenizer and weights now. Raises CheckpointError as `score` does."""
        _ = (self._tokenizer, self._model)

    def score(self, requests: Sequence[RankingRequest]) -> list[NDArray[np.float32]]:
        """Logits as one float32 array a request, aligned with its documents.

        Raises CheckpointError if the checkpoint cannot be loaded with all its tensors.
        """
        pairs = self._pairs(requests)
        logits = np.zeros(len(pairs.inputs), dtype=np.float32)
        for batch in batches([len(p["input_ids"]) for p in pairs.inputs], self._budget):
            logits[batch] = self._forward([pairs.inputs[i] for i in batch])
        return [logits[places] for places in pairs.places]

    def usage(self, requests: Sequence[RankingRequest]) -> list[Usage]:
        """Tokens of the pairs of each request; repeated documents are read once."""
        return self._pairs(requests).usage

    @property
    def _budget(self) -> int:
        return self._settings.tokens_per_batch

    def _pairs(self, requests: Sequence[RankingRequest]) -> Pairs:
        called = tuple(requests)
        if self._latest is None or self._latest[0] != called:
            length = self._settings.max_length or _DEFAULT_LENGTH
            pairs = read_pairs(self._tokenizer, called, length, self._settings.truncation)
            self._latest = (called, pairs)
        return self._latest[1]

    def _forward(self, inputs: list[dict[str, list[int]]]) -> NDArray[np.float32]:
        """Logits of one batch, padded on the right to its longest pair. float32 [len(inputs)]."""
        import torch

        longest = max(len(p["input_ids"]) for p in inputs)
        padding = {"input_ids": self._tokenizer.pad_token_id, "attention_mask": 0}
        tensors = {
            name: torch.tensor(
                [p[name] + [padding.get(name, 0)] * (longest - len(p[name])) for p in inputs],
                device=self._model.device,
            )
            for name in inputs[0]
        }
        with torch.inference_mode():
            logits = self._model(**tensors).logits
        column: NDArray[np.float32] = logits.float().reshape(-1).cpu().numpy()
        return column

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        try:
            with quiet_loading():
                tokenizer = AutoTokenizer.from_pretrained(
                    str(self._checkpoint.folder), local_files_only=True, trust_remote_code=False
                )
        except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
            raise self._cannot_load(error) from error
        if not tokenizer.is_fast:
            raise CheckpointError(
                f"{self._checkpoint.name} has no fast tokenizer.",
                where=str(self._checkpoint.folder),
                next_step="save one beside the weights, as tokenizer.json",
            )
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        return tokenizer

    @cached_property
    def _model(self) -> Any:
        from transformers import AutoModelForSequenceClassification

        try:
            with quiet_loading():
                model, report = AutoModelForSequenceClassification.from_pretrained(
                    str(self._checkpoint.folder),
                    local_files_only=True,
                    trust_remote_code=False,
                    use_safetensors=True,
                    torch_dtype=torch_dtype(self._settings.dtype),
                    output_loading_info=True,
                )
        except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
            raise self._cannot_load(error) from error
        absent = sorted({*report["missing_keys"], *(str(k) for k in report["mismatched_keys"])})
        if absent:  # transformers would score with random numbers in their place
            raise CheckpointError(
                f"{self._checkpoint.name} lacks tensors that a cross-encoder needs: "
                f"{', '.join(absent[:8])}{' ...' if len(absent) > 8 else ''}.",
                where=str(self._checkpoint.folder),
                next_step="choose a trained cross-encoder; for an embedding model use "
                "bi-encoder:TARGET",
            )
        if model.config.pad_token_id is None:
            model.config.pad_token_id = self._tokenizer.pad_token_id
        return model.to(resolve_device(self._settings.device)).eval()

    def _cannot_load(self, error: Exception) -> CheckpointError:
        return CheckpointError(
            f"transformers cannot load {self._checkpoint.name}: {error}",
            where=str(self._checkpoint.folder),
        )


def batches(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Positions in batches, longest first, each at most `budget` padded tokens (or one item)."""
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    found: list[list[int]] = []
    for i in order:
        if found and lengths[found[-1][0]] * (len(found[-1]) + 1) <= budget:
            found[-1].append(i)
        else:
            found.append([i])
    return found


class CrossEncoderFamily:
    """Any AutoModelForSequenceClassification checkpoint with one label."""

    name = "cross-encoder"
    models = "sequence classifiers with one label (ms-marco-MiniLM, BGE and mxbai rerankers, ...)"
    listwise = False
    extra: str | None = None
    settings: type[RerankerSettings] = CrossEncoderSettings

    def recognises(self, config: Mapping[str, object], files: frozenset[str]) -> bool:
        """True if an architecture in the config ends in ForSequenceClassification."""
        names = config.get("architectures")
        return isinstance(names, list) and any(str(n).endswith(_HEAD) for n in names)

    def open(self, target: str, settings: RerankerSettings) -> CrossEncoder:
        """The reranker for a folder, package:NAME or hub id; no weights are loaded yet.

        Raises CheckpointError for a checkpoint without a head or with several labels,
        UsageError for bad settings.
        """
        checkpoint = open_checkpoint(target)
        _check_head(checkpoint, self)
        chosen = CrossEncoderSettings.model_validate(settings.model_dump())
        check_dtype(chosen.dtype)
        length = _max_length(checkpoint, chosen.max_length)
        chosen = chosen.model_copy(update={"max_length": length})
        info = RerankerInfo(
            name=checkpoint.name,
            family=self.name,
            listwise=self.listwise,
            revision=checkpoint.revision,
            weights=checkpoint.weights,
            settings=chosen.model_dump(exclude={"device"}),
            versions=computing_versions(*_LIBRARIES, device=chosen.device),
        )
        return CrossEncoder(checkpoint, chosen, info)


def _check_head(checkpoint: Checkpoint, kind: CrossEncoderFamily) -> None:
    config = checkpoint.config
    if not kind.recognises(config, checkpoint.files):
        raise CheckpointError(
            f"{checkpoint.name} has no classification head (architectures: "
            f"{config.get('architectures')}), so it is no cross-encoder.",
            where=str(checkpoint.folder / "config.json"),
            next_step="for an embedding model use bi-encoder:TARGET",
        )
    labels = config.get("id2label")
    count = len(labels) if isinstance(labels, dict) else config.get("num_labels", 2)
    if count != 1:
        raise CheckpointError(
            f"{checkpoint.name} has {count} labels; a reranker has one, the relevance.",
            where=str(checkpoint.folder / "config.json"),
            next_step="choose a checkpoint that was trained with num_labels=1",
        )


def _max_length(checkpoint: Checkpoint, wanted: int | None) -> int:
    """Tokens a pair: as wanted if the model has the positions, else min(512, its own limit)."""
    limits = [
        checkpoint.config.get("max_position_embeddings"),
        checkpoint.read_json("tokenizer_config.json").get("model_max_length"),
    ]
    positions, tokenizer_limit = (v if isinstance(v, int) and v > 0 else None for v in limits)
    if positions and any(m in str(checkpoint.config.get("model_type")) for m in _OFFSET_MODELS):
        positions -= 2
    if wanted is None:
        return min(v for v in (_DEFAULT_LENGTH, positions, tokenizer_limit) if v)
    if positions and wanted > positions:
        raise UsageError(
            f"max_length={wanted} is more than the {positions} positions that "
            f"{checkpoint.name} has.",
            next_step=f"set max_length to {positions} or less",
        )
    return wanted


family: Family = CrossEncoderFamily()
