"""jrv3-eval: judge a document reranker the way its paper was judged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .evaluation import evaluate

__all__ = ["__version__", "evaluate"]


def __getattr__(name: str) -> Any:
    # Late, so that importing the package imports nothing else.
    if name == "evaluate":
        from .evaluation import evaluate

        return evaluate
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
