"""Random checkpoints in the released layout, for smoke tests and to start a training from."""

from __future__ import annotations

import gzip
import json
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..device import check_dtype, quiet_loading, torch_dtype
from ..errors import CheckpointError, UsageError
from ..paths import share, storage_error
from .layout import ARCHITECTURE, RELEASED_VOCABULARY
from .prompt import SPECIAL_TOKENS

QWEN3_TOKENS = 151_669
CHAT_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>")
WINDOW = 131_072
_NOT_OF_BACKBONE = ("architectures", "model_type", "torch_dtype")
# v3.5 (reference: reranker-models.md, section 2.1): three sliding layers, two full, the last full.
_PATTERN = (*["sliding_attention"] * 3, *["full_attention"] * 2)


@dataclass(frozen=True, slots=True)
class Size:
    """The shape of a backbone. projection: length of the vectors that are compared."""

    layers: int = 2
    hidden: int = 32
    intermediate: int = 64
    heads: int = 2
    key_heads: int = 1
    head_dim: int = 16
    projection: int = 512


TINY = Size()
RELEASED = Size(28, 1024, 3072, 16, 8, 128)
SIZES = {"tiny": TINY, "released": RELEASED}


def initialise(
    folder: str | Path,
    size: Size = TINY,
    *,
    tokenizer: str | Path | None = None,
    dtype: str = "bfloat16",
    seed: int = 0,
    sliding_window: int | None = None,
    max_shard_size: str = "5GB",
) -> int:
    """Write a random checkpoint that loads as jina-reranker-v3 does; returns its parameters.

    folder: must be empty or absent. tokenizer: a folder with tokenizer.json (or .json.gz); the
    markers are added where it lacks them; None: a tokenizer of single bytes. With Qwen3's own,
    vocabulary and marker ids are the released ones. sliding_window: gives layers the pattern of
    v3.5. Raises UsageError for sizes that do not fit, StorageError where the folder cannot be
    written, CheckpointError for a bad tokenizer folder.
    """
    _check(size, sliding_window)
    target = Path(folder)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(
            "The folder for the new checkpoint is not empty.",
            where=str(target),
            next_step="name a folder that does not exist yet",
        )
    check_dtype(dtype)
    made = _tokenizer(None if tokenizer is None else Path(tokenizer))
    released = len(made) == QWEN3_TOKENS + len(SPECIAL_TOKENS)
    vocabulary = RELEASED_VOCABULARY if released else len(made)
    if released and size.hidden == RELEASED.hidden and size.projection != RELEASED.projection:
        raise UsageError(
            f"At the released width and vocabulary a projection of {size.projection} is refused "
            f"on loading; the released one is {RELEASED.projection}.",
            next_step="leave out --projection",
        )
    try:
        target.mkdir(parents=True, exist_ok=True)
        made.save_pretrained(target)
        return _write_model(target, size, vocabulary, dtype, seed, sliding_window, max_shard_size)
    except OSError as error:
        raise storage_error(error, target) from error


def _check(size: Size, sliding_window: int | None) -> None:
    small = [name for name, value in asdict(size).items() if value < 1]
    if small or (sliding_window is not None and sliding_window < 1):
        raise UsageError(f"{', '.join(small) or 'sliding_window'} must be 1 or more.")
    if size.heads % size.key_heads:
        raise UsageError(f"{size.heads} heads cannot share {size.key_heads} key heads evenly.")
    if size.head_dim % 2 or size.hidden % 2:
        raise UsageError("head_dim and hidden must be even.")


def _write_model(
    folder: Path,
    size: Size,
    vocabulary: int,
    dtype: str,
    seed: int,
    sliding_window: int | None,
    max_shard_size: str,
) -> int:
    import torch
    from huggingface_hub import save_torch_state_dict
    from transformers import Qwen3Config, Qwen3Model

    stated = _config(size, vocabulary, dtype, sliding_window)
    config = Qwen3Config(**{k: v for k, v in stated.items() if k not in _NOT_OF_BACKBONE})
    generator = torch.random.get_rng_state()
    try:
        torch.manual_seed(seed)
        with quiet_loading():
            model_class: Any = Qwen3Model
            backbone = model_class._from_config(config, dtype=torch_dtype(dtype))
        middle = size.hidden // 2  # as the released code has it: 512 for a hidden size of 1024
        weights = {f"model.{name}": value for name, value in backbone.state_dict().items()}
        for name, shape in ((0, (middle, size.hidden)), (2, (size.projection, middle))):
            bound = shape[1] ** -0.5  # torch's own for a Linear
            weight = torch.empty(shape).uniform_(-bound, bound)
            weights[f"projector.{name}.weight"] = weight.to(torch_dtype(dtype))
    finally:
        torch.random.set_rng_state(generator)
    save_torch_state_dict(weights, folder, max_shard_size=max_shard_size)
    (folder / "config.json").write_text(json.dumps(stated, indent=2) + "\n", encoding="utf-8")
    for written in folder.iterdir():
        share(written)  # the weights were written as a temporary file
    return sum(value.numel() for value in weights.values())


