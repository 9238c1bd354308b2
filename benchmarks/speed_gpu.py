"""The quick form of `speed.py`: absolute rates of every side at fixed batches, on a GPU if there is one; minutes in all.

Each side comes first to last, the published code (eager PyTorch, as it is) before ours, so that it has the card's memory to
itself. What is compiled is compiled at once in threads, then timed call by call. Products of matrices are TF32 on a GPU on
both sides, JAX's default there. What fails leaves its error's words in place of a figure.
"""

import gc
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from statistics import median
from typing import Any

import jax
from record import bar, record
from speed_sides import SYSTEMS, Ours, Published, Side

QUICK_SYSTEMS = ["alanine", "chignolin", "bba", "protein_g"]
COMMAND = "python benchmarks/speed.py PATH_OF_CHECKOUT --work FOLDER --device gpu --quick --cells {}"
SECONDS, MOST_CALLS = 1.0, 10  # of timing, a figure
DT_PS = 0.002
ON_TORCH = ("dff",)
_TOO_LONG = 15.0  # s: no larger batch after a call that took so long


def quick(systems: Sequence[str], makers: Mapping[str, Callable[[str], Side]], batches: Sequence[int]) -> None:
    """Measure `systems`, and write benchmarks/results/speed_gpu.json (speed_cpu.json without a GPU) after each."""
    gpu = jax.default_backend() == "gpu"
    torch = import_module("torch")
    if gpu:
        torch.set_default_device("cuda")
        torch.set_float32_matmul_precision("high")
        Published.steps, Ours.training_steps = 20, 20
    settings = {
        "device": jax.devices()[0].device_kind,
        "torch": torch.__version__,
        "torch_device": str(torch.get_default_device()),
        "dt_fs": DT_PS * 1e3,
        "matmul": "TF32 allowed on both sides" if gpu else "float32",
    }
    cells: dict[str, Any] = {}
    for system in systems:
        start = time.perf_counter()
        cells[system] = {"beads": SYSTEMS[system].n_beads} | one_system(system, makers, batches)
        cells[system]["seconds"] = round(time.perf_counter() - start, 1)
        name = "speed_gpu" if gpu else "speed_cpu"
        path = record(name, bars(cells), seed=0, settings=settings, cells=cells)
        print(path, system, f"{cells[system]['seconds']} s", flush=True)


def one_system(system: str, makers: Mapping[str, Callable[[str], Side]], batches: Sequence[int]) -> dict[str, Any]:
    """{what: {side: {batch: figures}}}; samples of `paper` would take too long."""
    found: dict[str, Any] = {"langevin": {}, "training": {}, "samples": {}}
    tasks = lambda name: [(w, b) for w in found for b in batches if not (name == "paper" and w == "samples")]
    for name in sorted(makers, key=lambda n: n not in ON_TORCH):
        try:
            side = makers[name](system)
        except Exception as error:
            found |= {what: found[what] | {name: words(error)} for what in found}
            continue
        first = {} if name in ON_TORCH else compiled(side, tasks(name))
        for what in found:
            found[what][name] = rates(side, what, [b for w, b in tasks(name) if w == what], first)
        del side
        released()
    return found


def compiled(side: Side, tasks: Sequence[tuple[str, int]]) -> dict[tuple[str, int], tuple[Callable, float, float]]:
    """Every task's call, count and seconds of the first call, which compiles; several at a time. What fails is left out."""

    def one(task: tuple[str, int]) -> tuple[Callable, float, float] | None:
        start = time.perf_counter()
        try:
            call, count = side.work(*task)
            call()
        except Exception:
            return None
        return call, count, time.perf_counter() - start

    with ThreadPoolExecutor(min(len(tasks) or 1, os.cpu_count() or 1)) as threads:
        made = zip(tasks, threads.map(one, tasks), strict=True)
    return {task: result for task, result in made if result is not None}


def rates(side: Side, what: str, batches: Sequence[int], first: Mapping[tuple[str, int], Any]) -> dict[str, Any]:
    """Figures of each batch, or the words of an error; no larger batch after one that failed or took too long."""
    found: dict[str, Any] = {}
    for batch in sorted(batches):
        try:
            found[str(batch)] = rate(side, what, batch, first.get((what, batch)))
        except Exception as error:
            found[str(batch)] = words(error)
            released()
            break
        if found[str(batch)]["call_s"] > _TOO_LONG:
            break
    return found


def rate(side: Side, what: str, batch: int, made: tuple[Callable, float, float] | None) -> dict[str, float]:
    """Median of some calls; for dynamics also ns/day of all replicas together at the same time step."""
    if made is None:
        call, count = side.work(what, batch)
        first = timed(call)
    else:
        call, count, first = made
    seconds = [timed(call)]
    while sum(seconds) < SECONDS and len(seconds) < MOST_CALLS:
        seconds.append(timed(call))
    per_s = count / median(seconds)
    found = {"per_s": figures(per_s), "call_s": figures(median(seconds)), "first_call_s": figures(first)}
    return found | ({"ns_per_day": figures(per_s * DT_PS * 1e-3 * 86400)} if what == "langevin" else {})


def bars(cells: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The highest rate of every side, and that of our default over the others'; nothing is demanded."""
    rows = []
    units = {"langevin": "Langevin replica-steps/s", "training": "training frames/s", "samples": "samples/s"}
    for system, cell in cells.items():
        for what, unit in units.items():
            top = {name: best for name, entries in cell[what].items() if (best := highest(entries)) is not None}
            text = f"{system}, {cell['beads']} beads: {unit}"
            rows += [bar(f"{text}, {name}", value, None, None, COMMAND.format(system)) for name, value in top.items()]
            if "default" in top:
                over = {name: figures(top["default"] / value) for name, value in top.items() if name != "default"}
                rows += [
                    bar(f"{text}, default over {n}", v, None, None, COMMAND.format(system)) for n, v in over.items()
                ]
    return rows


def highest(entries: Mapping[str, Any]) -> float | None:
    """Of the rates at all batches."""
    return max((e["per_s"] for e in entries.values() if isinstance(e, dict) and "per_s" in e), default=None)


def released() -> None:
    """Give torch's free memory back to the card."""
    gc.collect()
    torch = import_module("torch")
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def timed(call: Callable[[], Any]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def words(error: Exception) -> dict[str, str]:
    """What went wrong, in a line."""
    return {"error": f"{type(error).__name__}: {str(error)[:200]}"}


def figures(value: float) -> float:
    """Rounded to four figures."""
    return float(f"{value:.4g}")
