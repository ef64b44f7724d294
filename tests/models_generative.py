"""A tiny random chat model, and perfect answers to every kind of question."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jrv3_eval.device import quiet_loading
from jrv3_eval.rerankers.generative.chat import Question, Said
from jrv3_eval.rerankers.generative.prompts import LABELS, Message

POSITIONS = 2048
IDENTIFIERS = tuple(f"[{i + 1}] > " for i in range(20))
ANSWERS = (*IDENTIFIERS, *(f" {label}" for label in LABELS))
TEMPLATE = (
    "{% for m in messages %}<|start|>{{ m['role'] }}\n{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)


def write_chat_tokenizer(
    folder: Path, template: str | None = TEMPLATE, *, begins: bool = False
) -> Any:
    """Single bytes, chat markers, and every identifier and label as one token.

    begins: it puts <s> before a text by itself, and </s> behind it.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({c: i for i, c in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|pad|>", "<|start|>", "<|end|>"])
    tokenizer.add_tokens([AddedToken(a, normalized=False) for a in ANSWERS])
    if begins:
        tokenizer.add_special_tokens(["<s>", "</s>"])
        ids = [(token, tokenizer.token_to_id(token)) for token in ("<s>", "</s>")]
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", special_tokens=ids
        )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<|pad|>", eos_token="<|end|>"
    )
    fast.chat_template = template
    fast.save_pretrained(folder)
    return fast


def write_generative(
    folder: Path,
    *,
    seed: int = 0,
    template: str | None = TEMPLATE,
    says: Sequence[str] = IDENTIFIERS,
    begins: bool = False,
    **generation: Any,
) -> Path:
    """A random one-layer Llama.

    says: the only tokens that it writes. begins: its tokenizer puts <s> before a text, and </s>
    behind it. generation: what generation_config.json says besides.
    """
    import torch
    import transformers

    tokenizer = write_chat_tokenizer(folder, template, begins=begins)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=POSITIONS,
        initializer_range=0.4,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(seed)
    with quiet_loading():
        model = transformers.LlamaForCausalLM(config)
        silent = torch.ones(len(tokenizer), dtype=torch.bool)
        silent[tokenizer.convert_tokens_to_ids(list(says))] = False
        with torch.no_grad():
            model.lm_head.weight[silent] = 0
        model.generation_config.update(**generation)
        model.save_pretrained(folder)
    return folder


class Scripted:
    """A chat that computes its answers: say(messages) -> text. A token is a word."""

    def __init__(self, say: Callable[[Sequence[Message]], str], context: int = 100_000) -> None:
        self.say, self.context = say, context
        self.asked: list[list[Question]] = []

    def load(self) -> None:
        """Nothing to load."""

    def room(self, expected: str) -> int:
        return self.context - len(expected.split())

    def tokens(self, messages: Sequence[Message], prefill: str) -> int:
        return sum(len(m.content.split()) for m in messages)

    def complete(self, questions: Sequence[Question]) -> list[Said]:
        self.asked.append(list(questions))
        return [Said(self.say(q.messages), self.tokens(q.messages, "")) for q in questions]


def perfect(messages: Sequence[Message]) -> str:
    """The right answer where the relevance of a passage is the number in `grade=N`."""
    text = "\n".join(m.content for m in messages)
    ranked = re.findall(r"^\[(\d+)\] grade=(\d+)", text, re.MULTILINE)
    if ranked:
        return " > ".join(f"[{i}]" for i, _ in sorted(ranked, key=lambda p: -int(p[1])))
    labelled = re.findall(r'^Passage ([A-W]): "grade=(\d+)', text, re.MULTILINE)
    return max(labelled, key=lambda p: int(p[1]))[0]
