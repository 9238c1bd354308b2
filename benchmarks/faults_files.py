"""The cells of `faults.py` that damage a simulation's files, memory and disk, in one process."""

import json
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from faults_setting import COMMAND, SEED, result, setting
from record import bar

from scorefield.errors import InputError
from scorefield.frames import load_frames
from scorefield.model import Model, load_model
from scorefield.replicas import Replicas
from scorefield.stream import simulate_into

Rows = list[dict[str, Any]]


class Stop(Exception):
    pass


def in_process(model: Model, starts: np.ndarray, path: Path, resume: bool = False, stop: float = np.inf) -> None:
    """A simulation of 8 replicas x about 200 frames, stopped after `stop` ps."""

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


def tears(work: Path, amount: int) -> Rows:
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


def memory(work: Path, amount: int) -> Rows:
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


def disk(work: Path, amount: int) -> Rows:
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


def nan(work: Path, amount: int) -> Rows:
    """A replica becomes NaN at a random frame: it is counted and examined, the others are untouched."""
    rng, (model, starts, _, whole) = random.Random(SEED), stopped(work)
    before, frames = load_frames(whole), Replicas.frames
    wanted = list(before.trajectory.chains())
    n_frames = max(before.trajectory.chain_lengths)
    intact = [i for i, chain in enumerate(wanted) if len(chain) == n_frames]
    good, out = 0, work / "nan"
    for _ in range(amount):
        at, k = rng.randrange(n_frames), rng.choice(intact)

        def poisoned(self: Replicas, *words: Any, at: int = at, k: int = k) -> Any:
            for done, state, x in frames(self, *words):
                x = np.array(x)
                if done > at:
                    x[k] = np.nan
                yield done, state, x

        shutil.rmtree(out, ignore_errors=True)
        with mock.patch.object(Replicas, "frames", poisoned):
            in_process(model, starts, out)
        expected = np.concatenate([x[: at if i == k else None] for i, x in enumerate(wanted)])
        said = json.loads((out / "simulation.json").read_text())["lost"]
        good += (
            np.array_equal(np.load(out / "frames.npy"), expected)
            and said == len(list(out.glob("lost/*.json"))) == before.lost + 1
        )
    name = "a replica becomes NaN: counted, examined, the others' frames untouched"
    return [bar(name, f"{good} of {amount}", "all", good == amount, COMMAND.format("nan", amount))]
