"""The cells of `faults.py` on limits of a machine: too little memory, clocks that jump, another number of devices."""

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from unittest import mock

from faults_files import Rows, in_process, stopped
from faults_setting import COMMAND, SEED, command, finish, result, setting
from record import bar

TRAIN = """
import sys
from pathlib import Path
from scorefield.dataset import load_dataset
from scorefield.options import configured
from scorefield.train import train
data, out, config, devices, steps = sys.argv[1:]
train(load_dataset(Path(data)), configured(config, None, int(steps)), Path(out), devices=int(devices))
"""
LEAST, MOST = 0.3e9, 4e9  # bytes of address space: from too little to begin with to enough


def short_of_memory(work: Path, amount: int) -> Rows:
    """A simulation with so little memory that it cannot begin, or go on; then gone on with, with enough."""
    data, run = setting(work)
    rng, whole, out = random.Random(SEED), work / "memory-whole", work / "memory-short"
    words = lambda path: ["simulate", run, "-o", path, "--replicas", 64, "--time-ns", 0.02, "--start", data]
    shutil.rmtree(whole, ignore_errors=True)
    finish(command(*words(whole)))
    ended = {"well": 0, "one line": 0, "killed": 0, "traceback": 0}
    same = 0
    for _ in range(amount):
        shutil.rmtree(out, ignore_errors=True)
        limit = int(rng.uniform(LEAST, MOST))
        process = command(*words(out), preexec_fn=lambda n=limit: resource.setrlimit(resource.RLIMIT_AS, (n, n)))
        err = process.communicate()[1].decode()
        ended[_how(process, err)] += 1
        finish(command(*words(out), *(["--resume"] if out.exists() else [])))
        same += result(out) == result(whole)
    how = ", ".join(f"{k}: {v}" for k, v in ended.items())
    name = f"simulations short of memory (ended {how}), then gone on with: bit-identical"
    return [bar(name, f"{same} of {amount}", "all", same == amount, COMMAND.format("short_of_memory", amount))]


def _how(process: subprocess.Popen, err: str) -> str:
    if process.returncode == 0:
        return "well"
    if process.returncode == 2 and err.splitlines()[-1].startswith("error: "):
        return "one line"
    return "killed" if process.returncode in (-signal.SIGKILL, -signal.SIGABRT, -signal.SIGSEGV) else "traceback"


def clocks(work: Path, amount: int) -> Rows:
    """Clocks jump while a simulation runs, is stopped and goes on: a date anywhere, a suspended machine's monotonic clock."""
    rng, (model, starts, _, whole) = random.Random(SEED), stopped(work)
    wanted, out, same, real = result(whole), work / "clocks", 0, time.monotonic
    for _ in range(amount):
        ahead = [0.0]

        def monotonic(ahead: list[float] = ahead) -> float:
            ahead[0] += rng.choice((0.0, 0.0, 5.0, 86_400.0))
            return real() + ahead[0]

        shutil.rmtree(out, ignore_errors=True)
        dates = lambda: rng.uniform(-1e9, 1e10)
        with mock.patch("time.monotonic", monotonic), mock.patch("time.time", dates):
            in_process(model, starts, out)
        same += result(out) == wanted
    name = "clocks that jump during a simulation: bit-identical"
    return [bar(name, f"{same} of {amount}", "all", same == amount, COMMAND.format("clocks", amount))]


def on_devices(n: int) -> dict[str, str]:
    """The environment of a command on so many virtual devices of the processor."""
    return os.environ | {"JAX_NUM_CPU_DEVICES": str(n)}


def devices(work: Path, amount: int) -> Rows:
    """The same simulation and the same training on 1, 2 and 8 virtual devices of the processor."""
    data, run = setting(work)
    found, losses = {}, {}
    config = work / "devices.toml"
    config.write_text((work / "config.toml").read_text().replace("batch = 64", "batch = 256"))
    for n in (1, 2, 8):
        out, trained = work / f"devices-{n}", work / f"devices-train-{n}"
        for path in (out, trained):
            shutil.rmtree(path, ignore_errors=True)
        words = ["simulate", run, "-o", out, "--replicas", 32, "--time-ns", 0.02, "--save-ps", 0.5, "--start", data]
        finish(command(*words, "--block", 4, env=on_devices(n)))
        found[n] = result(out)
        words = [sys.executable, "-c", TRAIN, data, trained, config, n, 100 * amount]
        subprocess.run([*map(str, words)], env=on_devices(n), check=True)
        losses[n] = _losses(trained)
    same = [n for n in (2, 8) if found[n] == found[1]]
    off = max(abs(a / b - 1) for n in (2, 8) for a, b in zip(losses[n], losses[1], strict=True))
    how = COMMAND.format("devices", amount)
    training = f"training loss on 2 and 8 devices against 1, {100 * amount} steps: largest relative difference"
    return [
        bar("devices whose trajectories are those of one device", f"{same} of [2, 8]", "2", 2 in same, how),
        bar(training, float(f"{off:.2g}"), "<= 1e-6", off <= 1e-6, how),
    ]


def _losses(run: Path) -> list[Any]:
    return [json.loads(line)["loss"] for line in (run / "log.jsonl").read_text().splitlines()]
