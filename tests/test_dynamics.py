"""BAOAB: exact configurations of a harmonic well, order of convergence, reversibility, and exact friction."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from small import MOLECULE, N, frames

from scorefield.dynamics import Langevin, kinetic_temperature
from scorefield.energy.gaussian import GaussianEnergy
from scorefield.model import Model, Physical
from scorefield.simulate import simulate
from scorefield.trajectory import Trajectory
from scorefield.units import BOLTZMANN, thermal_energy

MASS, KT, OMEGA = 12.0, 2.5, 20.0  # Da, kJ/mol, 1/ps
STIFFNESS = MASS * OMEGA**2
BEADS = 400  # independent particles


def langevin(force, dt: float, friction: float, n: int = BEADS) -> Langevin:
    return Langevin(force, jnp.full(n, MASS), KT, dt, friction)


@eqx.filter_jit
def trajectory(dynamics, key, x, steps):
    """Positions and velocities after each of `steps` steps."""

    def step(state, k):
        state = dynamics.step(k, state)
        return state, (state.x, state.v)

    first, rest = jax.random.split(key)
    return jax.lax.scan(step, dynamics.init(first, x), jax.random.split(rest, steps))[1]


@pytest.mark.parametrize("omega_dt", [0.5, 1.0])
def test_configurations_of_a_harmonic_well_are_exact_at_any_time_step(omega_dt):
    """<x^2> = kT/k exactly; at whole steps <v^2> = kT/m (1 - (omega dt)^2 / 4) (Leimkuhler and Matthews 2013)."""
    dynamics = langevin(lambda x: -STIFFNESS * x, omega_dt / OMEGA, OMEGA)
    x, v = trajectory(dynamics, jax.random.key(0), jnp.zeros((BEADS, 3)), 1000)
    assert float((x[100:] ** 2).mean()) == pytest.approx(KT / STIFFNESS, rel=0.01)
    assert float((v[100:] ** 2).mean()) == pytest.approx(KT / MASS * (1 - omega_dt**2 / 4), rel=0.01)


def anharmonic(x):
    """Force of the energy k (x^2 / 2 + x^4 / 4 nm^2), Cartesian component by component."""
    return -STIFFNESS * (x + x**3)


def energy(x, v):
    return STIFFNESS * (x**2 / 2 + x**4 / 4).sum(axis=(1, 2)) + MASS * (v**2).sum(axis=(1, 2)) / 2


def test_without_friction_the_energy_error_falls_as_dt_squared():
    with jax.enable_x64(True):
        x = jnp.linspace(0.2, 1.5, 12).reshape(4, 3)
        errors = []
        for halvings in (0, 1, 2):
            dynamics = langevin(anharmonic, 0.1 / OMEGA / 2**halvings, 0.0, 4)
            e = energy(*trajectory(dynamics, jax.random.key(0), x, 100 * 2**halvings))
            errors.append(float(e.std()))
    np.testing.assert_allclose(np.log2(np.array(errors[:-1]) / errors[1:]), 2, atol=0.1)


def test_without_friction_time_can_be_reversed():
    with jax.enable_x64(True):
        dynamics = langevin(anharmonic, 0.05 / OMEGA, 0.0, 4)
        start = dynamics.init(jax.random.key(0), jnp.linspace(0.2, 1.5, 12).reshape(4, 3))
        run = jax.jit(lambda state: jax.lax.fori_loop(0, 200, lambda i, s: dynamics.step(jax.random.key(i), s), state))
        end = run(start)
        back = run(end._replace(v=-end.v))
    assert np.abs(end.x - start.x).max() > 0.1
    np.testing.assert_allclose(back.x, start.x, atol=1e-11)
    np.testing.assert_allclose(back.v, -start.v, atol=1e-9)


def test_a_free_particle_forgets_its_velocity_and_diffuses():
    """<v(0) v(t)> = kT/m e with e = exp(-friction t), <dx(t)^2> = 2 D (t - (1 - e)/friction), D = kT/(m friction)."""
    friction, dt = 5.0, 0.01
    x, v = trajectory(langevin(jnp.zeros_like, dt, friction), jax.random.key(0), jnp.zeros((BEADS, 3)), 2000)
    x, v, error = np.asarray(x), np.asarray(v), 4 * np.sqrt(2 / (3 * BEADS * 2000 * dt * friction))
    assert (v**2).mean() == pytest.approx(KT / MASS, rel=error)
    for lag in (10, 20, 40):
        assert (v[lag:] * v[:-lag]).mean() == pytest.approx(
            KT / MASS * np.exp(-friction * lag * dt), abs=error * KT / MASS
        )
    lag = 40
    t, d = lag * dt, KT / (MASS * friction)
    expected = 2 * d * (t - (1 - np.exp(-friction * t)) / friction)
    assert ((x[lag:] - x[:-lag]) ** 2).mean() == pytest.approx(expected, rel=2 * error)


def test_initial_velocities_have_the_temperature_whatever_the_masses():
    masses = jnp.array([1.0, 12.0, 100.0])
    dynamics = Langevin(jnp.zeros_like, masses, thermal_energy(300.0), 0.002, 1.0)
    v = jax.vmap(lambda k: dynamics.init(k, jnp.zeros((3, 3))).v)(jax.random.split(jax.random.key(0), 5000))
    per_bead = BOLTZMANN * 300.0 / np.asarray(masses)
    np.testing.assert_allclose((v**2).mean(axis=(0, 2)), per_bead, rtol=0.05)
    temperatures = jax.vmap(kinetic_temperature, (0, None, None))(v, masses, BOLTZMANN)
    assert float(temperatures.mean()) == pytest.approx(300, rel=0.03)


def gaussian_model(variance: float) -> Model:
    energy = GaussianEnergy.from_covariance(variance * np.eye(N))
    rng = np.random.default_rng(0)
    x = np.sqrt(variance) * rng.normal(size=(2000, N, 3)).astype(np.float32)
    return Model(
        energy,
        MOLECULE,
        300.0,
        tiny.at_steps_of(2.0),
        Physical.of(Trajectory(MOLECULE, x, (2000,), 300.0)),
        {},
        tiny.LEVELS,
    )


def test_a_simulation_repeats_itself_and_a_replicas_noise_is_its_own():
    """The same seed gives the same frames, another seed others; how many replicas run beside one does not matter."""
    model, starts = gaussian_model(0.01), frames()[:4]
    run = lambda starts, seed: np.stack(simulate(model, starts, 1.0, save_ps=0.05, seed=seed).trajectory.chains())
    four, again, other, two = run(starts, 1), run(starts, 1), run(starts, 2), run(starts[:2], 1)
    assert four.shape == (4, 20, N, 3)
    np.testing.assert_array_equal(four, again)
    assert np.abs(four[:, 0] - other[:, 0]).max() > 1e-3
    np.testing.assert_allclose(four[:2], two, rtol=0, atol=1e-5)


def test_a_simulation_of_a_gaussian_has_its_variance_noised_by_the_level():
    variance, level = 0.004, 0.03
    starts = np.repeat(frames()[:1], 200, axis=0)
    settings = {"save_ps": 0.25, "level": level, "dt_fs": 10.0, "friction": 10.0}
    x = np.stack(simulate(gaussian_model(variance), starts, 10.0, **settings).trajectory.chains())[:, 8:]
    internal = x - x.mean(axis=2, keepdims=True)
    assert (internal**2).sum() / (x.size * (1 - 1 / N)) == pytest.approx(variance + level**2, rel=0.05)
