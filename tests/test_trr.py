"""TRR: what mdtraj reads of it, forces, and files that a kill cut short."""

import mdtraj
import numpy as np
import pytest
from peptides import peptide, saved

from scorefield.errors import InputError
from scorefield.prepare import prepare
from scorefield.trr import append_frames, cut_back, frame_bytes, read_forces

PEPTIDE = peptide(2, 30)
FORCES = np.random.default_rng(0).normal(0, 500, PEPTIDE.xyz.shape).astype(np.float32)
N = PEPTIDE.n_atoms


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "chain.trr"
    append_frames(path, PEPTIDE.xyz[:10], FORCES[:10], 0, 2.0)
    append_frames(path, PEPTIDE.xyz[10:], FORCES[10:], 10, 2.0)
    return path


def test_other_programs_read_positions_and_times(file):
    loaded = mdtraj.load(str(file), top=PEPTIDE.topology)
    np.testing.assert_array_equal(loaded.xyz, PEPTIDE.xyz)
    np.testing.assert_array_equal(loaded.time, 2.0 * np.arange(1, 31))
    assert loaded.unitcell_lengths is None


def test_forces_come_back(file):
    np.testing.assert_array_equal(np.array(list(read_forces(file, N, 3))), FORCES[::3])


def test_frames_that_were_cut_short_are_cut_off(file):
    whole = file.read_bytes()
    file.write_bytes(whole + b"1" * 100)
    cut_back(file, 30, N, True)
    assert file.read_bytes() == whole
    cut_back(file, 7, N, True)
    assert file.read_bytes() == whole[: 7 * frame_bytes(N, True)]
    with pytest.raises(InputError, match="lost frames"):
        cut_back(file, 8, N, True)


def test_what_has_no_forces_is_refused(file, tmp_path):
    whole = file.read_bytes()
    (tmp_path / "cut.trr").write_bytes(whole[:-5])
    (tmp_path / "text.trr").write_bytes(b"hello" * 100)
    saved(PEPTIDE, tmp_path / "positions.trr")
    for name, says in (("cut", "cut short in frame 29"), ("text", "not a TRR"), ("positions", "without forces")):
        with pytest.raises(InputError, match=says):
            list(read_forces(tmp_path / f"{name}.trr", N))
    with pytest.raises(InputError, match="atoms"):
        list(read_forces(file, N + 1))


def test_prepare_maps_forces_beside_positions(file, tmp_path):
    top = saved(PEPTIDE[0], tmp_path / "top.pdb")
    data = prepare([file], top, "ca", 300.0, tmp_path / "data", stride=2, forces=True)
    assert data.forces is not None
    assert data.forces.shape == data.trajectory.positions.shape == (15, 2, 3)
    assert data.provenance["forces"]["rms_kj_mol_nm"] <= data.provenance["forces"]["rms_of_own_atoms_kj_mol_nm"]
    with pytest.raises(InputError, match="TRR"):
        prepare([saved(PEPTIDE, tmp_path / "a.xtc")], top, "ca", 300.0, tmp_path / "none", forces=True)
    assert not (tmp_path / "none").exists()
