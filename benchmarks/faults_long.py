"""The cell of `faults.py` that goes on for a thousand million replica-steps, killed and resumed on the way."""

import random
import subprocess
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from faults_setting import COMMAND, SEED, command, finish
from record import bar

from scorefield.dataset import Dataset
from scorefield.evaluate import evaluate
from scorefield.frames import Frames, load_frames
from scorefield.model import load_model
from scorefield.systems import load_system, run_folder
from scorefield.trajectory import Trajectory
from scorefield.verify.fields import MeanForce, chain_ratio
from scorefield.verify.stability import squares_and_springs, thin_chains

RUN, PARTS, REPLICAS, FRAMES = "ala2", 10, 1000, 1000
TEMPERATURE_FRAMES = 100_000
GROUPS = 10  # of replicas, for the error of a difference
LATEST_KILL = 200.0  # s after the start of a part


def long_run(work: Path, amount: int) -> list[dict[str, Any]]:
    """`amount` replica-steps of the built-in alanine model in ten parts, each killed at a random moment and gone on with."""
    model, out, rng = load_model(run_folder(RUN)), work / "long", random.Random(SEED)
    steps = -(-amount // (REPLICAS * FRAMES)) * FRAMES
    length_ns = steps * model.dt_fs * 1e-6
    done, kills = _done(out)
    for part in range(done + 1, PARTS + 1):
        words = ["simulate", RUN, "-o", out, "--replicas", REPLICAS, "--time-ns", f"{length_ns * part / PARTS:.6f}"]
        words += ["--save-ps", f"{1000 * length_ns / FRAMES:.6f}", "--seed", SEED]
        process = _begun(words, out)
        try:
            process.wait(rng.uniform(0, LATEST_KILL))
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            kills += 1
            process = _begun(words, out)
        finish(process)
        (out.parent / "long-done").write_text(f"{part} {kills}")
        print(f"part {part} of {PARTS}, {kills} kills", flush=True)
    return judged(load_frames(out), steps, kills, amount)


def _done(out: Path) -> list[int]:
    """How many parts there are, and how often it was killed."""
    path = out.parent / "long-done"
    return [int(n) for n in path.read_text().split()] if path.exists() else [0, 0]


def _begun(words: list[object], out: Path) -> subprocess.Popen:
    """The command, begun or gone on with, saving as it usually does."""
    return command(*words, *(["--resume"] if out.exists() else []), code="from scorefield.cli import main; main()")


def judged(frames: Frames, steps: int, kills: int, amount: int) -> list[dict[str, Any]]:
    """What is demanded of all frames: lost, temperature, and the first tenth against the last."""
    model, dataset, whole = load_model(run_folder(RUN)), load_system(RUN), frames.trajectory
    x = np.stack([chain for chain in whole.chains() if len(chain) == FRAMES])
    force = MeanForce(model.score, jnp.float32(model.level))
    some = thin_chains(whole, TEMPERATURE_FRAMES)
    square, spring = squares_and_springs(force, some.positions, jax.random.key(SEED)).T
    T, error = (float(v) for v in chain_ratio(square, spring, some.chain_lengths))
    tenths = [_js(dataset, whole, part) for part in np.split(x, PARTS, axis=1)]
    groups = np.array(
        [
            [_js(dataset, whole, part[k::GROUPS]) for k in range(GROUPS)]
            for part in np.split(x, PARTS, axis=1)[:: PARTS - 1]
        ]
    )
    change = groups[1] - groups[0]
    sem = change.std(ddof=1) / np.sqrt(GROUPS)
    how = COMMAND.format("long", amount)
    done = f"{steps * REPLICAS:.2g} replica-steps of {RUN} ({kills} kills)"
    enough = steps * REPLICAS >= 10**9
    return [
        bar(f"{done}: lost", frames.lost, 0, enough and frames.lost == 0, how),
        bar(
            f"{done}: configurational temperature over the thermostat's (error {error:.1g})",
            round(T, 4),
            "0.99-1.01",
            enough and abs(T - 1) <= 0.01,
            how,
        ),
        bar(f"{done}: dihedral_js by tenths", [round(js, 5) for js in tenths], None, None, how),
        bar(
            f"{done}: dihedral_js of the last tenth less the first, tenths of the replicas apart (error {sem:.1g})",
            round(float(change.mean()), 5),
            "<= 0 within two errors",
            bool(enough and change.mean() <= 2 * sem),
            how,
        ),
    ]


def _js(dataset: Dataset, whole: Trajectory, x: np.ndarray) -> float:
    """`dihedral_js` of replicas' frames `x` to the held-out chains."""
    lengths = (x.shape[1],) * len(x)
    trajectory = Trajectory(whole.molecule, x.reshape(-1, *x.shape[2:]), lengths, whole.temperature, whole.interval)
    report = evaluate(dataset, {"part": Frames(trajectory, "simulation", len(x), 0, {})})
    return report.metrics["part"]["dihedral_js"]["value"]
