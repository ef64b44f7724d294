"""jina-reranker-m0, its text part: a Qwen2-VL language model with a score head."""

from .family import JinaM0, JinaM0Family, JinaM0Settings, family

__all__ = ["JinaM0", "JinaM0Family", "JinaM0Settings", "family"]
