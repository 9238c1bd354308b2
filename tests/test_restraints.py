"""Restraints and umbrella sampling: closed forms of a harmonic well and of a Gaussian molecule, and what is refused."""

import runpy
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from backbones import chain_molecule

import scorefield.model
import scorefield.umbrella
from scorefield.dynamics import Langevin
from scorefield.energy.gaussian import GaussianEnergy
from scorefield.errors import InputError
from scorefield.geometry import dihedrals
from scorefield.model import Model, Physical
from scorefield.restraints import Dihedral, Distance, RadiusOfGyration, Restraint, Restraints, biased, variable
from scorefield.simulate import simulate
from scorefield.trajectory import Trajectory
from scorefield.umbrella import free_energy, mbar, umbrella
from scorefield.units import thermal_energy

X = jnp.asarray(tiny.positions(3, 1))
MOLECULE = chain_molecule(("A",) * 3)
VARIANCE = 0.01  # nm^2, of every coordinate


def gaussian() -> Model:
    rng = np.random.default_rng(0)
    x = (np.sqrt(VARIANCE) * rng.normal(size=(2000, 3, 3))).astype(np.float32)
    trajectory = Trajectory(MOLECULE, x - x.mean(axis=1, keepdims=True), (2000,), 300.0)
    energy = GaussianEnergy.from_covariance(VARIANCE * np.eye(3))
    return Model(energy, MOLECULE, 300.0, tiny.at_steps_of(2.0), Physical.of(trajectory), {}, tiny.LEVELS)


