"""Model checkpoints: find them, refuse what must not be loaded, and give them an identity.

A checkpoint is a folder with safetensors weights. Pickled weights are never opened and code
that a checkpoint carries is never run.
"""

from ._files import Checkpoint, digest_once
from ._open import PACKAGES, PackagedModel, open_checkpoint, refuse_remote_code

__all__ = [
    "PACKAGES",
    "Checkpoint",
    "PackagedModel",
    "digest_once",
    "open_checkpoint",
    "refuse_remote_code",
]
