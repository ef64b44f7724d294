"""Small random checkpoints for tests, written as any trainer would: safetensors and JSON."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

from jrv3_eval.device import quiet_loading

_TEXT = "the river nile flows north longest water is in of a banana fruit return max key def"
POSITIONS = 128


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def write_tokenizer(folder: Path) -> None:
    """A real WordPiece tokenizer with BERT's pair layout and 128 positions."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = string.ascii_lowercase + string.digits + "日本の河北"
    pieces = [*special, *_TEXT.split(), *letters, *(f"##{c}" for c in letters), *string.punctuation]
    vocabulary = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(t, vocabulary[t]) for t in ("[CLS]", "[SEP]")],
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=POSITIONS,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    ).save_pretrained(folder)


def write_bert(folder: Path, architecture: str, *, seed: int = 0, **config: Any) -> Path:
    """A random two-layer BERT of the given transformers class, with its tokenizer."""
    import torch
    import transformers

    write_tokenizer(folder)
    size = len(json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"])
    settings = transformers.BertConfig(
        vocab_size=size,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=POSITIONS,
        initializer_range=0.2,
        **config,
    )
    torch.manual_seed(seed)
    with quiet_loading():
        getattr(transformers, architecture)(settings).save_pretrained(folder)
    return folder


def write_cross_encoder(folder: Path) -> Path:
    return write_bert(folder, "BertForSequenceClassification", num_labels=1)


def write_bi_encoder(folder: Path, **sentence_transformers: Any) -> Path:
    """A sentence-transformers model with mean pooling; extra settings go in its own config."""
    write_bert(folder, "BertModel")
    package = "sentence_transformers.models"
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")]
    write_json(
        folder / "modules.json",
        [
            {"idx": i, "name": str(i), "path": path, "type": f"{package}.{kind}"}
            for i, (path, kind) in enumerate(modules)
        ],
    )
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 64})
    write_json(
        folder / "1_Pooling" / "config.json",
        {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True},
    )
    if sentence_transformers:
        write_json(folder / "config_sentence_transformers.json", sentence_transformers)
    return folder


def write_lbnl(folder: Path, **options: Any) -> Path:
    """A random two-layer jina-reranker-v3, over single bytes unless a tokenizer is given."""
    from dataclasses import replace

    from jrv3_eval.lbnl.initialise import TINY, initialise

    shape = {k: options.pop(k) for k in ("layers", "hidden", "heads", "key_heads") if k in options}
    initialise(folder, replace(TINY, **shape), **{"dtype": "float32", **options})
    return folder