@pytest.mark.parametrize("xi", [Dihedral((0, 1, 2, 3)), Distance((0, 3)), RadiusOfGyration()])
def test_a_restraint_pulls_along_its_variable_alone(xi):
    """B = k/2 (|xi - c| - w)^2 beyond w, nothing within; the force is minus its gradient, and sums to zero."""
    value = float(xi(X[0]))

    @jax.jit
    def evaluated(offset):
        restraint = Restraint(xi, value - offset, 50.0, 0.1)
        return restraint.energy(X[0]), restraint.force(X[0]), jax.grad(xi)(X[0])

    energy, force, slope = evaluated(0.3)
    assert float(energy) == pytest.approx(25 * 0.2**2, rel=1e-3)
    np.testing.assert_allclose(force, -50 * 0.2 * slope, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(force.sum(axis=0), 0, atol=1e-3)
    assert not evaluated(0.05)[1].any()


def test_angles_are_restrained_the_shorter_way_round():
    xi = Dihedral((0, 1, 2, 3))
    assert float(Restraint(xi, 3.1, 2.0).of_value(jnp.asarray(-3.1))) == pytest.approx((2 * np.pi - 6.2) ** 2, rel=1e-3)


def test_restraints_add_up():
    parts = (Restraint(Distance((0, 3)), 0.1, 10.0), Restraint(RadiusOfGyration(), 0.5, 20.0))
    both, dynamics = Restraints(parts), Langevin(jnp.zeros_like, jnp.ones(4), 2.5, 0.001, 1.0)
    assert biased(dynamics, None) is dynamics

    @jax.jit
    def evaluated(x):
        alone = [(part.energy(x), part.force(x)) for part in parts]
        return alone, both.energy(x), both.force(x), biased(dynamics, both).force(x)

    alone, energy, force, total = evaluated(X[0])
    assert float(energy) == pytest.approx(sum(float(e) for e, _ in alone), rel=1e-5)
    np.testing.assert_allclose(force, sum(f for _, f in alone), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(total, force, rtol=1e-4, atol=1e-5)


def test_variables_in_words():
    backbone = chain_molecule(("C", "N", "CA", "C", "N"))
    x = jnp.asarray(tiny.positions(1, 2, backbone)[0])
    label = backbone.ramachandran[0][0]
    phi = variable(f"phi {label}", backbone)
    assert float(phi(x)) == pytest.approx(float(dihedrals(x, backbone.ramachandran[0][1][:1])[0]))
    assert variable("distance 0 4", backbone) == Distance((0, 4))
    assert variable("rg", backbone) == RadiusOfGyration()
    for words in ("phi ALA9", "dihedral 0 1 2", "distance 0 9", "distance 1 1", "helicity", ""):
        with pytest.raises(InputError):
            variable(words, backbone)


def test_mbar_finds_the_free_energies_of_harmonic_windows():
    """p(x) ~ exp(-x^2/2) under k/2 (x - c)^2: each window is Gaussian about k c/(1 + k), of variance 1/(1 + k)."""
    rng, stiffness, centres = np.random.default_rng(0), 4.0, np.linspace(-2, 2, 7)
    x = rng.normal(stiffness * centres[:, None] / (1 + stiffness), (1 + stiffness) ** -0.5, (7, 4000)).ravel()
    weights, overlap = mbar(stiffness / 2 * (x[None] - centres[:, None]) ** 2, 4000)
    assert weights.sum() == pytest.approx(1)
    assert (weights * x).sum() == pytest.approx(0, abs=0.03)
    assert (weights * x**2).sum() == pytest.approx(1, abs=0.04)
    assert 0.1 < overlap < 0.5


def test_windows_that_do_not_meet_say_so():
    xi = np.random.default_rng(0).normal([[[0.0]], [[1.0]]], 0.01, (2, 2, 100))
    assert free_energy(xi, Distance((0, 1)), np.array([0.0, 1.0]), 1000.0, 2.5, 10).overlap < 0.01


def test_the_example_finds_the_free_energy_along_a_distance_of_a_gaussian_molecule(monkeypatch, tmp_path, capsys):
    """The difference of two beads is Gaussian with variance 2 v: F(r) = kT (r^2 / 4 v - 2 ln r)."""
    monkeypatch.setattr(scorefield.umbrella, "_SAMPLES", 200)  # as many as the example draws: one compilation
    monkeypatch.setattr(scorefield.model, "load_model", lambda path: gaussian())
    words = ["distance 0 2", "--windows", "9", "--time-ps", "40", "-o", str(tmp_path / "found.npz")]
    monkeypatch.setattr(sys, "argv", ["umbrella", "run", *words])
    runpy.run_path(str(Path(__file__).parent.parent / "examples/umbrella.py"), run_name="__main__")
    assert "free energy in kJ/mol" in capsys.readouterr().out
    found = np.load(tmp_path / "found.npz")
    v, kT = VARIANCE + tiny.LEVELS.chosen_nm**2, thermal_energy(300.0)
    exact = kT * (found["value"] ** 2 / (4 * v) - 2 * np.log(found["value"]))
    often = exact < exact.min() + 3 * kT
    off = (found["energy"] - exact)[often]
    assert often.sum() > 15
    assert np.abs(off - np.median(off)).max() < 0.4 * kT
    assert np.sqrt(np.mean((off - off.mean()) ** 2)) < 0.15 * kT
    assert found["error"][often].max() < 0.4 * kT


def test_a_simulation_takes_one_number_a_replica():
    starts, wanted = tiny.positions(4, 0, MOLECULE), np.array([0.2, 0.3, 0.4, 0.5])
    settings = {"save_ps": 0.1, "dt_fs": 5.0, "friction": 10.0}
    hold = lambda centre: simulate(gaussian(), starts, 2.0, bias=Restraint(Distance((0, 2)), centre, 1e4), **settings)
    x = np.stack(hold(wanted).trajectory.chains())[:, 10:]
    r = np.linalg.norm(x[:, :, 0] - x[:, :, 2], axis=-1).mean(axis=1)
    np.testing.assert_allclose(r, wanted, atol=0.04)
    with pytest.raises(InputError, match="3 numbers for 4 replicas"):
        hold(wanted[:3])


@pytest.mark.parametrize(
    "change", [{"centres": np.zeros(1)}, {"stiffness": -1.0}, {"equilibrate_ps": 9.0}, {"replicas": 0}]
)
def test_an_umbrella_that_cannot_be_is_refused(change):
    words = {"centres": np.linspace(0.1, 0.5, 3), "stiffness": 100.0, "time_ps": 5.0} | change
    with pytest.raises(InputError):
        umbrella(gaussian(), Distance((0, 2)), **words)
