"""Writing `benchmarks/results/NAME.json`: what was measured, against which bar, where and with what."""

import json
import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
_PACKAGES = ("scorefield", "jax", "jaxlib", "equinox", "optax", "numpy", "scipy", "mdtraj")


def bar(name: str, value: Any, bar: Any, met: bool | None, command: str) -> dict[str, Any]:
    """One row of `bars`: the figure `name`, its measured `value`, and the `command` that measures it.

    `bar` says what it must be (None: it is only reported), `met` whether it is (None where nothing is demanded).
    """
    return {"name": name, "value": value, "bar": bar, "met": met, "command": command}


def record(
    name: str, bars: list[dict[str, Any]], *, seed: int | None = None, folder: Path = RESULTS, **extra: Any
) -> Path:
    """Write `folder`/NAME.json with `bars` (see `bar`) and anything `extra`; return its path.

    Raises ValueError if a row lacks a field, or a number is not finite.
    """
    fields = ["name", "value", "bar", "met", "command"]
    for row in bars:
        if sorted(row) != sorted(fields):
            raise ValueError(f"a row of bars has fields {sorted(row)}, not {fields}")
    content = {
        "machine": machine(),
        "versions": versions(),
        "seed": seed,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "bars": bars,
        **extra,
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")
    os.replace(draft, path)
    return path


def merged(name: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of results/NAME.json by other commands than those of `rows`, and `rows`."""
    path = RESULTS / f"{name}.json"
    others = json.loads(path.read_text())["bars"] if path.exists() else []
    commands = {row["command"] for row in rows}
    return [row for row in others if row["command"] not in commands] + rows


def machine() -> dict[str, Any]:
    """Processor, cores this process may use, memory in GiB, operating system."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"cpu": _cpu_model(), "cores": cores, "memory_GiB": _memory_gib(), "system": platform.system()}


def versions() -> dict[str, str]:
    """Python and the packages that decide the numbers."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):
        return None
