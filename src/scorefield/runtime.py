"""Settings of the process that a command runs in, made before JAX is imported; `--help` must not wait for JAX.

Compiled functions are kept in the user's cache, so that only the first command of its kind waits for the compiler.
"""

import hashlib
import os
import platform
import sys
import warnings
from pathlib import Path

_MIN_COMPILE_SECONDS = "0.5"


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
