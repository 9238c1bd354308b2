"""A simulation in a folder: whatever ends it, going on gives the frames of one that nothing ended, byte for byte."""

import errno
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time

import jax.numpy as jnp
import mdtraj
import numpy as np
import pytest
import tiny
from commands import contents, invoke
from damage import damage_file
from safetensors.numpy import load_file
from small import MOLECULE, N, frames

from scorefield import replica_array, stream
from scorefield.energy.base import AbstractEnergy
from scorefield.energy.gaussian import GaussianEnergy
from scorefield.errors import InputError
from scorefield.frames import load_frames
from scorefield.lock import locked
from scorefield.model import Model, Physical
from scorefield.simulate import simulate
from scorefield.stream import simulate_into
from scorefield.trajectory import Trajectory
from scorefield.units import BOLTZMANN

VARIANCE, REPLICAS, FRAMES, SAVE = 0.01, 6, 20, 0.05
STARTS = np.repeat(frames()[:1], REPLICAS, axis=0)
REACH = 0.27  # nm


class Trap(AbstractEnergy):
    """A Gaussian's energy, which is no number where the first bond is longer than `REACH`."""

    inner: GaussianEnergy
    trained = ()

    def __call__(self, x, sigma):
        return self.inner(x, sigma) * jnp.where(jnp.linalg.norm(x[0] - x[1]) > REACH, jnp.nan, 1.0)


def model(trap: bool = False) -> Model:
    energy = GaussianEnergy.from_covariance(VARIANCE * np.eye(N))
    x = np.sqrt(VARIANCE) * np.random.default_rng(0).normal(size=(2000, N, 3)).astype(np.float32)
    physical = Physical.of(Trajectory(MOLECULE, x, (2000,), 300.0))
    return Model(Trap(energy) if trap else energy, MOLECULE, 300.0, tiny.at_steps_of(2.0), physical, {}, tiny.LEVELS)


def run(path, n_frames=FRAMES, *, trap=False, resume=False, on_progress=None, **changed):
    settings = {"save_ps": SAVE, "replicas": REPLICAS, "seed": 1} | changed
    starts = (lambda: pytest.fail("starts are not needed to go on")) if resume else (lambda: STARTS)
    return simulate_into(path, model(trap), starts, n_frames * SAVE, resume=resume, on_progress=on_progress, **settings)


class Stop(Exception):
    """In place of a power cut."""


def stop_at(n_frames, error=Stop):
    def on_progress(progress):
        if round(progress.time_ps / SAVE) == n_frames:
            raise error

    return on_progress


def interrupted(path, n_frames, **settings):
    with pytest.raises(Stop):
        run(path, on_progress=stop_at(n_frames), **settings)


