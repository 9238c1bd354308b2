"""Settings of the process that a command runs in, made before JAX is imported; `--help` must not wait for JAX.

Compiled functions are kept in the user's cache, so that only the first command of its kind waits for the compiler.
"""

import hashlib
import os
import platform
import sys
import warnings
from pathlib import Path

from .errors import InputError

_MIN_COMPILE_SECONDS = "0.5"

MOST_CPU_DEVICES = 16
"""XLA runs a small step on one core, so a processor serves as several devices; beyond these their shares get small."""

_THREADS = ("NPROC", "PJRT_NPROC", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OPENMM_CPU_THREADS")


def quiet() -> None:
    """Keep libraries' warnings and logs from the user, unless the usual variables ask for them."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    os.environ.setdefault("JAX_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def keep_compiled() -> None:
    """Point JAX's compilation cache to the user's cache folder; JAX_COMPILATION_CACHE_DIR, where set, has its way.

    Does nothing where that folder cannot be written.
    """
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    try:
        root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        # Machine code for one processor may be illegal on another, and home folders are shared between machines.
        folder = Path(root, "scorefield", f"xla-{_processor()}")
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK | os.X_OK)
    except (OSError, RuntimeError):  # RuntimeError: there is no home folder
        return
    if writable:
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", _MIN_COMPILE_SECONDS)


def _processor() -> str:
    """A short name for what the processor can do."""
    words = [platform.machine(), platform.processor()]
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        words += sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))})
    except OSError:
        pass
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:12]


def use(threads: int | None, device: str | None) -> None:
    """Compute with at most so many `threads` (None: all cores) on a `device`: cpu, gpu, gpu:0, gpu:0,2 (None: the best).

    A processor becomes as many of JAX's devices as there are threads, unless the usual variables say otherwise. Raises
    InputError if `device` is none of these.
    """
    kind, colon, numbers = (device or "").partition(":")
    if kind not in ("", "cpu", "gpu") or (colon and not (kind == "gpu" and _are_numbers(numbers))):
        raise InputError(f"--device {device}: give cpu, gpu, or GPUs by number, as gpu:0 or gpu:0,2")
    if kind == "cpu":
        os.environ["JAX_PLATFORMS"] = "cpu"
    if numbers:
        os.environ |= {"JAX_CUDA_VISIBLE_DEVICES": numbers, "JAX_ROCM_VISIBLE_DEVICES": numbers}
    if threads is not None:
        os.environ |= dict.fromkeys(_THREADS, str(threads))
    if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
        os.environ.setdefault("JAX_NUM_CPU_DEVICES", str(min(threads or cores(), MOST_CPU_DEVICES)))


def _are_numbers(text: str) -> bool:
    return all(part.isascii() and part.isdigit() for part in text.split(","))


def cores() -> int:
    """Those that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux alone has it
    return len(affinity(0)) if affinity else os.cpu_count() or 1
