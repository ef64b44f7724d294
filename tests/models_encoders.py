"""Small random checkpoints of the architectures of released encoder-like rerankers."""

from __future__ import annotations

import json
import string
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from jrv3_eval.device import quiet_loading
from models import write_json

_TEXT = (
    "the river nile flows north longest water is in of a banana fruit return max key def "
    "rivers africa rich potassium which long country letter"
)
WORDS = tuple(_TEXT.split())
POSITIONS = 128  # tokens that every model here reads
_SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "initializer_range": 0.2,
    "num_labels": 1,
}


def _unigram(special: list[str]) -> list[tuple[str, float]]:
    """Pieces with log probabilities: specials, whole words, parts of words, letters."""
    words = [f"▁{w}" for w in WORDS]
    parts = sorted({w[i : i + 3] for w in WORDS for i in range(0, len(w), 2)} - {*string.printable})
    letters = [*string.ascii_letters, *string.digits, *string.punctuation, "▁", *"河は北へ流れるé"]
    pieces = dict.fromkeys(special, 0.0)
    for rank, piece in enumerate([*words, *parts, *letters]):
        pieces.setdefault(piece, -2.0 - 0.05 * rank)
    return list(pieces.items())


def _save(folder: Path, tokenizer: Any, **config: Any) -> None:
    """tokenizer.json and a tokenizer_config.json as a release has it."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(folder / "tokenizer_config.json", {"model_max_length": POSITIONS, **config})


def write_xlmr_tokenizer(folder: Path, *, length: int = POSITIONS) -> int:
    """XLM-R's kind of tokenizer: Unigram, `<s> a </s></s> b </s>`. Returns its size."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    special = ["<s>", "<pad>", "</s>", "<unk>"]
    pieces = [*_unigram(special), ("<mask>", 0.0)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=3))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    tokenizer.add_special_tokens([*special, "<mask>"])
    names = {"bos": "<s>", "cls": "<s>", "eos": "</s>", "sep": "</s>", "unk": "<unk>"}
    names |= {"pad": "<pad>", "mask": "<mask>"}
    _save(
        folder,
        tokenizer,
        tokenizer_class="XLMRobertaTokenizer",
        **{f"{k}_token": v for k, v in names.items()},
        model_max_length=length,
    )
    return len(pieces)


def write_deberta_tokenizer(folder: Path) -> int:
    """DeBERTa-v2's kind of tokenizer: Unigram, `[CLS] a [SEP] b [SEP]` with token types."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

    special = ["[PAD]", "[CLS]", "[SEP]", "[UNK]"]
    pieces = [*_unigram(special), ("[MASK]", 0.0)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=3))
    # What transformers 5 puts in place of any normalizer in a DeBERTa-v2 tokenizer.json.
    blanks = normalizers.Replace(Regex(r"\s{2,}|[\n\r\t]"), " ")
    tokenizer.normalizer = normalizers.Sequence(
        [blanks, normalizers.NFC(), normalizers.Strip(left=False, right=True)]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = _bert_pairs(processors, 1, 2)
    tokenizer.add_special_tokens([*special, "[MASK]"])
    _save(folder, tokenizer, tokenizer_class="DebertaV2Tokenizer", **_BERT_TOKENS)
    return len(pieces)


def write_modernbert_tokenizer(folder: Path) -> int:
    """ModernBERT's kind of tokenizer: byte-level BPE, `[CLS] a [SEP] b [SEP]`, no token types."""
    from tokenizers import processors

    special = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]
    tokenizer = byte_bpe(special)
    ids = [tokenizer.token_to_id(t) for t in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = _bert_pairs(processors, *ids)
    _save(
        folder,
        tokenizer,
        tokenizer_class="PreTrainedTokenizerFast",
        model_input_names=["input_ids", "attention_mask"],
        **_BERT_TOKENS,
    )
    return int(tokenizer.get_vocab_size())


_BERT_TOKENS = {
    **{"bos_token": "[CLS]", "cls_token": "[CLS]", "eos_token": "[SEP]", "sep_token": "[SEP]"},
    **{"unk_token": "[UNK]", "pad_token": "[PAD]", "mask_token": "[MASK]"},
}


def _bert_pairs(processors: Any, cls: int, sep: int) -> Any:
    return processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", cls), ("[SEP]", sep)],
    )


