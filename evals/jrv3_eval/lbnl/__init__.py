"""The jina-reranker-v3 architecture ("last but not late" interaction), without remote code.

    from jrv3_eval.lbnl import LbnlReranker
    LbnlReranker.from_pretrained("./ckpt").rerank(query, documents, top_n=10)

`prompt` and `blocks` say what the model is shown and how its answers are put together, `reading`
turns texts into token ids, `attention` and `qwen3` compute, `loading` takes a checkpoint apart.
"""

from .initialise import initialise
from .reranker import LbnlReranker, Ranked
from .settings import LbnlSettings

__all__ = ["LbnlReranker", "LbnlSettings", "Ranked", "initialise"]
