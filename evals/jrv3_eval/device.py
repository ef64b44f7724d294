"""Where and how a model runs: device, precision, and loading without noise.

Nothing here imports torch before it must: a run whose scores are all in the store ends
without it, and importing torch takes seconds.
"""

from __future__ import annotations

import importlib
import logging
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import UsageError, unknown

if TYPE_CHECKING:
    import torch

DTYPES = ("float32", "bfloat16", "float16")
_SETTING = re.compile(r"auto|cpu|mps|cuda(:\d+)?")
# Any of these says that an accelerator's driver is there (NVIDIA, WSL, ROCm); only torch can
# tell whether it works.
_DRIVER_PATHS = ("/proc/driver/nvidia", "/dev/nvidiactl", "/dev/dxg", "/dev/kfd")


def accelerator_may_exist() -> bool:
    """False where it is certain, without importing torch, that there is only a CPU."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") == "":
        return False
    if sys.platform == "darwin":
        return platform.machine() == "arm64"
    return shutil.which("nvidia-smi") is not None or any(Path(p).exists() for p in _DRIVER_PATHS)


def resolve_device(setting: str) -> torch.device:
    """The torch device that `auto`, `cpu`, `cuda`, `cuda:N` or `mps` means here.

    Raises UsageError for another name, or for a device that this machine does not have.
    """
    name = check_device(setting)
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise _absent(setting, "torch sees no Metal device")
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise _absent(setting, "torch sees no CUDA device")
        if device.index is None:
            return torch.device("cuda", torch.cuda.current_device())
        if device.index >= torch.cuda.device_count():
            raise _absent(setting, f"torch sees {torch.cuda.device_count()} CUDA device(s)")
    return device


def device_kind(setting: str) -> str:
    """The kind of device behind a setting, as recorded: `cpu`, `mps` or `cuda:NAME OF THE GPU`.

    Imports torch only where an accelerator may exist. Raises UsageError as `resolve_device`.
    """
    name = check_device(setting)
    if name == "cpu" or (name == "auto" and not accelerator_may_exist()):
        return "cpu"
    device = resolve_device(name)
    if device.type != "cuda":
        return device.type
    import torch

    return f"cuda:{torch.cuda.get_device_name(device)}"


def check_dtype(name: str) -> str:
    """`name` if it is a known precision, else a UsageError; does not import torch."""
    if name not in DTYPES:
        raise unknown("dtype", name, DTYPES)
    return name


def torch_dtype(name: str) -> torch.dtype:
    """The torch dtype called `float32`, `bfloat16` or `float16`. Raises UsageError otherwise."""
    check_dtype(name)
    import torch

    dtype: torch.dtype = getattr(torch, name)
    return dtype


def computing_versions(*packages: str, device: str) -> dict[str, str]:
    """Versions of the packages that compute a score and the device kind, for a fingerprint.

    Read from the installed metadata, so nothing is imported. device: a device setting.
    """
    found: dict[str, str] = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return {**found, "device": device_kind(device)}


def cpu_instructions() -> str:
    """The processor's vector instructions that half precision depends on, or its kind."""
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA")
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        text = ""
    flags = set(re.findall(r"\b(?:avx2|avx512f|avx512_bf16|amx_bf16|asimd|bf16|sve)\b", text))
    known = "+".join(sorted(flags)) or platform.machine()
    return f"{known}, at most {limit}" if limit else known


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Silence transformers' progress bars and load reports; what matters is raised instead."""
    transformers_logging: Any = importlib.import_module("transformers.utils.logging")
    level = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    others = logging.getLogger("sentence_transformers")
    others_level = others.level
    transformers_logging.set_verbosity(logging.ERROR)
    transformers_logging.disable_progress_bar()
    others.setLevel(logging.ERROR)
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        others.setLevel(others_level)
        if bars:
            transformers_logging.enable_progress_bar()


def check_device(setting: str) -> str:
    """The setting itself. Raises UsageError if it names no kind of device; imports nothing."""
    if not _SETTING.fullmatch(setting):
        raise unknown("device", setting, ("auto", "cpu", "cuda", "cuda:0", "mps"))
    return setting


def _absent(setting: str, why: str) -> UsageError:
    return UsageError(
        f"Device {setting!r} is not available: {why}.",
        next_step="use device=auto or device=cpu, or install a torch build for this device",
    )
