import contextlib
import dataclasses
import json
import pickle
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from backbones import chain_molecule, random_chain
from damage import VALUES, anything, changed, damage_file, paths, without
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small import SIZES

from scorefield.config import Config, config_from
from scorefield.energy.build import MODELS, fit_model, resolve
from scorefield.errors import InputError
from scorefield.model import Model, Physical, load_model, save_model
from scorefield.options import configured


@pytest.fixture
def folder(tmp_path, run_folder):
    shutil.copytree(run_folder, tmp_path / "run")
    return tmp_path / "run"


def described(folder):
    return json.loads((folder / "model.json").read_text())


def refused(folder):
    with pytest.raises(InputError) as error:
        load_model(folder)
    assert "\n" not in str(error.value)
    assert str(folder) in str(error.value)


_FEW, _MANY = (36_000, 256, ("adam", 4e-3, 0.999, 0.6)), (60_000, 64, ("muon", 3e-3, 0.9995, 0.45))
_LONG = (60_000, 32, ("muon", 3e-3, 0.9995, 0.45))


@pytest.mark.parametrize(
    ("n_beads", "kind", "channels", "numbers"),
    [(7, "invariant", None, _FEW), (8, "beads", 0, _MANY), (28, "beads", 0, _MANY), (29, "beads", 8, _LONG)],
)
def test_the_default_energy_and_its_training_follow_from_the_number_of_beads(n_beads, kind, channels, numbers):
    steps, batch, rest = numbers
    molecule, x = chain_molecule(("A",) * n_beads), random_chain(50, n_beads - 1, 0)
    asked = configured(None, None, 7)
    found = resolve(asked, molecule, x)
    energy, training = found.energy, found.training
    assert training.steps == 7  # what is said stands
    usual = resolve(Config(), molecule, x).training
    assert (usual.steps, usual.ema) == (steps, rest[2])
    share = getattr(found.noise, "fraction_small", None)
    assert (training.batch, training.optimiser, training.learning_rate, usual.ema, share) == (batch, *rest)
    assert resolve(found, molecule, x) == found
    assert (energy.kind, getattr(energy, "channels", None)) == (kind, channels)
    chosen = config_from({"energy": {"kind": "invariant"}}, "here")
    assert resolve(chosen, molecule, x).energy == chosen.energy


@pytest.mark.parametrize("kind", MODELS)
def test_every_kind_of_model_comes_back(tmp_path, kind):
    data = tiny.dataset()
    x = np.asarray(data.trajectory.positions)
    settings = {"energy": {"kind": kind} | SIZES.get(kind, {"hidden": 8, "layers": 1}), "training": {"contrast": 0}}
    config = resolve(config_from(settings, kind), data.molecule, x)
    score = fit_model(config, data.molecule, x, jax.random.key(0))
    molecule = dataclasses.replace(data.molecule, native=x[0].astype(float).round(5))
    saved = Model(score, molecule, 310.0, config, Physical.of(data.trajectory), {"steps": 0}, tiny.LEVELS)
    save_model(saved, tmp_path)
    found = load_model(tmp_path)
    assert jax.tree.structure(found.score) == jax.tree.structure(score)
    for mine, theirs in zip(jax.tree.leaves(found.score), jax.tree.leaves(score), strict=True):
        assert np.array_equal(mine, theirs)
    assert (found.config, found.temperature, found.training) == (config, 310.0, {"steps": 0})
    assert found.levels == tiny.LEVELS
    assert found.molecule.to_json() == molecule.to_json()
    assert np.array_equal(found.molecule.native, molecule.native)
    assert np.array_equal(found.physical.bond_sd, saved.physical.bond_sd)
    assert found.level == saved.level
    assert np.array_equal(found.score.score(x[0], jnp.asarray(0.01)), score.score(x[0], jnp.asarray(0.01)))


@pytest.mark.parametrize("name", ["model.json", "model.safetensors", "config.toml"])
def test_a_damaged_file_is_refused(folder, name):
    for how in damage_file(folder / name):
        if name == "model.safetensors" or how not in ("one byte short", "one bit"):  # white space
            if (name, how) == ("config.toml", "empty"):
                continue  # an empty file is the default configuration: the arrays do not fit, see below
            if (name, how) == ("config.toml", "cut"):
                continue
            refused(folder)
    load_model(folder)


def test_the_wrong_files_are_refused(folder):
    (folder / "config.toml").write_text("")  # the default configuration: another width
    refused(folder)
    (folder / "config.toml").write_text("[energy]\nkind = 'graph_transformer'\nhidden = 8\nlayers = 1\n")
    refused(folder)
    (folder / "config.toml").write_text("a = " + "[" * 100_000)
    refused(folder)


