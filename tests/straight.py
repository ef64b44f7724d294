"""jina-reranker-v3 scored the plain way: what the project's own scoring is held against.

Written from the reference text on the model (its sections are cited below) and nothing else of
the project: no batching, no packing, one query a call, one prompt a forward, the whole prompt
tokenised as one string. Where a step looks clumsy, it is because the released code takes it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

    Tensors = dict[str, torch.Tensor]

Floats = NDArray[np.float32]

QUERY_MARKER = "<|rerank_token|>"
DOCUMENT_MARKER = "<|embed_token|>"
BLOCK_SIZE = 125

_SYSTEM = (
    "You are a search relevance expert who can determine a ranking of the passages based on how"
    " relevant they are to the query. If the query is a question, how relevant a passage is"
    " depends on how well it answers the question. If not, try to analyze the intent of the query"
    " and assess how well each passage satisfies the intent. If an instruction is provided, you"
    " should follow the instruction when determining the ranking."
)


def sanitised(text: str) -> str:
    """The text without the two markers (1.4): one replacement each, the query's marker first.

    What a removal joins is not looked at again, so a text can still be made to hold a marker.
    """
    return text.replace(QUERY_MARKER, "").replace(DOCUMENT_MARKER, "")


def prompt(query: str, documents: Sequence[str], instruction: str | None = None) -> str:
    """The exact prompt of one block (1.4): ids from 0, an empty instruction counts as none."""
    query = sanitised(query)
    passages = [
        f'<passage id="{i}">\n{sanitised(document)}{DOCUMENT_MARKER}\n</passage>'
        for i, document in enumerate(documents)
    ]
    text = f"<|im_start|>system\n{_SYSTEM}<|im_end|>\n<|im_start|>user\n"
    text += f"I will provide you with {len(documents)} passages, each indicated by a numerical"
    text += f" identifier. Rank the passages based on their relevance to query: {query}\n"
    if instruction:
        text += f"<instruct>\n{instruction}\n</instruct>\n"
    text += "\n".join(passages) + "\n"
    text += f"<query>\n{query}{QUERY_MARKER}\n</query>"
    text += "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    return text


def _truncated(tokenizer: Any, text: str, limit: int) -> tuple[str, int]:
    ids = tokenizer(text, truncation=True, max_length=limit)["input_ids"]
    if len(ids) >= limit:
        text = tokenizer.decode(ids, skip_special_tokens=False)
    return text, len(ids)


def truncate(
    tokenizer: Any,
    query: str,
    documents: Sequence[str],
    max_query_length: int,
    max_doc_length: int,
) -> tuple[str, list[str], int, list[int]]:
    """Query and documents cut to their limits, and their lengths in tokens (1.6).

    A text that reaches its limit is replaced by what its tokens decode to, even if none was
    cut. The markers are still in the texts, and counted: sanitising comes later (1.4).
    """
    query, query_length = _truncated(tokenizer, query, max_query_length)
    cut = [_truncated(tokenizer, document, max_doc_length) for document in documents]
    return query, [text for text, _ in cut], query_length, [length for _, length in cut]


def blocks(
    query_length: int,
    doc_lengths: Sequence[int],
    max_length: int,
    max_doc_length: int,
    block_size: int = BLOCK_SIZE,
) -> list[list[int]]:
    """The positions of the documents of each block, in input order (1.6, blocking)."""
    found: list[list[int]] = []
    block: list[int] = []
    capacity = max_length - 2 * query_length
    for position, length in enumerate(doc_lengths):
        block.append(position)
        capacity -= length
        if len(block) >= block_size or capacity <= max_doc_length:
            found.append(block)
            block = []
            capacity = max_length - 2 * query_length
    if block:
        found.append(block)
    return found


def project(states: torch.Tensor, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """z(h) = W2 · ReLU(W1 · h), without biases (1.2, 1.5)."""
    from torch.nn.functional import linear, relu

    return linear(relu(linear(states, first)), second)


def block_weight(in_block_scores: Floats) -> np.float32:
    """w = max (1 + s) / 2 over the documents of a block (1.6)."""
    return np.float32(((1.0 + in_block_scores) / 2.0).max())


def cosines(query_vector: Floats, document_vectors: Floats) -> Floats:
    """q·d / (|q||d|) for every document, in float32, without an epsilon (1.5)."""
    norms = np.linalg.norm(query_vector) * np.linalg.norm(document_vectors, axis=1)
    scores: Floats = np.dot(query_vector, document_vectors.T) / norms
    return scores


def fuse(
    query_vectors: Sequence[Floats],
    in_block_scores: Sequence[Floats],
    document_vectors: Sequence[Floats],
) -> Floats:
    """The scores of all documents of all blocks; each argument holds one item a block (1.6).

    All are compared with one query vector, the weighted mean of the blocks' raw ones. No block
    at all, or none with a weight, raises ZeroDivisionError.
    """
    weights = [block_weight(scores) for scores in in_block_scores]
    query_vector = np.average(np.array(query_vectors), axis=0, weights=weights)
    return cosines(query_vector, np.concatenate(document_vectors))


def _read_tensors(folder: Path) -> Tensors:
    """All tensors of model.safetensors, or of the shards that its index names."""
    from safetensors.torch import load_file

    index = folder / "model.safetensors.index.json"
    if not index.exists():
        return load_file(folder / "model.safetensors")
    tensors: Tensors = {}
    for shard in sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())):
        tensors.update(load_file(folder / shard))
    return tensors


def _build_backbone(settings: dict[str, Any], attn: str, tensors: Tensors) -> Any:
    """transformers' own Qwen3Model with these tensors, in their dtype (1.2, load recipe).

    The tensors take the place of the parameters, so the rotary frequencies, which are none,
    stay in float32 as from_pretrained leaves them; a cast of the model would round them.
    """
    from transformers import Qwen3Config, Qwen3Model

    ours = {"architectures", "auto_map", "model_type", "dtype", "torch_dtype"}
    kept = {key: value for key, value in settings.items() if key not in ours}
    model: Any = Qwen3Model(Qwen3Config(**(kept | {"attn_implementation": attn})))
    model.load_state_dict(tensors, strict=True, assign=True)
    return model.eval()


class Straight:
    """A checkpoint in a local folder, on the CPU (1.1, 1.2).

    A dtype of None is the checkpoint's own. For v3.5 the same class serves: its layer types and
    window are read from the configuration (2.1).
    """

    def __init__(
        self, folder: Path, *, dtype: torch.dtype | None = None, attn: str = "sdpa"
    ) -> None:
        import torch
        from transformers import AutoTokenizer

        settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self.dtype: torch.dtype = dtype or getattr(
            torch, settings.get("dtype") or settings["torch_dtype"]
        )
        tensors = {key: value.to(self.dtype) for key, value in _read_tensors(folder).items()}
        self.projector = (tensors["projector.0.weight"], tensors["projector.2.weight"])
        self.model = _build_backbone(
            settings,
            attn,
            {
                key.removeprefix("model."): value
                for key, value in tensors.items()
                if key.startswith("model.")
            },
        )
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        self.query_marker_id = self.tokenizer.convert_tokens_to_ids(QUERY_MARKER)
        self.document_marker_id = self.tokenizer.convert_tokens_to_ids(DOCUMENT_MARKER)

    def embed(
        self, query: str, documents: Sequence[str], instruction: str | None = None
    ) -> tuple[Floats, Floats, Floats]:
        """One block: its query vector, its documents' vectors, their cosines (1.5).

        All three are computed in the model's dtype and only then cast to float32. Raises
        ValueError unless the prompt holds one query marker and a marker for each document.
        """
        import torch

        batch = self.tokenizer([prompt(query, documents, instruction)], return_tensors="pt")
        input_ids = batch["input_ids"]
        at_query = input_ids == self.query_marker_id
        at_documents = input_ids == self.document_marker_id
        if at_query.sum() != 1 or at_documents.sum() != len(documents):
            raise ValueError("the prompt holds markers that are not its own")
        with torch.no_grad():
            states = self.model(
                input_ids=input_ids,
                attention_mask=batch["attention_mask"],
                use_cache=False,
                output_hidden_states=True,
            ).hidden_states[-1]
            document_vectors = project(
                states[at_documents].view(1, -1, states.shape[-1]), *self.projector
            )
            query_vector = project(states[at_query].unsqueeze(1), *self.projector)
            scores = torch.nn.functional.cosine_similarity(
                document_vectors, query_vector.expand_as(document_vectors), dim=-1
            )
        return (
            query_vector[0, 0].float().numpy(),
            document_vectors[0].float().numpy(),
            scores[0].float().numpy(),
        )

    def score(
        self,
        query: str,
        documents: Sequence[str],
        *,
        instruction: str | None = None,
        max_query_length: int = 512,
        max_doc_length: int = 2048,
        max_length: int | None = None,
        block_size: int = BLOCK_SIZE,
    ) -> Floats:
        """A score for every document, in input order (1.6). No documents: ZeroDivisionError."""
        query, texts, query_length, doc_lengths = truncate(
            self.tokenizer, query, documents, max_query_length, max_doc_length
        )
        if max_length is None:
            max_length = int(self.tokenizer.model_max_length)
        embedded = [
            self.embed(query, [texts[position] for position in block], instruction)
            for block in blocks(query_length, doc_lengths, max_length, max_doc_length, block_size)
        ]
        return fuse(
            [query_vector for query_vector, _, _ in embedded],
            [in_block for _, _, in_block in embedded],
            [document_vectors for _, document_vectors, _ in embedded],
        )
