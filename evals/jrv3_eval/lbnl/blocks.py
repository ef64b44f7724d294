"""Blocks of documents, and the fusion of what several blocks say.

The rules are the released code's (reference: reranker-models.md, section 1.6).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BLOCK_DOCUMENTS = 125


@dataclass(frozen=True, slots=True)
class BlockVectors:
    """What the model says of one block.

    query: float32 [d], documents: float32 [n, d], both projected and not normalised.
    scores: float32 [n], cosines inside the block, computed in the model's precision.
    """

    query: NDArray[np.float32]
    documents: NDArray[np.float32]
    scores: NDArray[np.float32]


def split_blocks(
    query_tokens: int,
    document_tokens: Sequence[int],
    *,
    max_length: int,
    max_doc_length: int,
    block_documents: int = BLOCK_DOCUMENTS,
) -> list[range]:
    """Positions of the documents in each block, in input order.

    A block is closed when it has `block_documents`, or when what is left of the window
    (max_length - 2 * query - documents, all in tokens) is at most max_doc_length.
    """
    found: list[range] = []
    start, room = 0, max_length - 2 * query_tokens
    for place, tokens in enumerate(document_tokens):
        room -= tokens
        if place + 1 - start >= block_documents or room <= max_doc_length:
            found.append(range(start, place + 1))
            start, room = place + 1, max_length - 2 * query_tokens
    if start < len(document_tokens):
        found.append(range(start, len(document_tokens)))
    return found


def fuse(blocks: Sequence[BlockVectors]) -> NDArray[np.float32]:
    """Final scores of the documents of all blocks: float32 [n], cosines with one fused query.

    The fused query is the mean of the blocks' query vectors, weighted by the best
    (1 + score) / 2 of each block. A vector of length 0 has cosine 0.
    """
    weights = np.array([((1 + b.scores) / 2).max() for b in blocks], dtype=np.float32)
    if weights.sum() <= 1e-8:  # all documents point away from the query in every block
        weights = np.ones_like(weights)
    queries = np.stack([b.query for b in blocks])
    query = (weights[:, None] * queries).sum(axis=0) / weights.sum()
    return cosines(query, np.concatenate([b.documents for b in blocks]))


def cosines(query: NDArray[np.float32], documents: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cosine of a vector [d] with each row of a matrix [n, d], in float32."""
    lengths = np.linalg.norm(documents, axis=1) * np.linalg.norm(query)
    products = documents @ query
    scores: NDArray[np.float32] = np.zeros(len(documents), dtype=np.float32)
    np.divide(products, lengths, out=scores, where=lengths != 0)  # what is no number stays none
    return scores
