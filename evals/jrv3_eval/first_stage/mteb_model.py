"""`mteb:MODEL`: a dense model as mteb knows it, with the prompts that mteb has for each task.

Source: mteb 2.26, `get_model_meta`, `ModelMeta.load_model`, and of its wrappers what `encode` takes
(models/sentence_transformer_wrapper.py, models/instruct_wrapper.py). The weights are fetched and
checked as any checkpoint's are, and mteb's loader is given their folder: what it loads holds no
code and no pickle.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..cards import HubSource, Suite, TaskCard
from ..checkpoint import Checkpoint, open_checkpoint
from ..device import DTYPES, device_kind, quiet_loading, resolve_device, torch_dtype
from ..embedding.encoder import (
    EncodedGroup,
    Encoder,
    EncoderSettings,
    Kind,
    encoding_versions,
    is_dense_checkpoint,
    similarity_of,
)
from ..errors import CheckpointError, MissingExtraError, RemoteCodeError, UsageError
from ..hashing import digest_json
from .dense import Dense
from .dense_spec import ELSEWHERE
from .mteb_registry import CHECKPOINTS_SIMILARITY, LOADERS, find_meta, loader_name

ENCODING = 1  # raised when the same settings and versions would give other vectors
_PROMPT_TYPES = {"query", "document"}
_LIBRARIES = ("torch", "transformers", "tokenizers", "sentence-transformers", "mteb")
_DTYPE_KEYS = ("dtype", "torch_dtype")  # the first wins, as in transformers


class MtebTask(NamedTuple):
    """What mteb's models are told of a task. metadata: mteb's TaskMetadata."""

    metadata: Any
    split: str
    subset: str


class MtebModel:
    """A model of mteb's registry; tasks with other prompts share its loaded weights."""

    def __init__(self, meta: Any, checkpoint: Checkpoint, device: str, cache: Path) -> None:
        self.meta, self.checkpoint, self.device = meta, checkpoint, device
        self._cache = cache
        self.dtype = _dtype_of(meta, checkpoint)
        if loader_name(meta.loader) in CHECKPOINTS_SIMILARITY or meta.similarity_fn_name is None:
            self.similarity = similarity_of(checkpoint)
        else:
            self.similarity = str(meta.similarity_fn_name.value)
        if self.similarity not in ("cosine", "dot"):
            raise UsageError(
                f"mteb compares the vectors of {meta.name} by {self.similarity}, which is not "
                "built in.",
                next_step=ELSEWHERE,
            )

    def for_task(self, suite: Suite, card: TaskCard) -> MtebDense:
        """The stage with mteb's prompts for the card's task."""
        return MtebDense(MtebEncoder(self, _task_of(suite, card)), self.similarity, self._cache)

    @property
    def batch_size(self) -> int:
        """Texts in one forward pass, as for `dense`."""
        return 8 if device_kind(self.device) == "cpu" else 64

    @cached_property
    def model_kwargs(self) -> dict[str, Any]:
        """mteb's own for the loader, with the precision as a name of `device.DTYPES`."""
        given = self.meta.loader_kwargs.get("model_kwargs") or {}
        rest = {key: value for key, value in given.items() if key not in _DTYPE_KEYS}
        return {**rest, "dtype": self.dtype}

    @cached_property
    def loaded(self) -> Any:
        """mteb's model. Raises CheckpointError where its loader fails."""
        kwargs = {**self.model_kwargs, "use_safetensors": True}
        kwargs["torch_dtype"] = torch_dtype(kwargs.pop("dtype"))
        # By the folder, so that nothing is loaded but what was checked and hashed.
        meta = self.meta.model_copy(update={"name": str(self.checkpoint.folder)})
        try:
            with quiet_loading(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return meta.load_model(
                    device=str(resolve_device(self.device)),
                    trust_remote_code=False,
                    model_kwargs=kwargs,
                )
        except (OSError, ValueError, KeyError, ImportError, RuntimeError, TypeError) as error:
            raise CheckpointError(
                f"mteb cannot load {self.meta.name}: {error}", where=str(self.checkpoint.folder)
            ) from error


class MtebEncoder:
    """The model for one task. Token counts are unknown (-1): mteb's interface has none."""

    def __init__(self, model: MtebModel, task: MtebTask) -> None:
        self.model, self.task = model, task
        self.checkpoint = model.checkpoint
        self.versions = encoding_versions(*_LIBRARIES, device=model.device, dtype=model.dtype)

    @cached_property
    def recorded_settings(self) -> Mapping[str, Any]:
        """All that can change a vector; the task only where the prompts follow it."""
        meta, metadata = self.model.meta, self.task.metadata
        given = {k: v for k, v in meta.loader_kwargs.items() if k not in ("device", "model_kwargs")}
        told = None
        if self._follows_task():
            told = {"name": metadata.name, "type": metadata.type, "prompt": metadata.prompt}
        return {
            "loader": loader_name(meta.loader),
            "loader_kwargs": _plain({**given, "model_kwargs": self.model.model_kwargs}),
            "mteb_task": told,
            "batch_size": self.model.batch_size,
            "normalize": self.model.similarity == "cosine",
        }

    @cached_property
    def fingerprint(self) -> str:
        """Hex digest over weights, settings, library versions and device kind."""
        return digest_json(
            {
                "encoding": ["mteb", ENCODING],
                "weights": self.checkpoint.weights,
                "settings": self.recorded_settings,
                "versions": self.versions,
            }
        )

    def encode(self, texts: Sequence[str], kind: Kind = "document") -> EncodedGroup:
        """Encode texts in one go; float32 [n, d], in the order of the texts."""
        if not texts:
            none = np.zeros(0, dtype=np.int32)
            return EncodedGroup(np.zeros((0, 0), np.float32), none, none.astype(np.bool_))
        vectors = self._vectors(texts, kind)
        if len(vectors) != len(texts) or not np.isfinite(vectors).all():
            raise CheckpointError(
                f"mteb's {self.checkpoint.name} gave {len(vectors)} vectors for {len(texts)} "
                "texts, or one with a NaN or an infinity."
            )
        if self.recorded_settings["normalize"]:  # here: float32 whatever the model's dtype
            norms = np.linalg.norm(vectors, axis=1, keepdims=True)
            vectors = vectors / np.maximum(norms, np.float32(1e-12))
        unknown = np.full(len(texts), -1, np.int32)
        return EncodedGroup(np.ascontiguousarray(vectors), unknown, np.zeros(len(texts), np.bool_))

    def _vectors(self, texts: Sequence[str], kind: Kind) -> NDArray[np.float32]:
        import torch
        from datasets import Dataset
        from torch.utils.data import DataLoader

        clean = [text.encode("utf-8", "replace").decode() for text in texts]
        if kind == "document":  # as mteb's own loader does: _create_dataloaders._corpus_to_dict
            clean = [text.strip() for text in clean]
        size = self.model.batch_size
        loader: Any = DataLoader(Dataset.from_dict({"text": clean}), batch_size=size)
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of prompts that are not used
            output = self.model.loaded.encode(
                loader,
                task_metadata=self.task.metadata,
                hf_split=self.task.split,
                hf_subset=self.task.subset,
                prompt_type=import_module("mteb.types").PromptType(kind),
                batch_size=size,
                show_progress_bar=False,
            )
        if isinstance(output, torch.Tensor):
            output = output.float().cpu().numpy()
        return np.asarray(output, dtype=np.float32)

    def _follows_task(self) -> bool:
        """False only where every prompt is one of queries or of documents, whatever the task."""
        meta = self.model.meta
        if loader_name(meta.loader) not in LOADERS[:2]:
            return True
        own = self.checkpoint.read_json("config_sentence_transformers.json").get("prompts")
        prompts = meta.loader_kwargs.get("model_prompts") or own or {}
        return not set(prompts) <= _PROMPT_TYPES


class MtebDense(Dense):
    """Exact search over the vectors of one of mteb's models."""

    def __init__(self, encoder: MtebEncoder, similarity: str, cache: Path) -> None:
        super().__init__(encoder, similarity, None, cache)
        self.name = f"mteb-{encoder.checkpoint.name}"


def open_mteb(text: str, *, cache: Path, device: str) -> MtebModel:
    """The first stage for `MODEL` or `MODEL@REVISION` of mteb's registry.

    Raises UsageError for a model that mteb does not know, that is no dense text model or whose
    precision is not built in, RemoteCodeError for one that needs code of its checkpoint,
    MissingExtraError without sentence-transformers, CheckpointError where the weights cannot be
    had or must not be loaded.
    """
    if find_spec("sentence_transformers") is None:
        raise MissingExtraError("A model of mteb's as first stage", "dense")
    name, _, revision = text.partition("@")
    meta = find_meta(name, revision or None)
    target = f"{meta.name}@{meta.revision}" if meta.revision else str(meta.name)
    try:
        checkpoint = open_checkpoint(target)
        if is_dense_checkpoint(checkpoint.files):
            Encoder(checkpoint, EncoderSettings(device=device))  # refuses modules with own code
    except RemoteCodeError as error:
        raise RemoteCodeError(error.what, where=error.where, next_step=ELSEWHERE) from error
    return MtebModel(meta, checkpoint, device, cache)


def _dtype_of(meta: Any, checkpoint: Checkpoint) -> str:
    """The precision that mteb names for the loader; float32 where it names none.

    `auto` is the one that the checkpoint's config states, else float32. Raises UsageError for
    one that is not built in.
    """
    given, config = meta.loader_kwargs.get("model_kwargs") or {}, checkpoint.config
    stated = next((given[key] for key in _DTYPE_KEYS if given.get(key)), None)
    if stated == "auto":
        stated = next((config[key] for key in _DTYPE_KEYS if config.get(key)), None)
    name = str(getattr(stated, "value", stated) or "float32").removeprefix("torch.")
    if name not in DTYPES:
        raise UsageError(
            f"mteb loads {meta.name} in {name}, and only {', '.join(DTYPES)} are built in.",
            next_step=ELSEWHERE,
        )
    return name


def _task_of(suite: Suite, card: TaskCard) -> MtebTask:
    """mteb's own task where the card reads one, else one with mteb's prompt of all retrieval."""
    mteb = import_module("mteb")
    for source in card.sources:
        if isinstance(source, HubSource) and source.task:
            metadata = mteb.get_task(source.task).metadata
            return MtebTask(metadata, source.split or card.split, source.subset)
    retrieval = import_module("mteb.abstasks").AbsTaskRetrieval
    metadata = import_module("mteb.abstasks.task_metadata").TaskMetadata(
        name=f"{suite.suite}-{card.name}",
        description="a task of jrv3-eval",
        prompt=retrieval.abstask_prompt,
        type="Retrieval",
        eval_langs=["eng-Latn"],
        main_score="ndcg_at_10",
        dataset={"path": "not/on-the-hub", "revision": "none"},
    )
    return MtebTask(metadata, card.split, "default")


def _plain(value: Any) -> Any:
    """Keyword arguments as JSON; a function by its name (mteb's version is recorded beside)."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in sorted(value.items())}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if callable(value):
        return loader_name(value)
    value = getattr(value, "value", value)
    return value if isinstance(value, str | int | float | bool | None) else str(value)