def made(path):
    """What a simulation leaves that does not depend on how long it took and how often it was stopped."""
    found = {name: digest for name, digest in contents(path).items() if name not in ("state.json", "simulation.json")}
    description = json.loads((path / "simulation.json").read_text())
    description["settings"].pop("seconds")
    return found | {"simulation.json": description}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a simulation that nothing ended; to be read only."""
    path = tmp_path_factory.mktemp("whole") / "out"
    run(path)
    return path


@pytest.fixture(scope="module")
def trapped(tmp_path_factory):
    """Likewise, with replicas that were lost."""
    path = tmp_path_factory.mktemp("trapped") / "out"
    run(path, trap=True)
    return path


def test_what_is_streamed_is_what_simulate_returns(whole):
    held = simulate(model(), STARTS, FRAMES * SAVE, save_ps=SAVE, seed=1)
    found = load_frames(whole)
    assert np.array_equal(found.trajectory.positions, held.trajectory.positions)
    assert found.trajectory.chain_lengths == held.trajectory.chain_lengths == (FRAMES,) * REPLICAS
    assert (found.started, found.lost, found.trajectory.interval) == (REPLICAS, 0, pytest.approx(SAVE))
    assert found.settings | json.loads(json.dumps(held.settings)) == found.settings


@pytest.mark.parametrize(
    ("starts", "settings", "says"),
    [
        (STARTS[:0], {}, "no replicas"),
        (STARTS[0], {}, "starts have shape"),
        (STARTS[:, :-1], {}, "starts have shape"),
        (STARTS, {"level": 0.0}, "level must be"),
        (STARTS, {"dt_fs": -1.0}, "dt_fs must be"),
        (STARTS, {"temperature": float("nan")}, "temperature must be"),
        (STARTS, {"friction": -1.0}, "friction must be"),
    ],
)
def test_what_cannot_be_simulated_is_refused(starts, settings, says):
    with pytest.raises(InputError, match=says):
        simulate(model(), starts, FRAMES * SAVE, save_ps=SAVE, **settings)


def test_energies_and_temperatures_are_those_of_the_frames(whole):
    x = load_frames(whole).trajectory.positions
    x = x - x.mean(axis=1, keepdims=True)
    kT = 300 * BOLTZMANN
    expected = kT * 0.5 * (x**2).sum(axis=(1, 2)) / (VARIANCE + tiny.LEVELS.chosen_nm**2)
    np.testing.assert_allclose(np.load(whole / "energies.npy"), expected, rtol=1e-4)
    temperatures = np.load(whole / "temperatures.npy")
    assert temperatures.shape == (FRAMES * REPLICAS,)
    assert temperatures.mean() == pytest.approx(300, rel=0.2)


def test_viewers_get_the_same_frames(whole):
    x = load_frames(whole).trajectory.chains()
    for k in range(REPLICAS):
        seen = mdtraj.load(whole / f"replica_{k:04d}.xtc", top=whole / "topology.pdb")
        assert np.allclose(seen.xyz, x[k], atol=6e-4)
        assert np.allclose(seen.time, SAVE * np.arange(FRAMES))


@pytest.mark.parametrize("saved_every", [0.0, 1e9])
def test_stopped_anywhere_and_gone_on_with_it_is_bit_for_bit_the_same(tmp_path, whole, monkeypatch, saved_every):
    monkeypatch.setattr(stream, "SAVE_SECONDS", saved_every)
    monkeypatch.setattr(stream, "_SAVING_SHARE", 0)
    interrupted(tmp_path / "out", 0)
    for n_frames in (1, 7, 8, FRAMES):
        with pytest.raises(InputError, match="unfinished simulation; go on with"):
            load_frames(tmp_path / "out")
        interrupted(tmp_path / "out", n_frames, resume=True)
    run(tmp_path / "out", resume=True)
    assert made(tmp_path / "out") == made(whole)


@pytest.mark.parametrize("trap", [False, True])
def test_a_simulation_that_has_ended_can_be_made_longer(tmp_path, whole, trapped, trap):
    for n_frames in (3, 11, FRAMES):
        found = run(tmp_path / "out", n_frames, trap=trap, resume=n_frames > 3)
        assert max(found.trajectory.chain_lengths) == n_frames
    assert made(tmp_path / "out") == made(trapped if trap else whole)
    before = contents(tmp_path / "out")
    run(tmp_path / "out", trap=trap, resume=True)
    assert contents(tmp_path / "out") == before


def test_an_unfinished_simulation_can_be_ended_where_it_is(tmp_path, whole):
    interrupted(tmp_path / "out", 7)
    found = run(tmp_path / "out", 7, resume=True)
    assert np.array_equal(found.trajectory.positions[:7], load_frames(whole).trajectory.positions[:7])
    with pytest.raises(InputError, match=r"has 0\.00035 ns already, not 0\.00025 ns: --time-ns is the time in all"):
        run(tmp_path / "out", 5, resume=True)


def test_a_lost_replica_is_examined_and_the_others_go_on(trapped):
    found = load_frames(trapped)
    lengths = np.array(json.loads((trapped / "simulation.json").read_text())["chain_lengths"])
    assert found.lost == (lengths < FRAMES).sum() == len(found.settings["lost_replicas"]) > 0
    assert (lengths == FRAMES).any()
    held = simulate(model(trap=True), STARTS, FRAMES * SAVE, save_ps=SAVE, seed=1)
    assert np.array_equal(found.trajectory.positions, held.trajectory.positions)
    chains = found.trajectory.chains()
    for k in np.flatnonzero(lengths < FRAMES):
        about = json.loads((trapped / f"lost/replica_{k:04d}.json").read_text())
        assert (about["replica"], about["frame"]) == (k, lengths[k])
        assert lengths[k] * SAVE < about["step"] * 0.002 <= (lengths[k] + 1) * SAVE + 1e-9
        kept = load_file(trapped / f"lost/replica_{k:04d}.safetensors")
        assert np.array_equal(kept["frames"], chains[k])
        assert np.array_equal(kept["x"][0], chains[k][-1])
        assert not np.isfinite(kept["x"][1]).all()
        bond = np.linalg.norm(kept["steps"][:, 0] - kept["steps"][:, 1], axis=-1)
        assert (bond[:-2] < REACH).all()
        assert not np.isfinite(bond[-1])
        seen = mdtraj.load(trapped / f"lost/replica_{k:04d}.xtc", top=trapped / "topology.pdb")
        assert np.allclose(seen.xyz, kept["steps"][:-1], atol=6e-4)


def test_losses_survive_a_restart(tmp_path, trapped):
    interrupted(tmp_path / "out", 15, trap=True)
    run(tmp_path / "out", trap=True, resume=True)
    assert made(tmp_path / "out") == made(trapped)


def test_every_replica_lost_at_once_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "STARTS", 100 * STARTS)
    for resume in (False, True):
        with pytest.raises(
            InputError, match=r"every replica was lost before its first frame: .*out/lost has the steps"
        ):
            run(tmp_path / "out", resume=resume)


def test_what_a_kill_tore_is_written_again(tmp_path, whole):
    interrupted(tmp_path / "out", 7)
    with open(tmp_path / "out/frames.npy", "r+b") as file:  # frames after the seventh, half written
        file.seek(-100, os.SEEK_END)
        file.write(b"torn" * 20)
    for k, damage in enumerate((lambda b: b + b"torn", lambda b: b[:-30], lambda b: b"", lambda b: b"torn" + b[4:])):
        xtc = tmp_path / f"out/replica_{k:04d}.xtc"
        xtc.write_bytes(damage(xtc.read_bytes()))
    (tmp_path / "out/replica_0004.xtc").unlink()
    for name in ("topology.pdb", ".state.json.draft", ".replica_0003.xtc.part", "state-9.safetensors"):
        (tmp_path / "out" / name).write_bytes(b"torn")
    run(tmp_path / "out", resume=True)
    assert made(tmp_path / "out") == made(whole)


def test_a_damaged_file_is_refused(tmp_path):
    out = tmp_path / "out"
    interrupted(out, 7)
    harmless = {"frames.npy": "one bit", "state.json": "one byte short"}  # of a frame to come; white space
    for name in ("frames.npy", "state.json", "state-7.safetensors"):
        for how in damage_file(out / name):
            if harmless.get(name) != how:
                refused(out)
    for name in ("frames.npy", "energies.npy"):
        path, n_numbers = out / name, {"frames.npy": 3 * N, "energies.npy": 1}[name]
        whole = path.read_bytes()
        damaged = bytearray(whole)
        damaged[128 + 4 * n_numbers * (FRAMES + 5)] ^= 1  # frame 5 of the second replica
        path.write_bytes(damaged)
        refused(out, "frames of replica 1 do not fit their checksum")
        path.write_bytes(whole)
    run(out, resume=True)


def refused(path, says=".", **settings):
    before = contents(path)
    with pytest.raises(InputError, match=says) as error:
        run(path, resume=True, **settings)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    assert contents(path) == before


@pytest.mark.parametrize(
    "change",
    [
        {"frames": 8},
        {"frames": -1},
        {"frames": "many"},
        {"arrays": "../state-7.safetensors"},
        {"arrays": "state-8.safetensors"},
        {"arrays": None},
        {"sha256": "0" * 64},
        {"lost": [{"replica": 1}]},
        {"lost": 5},
        {"seconds": float("inf")},
        {"settings": []},
        {"version": 2},
    ],
)
def test_a_wrong_state_is_refused(tmp_path, stopped, change):
    shutil.copytree(stopped, tmp_path / "out")
    state = json.loads((stopped / "state.json").read_text())
    (tmp_path / "out/state.json").write_text(json.dumps(state | change))
    refused(tmp_path / "out")


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """The folder of a simulation that was stopped after seven frames; to be read only."""
    path = tmp_path_factory.mktemp("stopped") / "out"
    interrupted(path, 7)
    return path


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"seed": 2}, "begun with seed = 1, not 2"),
        ({"replicas": 5}, "begun with replicas = 6, not 5"),
        ({"save_ps": 0.1}, r"begun with save_ps = 0\.05, not 0\.1"),
        ({"dt_fs": 1.0}, r"begun with dt_fs = 2\.0, not 1\.0"),
        ({"temperature": 310.0}, "temperature"),
        ({"trap": True}, "begun with another model"),
        ({"start": "elsewhere"}, "begun with start = given, not elsewhere"),
    ],
)
def test_going_on_with_something_else_is_refused(stopped, change, says):
    refused(stopped, says, **change)


def test_what_is_there_is_not_begun_anew_and_nothing_cannot_be_gone_on_with(tmp_path, stopped):
    before = contents(stopped)
    with pytest.raises(InputError, match="exists already"):
        run(stopped)
    assert contents(stopped) == before
    with pytest.raises(InputError, match="no simulation to go on with; leave --resume away"):
        run(tmp_path / "out", resume=True)
    assert not (tmp_path / "out").exists()


def test_a_second_process_is_refused(stopped):
    before = contents(stopped)
    with locked(stopped), pytest.raises(InputError, match="in use by another process"):
        run(stopped, resume=True)
    assert contents(stopped) == before


def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path, whole, monkeypatch):
    out, write, left = tmp_path / "out", os.pwrite, [100]

    def until_full(*words):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(*words)

    monkeypatch.setattr(replica_array.os, "pwrite", until_full)
    with pytest.raises(InputError, match=r"the disk is full; .*keeps 0\.25 ps: go on with --resume") as error:
        run(out)
    assert "\n" not in str(error.value)
    monkeypatch.setattr(replica_array.os, "pwrite", write)
    run(out, resume=True)
    assert made(out) == made(whole)


def test_frames_that_the_disk_cannot_hold_are_refused_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(stream.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**10, 9 * 10**9, 10**9))
    with pytest.raises(InputError, match=r"the frames take .* GB, the disk of .* has .* GB free; choose a larger"):
        run(tmp_path / "out", 10**7)
    assert not list(tmp_path.iterdir())


SLOWLY = "from scorefield import cli, stream; stream.SAVE_SECONDS = stream._SAVING_SHARE = 0; cli.main()"


def test_a_killed_command_goes_on_where_it_was(tmp_path, run_folder, data_folder):
    words = ["simulate", str(run_folder), "--replicas", "4", "--time-ns", "0.04", "--save-ps", "0.2", "-o", "out"]
    words += ["--start", str(data_folder)]
    for number, after in ((signal.SIGTERM, 5), (signal.SIGKILL, 20)):
        process = command(*words, *(["--resume"] if after > 5 else []), cwd=tmp_path)
        wait_for(tmp_path / "out", after, process)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
        if number == signal.SIGTERM:
            assert process.returncode == 143
            assert err == f"interrupted; go on with: scorefield {shlex.join(words)} --resume\n"
    assert "unfinished" in invoke("info", tmp_path / "out").out
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        assert invoke(*words, "--resume").code == 0
        assert invoke(*(word.replace("out", "whole") for word in words)).code == 0
    assert made(tmp_path / "out") == made(tmp_path / "whole")


def command(*words, cwd):
    """The real command, in a process of its own, which saves after every frame."""
    return subprocess.Popen([sys.executable, "-c", SLOWLY, *words], cwd=cwd, stderr=subprocess.PIPE, text=True)


def wait_for(path, n_frames, process):
    """Until the folder `path` has a state after `n_frames` frames or more."""
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if any(int(p.stem.split("-")[1]) >= n_frames for p in path.glob("state-*.safetensors")):
            return
        time.sleep(0.005)
    pytest.fail(f"{path} has too few frames: {process.communicate()[1]}")


def test_a_ladder_of_levels_goes_on_bit_for_bit_and_is_lost_as_a_whole(tmp_path):
    settings = {"trap": True, "exchange": (0.02,), "save_ps": 2 * SAVE}
    run(tmp_path / "whole", **settings)
    interrupted(tmp_path / "parts", FRAMES // 2, **settings)
    found = run(tmp_path / "parts", resume=True, **settings)
    assert made(tmp_path / "parts") == made(tmp_path / "whole")
    walkers = np.load(tmp_path / "whole/walkers.npy")
    assert walkers.shape == (found.trajectory.n_frames,)
    assert set(walkers) == {0.0, 1.0}
    assert 0 < found.lost < REPLICAS
    assert 0 < found.settings["exchange"]["acceptance"][0] < 1
    with pytest.raises(InputError, match="exchange"):
        run(tmp_path / "parts", 2 * FRAMES, resume=True, **(settings | {"exchange": (0.03,)}))
