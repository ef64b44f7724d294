"""A chat model that runs here, in transformers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING, Any

from ...checkpoint import Checkpoint
from .._loading import load_model
from .chat import Question, Said
from .prompts import Message

if TYPE_CHECKING:
    from .rendering import ChatReader

_SLACK = 8  # tokens of an answer beyond those that are expected


class LocalChat:
    """Answers greedily; prompts are padded on the left and share batches.

    context: tokens of a prompt and its answer. thoughts: tokens of it for a reasoning model. The
    sampling settings of the checkpoint (temperature, repetition penalty) are not used, its end
    tokens are. Weights load on the first answer.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        dtype: str,
        device: str,
        context: int,
        batch_prompts: int,
        thoughts: int = 0,
    ) -> None:
        self._checkpoint = checkpoint
        self._dtype, self._device = dtype, device
        self._context, self._batch, self._thoughts = context, batch_prompts, thoughts

    def load(self) -> None:
        """Load tokenizer and weights. Raises CheckpointError, also without a chat template."""
        _ = (self._reader, self._loaded)

    def room(self, expected: str) -> int:
        """Tokens that a prompt may have so that an answer like `expected` fits behind it."""
        return self._context - self._budget(expected)

    def tokens(self, messages: Sequence[Message], prefill: str) -> int:
        """Tokens of the rendered prompt."""
        return len(self._reader.read(messages, prefill))

    def complete(self, questions: Sequence[Question]) -> list[Said]:
        """The answers. A batch holds prompts of like length with answers of one length."""
        prompts = [self._reader.read(q.messages, q.prefill) for q in questions]
        budgets = [1 if q.one_token or q.labels else self._budget(q.expected) for q in questions]
        kinds = [(bool(q.labels), budget) for q, budget in zip(questions, budgets, strict=True)]
        answers = [""] * len(questions)
        order = sorted(range(len(questions)), key=lambda i: (kinds[i], -len(prompts[i])))
        for (choosing, budget), same in groupby(order, key=lambda i: kinds[i]):
            for batch in _parts(list(same), self._batch):
                read = [prompts[i] for i in batch]
                if choosing:
                    texts = self._choose([questions[i] for i in batch], read)
                else:
                    texts = self._generate(read, budget)
                for i, text in zip(batch, texts, strict=True):
                    answers[i] = text
        return [Said(a, len(p)) for a, p in zip(answers, prompts, strict=True)]

    def _generate(self, prompts: Sequence[list[int]], budget: int) -> list[str]:
        """What is written behind each prompt, up to the first end token."""
        written = self._run(prompts, budget).sequences[:, max(map(len, prompts)) :].tolist()
        ends = self._loaded[1]
        texts = []
        for row in written:
            end = next((i for i, token in enumerate(row) if token in ends), len(row))
            texts.append(self._reader.tokenizer.decode(row[:end], skip_special_tokens=True))
        return texts

    def _choose(self, questions: Sequence[Question], prompts: Sequence[list[int]]) -> list[str]:
        """The label whose token has the largest logit at the answer's first place."""
        logits = self._run(prompts, 1).logits[0].float()
        texts = []
        for row, question in zip(logits, questions, strict=True):
            ids = [self._reader.label_id(question.prefill, label) for label in question.labels]
            texts.append(question.labels[int(row[ids].argmax())])
        return texts

    def _run(self, prompts: Sequence[list[int]], budget: int) -> Any:
        import torch

        model, ends = self._loaded
        longest = max(map(len, prompts))
        padding = self._reader.tokenizer.pad_token_id or 0
        ids = [[padding] * (longest - len(p)) + p for p in prompts]
        seen = [[0] * (longest - len(p)) + [1] * len(p) for p in prompts]
        with torch.inference_mode():
            return model.generate(
                input_ids=torch.tensor(ids, device=model.device),
                attention_mask=torch.tensor(seen, device=model.device),
                generation_config=_generation(
                    do_sample=False,
                    max_new_tokens=budget,
                    eos_token_id=sorted(ends) or None,
                    pad_token_id=padding,
                    return_dict_in_generate=True,
                    output_logits=budget == 1,
                ),
            )

    def _budget(self, expected: str) -> int:
        """Tokens of an answer."""
        return len(self._reader.ids(expected)) + _SLACK + self._thoughts

    @cached_property
    def _reader(self) -> ChatReader:
        from .rendering import ChatReader

        return ChatReader(self._checkpoint, thinking=self._thoughts > 0)

    @cached_property
    def _loaded(self) -> tuple[Any, frozenset[int]]:
        """The model, and the tokens that end an answer."""
        model = load_model(
            self._checkpoint,
            "AutoModelForCausalLM",
            dtype=self._dtype,
            device=self._device,
            needs="a generating model needs",
            next_step="choose a whole checkpoint of a causal language model",
        )
        own = model.generation_config.eos_token_id
        ends = {*(own if isinstance(own, list) else [own]), self._reader.tokenizer.eos_token_id}
        # What a call leaves out is taken from here: no penalty, no temperature.
        model.generation_config = _generation()
        return model, frozenset(end for end in ends if end is not None)


def _parts(positions: Sequence[int], size: int) -> list[Sequence[int]]:
    return [positions[i : i + size] for i in range(0, len(positions), size)]


def _generation(**options: Any) -> Any:
    """transformers' settings of one generation."""
    import transformers

    config: Any = transformers.GenerationConfig
    return config(**options)
