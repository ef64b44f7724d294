"""Rerankers: the protocol, the registry of families, and the families themselves."""

from .protocol import (
    CountsTokens,
    Family,
    PlansAhead,
    RankingRequest,
    Reranker,
    RerankerInfo,
    RerankerSettings,
    Usage,
    WorksAhead,
)
from .registry import families, open_reranker, parse_settings

__all__ = [
    "CountsTokens",
    "Family",
    "PlansAhead",
    "RankingRequest",
    "Reranker",
    "RerankerInfo",
    "RerankerSettings",
    "Usage",
    "WorksAhead",
    "families",
    "open_reranker",
    "parse_settings",
]
