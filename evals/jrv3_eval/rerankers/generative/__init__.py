"""Generative rerankers: a chat model is asked for an order, for the best of a few, or of two."""

from .family import GenerativeFamily, family
from .reranker import GenerativeReranker
from .settings import GenerativeSettings

__all__ = ["GenerativeFamily", "GenerativeReranker", "GenerativeSettings", "family"]
