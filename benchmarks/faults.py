"""What killing, tearing, filling and rubbish do to a training and a simulation: benchmarks/results/faults.json.

    python benchmarks/faults.py --work FOLDER --cells kills tears inputs devices memory disk nan [--amount N]

A cell is run by its name and leaves FOLDER/CELL.json; faults.json has the rows of all that FOLDER holds. `--amount` is how
many kills, tears, inputs ... (default: those that the issue asks for; a cell that was run with fewer says so in its row).
The molecule is a chain of four beads (`verify.grown`), its model trained for seconds: what is tested is files and processes.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from faults_inputs import malformed_commands, malformed_inputs
from record import bar, record
from verify import dataset

from scorefield.dataset import write_dataset
from scorefield.errors import InputError
from scorefield.model import Model, load_model
from scorefield.simulate import Replicas
from scorefield.stream import simulate_into

SEED = 0
KILLS_A_RUN = 5
CONFIG = (
    "[energy]\nwidth = 16\ndepth = 1\n[training]\nsteps = {steps}\nbatch = 64\nwarmup = 20\n[sampling]\nsteps = 16\n"
)
# as the command, but saving all the time, so that kills hit saves too
OFTEN = (
    "from scorefield import cli, journal, stream\n"
    "journal.CHECKPOINT_SECONDS = stream.SAVE_SECONDS = 0.05; stream._SAVING_SHARE = 0\ncli.main()"
)
COMMAND = "python benchmarks/faults.py --work FOLDER --cells {} --amount {}"


def command(*words: object, **options: Any) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", OFTEN, *map(str, words)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **options
    )


def finish(process: subprocess.Popen) -> str:
    """Its last words on stderr, after it ended well."""
    err = process.communicate()[1].decode()
    if process.returncode:
        raise SystemExit(f"{process.args}: {process.returncode}: {err}")
    return err


def setting(work: Path) -> tuple[Path, Path]:
    """DATASET and RUN of the chain of four."""
    data, run, config = (work / name for name in ("data", "run", "config.toml"))
    work.mkdir(parents=True, exist_ok=True)
    if not data.exists():
        write_dataset(dataset(4), data)
    config.write_text(CONFIG.format(steps=2000))
    if not (run / "model.json").exists():
        shutil.rmtree(run, ignore_errors=True)
        finish(command("train", data, "-o", run, "--config", config))
    return data, run


def result(path: Path) -> dict[str, bytes]:
    """The files that must not depend on how often a training or simulation was stopped."""
    timed = ("state.json", "simulation.json", "model.json", "checkpoint.json", "log.jsonl")
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file() and p.name not in timed}


def words_of(kind: str, work: Path, out: Path) -> list[object]:
    data, run = setting(work)
    if kind == "train":
        return ["train", data, "-o", out, "--config", work / "config.toml"]
    times = ("--replicas", 8, "--time-ns", 0.4, "--save-ps", 0.5)
    return ["simulate", run, "-o", out, *times, "--start", data]


def kills(work: Path, amount: int) -> list[dict[str, Any]]:
    """Kill -9 at random moments of train and simulate, from their start to their end; each run is killed several times."""
    rng, rows = random.Random(SEED), []
    for kind in ("train", "simulate"):
        whole, out = work / f"{kind}-whole", work / f"{kind}-killed"
        shutil.rmtree(whole, ignore_errors=True)
        began = time.monotonic()
        finish(command(*words_of(kind, work, whole)))
        duration, same, done, late = time.monotonic() - began, 0, 0, 0
        while done < amount:
            shutil.rmtree(out, ignore_errors=True)
            of_this_run = min(KILLS_A_RUN, amount - done)
            for _ in range(of_this_run):
                late += not killed(words_of(kind, work, out), out, rng.uniform(0, duration))
            finish(command(*words_of(kind, work, out), *(["--resume"] if out.exists() else [])))
            same += of_this_run if result(out) == result(whole) else 0
            done += of_this_run
            print(kind, f"{same} of {done}", flush=True)
        what = f"{same} of {amount}" + (f" ({late} had ended before)" if late else "")
        name = f"kills at random moments of {kind}, resumed: bit-identical"
        rows.append(bar(name, what, "100 of 100", same == amount >= 100, COMMAND.format("kills", amount)))
    return rows


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


class Stop(Exception):
    pass


def in_process(model: Model, starts: np.ndarray, path: Path, resume: bool = False, stop: float = np.inf) -> None:
    """A simulation of 8 replicas x 200 frames, stopped after `stop` ps."""

    def on_progress(progress: Any) -> None:
        if progress.time_ps > stop:
            raise Stop

    simulate_into(
        path, model, lambda: starts, 20.0, save_ps=0.1, replicas=8, seed=SEED, resume=resume, on_progress=on_progress
    )


def prepared(work: Path) -> tuple[Model, np.ndarray]:
    data, run = setting(work)
    return load_model(run), np.load(data / "positions.npy")[:8]


def stopped(work: Path) -> tuple[Model, np.ndarray, Path, Path]:
    """The model, the starts, and folders of a simulation as it was half-way and at its end."""
    (model, starts), half, whole = prepared(work), work / "half", work / "whole"
    for path in (half, whole):
        shutil.rmtree(path, ignore_errors=True)
    in_process(model, starts, whole)
    try:
        in_process(model, starts, half, stop=10)
    except Stop:
        return model, starts, half, whole
    raise SystemExit("the simulation was not stopped")


def tears(work: Path, amount: int) -> list[dict[str, Any]]:
    """One file of an interrupted simulation torn at a random byte: cut, followed by rubbish, or a piece overwritten."""
    rng, found = random.Random(SEED), {"the same": 0, "refused": 0, "lost or doubled": 0}
    model, starts, half, whole = stopped(work)
    wanted, out = result(whole), work / "torn"
    for _ in range(amount):
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(half, out)
        how = tear(rng.choice(sorted(p for p in out.iterdir() if p.is_file())), rng)
        try:
            in_process(model, starts, out, resume=True)
            verdict = "the same" if result(out) == wanted else "lost or doubled"
        except InputError as error:
            verdict = "refused" if "\n" not in str(error) else "lost or doubled"
        found[verdict] += 1
        if verdict == "lost or doubled":
            print(how, flush=True)
    name = f"frames lost or doubled after a torn file, of {amount}: {found['the same']} the same, {found['refused']} refused"
    value = found["lost or doubled"]
    return [bar(name, value, 0, value == 0, COMMAND.format("tears", amount))]


def tear(path: Path, rng: random.Random) -> str:
    content = path.read_bytes()
    at, how = rng.randrange(len(content) + 1), rng.choice(("cut", "longer", "overwritten", "gone"))
    rubbish = rng.randbytes(rng.randrange(1, 200))
    if how == "gone":
        path.unlink()
    else:
        tail = {"cut": b"", "longer": content[at:] + rubbish, "overwritten": rubbish + content[at + len(rubbish) :]}[
            how
        ]
        path.write_bytes(content[:at] + tail)
    return f"{path.name} {how} at {at} of {len(content)}"


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


def devices(work: Path, amount: int) -> list[dict[str, Any]]:
    """The same simulation on 1, 2 and 8 virtual devices of the processor."""
    data, run = setting(work)
    found = {}
    for n in (1, 2, 8):
        out = work / f"devices-{n}"
        shutil.rmtree(out, ignore_errors=True)
        flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={n}"
        words = ["simulate", run, "-o", out, "--replicas", 32, "--time-ns", 0.02, "--save-ps", 0.5, "--start", data]
        finish(command(*words, "--block", 4, env=os.environ | {"XLA_FLAGS": flags}))
        found[n] = result(out)
    same = [n for n in (2, 8) if found[n] == found[1]]
    how = COMMAND.format("devices", amount)
    return [bar("devices whose trajectories are those of one device", f"{same} of [2, 8]", "2", 2 in same, how)]


def memory(work: Path, amount: int) -> list[dict[str, Any]]:
    """Resident memory at a tenth of a simulation and at its end."""
    (model, starts), out, seen = prepared(work), work / "memory", []
    shutil.rmtree(out, ignore_errors=True)
    time_ps = amount * 0.002
    note = lambda p: seen.append((p.time_ps, resident())) if p.time_ps >= time_ps / 10 else None
    simulate_into(out, model, lambda: starts, time_ps, save_ps=0.2, replicas=8, seed=SEED, on_progress=note)
    grown = (max(m for _, m in seen) - seen[0][1]) / 2**20
    how = COMMAND.format("memory", amount)
    name = f"memory growth over a simulation of {amount:,} steps, MB"
    return [bar(name, round(grown, 1), "<= 50 in 1,000,000 steps", grown <= 50 and amount >= 10**6, how)]


def resident() -> int:
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


def disk(work: Path, amount: int) -> list[dict[str, Any]]:
    """A small file system fills up at a random moment; room is made, and the simulation gone on with."""
    rng, (model, starts, _, whole) = random.Random(SEED), stopped(work)
    small, good = work / "small", 0
    small.mkdir(exist_ok=True)
    for _ in range(amount):
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", small], check=True)
        try:
            room = rng.randrange(4096, 230_000)
            (small / "ballast").write_bytes(bytes(2**20 - room))
            lines = []
            try:
                in_process(model, starts, small / "out")
            except InputError as error:
                lines = str(error).splitlines()
            (small / "ballast").unlink()
            in_process(model, starts, small / "out", resume=(small / "out").exists())
            good += len(lines) <= 1 and result(small / "out") == result(whole)
        finally:
            subprocess.run(["umount", small], check=True)
    name = "disks that filled up: one line, then gone on with, bit-identical"
    return [bar(name, f"{good} of {amount}", "all", good == amount, COMMAND.format("disk", amount))]


def nan(work: Path, amount: int) -> list[dict[str, Any]]:
    """A replica becomes NaN at a random frame: it is counted and examined, the others are untouched."""
    rng, (model, starts, _, whole) = random.Random(SEED), stopped(work)
    wanted, frames = np.load(whole / "frames.npy").reshape(8, 200, 4, 3), Replicas.frames
    good, out = 0, work / "nan"
    for _ in range(amount):
        at, k = rng.randrange(200), rng.randrange(8)

        def poisoned(self: Replicas, *words: Any, at: int = at, k: int = k) -> Any:
            for done, state, x in frames(self, *words):
                x = np.array(x)
                if done > at:
                    x[k] = np.nan
                yield done, state, x

        shutil.rmtree(out, ignore_errors=True)
        Replicas.frames = poisoned
        try:
            in_process(model, starts, out)
        finally:
            Replicas.frames = frames
        expected = np.concatenate([x[: at if i == k else 200] for i, x in enumerate(wanted)])
        said = json.loads((out / "simulation.json").read_text())["lost"]
        good += (
            np.array_equal(np.load(out / "frames.npy"), expected) and said == 1 and len(list(out.glob("lost/*.json")))
        )
    name = "a replica becomes NaN: counted, examined, the others' frames untouched"
    return [bar(name, f"{good} of {amount}", "all", good == amount, COMMAND.format("nan", amount))]


Cell = Callable[[Path, int], list[dict[str, Any]]]
CELLS: dict[str, tuple[Cell, int]] = {
    "kills": (kills, 100),
    "tears": (tears, 1000),
    "inputs": (inputs, 10_000),
    "devices": (devices, 1),
    "memory": (memory, 10**6),
    "disk": (disk, 20),
    "nan": (nan, 20),
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
