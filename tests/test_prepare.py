import errno
import json

import mdtraj
import numpy as np
import pytest
from peptides import peptide, saved

from scorefield.allatom import make_whole
from scorefield.dataset import load_dataset
from scorefield.errors import InputError
from scorefield.prepare import prepare
from scorefield.storage import ArrayFile

FORMATS = {"xtc": 2e-3, "dcd": 1e-5, "trr": 1e-5, "nc": 1e-5, "h5": 1e-5, "pdb": 2e-4}
MAP = "name CA or name CB"


@pytest.fixture
def top(tmp_path):
    return saved(peptide(3, 1), tmp_path / "top.pdb")


def centred(trajectory, spec=MAP):
    x = trajectory.xyz[:, trajectory.topology.select(spec)]
    return x - x.mean(axis=1, keepdims=True)


@pytest.mark.parametrize(("suffix", "tolerance"), FORMATS.items())
def test_every_format_gives_the_same_beads(tmp_path, top, suffix, tolerance):
    chains = [peptide(3, 25, seed) for seed in range(3)]
    files = [saved(c, tmp_path / f"chain_{k}.{suffix}") for k, c in enumerate(chains)]
    carries = suffix in ("h5", "pdb")
    dataset = prepare(files, None if carries else top, MAP, 300.0, tmp_path / "out")
    assert dataset.trajectory.chain_lengths == (25, 25, 25)
    assert np.allclose(dataset.trajectory.positions, np.concatenate([centred(c) for c in chains]), atol=tolerance)
    assert np.abs(dataset.trajectory.positions.mean(axis=1)).max() < 1e-6
    assert dataset.trajectory.interval == (None if suffix in ("dcd", "pdb") else 2.0)
    assert bool(dataset.provenance["warnings"]) == (suffix in ("dcd", "pdb"))
    assert sorted(dataset.splits) == ["test", "train", "validation"]
    assert dataset.sources == tuple(f.name for f in files)


def test_the_folder_describes_itself_and_is_read_back(tmp_path, top):
    files = [saved(peptide(3, 20, seed), tmp_path / f"{seed}.xtc") for seed in range(3)]
    seen = []
    prepare(
        files, top, "backbone", 310.0, tmp_path / "out", on_progress=lambda k, n, frames: seen.append((k, n, frames))
    )
    dataset = load_dataset(tmp_path / "out")
    assert (dataset.map, dataset.trajectory.temperature, dataset.molecule.name) == ("backbone", 310.0, "top")
    assert [t["frames_kept"] for t in dataset.provenance["trajectories"]] == [20] * 3
    assert len(dataset.provenance["topology"]["sha256"]) == 64
    assert dataset.equilibrium is not None
    assert "verdict" in dataset.equilibrium
    assert str(tmp_path) not in (tmp_path / "out/dataset.json").read_text()  # names only: folders are nobody's business
    assert (tmp_path / "out/beads.pdb").is_file()
    assert seen == [(0, 3, 20), (1, 3, 40), (2, 3, 60)]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["0.xtc", "1.xtc", "2.xtc", "out", "top.pdb"]


@pytest.mark.parametrize(("stride", "chunk"), [(1, 1), (1, 7), (3, 1), (3, 7), (7, 3), (100, 8)])
@pytest.mark.parametrize("suffix", ["xtc", "h5"])
def test_chunks_change_nothing_and_stride_slices(tmp_path, top, suffix, stride, chunk):
    trajectory = peptide(3, 50)
    file = saved(trajectory, tmp_path / f"t.{suffix}")
    dataset = prepare([file], top, MAP, 300.0, tmp_path / "out", stride=stride, chunk=chunk)
    assert np.allclose(dataset.trajectory.positions, centred(trajectory)[::stride], atol=2e-3)
    if stride < 50:
        assert dataset.trajectory.interval == pytest.approx(2.0 * stride)


