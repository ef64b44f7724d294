"""Where a run happened: versions, hardware, command, memory."""

from __future__ import annotations

import os
import platform
import resource
import shlex
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .rerankers.masking import masked_words

LIBRARIES = (
    "jrv3-eval",
    "numpy",
    "torch",
    "transformers",
    "tokenizers",
    "sentence-transformers",
    "ranx",
    "bm25s",
    "pyarrow",
)


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that take part, without importing them."""
    found = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found


def hardware() -> dict[str, Any]:
    """Processor, cores, memory in bytes, and the accelerators torch sees if it is loaded."""
    found: dict[str, Any] = {
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    }
    torch = sys.modules.get("torch")
    if torch is not None:
        found["threads"] = torch.get_num_threads()
        if torch.cuda.is_available():
            count = torch.cuda.device_count()
            found["accelerators"] = [torch.cuda.get_device_name(i) for i in range(count)]
    return found


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def peak_memory_bytes() -> int:
    """The process's largest resident set so far, or the accelerator's if that is larger."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak *= 1 if sys.platform == "darwin" else 1024
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        peak = max(peak, int(torch.cuda.max_memory_allocated()))
    return int(peak)


def command() -> str:
    """The command line, as a shell would read it, with `***` for what may be a secret.

    It stands in every record and run. Bytes that are no UTF-8 are written as escapes.
    """
    program = Path(sys.argv[0]).name if sys.argv else ""
    called = ["python", "-m", "jrv3_eval"] if program == "__main__.py" else [program or "python"]
    shown = shlex.join([*called, *masked_words(sys.argv[1:])])
    return shown.encode("utf-8", "backslashreplace").decode()
