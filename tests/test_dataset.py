import contextlib
import json
import shutil

import numpy as np
import pytest
import tiny
from damage import VALUES, anything, changed, damage_file, paths, without
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scorefield.dataset import Dataset, load_dataset, write_dataset
from scorefield.errors import InputError
from scorefield.storage import sha256, write_array


@pytest.fixture
def folder(tmp_path):
    weights = np.linspace(0, 2, 2000, dtype=np.float32)
    data = tiny.dataset(weights=weights)
    write_dataset(Dataset(data.trajectory, data.splits, data.sources, "ca", {"from": "a test"}), tmp_path / "data")
    return tmp_path / "data"


def description(folder):
    return json.loads((folder / "dataset.json").read_text())


def refused(folder):
    with pytest.raises(InputError) as error:
        load_dataset(folder)
    assert "\n" not in str(error.value)
    assert str(folder) in str(error.value)


def test_a_dataset_comes_back(folder):
    data, found = tiny.dataset(), load_dataset(folder)
    assert np.array_equal(found.trajectory.positions, data.trajectory.positions)
    assert np.array_equal(found.trajectory.weights, np.linspace(0, 2, 2000, dtype=np.float32))
    assert found.molecule.to_json() == data.molecule.to_json()
    assert (found.splits, found.sources, found.map) == (data.splits, data.sources, data.map)
    assert (found.trajectory.chain_lengths, found.trajectory.temperature) == ((500,) * 4, 300.0)
    assert (found.trajectory.interval, found.provenance, found.equilibrium) == (1.0, {"from": "a test"}, None)
    assert isinstance(found.trajectory.positions.base, np.memmap) or isinstance(found.trajectory.positions, np.memmap)


def test_splits_share_no_frame(folder):
    found = load_dataset(folder)
    parts = [found.split(name).positions for name in ("train", "validation", "test")]
    assert [len(part) for part in parts] == [1000, 500, 500]
    assert np.array_equal(np.concatenate(parts), found.trajectory.positions)
    with pytest.raises(InputError, match="no test chains"):
        Dataset(found.trajectory, ("train",) * 4, found.sources, "ca").split("test")


def test_an_existing_folder_is_refused(folder):
    before = (folder / "dataset.json").read_bytes()
    with pytest.raises(InputError, match="exists already"):
        write_dataset(tiny.dataset(1), folder)
    assert (folder / "dataset.json").read_bytes() == before


@pytest.mark.parametrize("name", ["dataset.json", "positions.npy", "weights.npy"])
def test_a_damaged_file_is_refused(folder, name):
    for how in damage_file(folder / name):
        if (name, how) not in (("dataset.json", "one byte short"), ("dataset.json", "one bit")):  # white space
            refused(folder)
    load_dataset(folder)


def test_a_link_to_nowhere_and_a_folder_that_is_none_are_refused(folder, tmp_path):
    (folder / "positions.npy").unlink()
    (folder / "positions.npy").symlink_to(tmp_path / "nowhere")
    refused(folder)
    refused(tmp_path / "nothing")
    refused(folder / "dataset.json")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("version",), 2),
        (("format",), "scorefield-frames"),
        (("temperature_K",), float("nan")),
        (("temperature_K",), -300),
        (("temperature_K",), "warm"),
        (("interval_ps",), 0),
        (("interval_ps",), [1]),
        (("chains", 0, "length"), 501),
        (("chains", 0, "length"), -500),
        (("chains", 0, "length"), 1e308),
        (("chains", 0, "length"), float("inf")),
        (("chains", 0, "length"), 10**30),
        (("chains", 0, "split"), "train, too"),
        (("chains",), []),
        (("chains",), "abc"),
        (("molecule", "bead_names"), ["CA"] * 5),
        (("molecule", "bead_names"), 7),
        (("molecule", "masses", 0), float("inf")),
        (("molecule", "masses", 0), -1),
        (("molecule", "bonds", 0), [0, 99]),
        (("molecule", "bonds", 0), [0]),
        (("molecule", "bonds", 0), [float("inf"), 1]),
        (("molecule",), []),
        (("native",), [[0, 0, 0]]),
        (("native",), [[float("nan")] * 3] * 4),
        (("native",), "folded"),
        (("sha256",), []),
        (("sha256", "positions.npy"), "0" * 64),
        (("provenance",), 3),
        (("equilibrium",), 3),
    ],
)
def test_a_wrong_description_is_refused(folder, path, value):
    (folder / "dataset.json").write_text(json.dumps(changed(description(folder), path, value)))
    refused(folder)


def test_every_entry_is_needed(folder):
    whole = description(folder)
    for path in paths(whole):
        if isinstance(path[-1], str) and path[0] not in ("versions", "provenance") and path[-1] != "weights.npy":
            (folder / "dataset.json").write_text(json.dumps(without(whole, path)))
            refused(folder)


@settings(
    max_examples=150, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_whatever_stands_in_a_description_it_loads_or_is_refused(data_folder, tmp_path, data):
    whole = description(data_folder)
    folder = tmp_path / "mutated"
    if not folder.exists():
        shutil.copytree(data_folder, folder)
    path = data.draw(st.sampled_from(list(paths(whole))))
    value = data.draw(st.sampled_from(VALUES) | anything)
    (folder / "dataset.json").write_text(json.dumps(changed(whole, path, value)))
    with contextlib.suppress(InputError):
        load_dataset(folder)


def test_numbers_that_are_none_are_refused_even_where_the_hash_agrees(folder):
    x = np.array(tiny.dataset().trajectory.positions)
    x[1234, 2, 1] = np.nan
    write_array(folder / "positions.npy", x)
    whole = changed(description(folder), ("sha256", "positions.npy"), sha256(folder / "positions.npy"))
    (folder / "dataset.json").write_text(json.dumps(whole))
    with pytest.raises(InputError, match="not finite"):
        load_dataset(folder)


@pytest.mark.parametrize("bad", [np.nan, -1, np.inf])
def test_weights_out_of_range_are_refused(folder, bad):
    weights = np.ones(2000, np.float32)
    weights[7] = bad
    with pytest.raises(InputError, match="weights must be finite and none negative"):
        tiny.dataset(weights=weights)
    write_array(folder / "weights.npy", weights)
    whole = changed(description(folder), ("sha256", "weights.npy"), sha256(folder / "weights.npy"))
    (folder / "dataset.json").write_text(json.dumps(whole))
    with pytest.raises(InputError, match="weights must be finite and none negative"):
        load_dataset(folder)


def test_a_fingerprint_tells_datasets_apart():
    data = tiny.dataset()
    x = np.array(data.trajectory.positions)
    x[0, 0, 0] += 1e-3
    others = [
        tiny.dataset(1),
        tiny.dataset(weights=np.ones(2000, np.float32)),
        tiny.with_frames(data, x),
        Dataset(data.trajectory, ("train", "validation", "train", "test"), data.sources, data.map),
    ]
    assert tiny.dataset().fingerprint() == data.fingerprint()
    assert len({d.fingerprint() for d in [data, *others]}) == 5