@pytest.mark.parametrize("n_files", [1, 2])
def test_one_or_two_chains_are_split_into_contiguous_stretches(tmp_path, top, n_files):
    files = [saved(peptide(3, 40, seed), tmp_path / f"{seed}.xtc") for seed in range(n_files)]
    dataset = prepare(files, top, MAP, 300.0, tmp_path / "out", stride=2)
    assert dataset.splits == ("train", "validation", "test") * n_files
    assert dataset.trajectory.chain_lengths == (14, 2, 4) * n_files
    assert dataset.sources[:3] == ("0.xtc[0:28]", "0.xtc[28:32]", "0.xtc[32:40]")
    assert dataset.equilibrium is not None
    assert dataset.equilibrium["n_chains"] == n_files  # judged before it was cut


CELLS = {
    "orthorhombic": ([1.1, 1.2, 1.3], [90, 90, 90]),
    "triclinic": ([1.3, 1.3, 1.3], [70.53, 109.47, 70.53]),
}


@pytest.mark.parametrize("suffix", ["xtc", "nc", "h5", "dcd", "trr"])
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("spec", ["ca", MAP])
def test_molecules_across_periodic_boundaries_are_made_whole(tmp_path, top, suffix, cell, spec):
    trajectory = peptide(3, 12)  # 1.5 nm long: longer than the cell
    lengths, angles = CELLS[cell]
    wrapped = mdtraj.Trajectory(
        trajectory.xyz, trajectory.topology, trajectory.time, np.tile(lengths, (12, 1)), np.tile(angles, (12, 1))
    )
    inverse = np.linalg.inv(wrapped.unitcell_vectors.astype(float))
    wrapped.xyz = wrapped.xyz - np.floor(wrapped.xyz @ inverse) @ wrapped.unitcell_vectors
    assert np.abs(np.diff(wrapped.xyz[:, trajectory.topology.select("name CA")], axis=1)).max() > 0.8  # torn apart
    file = saved(wrapped, tmp_path / f"t.{suffix}")
    dataset = prepare([file], top, spec, 300.0, tmp_path / "out")
    expected = centred(trajectory, "name CA" if spec == "ca" else spec)
    assert np.allclose(dataset.trajectory.positions, expected, atol=3e-3)


def test_make_whole_leaves_whole_molecules_and_empty_cells_alone():
    x = np.random.default_rng(0).normal(size=(4, 5, 3)) * 0.1
    steps = np.array([(0, 1), (1, 2), (2, 3), (3, 4)])
    assert make_whole(x, None, steps) is x
    assert np.array_equal(make_whole(x, np.tile(np.eye(3) * 5, (4, 1, 1)), steps), x)
    assert np.array_equal(make_whole(x, np.zeros((4, 3, 3)), steps), x)
    assert np.array_equal(make_whole(x, np.full((4, 3, 3), np.nan), steps), x)


def test_weights_follow_their_frames(tmp_path, top):
    files = [saved(peptide(3, n, n), tmp_path / f"{n}.xtc") for n in (10, 11, 12)]
    weights = np.arange(33.0)
    np.save(tmp_path / "w.npy", weights)
    np.savetxt(tmp_path / "w.txt", weights)
    kept = np.concatenate([weights[:10:2], weights[10:21:2], weights[21::2]])
    for name in ("w.npy", "w.txt"):
        dataset = prepare(files, top, MAP, 300.0, tmp_path / f"out-{name}", stride=2, weights=tmp_path / name)
        assert dataset.trajectory.weights is not None
        assert np.allclose(dataset.trajectory.weights, kept / kept.mean(), rtol=1e-6)


def test_interval_is_that_of_the_files_and_stride_multiplies_it(tmp_path, top):
    file = saved(peptide(3, 20), tmp_path / "t.dcd")
    dataset = prepare([file], top, MAP, 300.0, tmp_path / "out", stride=5, interval=0.5)
    assert dataset.trajectory.interval == 2.5
    assert dataset.provenance["warnings"] == []


