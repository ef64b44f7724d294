"""The tensors of a checkpoint, read by name and all accounted for.

For an architecture whose file differs from what transformers loads: a family reads the tensors,
renames them, and hands them over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ..checkpoint import Checkpoint
from ..errors import CheckpointError
from ._loading import cannot_load

if TYPE_CHECKING:
    import torch

Shapes = Mapping[str, tuple[int, ...]]
_SHOWN = 6


def read_tensors(
    checkpoint: Checkpoint,
    expected: Shapes,
    *,
    kind: str,
    rename: Callable[[str], str] = lambda name: name,
    ignored: Callable[[str], bool] = lambda name: False,
) -> dict[str, torch.Tensor]:
    """Every expected tensor on the CPU, in the dtype of the file.

    expected: shapes by name, after `rename` of the name in the file. kind: what the checkpoint
    should be, as in "is no {kind} of its config". ignored: names in the file that may be there.
    Raises CheckpointError, naming them, for missing, unexpected and wrongly shaped tensors.
    """
    from safetensors import SafetensorError, safe_open

    tensors: dict[str, torch.Tensor] = {}
    unexpected: list[str] = []
    for file in sorted(f for f in checkpoint.files if f.endswith(".safetensors") and "/" not in f):
        try:
            with safe_open(checkpoint.folder / file, framework="pt") as content:
                for name in content.keys():  # noqa: SIM118 (it is no mapping)
                    if ignored(name):
                        continue
                    if rename(name) in expected and rename(name) not in tensors:
                        tensors[rename(name)] = content.get_tensor(name)
                    else:
                        unexpected.append(name)
        except SafetensorError as error:
            raise cannot_load(checkpoint, error) from error
    wrong = {
        "lacks": [name for name in expected if name not in tensors],
        "has wrongly shaped": [
            f"{name} {tuple(tensor.shape)}, not {expected[name]}"
            for name, tensor in tensors.items()
            if tuple(tensor.shape) != expected[name]
        ],
        "has unexpected": unexpected,
    }
    found = [f"{what} {_some(names)}" for what, names in wrong.items() if names]
    if found:
        raise CheckpointError(
            f"{checkpoint.name} is no {kind} of its config: it {'; it '.join(found)}.",
            where=str(checkpoint.folder),
            next_step="download the weights again, or save them with the config they belong to",
        )
    return tensors


def _some(names: list[str]) -> str:
    shown = sorted(names)[:_SHOWN]
    more = len(names) - len(shown)
    return f"{', '.join(shown)}{f' and {more} more' if more else ''}"