def byte_bpe(special: list[str]) -> Any:
    """A byte-level BPE that has merged the words above; special tokens stand last."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    vocabulary = {c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    merges: dict[tuple[str, str], None] = {}
    for word in WORDS:
        merged = "Ġ"
        for letter in word[:4]:
            merges.setdefault((merged, letter))
            merged += letter
            vocabulary.setdefault(merged, len(vocabulary))
    tokenizer = Tokenizer(models.BPE(vocabulary, list(merges)))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in special])
    return tokenizer


def _write(folder: Path, architecture: str, seed: int, **config: Any) -> Path:
    """Random weights of a transformers class `<Name>ForSequenceClassification`."""
    import torch
    import transformers

    kind = architecture.removesuffix("ForSequenceClassification") + "Config"
    settings = getattr(transformers, kind)(**{**_SIZES, **config})
    torch.manual_seed(seed)
    with quiet_loading():
        model = getattr(transformers, architecture)(settings)
        with torch.no_grad():
            for parameter in model.parameters():  # biases and norms that do something
                if parameter.dim() == 1:
                    parameter.add_(torch.randn_like(parameter) * 0.1)
        model.save_pretrained(folder)
    return folder


def write_xlmr(folder: Path, *, seed: int = 0, **config: Any) -> Path:
    """As bge-reranker-base, -large and -v2-m3: XLM-R, two positions more than it reads."""
    size = write_xlmr_tokenizer(folder)
    given = {"max_position_embeddings": POSITIONS + 2, "type_vocab_size": 1, "pad_token_id": 1}
    given |= config
    return _write(
        folder,
        "XLMRobertaForSequenceClassification",
        seed,
        vocab_size=size,
        **given,
    )


def write_deberta(folder: Path, *, seed: int = 0, **config: Any) -> Path:
    """As mxbai-rerank-xsmall, -base and -large-v1: DeBERTa-v3's relative positions only."""
    size = write_deberta_tokenizer(folder)
    given: dict[str, Any] = {
        "max_position_embeddings": POSITIONS,
        "type_vocab_size": 0,
        "relative_attention": True,
        "position_biased_input": False,
        "pos_att_type": ["p2c", "c2p"],
        "position_buckets": 16,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "max_relative_positions": -1,
        "pooler_hidden_size": 32,
        **config,
    }
    return _write(folder, "DebertaV2ForSequenceClassification", seed, vocab_size=size, **given)


def write_modernbert(folder: Path, *, seed: int = 0, **config: Any) -> Path:
    """As gte-reranker-modernbert-base: local layers, rotary positions, mean pooling."""
    size = write_modernbert_tokenizer(folder)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    ids = {t["content"]: t["id"] for t in tokenizer["added_tokens"]}
    given: dict[str, Any] = {
        "num_hidden_layers": 3,
        "max_position_embeddings": POSITIONS,
        "local_attention": 16,
        "global_attn_every_n_layers": 3,
        "classifier_pooling": "mean",
        "pad_token_id": ids["[PAD]"],
        "cls_token_id": ids["[CLS]"],
        "bos_token_id": ids["[CLS]"],
        "sep_token_id": ids["[SEP]"],
        "eos_token_id": ids["[SEP]"],
        "initializer_cutoff_factor": 3.0,
        **config,
    }
    return _write(folder, "ModernBertForSequenceClassification", seed, vocab_size=size, **given)


# Released rerankers that are transformers' own classes: how each of their kind is written.
ENCODERS: Mapping[str, Callable[..., Path]] = {
    "bge-reranker": write_xlmr,
    "gte-reranker-modernbert": write_modernbert,
    "mxbai-rerank-v1": write_deberta,
}


