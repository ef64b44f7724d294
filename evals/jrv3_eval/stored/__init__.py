"""Results read back from their folders, and from the cache what they rest on."""

from .cached import cached_candidates, cached_collection
from .results import Place, Stored, System, read_results, read_systems

__all__ = [
    "Place",
    "Stored",
    "System",
    "cached_candidates",
    "cached_collection",
    "read_results",
    "read_systems",
]
