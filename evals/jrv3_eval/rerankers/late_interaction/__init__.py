"""Family `late-interaction`: token vectors of query and document, compared token by token.

`layout` says how a checkpoint wants its texts read, `reading` turns texts into token ids,
`encoder` turns them into vectors, `vectors` keeps these on disk, `max_sim` compares them.
"""

from .reranker import (
    LateInteraction,
    LateInteractionFamily,
    LateInteractionSettings,
    family,
    open_late_interaction,
)

__all__ = [
    "LateInteraction",
    "LateInteractionFamily",
    "LateInteractionSettings",
    "family",
    "open_late_interaction",
]