def test_uneven_times_are_not_an_interval(tmp_path, top):
    trajectory = peptide(3, 20)
    trajectory.time = np.cumsum(np.arange(20.0))
    dataset = prepare([saved(trajectory, tmp_path / "t.xtc")], top, MAP, 300.0, tmp_path / "out")
    assert dataset.trajectory.interval is None
    assert "not evenly spaced" in dataset.provenance["warnings"][0]


def test_nothing_is_printed_by_libraries(tmp_path, top, capfd):
    prepare([saved(peptide(3, 20), tmp_path / "t.dcd")], top, MAP, 300.0, tmp_path / "out")
    assert "dcdplugin" not in "".join(capfd.readouterr())


def with_bad_number(trajectory, value):
    trajectory.xyz[13, 4, 1] = value
    return trajectory


def cut(path):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * 0.61)])
    return path


def junk(path):
    path.write_bytes(b"hello world" * 100)
    return path


def scaled(trajectory, factor):
    trajectory.xyz = trajectory.xyz * factor
    return trajectory


# name: (what to prepare, given the folder; words that the message must hold)
BAD_TRAJECTORIES = {
    "missing": (lambda p: p / "no.xtc", "does not exist"),
    "a folder": (lambda p: (p / "d").mkdir() or p / "d", "holds no trajectories"),
    "other atoms": (lambda p: saved(peptide(4, 9), p / "t.xtc"), "t.xtc holds 25 atoms, but the topology has 20"),
    "other atoms, dcd": (lambda p: saved(peptide(4, 9), p / "t.dcd"), "atoms"),
    "other atoms, own topology": (lambda p: saved(peptide(4, 9), p / "t.h5"), "holds 25 atoms"),
    "NaN": (lambda p: saved(with_bad_number(peptide(3, 20), np.nan), p / "t.dcd"), "t.dcd: frame 13 .*NaN"),
    "infinite": (lambda p: saved(with_bad_number(peptide(3, 20), np.inf), p / "t.trr"), "t.trr: frame 13 "),
    "in Angstrom": (lambda p: saved(scaled(peptide(3, 20), 10), p / "t.xtc"), "unit"),
    "unknown format": (lambda p: junk(p / "t.foo"), "not in a format"),
    **{f"cut {s}": (lambda p, s=s: cut(saved(peptide(3, 40), p / f"t.{s}")), "cut short|damaged") for s in FORMATS},
    **{f"junk {s}": (lambda p, s=s: junk(p / f"t.{s}"), "damaged") for s in FORMATS},
}


@pytest.mark.parametrize("case", BAD_TRAJECTORIES)
def test_bad_trajectories_are_one_line_and_leave_nothing(tmp_path, top, case):
    make, words = BAD_TRAJECTORIES[case]
    file = make(tmp_path)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError, match=words) as caught:
        prepare([file], top, "ca", 300.0, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.iterdir()) == before


BAD_SETTINGS = {
    "map": ({"map": "name ZZ"}, "selects 0"),
    "temperature 0": ({"temperature": 0.0}, "temperature"),
    "temperature missing": ({"temperature": None}, "temperature"),
    "temperature NaN": ({"temperature": float("nan")}, "temperature"),
    "stride": ({"stride": 0}, "stride"),
    "chunk": ({"chunk": 0}, "chunk"),
    "interval": ({"interval": -1.0}, "interval"),
    "split": ({"split": (0.5, 0.5, 0.5)}, "split"),
    "no trajectory": ({"trajectories": []}, "no trajectory"),
    "no topology": ({"top": None}, "--top"),
}


