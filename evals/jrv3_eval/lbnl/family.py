"""Family `lbnl`: jina-reranker-v3 and every checkpoint of its architecture."""

from __future__ import annotations

from collections.abc import Mapping

from ..checkpoint import open_checkpoint
from ..rerankers.protocol import Family, RerankerSettings
from .layout import is_lbnl
from .reranker import FAMILY, LbnlReranker
from .settings import LbnlSettings


class LbnlFamily:
    """Checkpoints whose architecture is JinaForRanking."""

    name = FAMILY
    models = "listwise 'last but not late' rerankers (jina-reranker-v3, v3.5, your own)"
    listwise = True
    extra: str | None = None
    settings: type[RerankerSettings] = LbnlSettings

    def recognises(self, config: Mapping[str, object], files: frozenset[str]) -> bool:
        """True if the config's architectures name JinaForRanking."""
        return is_lbnl(config)

    def open(self, target: str, settings: RerankerSettings) -> LbnlReranker:
        """The reranker for a folder, package:NAME or hub id; no weights are loaded yet.

        The architecture is implemented here, so code that the checkpoint carries is ignored.
        """
        chosen = LbnlSettings.model_validate(settings.model_dump())
        return LbnlReranker(open_checkpoint(target, allow_auto_map=True), chosen)


family: Family = LbnlFamily()
