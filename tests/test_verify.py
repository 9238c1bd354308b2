"""Checks on models whose answers are known: an exact Gaussian passes, what is broken on purpose fails."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from backbones import chain_molecule, dipeptide, random_backbones, random_chain

from scorefield.config import config_from
from scorefield.dataset import Dataset
from scorefield.energy.base import AbstractEnergy
from scorefield.energy.build import fit_model, resolve
from scorefield.energy.gaussian import GaussianEnergy
from scorefield.errors import InputError
from scorefield.fields import divergence
from scorefield.model import Model, Physical
from scorefield.trajectory import Trajectory
from scorefield.verify import CHECKS, Context, Sizes, run_checks
from scorefield.verify.drift import total_energy
from scorefield.verify.equipartition import temperatures
from scorefield.verify.extrapolation import nearest_distance
from scorefield.verify.fields import MeanForce, chain_ratio
from scorefield.verify.fokker_planck import residuals
from scorefield.verify.page import check_table, section, write_verification
from scorefield.verify.stability import configurational_temperature

SMALL = Sizes(frames=32, samples=1000, replicas=32, time_ps=6.0, map_replicas=4, map_time_ps=0.4)
CHAIN = chain_molecule(("CA",) * 4)


def gaussian() -> GaussianEnergy:
    """A chain of four beads with springs of 0.03 nm, and weak ones between all."""
    n, stiffness = 4, np.zeros((4, 4))
    for i in range(n):
        for j in range(i):
            k = 1 / 0.03**2 if i - j == 1 else 1 / 0.1**2
            stiffness += k * np.outer(np.eye(n)[i] - np.eye(n)[j], np.eye(n)[i] - np.eye(n)[j])
    return GaussianEnergy.from_covariance(np.linalg.pinv(stiffness))


def gaussian_frames(n: int, seed: int, level: float = 0.0) -> np.ndarray:
    energy, rng = gaussian(), np.random.default_rng(seed)
    widths = np.sqrt(np.asarray(energy.variances) + level**2)
    amplitudes = widths[:, None] * rng.normal(size=(n, len(widths), 3))
    return np.einsum("kn,fkc->fnc", np.asarray(energy.modes), amplitudes).astype(np.float32)


def dataset(x: np.ndarray, molecule) -> Dataset:
    quarter = len(x) // 4
    trajectory = Trajectory(molecule, x.astype(np.float32), (quarter,) * 4, 300.0)
    return Dataset(trajectory, ("train", "train", "validation", "test"), ("made up",) * 4, "test")


def context(score, data: Dataset, sizes: Sizes = SMALL, **settings) -> Context:
    simulation = {"simulation": {"level": 0.003, "dt_fs": 4.0} | settings}
    config = resolve(config_from(simulation, "test"), data.molecule, data.trajectory.positions)
    model = Model(score, data.molecule, 300.0, config, Physical.of(data.trajectory), {}, tiny.LEVELS)
    return Context(model, data, 0, sizes)


def untrained(kind: str) -> Context:
    network = {"width": 16, "depth": 1} if kind == "invariant" else {"hidden": 8, "layers": 1, "std": 0.1}
    data = dataset(random_chain(2000, 4, 0), dipeptide())
    x = data.trajectory.positions - data.trajectory.positions.mean(axis=1, keepdims=True)
    settings = {"energy": {"kind": kind} | network, "noise": {"sigma_max": 1.0}, "training": {"contrast": 0}}
    config = resolve(config_from(settings, "test"), data.molecule, x)
    return context(fit_model(config, data.molecule, x, jax.random.key(0)), data)


@pytest.fixture(scope="module")
def exact() -> Context:
    return context(gaussian(), dataset(gaussian_frames(8000, 0), CHAIN))


@pytest.fixture(scope="module")
def found(exact):
    return {check.name: check for check in run_checks(exact)}


@pytest.mark.parametrize("name", CHECKS)
def test_the_exact_model_passes_every_check(found, name):
    assert found[name].passed, found[name].finding


def test_the_report_says_what_was_found(found, exact, tmp_path):
    from scorefield.folders import describe_folder

    write_verification(exact, list(found.values()), tmp_path / "out", "run", ["scorefield verify run"])
    content = json.loads((tmp_path / "out" / "verify.json").read_text())
    assert {name: check["verdict"] for name, check in content["checks"].items()} == dict.fromkeys(CHECKS, "PASS")
    assert all(check["reason"] and check["finding"] for check in content["checks"].values())
    page = (tmp_path / "out" / "index.html").read_text()
    assert page.count("<figure>") == 5
    assert "10 of 10 checks passed" in page
    assert "http:" not in page.replace("http://www.w3.org", "")
    assert "https:" not in page
    shown = section(tmp_path / "out")
    assert shown.count("<figure>") == 5
    assert "10 of 10 checks passed" in shown
    assert describe_folder(tmp_path / "out")["checks"]["rotation"] == "PASS"
    assert check_table(list(found.values())).row_count == len(CHECKS)
    with pytest.raises(InputError, match="exists already"):
        write_verification(exact, list(found.values()), tmp_path / "out")


def test_an_untrained_direct_network_fails_and_is_told_why(tmp_path):
    case = untrained("graph_transformer_direct")
    names = ("conservative", "rotation", "translation", "energy_drift", "fokker_planck")
    checks = {name: CHECKS[name](case) for name in names}
    assert [name for name in names if checks[name].passed] == ["translation"]
    assert checks["conservative"].value > 0.1
    for name in ("energy_drift", "fokker_planck"):
        assert checks[name].value is None
        assert "no energy" in checks[name].finding
    write_verification(case, list(checks.values()), tmp_path / "out")
    page = (tmp_path / "out/index.html").read_text()
    assert "1 of 5 checks passed; not: conservative force, rotation" in page
    assert "A direct network has no energy" in page
    assert "<figure>" not in page  # there is nothing to draw


def test_a_larger_molecule_is_checked_with_less_unless_more_is_asked_for():
    small, large = Sizes.of(5), Sizes.of(100, replicas=50, samples=None)
    assert small == Sizes()
    assert (large.replicas, large.samples, large.map_replicas) == (50, 2000, 4)


def test_an_energy_is_conservative_and_its_symmetry_is_seen():
    invariant = untrained("invariant")
    for name in ("conservative", "rotation"):
        check = CHECKS[name](invariant)
        assert check.passed, check.finding
    assert not CHECKS["rotation"](untrained("graph_transformer")).passed


def test_chiral_data_need_a_model_that_tells_mirror_images_apart():
    data = dataset(random_backbones(2000, 0), dipeptide())
    blind = context(GaussianEnergy.from_positions(data.trajectory.positions), data)
    assert not CHECKS["reflection"](blind).passed


class Chiral(AbstractEnergy):
    """Handed: a signed volume is cheaper than its mirror image, as in the data of `random_backbones`."""

    sign: float

    def __call__(self, x, sigma):
        a, b, c = x[1] - x[0], x[2] - x[0], x[3] - x[0]
        return 3e3 * self.sign * jnp.dot(jnp.cross(a, b), c)


def test_the_energy_of_mirror_images_must_be_the_higher_one():
    data = dataset(random_backbones(2000, 0), dipeptide())
    assert {CHECKS["reflection"](context(Chiral(s), data)).passed for s in (1.0, -1.0)} == {True, False}


class Smeared(GaussianEnergy):
    """Wrong: noise sigma adds half of its variance."""

    def __call__(self, x, sigma):
        return super().__call__(x, sigma / jnp.sqrt(2.0))


def test_heat_equation_holds_for_the_gaussian_and_not_for_a_wrong_one():
    x, sigmas = jnp.asarray(gaussian_frames(64, 1)), np.array([0.003, 0.03, 0.3])
    energy = gaussian()
    for model, holds in ((energy, True), (Smeared(energy.modes, energy.variances), False)):
        residual, laplacian = residuals(model, x, sigmas, jax.random.key(0))
        assert (residual[1:] < 1e-3 * laplacian[1:]).all() == holds


def one_chain_each(x: np.ndarray, molecule=CHAIN, length: int = 10) -> Trajectory:
    return Trajectory(molecule, x, (length,) * (len(x) // length), 300.0)


@pytest.mark.parametrize("stretch", [1.0, 1.1])
def test_configurational_temperature_of_exact_harmonic_samples(stretch):
    force = MeanForce(gaussian(), jnp.float32(0.003))
    frames = one_chain_each(stretch * gaussian_frames(4000, 2, level=0.003))
    T, error = configurational_temperature(force, frames, jax.random.key(0))
    assert pytest.approx(stretch**2, abs=4 * error) == T
    assert error < 0.02
    assert configurational_temperature(force, frames, jax.random.key(0), kT=2.0)[0] == pytest.approx(T / 2)


def test_equipartition_of_exact_harmonic_samples():
    force = MeanForce(gaussian(), jnp.float32(0.003))
    groups = temperatures(force, one_chain_each(gaussian_frames(8000, 3, level=0.003)))["groups"]
    assert set(groups) == {"virial", "bonds", "angles"}
    for T, error in groups.values():
        assert pytest.approx(1, abs=4 * error) == T
        assert error < 0.05


def test_divergence_is_exact_for_small_molecules_and_estimated_for_large_ones():
    for n, tolerance in ((4, 1e-5), (30, 0.1)):
        field = lambda x: x * jnp.sum(x * x)
        x = jax.random.normal(jax.random.key(1), (n, 3))
        expected = (3 * n + 2) * float(jnp.sum(x * x))
        assert float(divergence(field, x, jax.random.key(0), probes=64)) == pytest.approx(expected, rel=tolerance)


def test_error_of_a_ratio_is_the_scatter_of_chains():
    rng = np.random.default_rng(0)
    draws = [chain_ratio(2 + rng.normal(size=400), np.ones(400), (10,) * 40) for _ in range(200)]
    ratio, error = np.array(draws).T
    assert np.mean(error) == pytest.approx(ratio.std(), rel=0.15)


def test_energy_fluctuates_with_the_square_of_the_time_step(exact):
    spreads = []
    for dt in (2.0, 4.0):
        _, energy = total_energy(exact, dt)
        spreads.append((energy - energy.mean(axis=1, keepdims=True)).std())
    assert spreads[1] / spreads[0] == pytest.approx(4, rel=0.2)


def test_a_time_step_that_is_too_long_fails():
    case = context(gaussian(), dataset(gaussian_frames(2000, 0), CHAIN), dt_fs=200.0)
    stability, drift = CHECKS["stability"](case), CHECKS["energy_drift"](case)
    assert not stability.passed
    assert not drift.passed
    assert stability.details["map"]["lost"][2][-1] == 4


def test_frames_moved_away_are_called_extrapolation(exact):
    case = context(gaussian(), exact.dataset)
    for stretch, inside in ((1.0, True), (2.0, False)):
        vars(case)["simulated"] = one_chain_each(stretch * gaussian_frames(1000, 7))
        assert CHECKS["extrapolation"](case).passed == inside


def test_nearest_distance_is_that_of_all_pairs_of_frames():
    x, known = gaussian_frames(20, 1), gaussian_frames(50, 2)
    pairs = np.array([[0, 1], [0, 3], [1, 2]])
    r = lambda y: np.linalg.norm(y[:, pairs[:, 0]] - y[:, pairs[:, 1]], axis=-1)
    expected = np.sqrt(((r(x)[:, None] - r(known)[None]) ** 2).mean(axis=-1)).min(axis=1)
    np.testing.assert_allclose(nearest_distance(x, known, pairs), expected, rtol=1e-4)


def test_agreement_compares_with_what_equal_distributions_score(exact):
    case = context(gaussian(), exact.dataset)
    vars(case)["simulated"] = one_chain_each(gaussian_frames(1000, 7))
    same = CHECKS["agreement"](case)
    assert same.value == pytest.approx(1, abs=0.3)
    vars(case)["simulated"] = one_chain_each(1.5 * gaussian_frames(1000, 7))
    assert not CHECKS["agreement"](case).passed


def test_without_a_dataset_samples_stand_for_it(exact):
    alone = Context(exact.model, None, 0, SMALL)
    assert alone.reference.n_frames == 1000
    vars(alone)["simulated"] = one_chain_each(gaussian_frames(500, 7))
    assert "samples of the model" in CHECKS["extrapolation"](alone).finding


def test_bad_input_is_refused(exact):
    other = dataset(random_backbones(100, 0), dipeptide())
    with pytest.raises(InputError, match="another molecule"):
        Context(exact.model, other)
    with pytest.raises(InputError, match="--time-ps is 0"):
        Sizes(time_ps=0)


def test_starts_of_weighted_frames_are_drawn_by_their_weights(exact):
    data = tiny.dataset()
    t, far = data.trajectory, np.arange(data.trajectory.n_frames) % 2 == 0
    stretched = replace(t, positions=np.where(far[:, None, None], 2 * t.positions, t.positions))
    weighted = replace(data, trajectory=replace(stretched, weights=np.where(far, 1e-6, 1.0)))
    starts = Context(replace(exact.model, molecule=data.molecule), weighted, 0, SMALL).starts(50)
    assert starts.std() < 1.2 * t.positions.std()
