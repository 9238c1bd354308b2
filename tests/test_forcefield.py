"""Units of the force field, and what it does with a model that has no energy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small import N, frames, untrained

from scorefield.energy.gaussian import GaussianEnergy
from scorefield.errors import InputError
from scorefield.forcefield import ForceField
from scorefield.units import BOLTZMANN, thermal_energy

LEVEL, TEMPERATURE = 0.01, 310.0


def test_the_force_of_a_gaussian_is_that_of_a_spring_in_kj_per_mol_and_nm():
    """An isotropic Gaussian of variance v noised by the level is a spring of stiffness kT / (v + level^2)."""
    v, kT = 0.004, 0.0083144626 * TEMPERATURE
    field = ForceField(GaussianEnergy.from_covariance(v * np.eye(N)), LEVEL, TEMPERATURE)
    x = frames()[0]
    np.testing.assert_allclose(field.force(jnp.asarray(x)), -kT * x / (v + LEVEL**2), rtol=1e-4, atol=1e-3)
    expected = kT * (x**2).sum() / (2 * (v + LEVEL**2))
    assert float(field.energy(jnp.asarray(x))) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("kind", ["invariant", "graph_transformer"])
def test_the_force_is_minus_the_gradient_of_the_energy(kind):
    field, x = ForceField(untrained(kind), LEVEL, TEMPERATURE), jnp.asarray(frames()[0])
    force, gradient = jax.jit(lambda y: (field.force(y), jax.grad(field.energy)(y)))(x)
    np.testing.assert_allclose(force, -gradient, rtol=1e-4, atol=1e-4 * np.abs(force).max())


def test_the_force_is_kt_times_the_score_of_a_model_without_analytic_part():
    model, x = untrained("graph_transformer_direct"), jnp.asarray(frames()[0])
    field = ForceField(model, LEVEL, TEMPERATURE)
    force, score = jax.jit(lambda y: (field.force(y), model.score(y, jnp.float32(LEVEL))))(x)
    np.testing.assert_allclose(force, BOLTZMANN * TEMPERATURE * score, rtol=1e-5)
    assert thermal_energy(TEMPERATURE) == BOLTZMANN * TEMPERATURE


def test_a_direct_network_has_no_energy():
    field = ForceField(untrained("graph_transformer_direct"), LEVEL, TEMPERATURE)
    with pytest.raises(InputError, match="no energy"):
        field.energy(jnp.asarray(frames()[0]))