def write_jina_v2(
    folder: Path, *, seed: int = 0, positions: int = POSITIONS, **config: Any
) -> Path:
    """As jina-reranker-v2-base-multilingual, with the config as released: no model_type."""
    import torch
    from safetensors.torch import save_file

    size = write_xlmr_tokenizer(folder, length=positions)
    hidden, inner, layers = 32, 64, 2
    stated: dict[str, Any] = {
        "architectures": ["XLMRobertaForSequenceClassification"],
        "auto_map": {
            "AutoConfig": "configuration_xlm_roberta.XLMRobertaFlashConfig",
            "AutoModel": "modeling_xlm_roberta.XLMRobertaModel",
            "AutoModelForSequenceClassification": "modeling_xlm_roberta."
            "XLMRobertaForSequenceClassification",
        },
        "bos_token_id": 0,
        "eos_token_id": 2,
        "pad_token_id": 1,
        "hidden_act": "gelu",
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": 2,
        "num_labels": 1,
        "id2label": {"0": "LABEL_0"},
        "layer_norm_eps": 1e-5,
        "max_position_embeddings": positions + 2,
        "position_embedding_type": "absolute",
        "torch_dtype": "bfloat16",
        "type_vocab_size": 1,
        "use_flash_attn": True,
        "vocab_size": size,
        **config,
    }
    write_json(folder / "config.json", stated)
    random = torch.Generator().manual_seed(seed)

    def normal(*shape: int, mean: float = 0.0) -> torch.Tensor:
        return mean + 0.2 * torch.randn(*shape, generator=random)

    tensors: dict[str, torch.Tensor] = {}

    def linear(name: str, rows: int, columns: int) -> None:
        tensors[f"{name}.weight"], tensors[f"{name}.bias"] = normal(rows, columns), normal(rows)

    def norm(name: str) -> None:
        tensors[f"{name}.weight"], tensors[f"{name}.bias"] = normal(hidden, mean=1), normal(hidden)

    embeddings = {"word": size, "position": positions + 2, "token_type": 1}
    for name, rows in embeddings.items():
        tensors[f"roberta.embeddings.{name}_embeddings.weight"] = normal(rows, hidden)
    norm("roberta.emb_ln")
    for i in range(layers):
        layer = f"roberta.encoder.layers.{i}"
        linear(f"{layer}.mixer.Wqkv", 3 * hidden, hidden)
        linear(f"{layer}.mixer.out_proj", hidden, hidden)
        linear(f"{layer}.mlp.fc1", inner, hidden)
        linear(f"{layer}.mlp.fc2", hidden, inner)
        norm(f"{layer}.norm1")
        norm(f"{layer}.norm2")
    linear("classifier.dense", hidden, hidden)
    linear("classifier.out_proj", 1, hidden)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def write_jina_m0(folder: Path, *, seed: int = 0, positions: int = 256, **config: Any) -> Path:
    """As jina-reranker-m0: a whole Qwen2-VL with its vision tower, and the score head."""
    import torch
    import transformers
    from safetensors.torch import save_file

    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>"]
    special += ["<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"]
    tokenizer = byte_bpe(special)
    ids = {token: tokenizer.token_to_id(token) for token in special}
    _save(
        folder,
        tokenizer,
        tokenizer_class="PreTrainedTokenizerFast",
        clean_up_tokenization_spaces=False,
        pad_token="<|endoftext|>",
        eos_token="<|im_end|>",
        padding_side="left",
    )
    text: dict[str, Any] = {
        "vocab_size": tokenizer.get_vocab_size(),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "hidden_act": "silu",
        "max_position_embeddings": positions,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1_000_000.0,
        "rope_scaling": {"type": "mrope", "mrope_section": [1, 1, 2]},
        "use_sliding_window": False,
        "initializer_range": 0.2,
        **config,
    }
    vision = {"depth": 1, "embed_dim": 16, "hidden_size": 32, "num_heads": 2, "mlp_ratio": 2}
    extra = {
        "image_token_id": ids["<|image_pad|>"],
        "video_token_id": ids["<|video_pad|>"],
        "vision_start_token_id": ids["<|vision_start|>"],
        "vision_end_token_id": ids["<|vision_end|>"],
    }
    stated = {**text, **extra, "vision_config": vision, "model_type": "qwen2_vl"}
    torch.manual_seed(seed)
    with quiet_loading():
        config_of = transformers.Qwen2VLConfig
        copied = {k: v for k, v in deepcopy(stated).items() if k != "model_type"}  # it writes in it
        model = transformers.Qwen2VLForConditionalGeneration(config_of(**copied))
    renamed = {}
    for name, tensor in model.state_dict().items():
        old = name.replace("model.visual.", "visual.").replace("model.language_model.", "model.")
        if not old.startswith("lm_head."):
            renamed[old] = tensor.clone() + (0.1 * torch.randn_like(tensor) if "bias" in old else 0)
    head = {"0.weight": (32, 32), "0.bias": (32,), "2.weight": (1, 32), "2.bias": (1,)}
    for name, shape in head.items():
        renamed[f"score.{name}"] = 0.3 * torch.randn(*shape)
    save_file(renamed, folder / "model.safetensors", metadata={"format": "pt"})
    write_json(
        folder / "config.json",
        {
            **stated,
            "architectures": ["JinaVLForRanking"],
            "auto_map": {"AutoModel": "modeling.JinaVLForRanking"},
        },
    )
    return folder