def _config(size: Size, vocabulary: int, dtype: str, sliding_window: int | None) -> dict[str, Any]:
    """config.json as the release has it (section 1.1), or v3.5 for a sliding window."""
    config: dict[str, Any] = {
        "architectures": [ARCHITECTURE],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "head_dim": size.head_dim,
        "hidden_act": "silu",
        "hidden_size": size.hidden,
        "initializer_range": 0.02,
        "intermediate_size": size.intermediate,
        "max_position_embeddings": WINDOW,
        "max_window_layers": size.layers,
        "model_type": "qwen3",
        "num_attention_heads": size.heads,
        "num_hidden_layers": size.layers,
        "num_key_value_heads": size.key_heads,
        "rms_norm_eps": 1e-6,
        "rope_scaling": None,
        "rope_theta": 1_000_000,
        "sliding_window": sliding_window,
        "tie_word_embeddings": True,
        "torch_dtype": dtype,
        "use_cache": False,
        "use_sliding_window": sliding_window is not None,
        "vocab_size": vocabulary,
    }
    if sliding_window is not None:
        kinds = [_PATTERN[i % len(_PATTERN)] for i in range(size.layers)]
        config["layer_types"] = [*kinds[:-1], "full_attention"]
    return config


def _tokenizer(source: Path | None) -> Any:
    """The tokenizer of a folder, or one of single bytes, with the markers added."""
    from transformers import PreTrainedTokenizerFast

    made: Any = PreTrainedTokenizerFast
    if source is not None:
        tokenizer = _read_tokenizer(source.parent if source.is_file() else source)
    else:
        tokenizer = made(
            tokenizer_object=_bytes_tokenizer(),
            pad_token="<|endoftext|>",
            eos_token="<|im_end|>",
            model_max_length=WINDOW,
        )
    # In this order: in Qwen3's vocabulary they then have the released ids.
    tokenizer.add_tokens(list(SPECIAL_TOKENS), special_tokens=True)
    return tokenizer


def _read_tokenizer(source: Path) -> Any:
    """transformers' fast tokenizer of a folder, whose tokenizer.json may be gzipped."""
    from transformers import AutoTokenizer

    plain, packed = source / "tokenizer.json", source / "tokenizer.json.gz"
    if not plain.is_file() and not packed.is_file():
        raise CheckpointError(
            "The folder has no tokenizer.json.",
            where=str(source),
            next_step="name a folder with tokenizer.json, or leave --tokenizer out for a "
            "tokenizer of single bytes",
        )
    settings = source / "tokenizer_config.json"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            content = (
                plain.read_bytes() if plain.is_file() else gzip.decompress(packed.read_bytes())
            )
            (folder / plain.name).write_bytes(content)
            if settings.is_file():
                shutil.copyfile(settings, folder / settings.name)
            with quiet_loading():
                return AutoTokenizer.from_pretrained(
                    name, local_files_only=True, trust_remote_code=False
                )
        except Exception as error:  # gzip, JSON and tokenizers: no common base
            raise CheckpointError(
                f"This tokenizer cannot be read: {type(error).__name__}: {error}",
                where=str(source),
                next_step="copy or download its files again",
            ) from error


def _bytes_tokenizer() -> Any:
    """A byte-level tokenizer without merges, which cuts texts as Qwen's does."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers
    from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split

    from .reading import QWEN_SPLIT

    letters = sorted(ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: i for i, letter in enumerate(letters)}, []))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = Sequence(
        [
            Split(Regex(QWEN_SPLIT), behavior="isolated"),
            ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(
        [AddedToken(t, normalized=False, special=True) for t in CHAT_TOKENS]
    )
    return tokenizer
