"""Texts to vectors with a sentence-transformers checkpoint.

The model loads when the first text is encoded, so that a run which finds all vectors in the
cache never imports torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from ..checkpoint import Checkpoint, open_checkpoint
from ..device import (
    check_dtype,
    computing_versions,
    cpu_instructions,
    device_kind,
    quiet_loading,
    resolve_device,
    torch_dtype,
)
from ..errors import CheckpointError, MissingExtraError, RemoteCodeError, UsageError
from ..hashing import digest_json

ENCODING = 1  # raised when the same settings and versions would give other vectors
Kind = Literal["query", "document"]
_LIBRARIES = ("torch", "transformers", "tokenizers", "sentence-transformers")
_OTHER_MODELS = (".cross_encoder.", ".sparse_encoder.", ".multi_vector_encoder.")
_DOCUMENT_PROMPTS = ("document", "passage", "corpus")


class EncoderSettings(BaseModel):
    """How texts become vectors; all but the device name is part of the fingerprint."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    device: str = Field("auto", description="auto, cpu, cuda, cuda:N or mps")
    dtype: str = Field("float32", description="float32, bfloat16 or float16")
    max_length: int | None = Field(None, ge=4, description="tokens a text; default: the model's")
    batch_size: int | None = Field(
        None, ge=1, description="texts in one forward pass; default: 8 on a CPU, else 64"
    )
    normalize: bool = Field(True, description="unit vectors, so that a dot product is a cosine")
    query_prompt: str | None = Field(None, description="before a query; default: the model's")
    document_prompt: str | None = Field(None, description="before a document; default: the model's")


@dataclass(frozen=True)
class EncodedGroup:
    """Vectors of the texts encoded together, in their order.

    vectors: float32 [n, d]. tokens: int32 [n], read by the model, with prompt and special
    tokens. truncated: bool [n], True where a text was longer than the model reads.
    """

    vectors: NDArray[np.float32]
    tokens: NDArray[np.int32]
    truncated: NDArray[np.bool_]


class Encoder:
    """A sentence-transformers checkpoint with settings. Cheap to make; loads on first use.

    Raises CheckpointError if the checkpoint is not a dense sentence-transformers model or asks
    for code outside of that package, UsageError for a bad device or dtype.
    """

    def __init__(self, checkpoint: Checkpoint, settings: EncoderSettings | None = None) -> None:
        chosen = settings or EncoderSettings()
        _check_modules(checkpoint)
        check_dtype(chosen.dtype)
        own = checkpoint.read_json("config_sentence_transformers.json").get("prompts") or {}
        document = next((own[p] for p in _DOCUMENT_PROMPTS if own.get(p)), "")
        positions = checkpoint.config.get("max_position_embeddings")
        if chosen.max_length and isinstance(positions, int) and chosen.max_length > positions:
            raise UsageError(
                f"max_length={chosen.max_length} is more than the {positions} positions that "
                f"{checkpoint.name} has.",
                next_step=f"set max_length to {positions} or less",
            )
        defaults = {
            "query_prompt": own.get("query") or "",
            "document_prompt": document,
            "max_length": _own_max_length(checkpoint),
            # Small batches pad less and stay in a CPU's cache; an accelerator wants large ones.
            "batch_size": 8 if device_kind(chosen.device) == "cpu" else 64,
        }
        missing = {k: v for k, v in defaults.items() if getattr(chosen, k) is None}
        self.checkpoint = checkpoint
        self.settings = chosen.model_copy(update=missing)
        self.versions = encoding_versions(*_LIBRARIES, device=chosen.device, dtype=chosen.dtype)

    @cached_property
    def recorded_settings(self) -> dict[str, str | int | bool | None]:
        """All settings that can change a vector, resolved; the device is in `versions`.

        Attention is transformers' choice for the architecture: SDPA, or eager where there is none.
        """
        return self.settings.model_dump(exclude={"device"})

    @cached_property
    def fingerprint(self) -> str:
        """Hex digest over weights, settings, library versions and device kind."""
        return digest_json(
            {
                "encoding": ENCODING,
                "weights": self.checkpoint.weights,
                "settings": self.recorded_settings,
                "versions": self.versions,
            }
        )

    def load(self) -> None:
        """Load the weights now. Raises CheckpointError if they cannot be."""
        _ = self._model

    def encode(self, texts: Sequence[str], kind: Kind = "document") -> EncodedGroup:
        """Encode texts in one go, longest first inside; vectors in the order of the texts.

        Raises CheckpointError if the model cannot be loaded.
        """
        if not texts:
            empty = np.zeros(0, dtype=np.int32)
            return EncodedGroup(np.zeros((0, 0), np.float32), empty, empty.astype(np.bool_))
        # sentence-transformers warns and misbehaves on lone surrogates only deep inside.
        clean = [t.encode("utf-8", "replace").decode() for t in texts]
        prompt = self.settings.query_prompt if kind == "query" else self.settings.document_prompt
        encode = self._model.encode_query if kind == "query" else self._model.encode_document
        output = encode(
            clean,
            prompt=prompt,  # "" means none; None would let the library choose
            batch_size=self.settings.batch_size,
            convert_to_tensor=True,
            show_progress_bar=False,
        )
        vectors: NDArray[np.float32] = output.float().cpu().numpy()
        if self.settings.normalize:  # here and not in the model: float32 whatever its dtype
            norms = np.linalg.norm(vectors, axis=1, keepdims=True)
            vectors = vectors / np.maximum(norms, np.float32(1e-12))
        tokens, truncated = self._count([f"{prompt}{t}" for t in clean])
        return EncodedGroup(np.ascontiguousarray(vectors), tokens, truncated)

    def _count(self, texts: list[str]) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        tokenizer = self._model.tokenizer
        limit = self._model.max_seq_length or np.iinfo(np.int32).max
        if hasattr(tokenizer, "encode_batch"):  # a static model carries a bare tokenizers.Tokenizer
            full = [len(e.ids) for e in tokenizer.encode_batch(texts, add_special_tokens=False)]
        else:
            ids = tokenizer(texts, padding=False, truncation=False, verbose=False)["input_ids"]
            full = [len(i) for i in ids]
        lengths = np.asarray(full, dtype=np.int64)
        return np.minimum(lengths, limit).astype(np.int32), lengths > limit

    @cached_property
    def _model(self) -> Any:
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise MissingExtraError("Encoding texts", "dense") from error
        try:
            with quiet_loading():
                model = SentenceTransformer(
                    str(self.checkpoint.folder),
                    device=str(resolve_device(self.settings.device)),
                    trust_remote_code=False,
                    local_files_only=True,
                    model_kwargs={
                        "use_safetensors": True,
                        "torch_dtype": torch_dtype(self.settings.dtype),
                    },
                )
        except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
            raise CheckpointError(
                f"sentence-transformers cannot load {self.checkpoint.name}: {error}",
                where=str(self.checkpoint.folder),
            ) from error
        for module in list(model)[1:]:  # the first module got its dtype when it was loaded
            module.to(torch_dtype(self.settings.dtype))
        if self.settings.max_length not in (None, model.max_seq_length):
            model.max_seq_length = self.settings.max_length
        return model.eval()


