"""How fast: Langevin steps, training and samples beside the published network, for chains of 5 to 400 beads.

Needs a checkout of the published code and an environment with torch and einops beside scorefield (see `dff.py`):

    python benchmarks/speed.py PATH_OF_CHECKOUT --work FOLDER [--cells alanine bba ...] [--threads 1] [--scoremd PATH]

A cell is a system; each leaves FOLDER/SYSTEM.json and is not computed again. Within a cell the sides take turns on the same
molecule in one process, each at its best batch: `dff` the published network, `scoremd` ScoreMD's where its checkout is given
(see `scoremd_side.py`), `paper` ours of dff's function, `default` our default. Peak memory is that of a process of its own,
for dff and default. A CPU figure is a ratio of medians of one run; on one thread times are processor times.

    python benchmarks/speed.py PATH_OF_CHECKOUT --work FOLDER --device gpu --quick

takes minutes: absolute rates of every side at fixed batches (`speed_gpu.py`), in benchmarks/results/speed_gpu.json.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("checkout", type=Path)
parser.add_argument("--work", type=Path, required=True)
parser.add_argument("--cells", nargs="+", default=None, help="systems; all by default")
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--scoremd", type=Path, default=None, metavar="PATH", help="checkout of noegroup/ScoreMD")
parser.add_argument(
    "--sides",
    nargs="+",
    default=None,
    help="all whose code is there by default; that of the published\n"
    "function and ScoreMD's take up to an hour each for 56 beads and more",
)
parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
parser.add_argument("--quick", action="store_true", help="each side alone, at fixed batches; always so on a GPU")
parser.add_argument("--batches", type=int, nargs="+", default=[100, 1000, 10000], help="of the quick form")
parser.add_argument(
    "--memory", nargs=3, metavar=("SYSTEM", "SIDE", "WHAT"), help="one measurement, used by the script itself"
)
ARGUMENTS = parser.parse_args() if __name__ == "__main__" else parser.parse_args(["", "--work", ""])
# Set before either library starts its threads.
os.environ["OMP_NUM_THREADS"] = str(ARGUMENTS.threads)
QUICK = ARGUMENTS.quick or ARGUMENTS.device == "gpu"
if QUICK:
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # the card is shared with torch
elif ARGUMENTS.threads == 1:
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"

import numpy as np  # noqa: E402
from record import bar, record  # noqa: E402
from speed_gpu import QUICK_SYSTEMS, quick  # noqa: E402
from speed_sides import SIDES, SYSTEMS, Side  # noqa: E402

COMMAND = "python benchmarks/speed.py PATH_OF_CHECKOUT --work FOLDER --cells {}"
BATCHES, TRAINING_BATCHES = (25, 100, 400, 1600), (64, 256)
SMALL_BATCHES, LONG = (1, 5), 50  # tried as well for chains of so many beads
MEMORY_BATCH = 256
WEIGHED = ("dff", "default")  # whose memory is measured: a process for each
ROUNDS = 5
FASTER = {"alanine": 100, "chignolin": 150, "bba": 300, "protein_g": 300}
SAME_FUNCTION = {"alanine": 4, "bba": 10}
MEMORY = {"chain400": ("default", "langevin", 100), "protein_g": ("default", "training", MEMORY_BATCH)}
PATIENCE = 30.0  # s: a batch whose call takes longer is not followed by a larger one
MOST_MEMORY = 18 * 2**30  # bytes: a side that wants more at some batch stops there


def cell(system: str) -> dict[str, Any]:
    """Rates of all sides, medians over rounds in turns, each at its best batch; samples of `paper` would take too long."""
    sides = {name: side_of(name, system) for name in taking_part()}
    beads = SYSTEMS[system].n_beads
    found: dict[str, Any] = {"beads": beads, "threads": ARGUMENTS.threads}
    for what in ("langevin", "training", "samples"):
        batches = TRAINING_BATCHES if what == "training" else BATCHES
        batches = SMALL_BATCHES + batches if beads >= LONG else batches
        taking = {name: side for name, side in sides.items() if what != "samples" or name != "paper"}
        found[what] = in_turns({name: best(side, what, batches) for name, side in taking.items()})
    found["memory_MiB"] = {
        f"{name} {what}": peak_memory(system, name, what) for name in WEIGHED for what in ("langevin", "training")
    }
    return found | {"date": datetime.now(UTC).isoformat(timespec="minutes")}


def taking_part() -> list[str]:
    """The sides asked for whose code is there."""
    there = [name for name in SIDES if name != "scoremd" or ARGUMENTS.scoremd is not None]
    return [name for name in there if ARGUMENTS.sides is None or name in ARGUMENTS.sides]


def side_of(name: str, system: str) -> Side:
    """A side, from its own checkout."""
    return SIDES[name](system, ARGUMENTS.scoremd if name == "scoremd" else ARGUMENTS.checkout)


def best(side: Side, what: str, batches: Sequence[int]) -> dict[str, Any]:
    """The work of `side` at the batch of the highest rate, that batch, and the seconds of the first call (compilation)."""
    tried, seconds = list[dict[str, Any]](), 0.0
    for batch in batches:
        if tried and seconds * batch / tried[-1]["batch"] > 2 * PATIENCE:
            break
        call, count = side.work(what, batch)
        try:
            first, seconds = timed(call), timed(call)
        except (MemoryError, RuntimeError):
            if not tried:
                raise
            break
        tried.append({"call": call, "count": count, "batch": batch, "first_s": first, "rate": count / seconds})
        if seconds > PATIENCE or (len(tried) > 1 and tried[-1]["rate"] < 0.8 * tried[-2]["rate"]):
            break
    return max(tried, key=lambda t: t["rate"])


def in_turns(works: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Median rate of every side over `ROUNDS` rounds in turns; `count` a call over its seconds."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(ROUNDS):
        for name, work in works.items():
            seconds[name].append(timed(work["call"]))
    return {
        name: {
            "per_s": figures(work["count"] / median(seconds[name])),
            "batch": work["batch"],
            "first_call_s": round(work["first_s"], 2),
            "call_s": round(median(seconds[name]), 4),
        }
        for name, work in works.items()
    }


def timed(call: Callable[[], Any]) -> float:
    """Seconds of one call; of the processor where one thread does it all, so that other work on the machine counts less."""
    clock = time.process_time if ARGUMENTS.threads == 1 and not QUICK else time.perf_counter
    start = clock()
    call()
    return clock() - start


def peak_memory(system: str, side: str, what: str) -> float | None:
    """Peak resident memory in MiB of a process that does this work alone; None if it died."""
    arguments = [str(ARGUMENTS.checkout), "--work", str(ARGUMENTS.work), "--threads", str(ARGUMENTS.threads)]
    if ARGUMENTS.scoremd is not None:
        arguments += ["--scoremd", str(ARGUMENTS.scoremd)]
    command = [sys.executable, __file__, *arguments, "--memory", system, side, what]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return float(done.stdout.split()[-1]) if done.returncode == 0 else None


def memory(system: str, side: str, what: str) -> None:
    """Do the work twice and print the peak (of this program: that of `getrusage` begins with its parent's)."""
    call, _ = side_of(side, system).work(what, MEMORY_BATCH if what == "training" else 100)
    call()
    call()
    status = Path("/proc/self/status").read_text()
    print(int(status.split("VmHWM:")[1].split()[0]) / 1024)


def bars(cells: dict[str, Any]) -> list[dict[str, Any]]:
    """What was demanded, for the cells that are there."""
    rows = []
    for name, found in cells.items():
        ratio = lambda what, side, to="dff": found[what][side]["per_s"] / found[what][to]["per_s"]  # noqa: B023
        row = lambda text, value, least=None: rows.append(
            bar(
                f"{name}, {found['beads']} beads: {text}",  # noqa: B023
                figures(value),
                least and f">= {least}",
                None if least is None else bool(value >= least),
                COMMAND.format(name),  # noqa: B023
            )
        )
        row("Langevin replica-steps/s over DFF's", ratio("langevin", "default"), FASTER.get(name))
        if "paper" in found["langevin"]:
            row("the same, of our paper network", ratio("langevin", "paper"), SAME_FUNCTION.get(name))
        row("training frames/s over DFF's", ratio("training", "default"))
        row("samples/s over DFF's", ratio("samples", "default"), 200)
        if "scoremd" in found["langevin"]:
            row("Langevin replica-steps/s over ScoreMD's", ratio("langevin", "default", "scoremd"))
            row("training frames/s over ScoreMD's", ratio("training", "default", "scoremd"))
            row("samples/s over ScoreMD's, of 1000 evaluations too", ratio("samples", "default", "scoremd"))
    if {"protein_g", "chain400"} <= cells.keys():
        per_bead = [cells[n]["beads"] * cells[n]["langevin"]["default"]["per_s"] for n in ("protein_g", "chain400")]
        grown = per_bead[0] / per_bead[1]
        rows.append(
            bar("cost per bead from 56 to 400 beads", figures(grown), "<= 1.5", grown <= 1.5, COMMAND.format("*"))
        )
    for name, (side, what, batch) in MEMORY.items():
        if name in cells and (peak := cells[name]["memory_MiB"][f"{side} {what}"]) is not None:
            text = f"{name}: peak memory of {what}, batch {batch}, GiB"
            rows.append(bar(text, figures(peak / 1024), "<= 4", peak <= 4096, COMMAND.format(name)))
    return rows


def figures(value: float) -> float:
    """Rounded to four figures."""
    return float(f"{value:.4g}")


def main() -> None:
    """Compute the cells asked for that are missing, and write the results of all."""
    ARGUMENTS.work.mkdir(parents=True, exist_ok=True)
    for system in ARGUMENTS.cells or list(SYSTEMS):
        path = ARGUMENTS.work / f"{system}.json"
        if not path.exists() or set(taking_part()) - json.loads(path.read_text())["langevin"].keys():
            path.write_text(json.dumps(cell(system), indent=1))
            print(system, path.read_text(), flush=True)
    paths = {name: ARGUMENTS.work / f"{name}.json" for name in SYSTEMS}
    cells = {name: json.loads(path.read_text()) for name, path in paths.items() if path.exists()}
    print(record("speed", bars(cells), seed=0, threads=ARGUMENTS.threads, numpy_seed=0, cells=cells))


if __name__ == "__main__":
    np.random.seed(0)
    if QUICK:
        quick(ARGUMENTS.cells or QUICK_SYSTEMS, {n: partial(side_of, n) for n in taking_part()}, ARGUMENTS.batches)
    else:
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
        memory(*ARGUMENTS.memory) if ARGUMENTS.memory else main()
