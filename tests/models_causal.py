"""Small random decoders for tests, over single bytes with the special tokens of chat models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jrv3_eval.device import quiet_loading

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<bos>", "<pad>")
POSITIONS = 4096
CONFIGS = {  # the decoders behind the shipped templates, and what users train
    "Qwen3ForCausalLM": "Qwen3Config",
    "Qwen2ForCausalLM": "Qwen2Config",
    "GemmaForCausalLM": "GemmaConfig",
    "Gemma2ForCausalLM": "Gemma2Config",
    "LlamaForCausalLM": "LlamaConfig",
    "Qwen3ForSequenceClassification": "Qwen3Config",
}


def write_bytes_tokenizer(folder: Path, **options: Any) -> None:
    """A byte-level tokenizer that knows the special tokens and adds none by itself."""
    from tokenizers import AddedToken, Tokenizer, decoders, models
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import PreTrainedTokenizerFast

    letters = sorted(ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: i for i, letter in enumerate(letters)}, []))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in SPECIAL])
    names = {"bos_token": "<bos>", "eos_token": "<|endoftext|>", "pad_token": "<pad>", **options}
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=POSITIONS, **names
    ).save_pretrained(folder)


def write_decoder(
    folder: Path,
    architecture: str = "Qwen3ForCausalLM",
    *,
    tokenizer: Path | None = None,
    seed: int = 0,
    **config: Any,
) -> Path:
    """A random two-layer decoder of a transformers class; over bytes unless given a tokenizer."""
    import torch
    import transformers

    folder.mkdir(parents=True, exist_ok=True)
    if tokenizer is None:
        write_bytes_tokenizer(folder)
    else:
        transformers.AutoTokenizer.from_pretrained(tokenizer).save_pretrained(folder)
    length = len(transformers.AutoTokenizer.from_pretrained(folder))
    one = architecture.endswith("ForSequenceClassification")
    settings = getattr(transformers, CONFIGS[architecture])(
        **{
            "vocab_size": length,
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "head_dim": 16,
            "intermediate_size": 64,
            "max_position_embeddings": POSITIONS,
            "initializer_range": 0.2,
            "pad_token_id": 0,
            "bos_token_id": None,
            "eos_token_id": None,
            **({"num_labels": 1} if one else {}),
            **config,
        }
    )
    torch.manual_seed(seed)
    with quiet_loading():
        getattr(transformers, architecture)(settings).save_pretrained(folder)
    return folder


def write_causal(folder: Path) -> Path:
    """A decoder that only the causal family recognises: with the label ids beside it."""
    write_decoder(folder)
    write_logit_score(folder, ord("y"), ord("n"))
    return folder


def write_logit_score(folder: Path, relevant: int, irrelevant: int | None) -> None:
    """Label ids as sentence-transformers keeps them. Bytes: an ASCII letter's place in the list."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    if len(tokenizer) < 1000:
        letters = tokenizer.get_vocab()
        relevant = letters[chr(relevant)]
        irrelevant = None if irrelevant is None else letters[chr(irrelevant)]
    package = "sentence_transformers"
    modules = [
        ("", f"{package}.base.modules.transformer.Transformer"),
        ("1_LogitScore", f"{package}.cross_encoder.modules.logit_score.LogitScore"),
    ]
    listed = [{"idx": i, "name": str(i), "path": p, "type": t} for i, (p, t) in enumerate(modules)]
    (folder / "modules.json").write_text(json.dumps(listed))
    (folder / "1_LogitScore").mkdir(exist_ok=True)
    ids = {"true_token_id": relevant, "false_token_id": irrelevant}
    (folder / "1_LogitScore" / "config.json").write_text(json.dumps(ids))
