"""Small random late-interaction checkpoints for tests, in the three layouts."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

from jrv3_eval.device import quiet_loading
from models import POSITIONS, write_json, write_tokenizer

DIMENSION = 16
_BASE = "sentence_transformers.base.modules"
_OWN = "sentence_transformers.multi_vector_encoder.modules"
_CLASSES = {
    "Dense": f"{_BASE}.dense.Dense",
    "Normalize": f"{_BASE}.normalize.Normalize",
    "MultiVectorMask": f"{_OWN}.multi_vector_mask.MultiVectorMask",
    "HierarchicalTokenPooling": f"{_OWN}.token_pooling.HierarchicalTokenPooling",
    "Pooling": "sentence_transformers.sentence_transformer.modules.pooling.Pooling",
}


def _bert(folder: Path, markers: tuple[str, ...], seed: int) -> Any:
    """A random BERT whose tokenizer knows the markers; only the tokenizer is written."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertModel

    write_tokenizer(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(list(markers))
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    with quiet_loading():
        return BertModel(
            BertConfig(
                vocab_size=len(tokenizer),
                hidden_size=32,
                num_hidden_layers=2,
                num_attention_heads=2,
                intermediate_size=64,
                max_position_embeddings=POSITIONS,
                initializer_range=0.2,
            )
        )


def _matrix(rows: int, columns: int, seed: int) -> Any:
    import torch

    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


def write_pylate(folder: Path, *, seed: int = 0, dense: Any = None, **settings: Any) -> Path:
    """A model as PyLate saves it; settings go in its config_sentence_transformers.json.

    dense: what differs from the default in each Dense module's config.
    """
    from safetensors.torch import save_file

    with quiet_loading():
        _bert(folder, ("[Q] ", "[D] "), seed).save_pretrained(folder)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 31, "do_lower_case": False})
    modules = [("", "sentence_transformers.models.Transformer")]
    size = 32
    for number, changed in enumerate(dense or [{}], 1):
        room = f"{number}_Dense"
        modules.append((room, "pylate.models.Dense.Dense"))
        config = {
            "in_features": size,
            "out_features": DIMENSION,
            "bias": False,
            "activation_function": "torch.nn.modules.linear.Identity",
            **changed,
        }
        write_json(folder / room / "config.json", config)
        out = config["out_features"]
        tensors = {"linear.weight": _matrix(out, size, number)}
        if config["bias"]:
            tensors["linear.bias"] = _matrix(1, out, 10 + number)[0]
        if config.get("use_residual") and out != size:
            tensors["residual.weight"] = _matrix(out, size, 20 + number)
        save_file(tensors, folder / room / "model.safetensors")
        size = out
    write_json(
        folder / "modules.json",
        [{"idx": i, "name": str(i), "path": p, "type": t} for i, (p, t) in enumerate(modules)],
    )
    defaults: dict[str, Any] = {
        "model_type": "ColBERT",
        "prompts": {},
        "default_prompt_name": None,
        "similarity_fn_name": "MaxSim",
        "query_prefix": "[Q] ",
        "document_prefix": "[D] ",
        "query_length": 32,
        "document_length": 100,
        "attend_to_expansion_tokens": False,
        "skiplist_words": list(string.punctuation),
        "do_query_expansion": True,
    }
    write_json(folder / "config_sentence_transformers.json", {**defaults, **settings})
    return folder


def write_multi_vector(
    folder: Path,
    *,
    seed: int = 0,
    transformer: Any = None,
    mask: Any = None,
    normalize: Any = None,
    modules: Any = ("Dense", "MultiVectorMask", "Normalize"),
    **settings: Any,
) -> Path:
    """The model of `write_pylate` as sentence-transformers 6 saves a MultiVectorEncoder.

    transformer, mask, normalize: what differs in the configs of these modules. modules: the kinds
    behind the transformer. settings go in config_sentence_transformers.json.
    """
    from transformers import AutoTokenizer

    dense = {"module_input_name": "token_embeddings", "module_output_name": "token_embeddings"}
    write_pylate(folder, seed=seed, dense=[dense])
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"additional_special_tokens": ["[Q] ", "[D] "]})
    tokenizer.save_pretrained(folder)
    usual: dict[str, Any] = {
        "transformer_task": "feature-extraction",
        "modality_config": {
            "text": {"method": "forward", "method_output_name": "last_hidden_state"}
        },
        "module_output_name": "token_embeddings",
        "document_length": 100,
        "query_expansion": {"strategy": "fixed", "attend": False, "token": None, "length": 32},
    }
    write_json(folder / "sentence_bert_config.json", {**usual, **(transformer or {})})
    skiplist = {"skiplist_words": list(string.punctuation), "skiplist_tasks": ["document"]}
    configs = {
        "MultiVectorMask": {**skiplist, "keep_only_token_ids": None, **(mask or {})},
        "Normalize": {**dense, **(normalize or {})},
    }
    # The projection has its folder from write_pylate.
    paths = {k: "1_Dense" if k == "Dense" else f"{i}_{k}" for i, k in enumerate(modules, 1)}
    for kind in set(modules) - {"Dense"}:
        write_json(folder / paths[kind] / "config.json", configs.get(kind, {}))
    listed = [("", f"{_BASE}.transformer.Transformer"), *((paths[k], _CLASSES[k]) for k in modules)]
    write_json(
        folder / "modules.json",
        [{"idx": i, "name": str(i), "path": p, "type": t} for i, (p, t) in enumerate(listed)],
    )
    defaults: dict[str, Any] = {
        "model_type": "MultiVectorEncoder",
        "prompts": {"query": "[Q] ", "document": "[D] "},
        "default_prompt_name": None,
        "similarity_fn_name": None,
    }
    write_json(folder / "config_sentence_transformers.json", {**defaults, **settings})
    return folder


def write_colbert(folder: Path, *, seed: int = 0, **metadata: Any) -> Path:
    """A model as colbert-ai saves it; metadata goes in its artifact.metadata."""
    from safetensors.torch import save_file

    model = _bert(folder, ("[unused0]", "[unused1]"), seed)
    config = {**model.config.to_dict(), "architectures": ["HF_ColBERT"]}
    write_json(folder / "config.json", config)
    tensors = {f"bert.{name}": t.contiguous() for name, t in model.state_dict().items()}
    tensors["linear.weight"] = _matrix(DIMENSION, 32, 1)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    defaults = {"query_maxlen": 32, "doc_maxlen": 100, "dim": DIMENSION}
    text = json.dumps({**defaults, **metadata})
    (folder / "artifact.metadata").write_text(text, encoding="utf-8")
    return folder
