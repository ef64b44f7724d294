"""jina-reranker-v2: XLM-R with fused tensors and long documents in overlapping pieces."""

from .family import JinaV2, JinaV2Family, JinaV2Settings, family

__all__ = ["JinaV2", "JinaV2Family", "JinaV2Settings", "family"]
