"""jina-embeddings-v3 through transformers' own implementation, with its task adapters.

Source: transformers' documentation of JinaEmbeddingsV3: the base model with a LoRA adapter for
the task, mean of the last hidden states over the text's tokens, unit length. The released
repository needs code from the hub; jinaai/jina-embeddings-v3-hf holds the same weights for
transformers' class, an adapter a folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checkpoint import Checkpoint, digest_once
from ..device import (
    check_dtype,
    device_kind,
    quiet_loading,
    resolve_device,
    torch_dtype,
)
from ..errors import CheckpointError, MissingExtraError
from ..hashing import digest_json
from .encoder import ENCODING, EncodedGroup, EncoderSettings, Kind, encoding_versions

MODEL_TYPE = "jina_embeddings_v3"
MAX_LENGTH = 8192  # tokens; model card of jinaai/jina-embeddings-v3
_FILES = ("adapter_config.json", "adapter_model.safetensors")
_LIBRARIES = ("torch", "transformers", "tokenizers", "peft")


class AdapterEncoder:
    """A jina-embeddings-v3 checkpoint with one adapter for queries and one for documents.

    Cheap to make; loads on first use. Raises CheckpointError where an adapter is missing.
    """

    def __init__(
        self, checkpoint: Checkpoint, settings: EncoderSettings, adapters: Mapping[Kind, str]
    ) -> None:
        check_dtype(settings.dtype)
        missing = [
            f"{name}/{file}"
            for name in sorted(set(adapters.values()))
            for file in _FILES
            if not (checkpoint.folder / name / file).is_file()
        ]
        if missing:
            raise CheckpointError(
                f"{checkpoint.name} lacks the adapters of its tasks: {', '.join(missing)}.",
                where=str(checkpoint.folder),
                next_step="use jinaai/jina-embeddings-v3-hf, whose folders hold them",
            )
        small = device_kind(settings.device) == "cpu"
        defaults = {
            "query_prompt": "",
            "document_prompt": "",
            "max_length": MAX_LENGTH,
            "batch_size": 8 if small else 64,
        }
        unset = {k: v for k, v in defaults.items() if getattr(settings, k) is None}
        self.checkpoint = checkpoint
        self.settings = settings.model_copy(update=unset)
        self.adapters = dict(adapters)
        self.versions = encoding_versions(*_LIBRARIES, device=settings.device, dtype=settings.dtype)

    @cached_property
    def recorded_settings(self) -> dict[str, Any]:
        """All settings that can change a vector; the adapters by the digests of their files."""
        digests = {
            name: [digest_once(self.checkpoint.folder / name / file) for file in _FILES]
            for name in sorted(set(self.adapters.values()))
        }
        return {
            **self.settings.model_dump(exclude={"device"}),
            "adapters": dict(self.adapters),
            "adapter_files": digests,
        }

    @cached_property
    def fingerprint(self) -> str:
        """Hex digest over weights, adapters, settings, library versions and device kind."""
        return digest_json(
            {
                "encoding": ENCODING,
                "weights": self.checkpoint.weights,
                "settings": self.recorded_settings,
                "versions": self.versions,
            }
        )

    def encode(self, texts: Sequence[str], kind: Kind = "document") -> EncodedGroup:
        """Encode texts in one go, longest first inside; vectors in the order of the texts."""
        if not texts:
            none = np.zeros(0, dtype=np.int32)
            return EncodedGroup(np.zeros((0, 0), np.float32), none, none.astype(np.bool_))
        prompt = self.settings.query_prompt if kind == "query" else self.settings.document_prompt
        clean = [f"{prompt}{t}".encode("utf-8", "replace").decode() for t in texts]
        tokenizer, model = self._loaded
        full = np.asarray([len(ids) for ids in tokenizer(clean, verbose=False)["input_ids"]])
        limit = int(self.settings.max_length or MAX_LENGTH)
        model.set_adapter(self.adapters[kind])
        order = np.argsort(-full, kind="stable")
        size = int(self.settings.batch_size or 1)
        vectors = np.empty((len(clean), model.config.hidden_size), np.float32)
        for start in range(0, len(order), size):
            places = order[start : start + size]
            vectors[places] = self._pooled([clean[place] for place in places], limit)
        if self.settings.normalize:
            norms = np.linalg.norm(vectors, axis=1, keepdims=True)
            vectors = vectors / np.maximum(norms, np.float32(1e-12))
        return EncodedGroup(vectors, np.minimum(full, limit).astype(np.int32), full > limit)

    def _pooled(self, texts: list[str], limit: int) -> NDArray[np.float32]:
        """Means over the tokens of each text, in float32."""
        import torch

        tokenizer, model = self._loaded
        batch = tokenizer(
            texts, padding=True, truncation=True, max_length=limit, return_tensors="pt"
        ).to(model.device)
        with torch.inference_mode():
            states = model(**batch).last_hidden_state.float()
        mask = batch["attention_mask"].unsqueeze(-1).float()
        means = (states * mask).sum(1) / mask.sum(1).clamp(min=1e-9)
        found: NDArray[np.float32] = means.cpu().numpy()
        return found

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        try:
            import peft  # noqa: F401
        except ImportError as error:
            raise MissingExtraError("The adapters of jina-embeddings-v3", "dense") from error
        from transformers import AutoModel, AutoTokenizer

        folder = str(self.checkpoint.folder)
        try:
            with quiet_loading():
                tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
                model = AutoModel.from_pretrained(
                    folder,
                    local_files_only=True,
                    use_safetensors=True,
                    dtype=torch_dtype(self.settings.dtype),
                    add_pooling_layer=False,
                )
                for name in sorted(set(self.adapters.values())):
                    model.load_adapter(f"{folder}/{name}", adapter_name=name)
        except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
            raise CheckpointError(
                f"transformers cannot load {self.checkpoint.name}: {error}", where=folder
            ) from error
        return tokenizer, model.to(resolve_device(self.settings.device)).eval()
