import contextlib
import json
import shutil

import mdtraj
import numpy as np
import pytest
import tiny
from damage import VALUES, anything, changed, damage_file, paths, without
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scorefield.errors import InputError
from scorefield.frames import Frames, load_frames, write_frames
from scorefield.trajectory import Trajectory

X = tiny.positions(30, seed=3)
SAMPLES = Frames(Trajectory(tiny.MOLECULE, X, (30,), 300.0), "samples", 32, 2, {"seed": 1})
SIMULATION = Frames(Trajectory(tiny.MOLECULE, X, (20, 10), 310.0, 0.5), "simulation", 3, 2, {"level_nm": 0.003})
WHITE_SPACE = ("one byte short", "one bit")


def described(folder):
    return json.loads((folder / "simulation.json").read_text())


def refused(folder):
    with pytest.raises(InputError) as error:
        load_frames(folder)
    assert "\n" not in str(error.value)
    assert str(folder) in str(error.value)


@pytest.mark.parametrize("frames", [SAMPLES, SIMULATION], ids=["samples", "simulation"])
def test_frames_come_back(tmp_path, frames):
    write_frames(frames, tmp_path / "out")
    found = load_frames(tmp_path / "out")
    assert np.array_equal(found.trajectory.positions, X)
    assert found.trajectory.chain_lengths == frames.trajectory.chain_lengths
    assert found.trajectory.molecule.to_json() == tiny.MOLECULE.to_json()
    assert (found.trajectory.temperature, found.trajectory.interval) == (
        frames.trajectory.temperature,
        frames.trajectory.interval,
    )
    assert (found.kind, found.started, found.lost, found.settings) == (
        frames.kind,
        frames.started,
        frames.lost,
        frames.settings,
    )


def test_other_programs_read_them(tmp_path):
    write_frames(SIMULATION, tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").glob("*.xtc")) == ["replica_0000.xtc", "replica_0001.xtc"]
    first = mdtraj.load(tmp_path / "out/replica_0000.xtc", top=tmp_path / "out/topology.pdb")
    assert np.allclose(first.xyz, X[:20], atol=6e-4)  # XTC rounds to 0.001 nm
    assert np.allclose(first.time, 0.5 * np.arange(20))
    assert [(b[0].index, b[1].index) for b in first.topology.bonds] == list(tiny.MOLECULE.bonds)


def test_an_existing_folder_is_refused(tmp_path):
    write_frames(SAMPLES, tmp_path / "out")
    before = (tmp_path / "out/simulation.json").read_bytes()
    with pytest.raises(InputError, match="exists already"):
        write_frames(SIMULATION, tmp_path / "out")
    assert (tmp_path / "out/simulation.json").read_bytes() == before


@pytest.mark.parametrize("name", ["simulation.json", "frames.npy"])
def test_a_damaged_file_is_refused(tmp_path, name):
    write_frames(SAMPLES, tmp_path / "out")
    for how in damage_file(tmp_path / "out" / name):
        if name != "simulation.json" or how not in WHITE_SPACE:
            refused(tmp_path / "out")
    load_frames(tmp_path / "out")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("version",), 0),
        (("format",), "scorefield-dataset"),
        (("kind",), "dream"),
        (("kind",), ["samples"]),
        (("started",), -1),
        (("lost",), 33),
        (("lost",), -1),
        (("lost",), float("nan")),
        (("started",), float("inf")),
        (("settings",), 1),
        (("chain_lengths",), [31]),
        (("chain_lengths",), [31, -1]),
        (("chain_lengths",), [10**30]),
        (("chain_lengths",), None),
        (("temperature_K",), 0),
        (("temperature_K",), float("inf")),
        (("interval_ps",), float("nan")),
        (("molecule", "residue_ids", 0), "one"),
        (("sha256", "frames.npy"), 1),
        (("sha256",), "frames.npy"),
    ],
)
def test_a_wrong_description_is_refused(tmp_path, path, value):
    write_frames(SAMPLES, tmp_path / "out")
    (tmp_path / "out/simulation.json").write_text(json.dumps(changed(described(tmp_path / "out"), path, value)))
    refused(tmp_path / "out")


def test_every_entry_is_needed(tmp_path):
    write_frames(SAMPLES, tmp_path / "out")
    whole = described(tmp_path / "out")
    for path in paths(whole):
        if isinstance(path[-1], str) and path[0] not in ("versions", "settings"):
            (tmp_path / "out/simulation.json").write_text(json.dumps(without(whole, path)))
            refused(tmp_path / "out")


@settings(
    max_examples=150, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_whatever_stands_in_a_description_it_loads_or_is_refused(tmp_path, data):
    folder = tmp_path / "mutated"
    if not folder.exists():
        write_frames(SAMPLES, tmp_path / "whole")
        shutil.copytree(tmp_path / "whole", folder)
    whole = described(tmp_path / "whole")
    path = data.draw(st.sampled_from(list(paths(whole))))
    value = data.draw(st.sampled_from(VALUES) | anything)
    (folder / "simulation.json").write_text(json.dumps(changed(whole, path, value)))
    with contextlib.suppress(InputError):
        load_frames(folder)
