"""Fetching a checkpoint from the Hugging Face hub: no pickles, no code, one commit."""

from __future__ import annotations

from pathlib import Path

from ..errors import CheckpointError

ALLOWED = (
    *("*.json", "*.txt", "*.safetensors", "*.model", "*.spm", "*.tiktoken", "*.jinja"),
    "artifact.metadata",  # ColBERT's own settings, JSON
)
IGNORED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.py", "onnx/*", "openvino/*")


def fetch(repository: str, revision: str | None) -> Path:
    """The snapshot folder of a hub model; its name is the commit that the revision means.

    Reads the local hub cache where the network is away or HF_HUB_OFFLINE is set. Raises
    CheckpointError where the model is neither cached nor reachable, or does not exist.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    # The HTTP library under huggingface_hub changed twice; its errors are the first base.
    failures: tuple[type[Exception], ...] = (OSError, ValueError, HfHubHTTPError.__bases__[0])
    pinned = f" --revision {revision}" if revision else ""
    shown = f"{repository}@{revision}" if revision else repository
    try:
        folder = snapshot_download(
            repository,
            revision=revision,
            allow_patterns=list(ALLOWED),
            ignore_patterns=list(IGNORED),
        )
    except RevisionNotFoundError as error:
        raise CheckpointError(
            f"The hub's model {repository} has no revision {revision!r}.",
            next_step="give a branch, a tag or a commit of it, or leave @revision out",
        ) from error
    except RepositoryNotFoundError as error:
        raise CheckpointError(
            f"There is no folder {shown!r}, and the hub shows no such model.",
            next_step="check the name; for a private or gated model run `hf auth login` first",
        ) from error
    except LocalEntryNotFoundError as error:
        raise CheckpointError(
            f"There is no folder {shown!r}, the local hub cache does not hold such a model in "
            "full, and the hub cannot be reached (or HF_HUB_OFFLINE is set).",
            next_step=f"where there is a network, run: hf download {repository}{pinned}",
        ) from error
    except failures as error:
        raise CheckpointError(
            f"The model {shown} could not be fetched from the hub ({type(error).__name__}).",
            next_step=f"check the network, then run: hf download {repository}{pinned}",
        ) from error
    return Path(folder)
