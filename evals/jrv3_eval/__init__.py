"""jrv3-eval: judge a document reranker the way its paper was judged."""

from __future__ import annotations

__version__ = "0.1.0"
