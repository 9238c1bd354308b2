"""A refined model keeps what the data have where it drifted before; it can be stopped, resumed, and is refused by name."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from backbones import chain_molecule
from commands import assert_refused, invoke

from scorefield import refinement
from scorefield.dataset import load_dataset
from scorefield.energy.networks import RangeMixture, ResidualMLP
from scorefield.energy.shifts import Shifts, shifted
from scorefield.errors import InputError
from scorefield.features import Target, features
from scorefield.model import load_model
from scorefield.refine import Course, noise_levels, refine
from scorefield.refinement import refine_into
from scorefield.tensors import fingerprint
from scorefield.train import train

X = jnp.asarray(tiny.positions(20, 3))
LEVEL = jnp.float32(0.05)


@pytest.fixture(scope="module")
def model(run_folder):
    return load_model(run_folder)


@pytest.fixture(scope="module")
def shifts(model):
    size = sum(w.size for w in model.score.network.readout)
    values = np.random.default_rng(0).normal(size=(3, size)).astype(np.float32)
    return Shifts(jnp.log(jnp.asarray([0.01, 0.05, 0.2])), jnp.asarray(values))


def misled(model, by):
    """`model` with its readout shifted by what it should not be, in its trained weights."""
    return replace(model, score=eqx.tree_at(lambda e: e.network, model.score, shifted(model.score.network, by)))


def test_the_potential_is_linear_in_the_features(model, shifts):
    """U(x; w + dw) = U(x; w) + dw . f(x), for both potentials, at a level of the grid."""
    for read_off in (True, False):
        f = features(model.score, X, jnp.full(len(X), LEVEL), read_off)
        u = lambda e, read_off=read_off: jax.vmap(lambda x: e.potential(x, LEVEL) if read_off else e(x, LEVEL))(X)
        change = u(replace(model.score, shifts=shifts)) - u(model.score)
        np.testing.assert_allclose(change, f @ shifts.values[1], atol=2e-4 * float(jnp.abs(change).max()))


def test_between_levels_shifts_are_interpolated_and_beyond_them_constant(shifts):
    network = lambda sigma: shifts.added(tiny_network(shifts), jnp.float32(sigma)).readout[0].ravel()
    middle = np.exp((np.log(0.01) + np.log(0.05)) / 2)
    np.testing.assert_allclose(network(middle), (shifts.values[0] + shifts.values[1]) / 2, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(network(0.0), shifts.values[0], rtol=1e-6)
    np.testing.assert_allclose(network(5.0), shifts.values[2], rtol=1e-6)


def tiny_network(shifts):
    """A network whose readout is 0."""
    network = ResidualMLP(3, shifts.values.shape[1], 1, jax.random.key(0))
    return eqx.tree_at(lambda n: n.readout, network, [jnp.zeros_like(w) for w in network.readout])


def test_at_one_level_what_is_folded_in_is_the_same_energy(model, shifts):
    energy = replace(model.score, shifts=shifts)
    folded = energy.at_level(0.03)
    assert folded.shifts is None
    u = lambda e: jax.vmap(lambda x: e.potential(x, jnp.float32(0.03)))(X)
    np.testing.assert_allclose(u(folded), u(energy), rtol=1e-4)


def test_the_data_are_no_mismatch_of_themselves_and_one_stray_frame_counts_little():
    found = np.random.default_rng(1).normal(size=(5000, 4)) * [1.0, 2.0, 0.5, 1.0]
    target = Target.of(found)
    assert np.abs(target.excess(found)).max() < 1e-12
    stray = np.concatenate([found[:999], 1e6 * np.ones((1, 4))])
    off = target.excess(stray) - target.excess(np.concatenate([found[:999], found[:1]]))
    assert np.sqrt(off @ target.inverse @ off) < 2 * target.reach / 1000
    assert target.astray(stray).tolist() == [False] * 999 + [True]


def test_a_force_field_that_was_led_astray_comes_back(model):
    """The readout is moved by what changes the data's energy by 1 kT (its standard deviation): most of it is taken back."""
    data, level = tiny.dataset(), jnp.float32(model.level)
    x = jnp.asarray(data.split("train").positions)
    f = np.asarray(features(model.score, x, jnp.full(len(x), level), True), np.float64)
    values, vectors = np.linalg.eigh(np.cov(f.T))
    by = vectors[:, -1] / np.sqrt(values[-1])
    wrong = misled(model, jnp.asarray(by, jnp.float32))
    course = Course(rounds=16, time_ps=4.0, replicas=64)
    refined = refine(wrong, data, course)
    found = refined.score.shifts.values[0] - refine(model, data, course).score.shifts.values[0]
    left = by + np.asarray(found, np.float64)
    assert np.sqrt(left @ np.cov(f.T) @ left) < 0.5


