import os
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from scorefield.dataset import load_dataset
from scorefield.errors import InputError
from scorefield.observables import bond_lengths, phi_psi
from scorefield.systems import dataset_of, load_system, systems

FULL = Path(os.environ.get("SCOREFIELD_DATA", Path(__file__).parents[2] / "shared/data")) / "ala2_equilibrium.npz"


@pytest.mark.parametrize("name", systems())
def test_a_built_in_system_is_a_sound_dataset(name):
    dataset = load_system(name)
    assert systems()[name]
    assert {"train", "validation", "test"} == set(dataset.splits)
    assert dataset.trajectory.positions.dtype == np.float32
    assert np.isfinite(dataset.trajectory.positions).all()
    assert np.abs(dataset.trajectory.positions.mean(axis=1)).max() < 1e-6
    assert dataset.equilibrium is not None
    assert dataset.provenance["text"]


def test_ala2_is_small_and_split_by_replica():
    assert len((files("scorefield") / "data/ala2.npz").read_bytes()) <= 3_000_000
    dataset = load_system("ala2")
    assert dataset.split("train").n_frames + dataset.split("validation").n_frames == 60_000
    assert dataset.split("test").n_frames == 30_000
    assert [int(s.split()[-1]) for s in dataset.sources] == list(range(64))
    assert dataset.splits == ("train",) * 28 + ("validation",) * 4 + ("test",) * 32
    assert dataset.trajectory.temperature == 300
    assert dataset.trajectory.interval is None


def test_ala2_is_left_handed_with_real_bonds():
    dataset = load_system("ala2")
    assert [label for label, _ in dataset.molecule.ramachandran] == ["ALA2"]
    phi = phi_psi(dataset.trajectory)[:, 0, 0]
    assert 0.01 < np.mean(phi > 0) < 0.04  # an L-amino acid; its mirror image would have 0.97
    lengths = bond_lengths(dataset.trajectory)
    assert np.allclose(lengths.mean(axis=0), [0.134, 0.146, 0.153, 0.134], atol=0.003)
    assert np.all((lengths.std(axis=0) > 0.002) & (lengths.std(axis=0) < 0.004))


@pytest.mark.parametrize("name", ["nothing", "", "../ala2", "ala2/"])
def test_an_unknown_system_is_one_line(name):
    with pytest.raises(InputError, match="ala2"):
        load_system(name)


@pytest.mark.skipif(not FULL.is_file(), reason=f"the full data set is not at {FULL} (set SCOREFIELD_DATA)")
def test_rounding_and_thinning_keep_the_distribution():
    dataset = load_system("ala2")
    with np.load(FULL) as source:
        x, replica = source["positions_nm"], source["replica"]
    pairs = dataset.molecule.bond_pairs
    for members, frames in ((replica < 32, slice(0, 60_000)), (replica >= 32, slice(60_000, None))):
        full = np.linalg.norm(x[members][:, pairs[:, 0]] - x[members][:, pairs[:, 1]], axis=2)
        kept = bond_lengths(dataset.trajectory)[frames]
        assert np.allclose(kept.std(axis=0), full.std(axis=0), rtol=0.01)
        assert np.allclose(kept.mean(axis=0), full.mean(axis=0), atol=3e-5)


def test_a_name_stands_for_the_built_in_data_and_a_dataset_folder_goes_before_it(tmp_path, monkeypatch, data_folder):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ala2").mkdir()  # some output, no dataset
    assert dataset_of("ala2").fingerprint() == load_system("ala2").fingerprint()
    assert dataset_of(data_folder).fingerprint() == load_dataset(data_folder).fingerprint()
    with pytest.raises(InputError, match=r"dataset\.json is missing"):
        dataset_of("ala3")
