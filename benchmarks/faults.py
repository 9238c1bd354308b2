"""What killing, tearing, filling and rubbish do to a training and a simulation: benchmarks/results/faults.json.

    python benchmarks/faults.py --work FOLDER --cells kills_train kills_simulate tears ... [--amount N]

A cell is run by its name and leaves FOLDER/CELL.json; faults.json has the rows of all that FOLDER holds. `--amount` is how
many kills, tears, inputs ... (default: those that the issue asks for; a cell that was run with fewer says so in its row).
The molecule is a chain of four beads (`verify.grown`), its model trained for seconds: what is tested is files and processes.
"""

import argparse
import json
import random
import shutil
import signal
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from faults_files import disk, in_process, memory, nan, prepared, tears
from faults_inputs import malformed_commands, malformed_inputs
from faults_limits import clocks, devices, short_of_memory
from faults_long import long_run
from faults_setting import COMMAND, SEED, command, finish, result, setting
from record import bar, record

KILLS_A_RUN = 5
LATEST_KILL = 20.0  # s: twice what a process takes until its first step


def words_of(kind: str, work: Path, out: Path) -> list[object]:
    data, run = setting(work)
    if kind == "train":
        return ["train", data, "-o", out, "--config", work / "config.toml", "--steps", 40_000]
    times = ("--replicas", 8, "--time-ns", 6, "--save-ps", 4)
    return ["simulate", run, "-o", out, *times, "--start", data]


def kills(kind: str, work: Path, amount: int) -> list[dict[str, Any]]:
    """Kill -9 at random moments, from start to end; each run is killed several times."""
    rng, whole, out = random.Random(SEED), work / f"{kind}-whole", work / f"{kind}-killed"
    shutil.rmtree(whole, ignore_errors=True)
    finish(command(*words_of(kind, work, whole)))
    same = done = 0
    while done < amount:
        shutil.rmtree(out, ignore_errors=True)
        hits, wanted = 0, min(KILLS_A_RUN, amount - done)
        while hits < wanted and killed(words_of(kind, work, out), out, rng.uniform(0, LATEST_KILL)):
            hits += 1
        finish(command(*words_of(kind, work, out), *(["--resume"] if out.exists() else [])))
        same += hits if result(out) == result(whole) else 0
        done += hits
        print(kind, f"{same} of {done}", flush=True)
    name = f"kills at random moments of {kind}, resumed: bit-identical"
    how = COMMAND.format(f"kills_{kind}", amount)
    return [bar(name, f"{same} of {amount}", "100 of 100", same == amount >= 100, how)]


def killed(words: list[object], out: Path, after: float) -> bool:
    """Start or go on, and kill after so many seconds; whether it still ran."""
    process = command(*words, *(["--resume"] if out.exists() else []))
    try:
        process.wait(after)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
    err = process.communicate()[1].decode()
    if process.returncode > 0:
        raise SystemExit(f"{words}: {process.returncode}: {err}")
    return process.returncode < 0


def inputs(work: Path, amount: int) -> list[dict[str, Any]]:
    """Rubbish in every file that is read and in every argument."""
    data, run = setting(work)
    if not (work / "frames").exists():
        model, starts = prepared(work)
        in_process(model, starts, work / "frames")
    rows = []
    for name, function, n, demanded in (
        ("in process", malformed_inputs, amount, 10_000),
        ("by the real command", malformed_commands, -(-amount // 50), 200),
    ):
        wrong, refused = function(data, run, work / "frames", work / "inputs", n, SEED)
        for words in wrong[:20]:
            print(words, flush=True)
        row = f"malformed inputs {name}, of {n} ({refused} refused, the rest still valid): not one clean line"
        how = COMMAND.format("inputs", amount)
        rows.append(bar(row, len(wrong), f"0 of {demanded}", not wrong and n >= demanded, how))
    return rows


Cell = Callable[[Path, int], list[dict[str, Any]]]
CELLS: dict[str, tuple[Cell, int]] = {
    "kills_train": (partial(kills, "train"), 100),
    "kills_simulate": (partial(kills, "simulate"), 100),
    "tears": (tears, 1000),
    "inputs": (inputs, 10_000),
    "devices": (devices, 3),
    "memory": (memory, 10**6),
    "disk": (disk, 20),
    "nan": (nan, 20),
    "short_of_memory": (short_of_memory, 20),
    "clocks": (clocks, 20),
    "long": (long_run, 10**9),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--cells", nargs="*", choices=CELLS, default=list(CELLS))
    parser.add_argument("--amount", type=int)
    arguments = parser.parse_args()
    work = arguments.work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    for name in arguments.cells:
        function, amount = CELLS[name]
        rows = function(work, arguments.amount or amount)
        (work / f"{name}.json").write_text(json.dumps(rows, indent=1) + "\n")
        print(json.dumps(rows, indent=1), flush=True)
    files = [work / f"{name}.json" for name in CELLS]
    print(record("faults", [row for f in files if f.exists() for row in json.loads(f.read_text())], seed=SEED))


if __name__ == "__main__":
    main()
