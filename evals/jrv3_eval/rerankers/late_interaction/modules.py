"""The modules of a checkpoint in the layout of sentence-transformers. Names are read, not imported.

Source: sentence-transformers 6.2, base/modules/dense.py; PyLate 1.6, models/Dense.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...checkpoint import Checkpoint
from ...errors import CheckpointError, RemoteCodeError
from .layout import Projection
from .values import inside, value

INDEX = "modules.json"
# torch.nn classes without settings of their own; any other name could be anything.
ACTIVATIONS = ("Identity", "ReLU", "GELU", "SiLU", "Tanh")
_OWN_CODE = ("sentence_transformers.", "pylate.")


def read_modules(checkpoint: Checkpoint, known: Sequence[str]) -> list[tuple[str, str]]:
    """Kind and folder of every module, in order; exactly one is the Transformer.

    Raises RemoteCodeError for a class of somebody's own, CheckpointError for a kind that is not
    among the known ones.
    """
    where = str(checkpoint.folder / INDEX)
    found = []
    for module in checkpoint.read_list(INDEX):
        name = str(module.get("type"))
        if not name.startswith(_OWN_CODE):
            raise RemoteCodeError(
                f"{checkpoint.name} needs remote code ({name}), which is never run here.",
                where=where,
                next_step="use a checkpoint whose modules are of PyLate or sentence-transformers",
            )
        kind = name.rpartition(".")[2]
        if kind not in known:
            raise CheckpointError(
                f"{checkpoint.name} has a module {kind}; built in for a late-interaction model of "
                f"this layout are {', '.join(known)}.",
                where=where,
                next_step="for a model with one vector a text use bi-encoder:TARGET"
                if kind == "Pooling"
                else "choose a checkpoint without this module",
            )
        found.append((kind, str(module["path"])))
    if len(folders(found, "Transformer")) != 1:
        raise CheckpointError(f"{checkpoint.name} should have one Transformer module.", where=where)
    return found


def folders(modules: Sequence[tuple[str, str]], kind: str) -> list[str]:
    """Where the modules of a kind are, in order."""
    return [folder for own, folder in modules if own == kind]


def read_projection(checkpoint: Checkpoint, folder: str) -> Projection:
    """A Dense module. Raises CheckpointError for an activation that is not built in."""
    file = inside(folder, "config.json")
    config = checkpoint.read_json(file)
    activation = str(config.get("activation_function"))
    kind = activation.rpartition(".")[2]
    if kind not in ACTIVATIONS or not activation.startswith("torch.nn."):
        raise CheckpointError(
            f"{checkpoint.name} has a Dense module with the activation {activation}; "
            f"built in are {', '.join(ACTIVATIONS)} of torch.nn.",
            where=str(checkpoint.folder / file),
            next_step="choose another checkpoint, or ask for this activation",
        )
    return Projection(
        folder,
        bias=value(checkpoint, file, config, "bias", True),
        activation=kind,
        residual=value(checkpoint, file, config, "use_residual", False),
    )