def test_what_is_refined_can_be_written_read_sampled_and_said(model, tmp_path):
    refined = refine_into(tmp_path / "out", model, tiny.dataset(), Course(2, 0.2, 8))
    again = load_model(tmp_path / "out")
    assert fingerprint(again.score) == fingerprint(refined.score)
    about = again.training["refined"]
    assert np.shape(about["mismatch"]) == (2, 1 + len(noise_levels(model)))
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["config.toml", "model.json", "model.safetensors"]


def test_fine_tuning_starts_from_the_weights_without_what_belonged_to_them(model, tmp_path):
    refined = refine(model, tiny.dataset(), Course(1, 0.2, 4))
    tuned = train(tiny.dataset(), tiny.config(steps=5), tmp_path / "tuned", initial=refined)
    assert tuned.score.shifts is None


def test_resumed_it_is_bit_for_bit_the_uninterrupted_one(model, data_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(refinement, "CHECKPOINT_SECONDS", 0.0)
    data, course = load_dataset(data_folder), Course(4, 0.2, 8)
    whole = refine_into(tmp_path / "whole", model, data, course)

    def stop(done):
        if done.number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        refine_into(tmp_path / "parts", model, data, course, on_round=stop)
    unfinished = invoke("info", tmp_path / "parts", "--json")
    assert unfinished.code == 0, unfinished
    assert '"done": 2' in unfinished.out
    with pytest.raises(InputError, match="other settings"):
        refine_into(tmp_path / "parts", model, data, Course(5, 0.2, 8), resume=True)
    with pytest.raises(InputError, match="unfinished refinement"):
        load_model(tmp_path / "parts")
    resumed = refine_into(tmp_path / "parts", model, data, course, resume=True)
    with pytest.raises(InputError, match="refined already"):
        refine_into(tmp_path / "parts", model, data, course, resume=True)
    assert fingerprint(resumed.score) == fingerprint(whole.score)
    about, same = resumed.training["refined"], whole.training["refined"]
    assert {**about, "seconds": 0} == {**same, "seconds": 0}


def test_the_command_makes_a_run_folder_and_refuses_by_name(run_folder, data_folder, tmp_path):
    words = ("--reference", data_folder, "--rounds", 1, "--time-ps", 0.2, "--replicas", 4)
    made = invoke("refine", run_folder, *words, "-o", tmp_path / "refined", "--json")
    assert made.code == 0, made
    assert invoke("info", tmp_path / "refined").code == 0
    assert_refused(invoke("refine", run_folder, *words, "-o", tmp_path / "refined"))
    assert_refused(invoke("refine", run_folder, *words, "-o", tmp_path / "refined", "--resume"))
    assert_refused(invoke("refine", run_folder, "--reference", data_folder, "--rounds", 0, "-o", tmp_path / "none"))
    assert_refused(invoke("refine", tmp_path / "nowhere", *words, "-o", tmp_path / "none"))
    assert not (tmp_path / "none").exists()


def test_what_cannot_be_refined_is_refused_and_leaves_nothing(model, tmp_path):
    data, course = tiny.dataset(), Course(1, 0.2, 4)
    direct = train(data, tiny.direct(steps=5), tmp_path / "direct")
    several = replace(
        model, score=eqx.tree_at(lambda e: e.network, model.score, RangeMixture([model.score.network], ()))
    )
    forces = model.config.model_copy(update={"training": tiny.config(objective="forces", contrast=0.0).training})
    warm = replace(data, trajectory=replace(data.trajectory, temperature=350.0))
    cases = [
        (direct, data, course, "can be refined"),
        (several, data, course, "without energy.boundaries"),
        (replace(model, config=forces), data, course, "forces alone"),
        (replace(model, levels=replace(tiny.LEVELS, chosen_nm=5.0)), data, course, "the data's spread"),
        (model, tiny.dataset(molecule=chain_molecule(("CB",) * 4)), course, "another molecule"),
        (model, warm, course, "at 350 K"),
        (model, data, Course(1, 0.02, 4), "shorter than 20 steps"),
    ]
    for wrong, given, asked, words in cases:
        with pytest.raises(InputError, match=words):
            refine_into(tmp_path / "out", wrong, given, asked)
        assert not (tmp_path / "out").exists()


def test_frames_that_are_all_alike_and_numbers_that_are_none(model):
    with pytest.raises(InputError, match="all alike"):
        Target.of(np.ones((5, 3)))
    target = Target.of(np.random.default_rng(2).normal(size=(100, 2)))
    assert target.astray(np.array([[np.nan, 0.0], [0.0, 0.0]])).tolist() == [True, False]
    assert np.isfinite(target.excess(np.array([[np.nan, 0.0], [0.0, 0.0]]))).all()