def open_encoder(target: str, settings: EncoderSettings | None = None) -> Encoder:
    """The encoder for a folder, `package:NAME` or hub id; no weights are loaded yet."""
    return Encoder(open_checkpoint(target), settings)


def encoding_versions(*packages: str, device: str, dtype: str) -> dict[str, str]:
    """Versions of all that computes a vector; half precision on a CPU depends on its kind."""
    found = computing_versions(*packages, device=device)
    if found["device"] == "cpu" and dtype != "float32":
        found["instructions"] = cpu_instructions()
    return found


def similarity_of(checkpoint: Checkpoint) -> str:
    """`cosine` or `dot`, as the checkpoint itself declares. Raises UsageError for another one."""
    stored = checkpoint.read_json("config_sentence_transformers.json")
    name = stored.get("similarity_fn_name") or "cosine"
    if name not in ("cosine", "dot"):
        raise UsageError(
            f"{checkpoint.name} was trained for {name!r} similarity, which is not built in.",
            next_step="as a reranker: choose similarity=cosine or similarity=dot",
        )
    return str(name)


def is_dense_checkpoint(files: frozenset[str]) -> bool:
    """True if a checkpoint with these files is laid out by sentence-transformers."""
    return "modules.json" in files


def _check_modules(checkpoint: Checkpoint) -> None:
    """Only modules of sentence-transformers itself, and only of its dense models.

    Releases of sentence-transformers before 6 run a local folder's own module code unasked.
    """
    where = str(checkpoint.folder / "modules.json")
    if not is_dense_checkpoint(checkpoint.files):
        raise CheckpointError(
            f"{checkpoint.name} has no modules.json, so it is not a sentence-transformers model.",
            where=str(checkpoint.folder),
            next_step="save it with SentenceTransformer.save_pretrained, or use another family",
        )
    classes = [m.get("type") for m in checkpoint.read_list("modules.json")]
    for room in {f.rpartition("/")[0] for f in checkpoint.files}:
        prefix = f"{room}/" if room else ""
        classes += checkpoint.read_json(f"{prefix}router_config.json").get("types", {}).values()
        config = checkpoint.read_json(f"{prefix}config.json")
        named = [str(config.get(k, "")) for k in ("activation_function", "tokenizer_class")]
        classes += [n for n in named if "." in n and not n.startswith("torch.nn.")]
    for name in classes:
        if not isinstance(name, str) or not name.startswith("sentence_transformers."):
            raise RemoteCodeError(
                f"{checkpoint.name} needs remote code ({name}), which is never run here.",
                where=where,
                next_step="use a checkpoint whose modules are all of sentence-transformers",
            )
        if any(part in name for part in _OTHER_MODELS):
            raise _not_dense(checkpoint, name.split(".")[1])
    kind = checkpoint.read_json("config_sentence_transformers.json").get("model_type")
    if kind not in (None, "SentenceTransformer"):
        raise _not_dense(checkpoint, str(kind))


def _not_dense(checkpoint: Checkpoint, kind: str) -> CheckpointError:
    return CheckpointError(
        f"{checkpoint.name} is a {kind}, not a model with one vector a text.",
        where=str(checkpoint.folder),
        next_step="for a cross-encoder use cross-encoder:TARGET",
    )


def _own_max_length(checkpoint: Checkpoint) -> int | None:
    """The length that the checkpoint itself sets, None where only the loaded model knows."""
    for file, key in (
        ("sentence_bert_config.json", "max_seq_length"),
        ("tokenizer_config.json", "model_max_length"),
    ):
        value = checkpoint.read_json(file).get(key)
        if isinstance(value, int) and 0 < value < 1_000_000:
            return value
    return None