def test_a_pickle_is_not_opened(folder, tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    (folder / "model.safetensors").write_bytes(pickle.dumps(Trap()))
    refused(folder)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("version",), 1),
        (("format",), "scorefield-dataset"),
        (("molecule",), None),
        (("molecule", "bonds"), [[0, 1]]),
        (("molecule", "bonds"), "0-1"),
        (("molecule", "bead_names"), ["CA"]),
        (("temperature_K",), float("nan")),
        (("temperature_K",), 0),
        (("shape",), []),
        (("shape",), 3),
        (("shape", "prior"), ["stiff"]),
        (("shape", "prior"), {"soft": 1}),
        (("shape", "prior"), {"stiff": 10**12}),
        (("shape", "prior"), {"stiff": -1}),
        (("shape", "prior"), {"excluded_volume": "all"}),
        (("shape", "prior"), {"stiff": 10**30}),
        (("spread_nm",), float("inf")),
        (("spread_nm",), -0.1),
        (("bond_mean_nm",), []),
        (("bond_mean_nm",), ["a", "b", "c"]),
        (("bond_sd_nm", 0), float("nan")),
        (("native",), [[1, 2]]),
        (("training",), "long"),
        (("sha256", "model.safetensors"), "../model.safetensors"),
        (("sha256",), "model.safetensors"),
    ],
)
def test_a_wrong_description_is_refused(folder, path, value):
    (folder / "model.json").write_text(json.dumps(changed(described(folder), path, value)))
    refused(folder)


def test_every_entry_is_needed(folder):
    whole = described(folder)
    for path in paths(whole):
        if isinstance(path[-1], str) and path[0] != "versions" and (path[0] != "training" or len(path) == 1):
            (folder / "model.json").write_text(json.dumps(without(whole, path)))
            refused(folder)


@settings(max_examples=80, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_stands_in_a_description_it_loads_or_is_refused(run_folder, folder, data):
    whole = described(run_folder)
    path = data.draw(st.sampled_from([p for p in paths(whole) if p[0] != "training" or len(p) == 1]))
    value = data.draw(st.sampled_from(VALUES) | anything)
    (folder / "model.json").write_text(json.dumps(changed(whole, path, value)))
    with contextlib.suppress(InputError):
        load_model(folder)


def test_a_network_of_any_size_is_refused_before_it_takes_memory(folder):
    config = (folder / "config.toml").read_text()
    assert "width = 16\n" in config
    huge = config.replace("width = 16\n", "width = 65536\n").replace("depth = 1\n", "depth = 20\n")  # 17 GB a layer
    (folder / "config.toml").write_text(huge)
    refused(folder)


def test_an_unfinished_training_says_how_to_go_on(folder):
    (folder / "model.json").unlink()
    with pytest.raises(
        InputError, match=f"unfinished training; go on with: scorefield train DATASET -o {folder} --resume"
    ):
        load_model(folder)


def test_the_sampler_is_asked_for_what_it_can(run_folder):
    model = load_model(run_folder)
    levels = model.sampling_levels()
    assert (len(levels), len(model.sampling_levels(5))) == (16, 5)
    assert np.all(np.diff(levels) < 0)
    with pytest.raises(InputError, match="2 or more"):
        model.sampling_levels(0)
    paper = config_from({"sampling": {"sampler": "ancestral"}}, "here")
    ancestral = dataclasses.replace(model, config=paper)
    assert len(ancestral.sampling_levels()) == 1000
    with pytest.raises(InputError, match="leave the number of steps away"):
        ancestral.sampling_levels(50)


def test_intact_tells_frames_that_broke(run_folder):
    model = load_model(run_folder)
    x = tiny.positions(5, 3)
    x[1, 2] += 5
    x[2, 0, 0] = np.nan
    x[3, 0, 0] = np.inf
    assert model.physical.intact(x, model.molecule).tolist() == [True, False, False, False, True]


def test_heavier_beads_bear_longer_steps_and_nothing_else_changes():
    model = load_model("ala2")
    heavy = model.with_mass(4 * 13.0)
    assert heavy.masses.tolist() == [52.0] * 5
    assert heavy.dt_fs == pytest.approx(2 * model.with_mass(13.0).dt_fs, abs=0.5)
    assert heavy.score is model.score
    assert heavy.level == model.level
    with pytest.raises(InputError, match="mass is -1 Da"):
        model.with_mass(-1.0)
