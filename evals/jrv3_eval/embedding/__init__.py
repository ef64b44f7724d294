"""Texts to vectors, once: the encoder, and the cache that the dense parts share."""

from .cache import GROUP_TEXTS, EmbeddingCache
from .encoder import EncodedGroup, Encoder, EncoderSettings, Kind, open_encoder, similarity_of

__all__ = [
    "GROUP_TEXTS",
    "EmbeddingCache",
    "EncodedGroup",
    "Encoder",
    "EncoderSettings",
    "Kind",
    "open_encoder",
    "similarity_of",
]
