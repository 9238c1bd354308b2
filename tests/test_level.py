"""The noise level of the force: its curve is the error of the force, and the choice follows it."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small import MOLECULE, N

from scorefield.energy.base import AbstractScore
from scorefield.energy.gaussian import GaussianEnergy
from scorefield.fields import soft
from scorefield.geometry import centre, distances
from scorefield.level import LevelCurve, choose, level_curve
from scorefield.noise import LogUniformMixture
from scorefield.trajectory import Trajectory

LEVELS = LogUniformMixture((0.01, 0.1, 1.0), (0.5, 0.5))
VARIANCES = np.linspace(0.01, 0.04, N - 1)


class Off(AbstractScore):
    """A Gaussian's score at `level`, and a constant error that is least at noise 0.03 nm."""

    gaussian: GaussianEnergy

    def score(self, x, sigma):
        return self.gaussian.score(x, sigma)

    def mean_force(self, x, level):
        wrong = jnp.where(jnp.arange(3 * N).reshape(N, 3) < 3, 1.0, -1.0 / (N - 1))
        return self.gaussian.score(x, jnp.zeros(())) + 3 * jnp.log(level / 0.03) * wrong


def gaussian() -> tuple[GaussianEnergy, np.ndarray]:
    modes = np.linalg.qr(np.column_stack([np.ones(N), np.random.default_rng(0).normal(size=(N, N - 1))]))[0][:, 1:].T
    amplitudes = np.random.default_rng(1).normal(size=(4096, N - 1, 3)) * np.sqrt(VARIANCES)[:, None]
    energy = GaussianEnergy(jnp.asarray(modes, jnp.float32), jnp.asarray(VARIANCES, jnp.float32))
    return energy, np.einsum("kn,fkc->fnc", modes, amplitudes).astype(np.float32)


@pytest.fixture(scope="module")
def curve() -> LevelCurve:
    energy, x = gaussian()
    return level_curve(Off(energy), Trajectory(MOLECULE, x, (4096,), 300.0), LEVELS)


def test_the_curve_is_the_squared_error_over_the_squared_force(curve):
    """Nothing is stiff in this Gaussian, whose squared score is the sum of inverse variances."""
    squared = 3 * (1 + 1 / (N - 1)) * (3 * np.log(np.array(curve.levels_nm) / 0.03)) ** 2
    expected = (squared - squared.min()) / np.sum(3 / VARIANCES)
    np.testing.assert_allclose(curve.excess, expected, atol=4 * np.max(curve.error) + 0.02 * expected.max())


def test_the_chosen_level_is_where_the_force_is_best(curve):
    assert curve.chosen_nm == pytest.approx(0.03, rel=0.3)


def test_a_level_with_infinite_force_is_not_chosen():
    objective = np.array([[-3.0, np.nan], [-1.0, -1.0], [-9.0, np.inf]])
    curve = choose(np.array([1.0, 2.0, 3.0]), objective)
    assert curve.chosen_nm == 2.0
    assert curve.excess == (None, 0.0, None)
    assert choose(np.array([1.0, 2.0]), objective[[0, 2]]) == LevelCurve((1.0, 2.0), (None, None), (None, None), 2.0)


def test_the_soft_part_of_a_field_leaves_the_stiff_distances_alone():
    pairs, x = MOLECULE.bond_pairs, jnp.asarray(gaussian()[1][0])
    field = soft(lambda y: jnp.sin(40 * y), pairs)
    change = eqx.filter_jit(lambda y: jax.jvp(lambda z: distances(centre(z), pairs), (y,), (field(y),)))(x)[1]
    np.testing.assert_allclose(change, 0, atol=1e-4)
    assert float(jnp.linalg.norm(field(x))) > 0.1