@pytest.mark.parametrize("case", BAD_SETTINGS)
def test_bad_settings_are_one_line_and_leave_nothing(tmp_path, top, case):
    changed, words = BAD_SETTINGS[case]
    file = saved(peptide(3, 20), tmp_path / "t.xtc")
    good = {"trajectories": [file], "top": top, "map": "ca", "temperature": 300.0, "out": tmp_path / "out"}
    with pytest.raises(InputError, match=words) as caught:
        prepare(**(good | changed))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("values", [np.ones(19), np.ones((20, 1)), -np.ones(20), np.full(20, np.nan), np.zeros(20)])
def test_bad_weights(tmp_path, top, values):
    file = saved(peptide(3, 20), tmp_path / "t.xtc")
    np.save(tmp_path / "w.npy", values)
    with pytest.raises(InputError, match="weights"):
        prepare([file], top, "ca", 300.0, tmp_path / "out", weights=tmp_path / "w.npy")
    assert not (tmp_path / "out").exists()


def test_the_same_trajectory_twice_is_refused(tmp_path, top):
    files = [saved(peptide(3, 20), tmp_path / f"{k}.xtc") for k in range(2)]
    with pytest.raises(InputError, match="same bytes"):
        prepare(files, top, "ca", 300.0, tmp_path / "out")


def test_a_pdb_may_be_trajectory_and_topology_at_once(tmp_path):
    file = saved(peptide(3, 20), tmp_path / "t.pdb")
    assert prepare([file], file, "ca", 300.0, tmp_path / "out").trajectory.n_frames == 20


def test_files_of_different_intervals_are_refused(tmp_path, top):
    files = []
    for k in (1, 2):
        trajectory = peptide(3, 20, k)
        trajectory.time = trajectory.time * k
        files.append(saved(trajectory, tmp_path / f"{k}.xtc"))
    with pytest.raises(InputError, match="differ in frame interval"):
        prepare(files, top, "ca", 300.0, tmp_path / "out")


def test_an_existing_folder_stays_as_it_is(tmp_path, top):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/precious").write_text("mine")
    file = saved(peptide(3, 20), tmp_path / "t.xtc")
    with pytest.raises(InputError, match="exists already"):
        prepare([file], top, "ca", 300.0, tmp_path / "out")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["precious"]


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, top, monkeypatch):
    def full(self, rows):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ArrayFile, "append", full)
    file = saved(peptide(3, 20), tmp_path / "t.xtc")
    with pytest.raises(InputError, match="disk is full"):
        prepare([file], top, "ca", 300.0, tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["t.xtc", "top.pdb"]


def test_a_gap_in_the_chain_is_warned_of(tmp_path):
    trajectory = peptide(4, 20)
    top = saved(trajectory[0], tmp_path / "top.pdb")
    trajectory.xyz[:, trajectory.topology.select("resSeq > 4")] += np.float32(0.4)
    dataset = prepare([saved(trajectory, tmp_path / "t.xtc")], top, "ca", 300.0, tmp_path / "out")
    assert any("ALA4:CA-ALA5:CA" in warning for warning in dataset.provenance["warnings"])


def test_array_file_is_a_npy_file_at_any_length(tmp_path):
    rows = np.random.default_rng(0).normal(size=(12345, 2, 3)).astype(np.float32)
    with ArrayFile(tmp_path / "a.npy", (2, 3)) as file:
        for part in np.array_split(rows, 7):
            file.append(part)
    assert np.array_equal(np.load(tmp_path / "a.npy"), rows)


def test_a_json_map_is_recorded_by_its_groups(tmp_path, top):
    groups = {"beads": [{"name": "A", "atoms": [0, 1]}, {"name": "B", "atoms": [4, 5], "weights": [1, 3]}]}
    (tmp_path / "map.json").write_text(json.dumps(groups))
    file = saved(peptide(3, 20), tmp_path / "t.xtc")
    dataset = prepare([file], top, str(tmp_path / "map.json"), 300.0, tmp_path / "out")
    assert dataset.map == "map.json"
    assert dataset.provenance["beads"][1] == {"atoms": [4, 5], "weights": [0.25, 0.75]}
