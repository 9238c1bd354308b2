"""The smallest model that can be trained, which compiles in a moment: for tests of what is around a training."""

import sys

import jax.numpy as jnp
import tiny
from jaxtyping import Array, Float

import scorefield.train  # noqa: F401
from scorefield.energy.base import AbstractEnergy


class Springs(AbstractEnergy):
    """Every bead on a spring to the centre: a Gaussian, whose variances are trained."""

    log_variance: Float[Array, " n"]
    trained = ("log_variance",)

    def __call__(self, x, sigma):
        """U in kT, normalised."""
        variance = (jnp.exp(self.log_variance) + sigma**2)[:, None]
        return jnp.sum(0.5 * x**2 / variance + 0.5 * jnp.log(variance))


def fitted(config, molecule, x, key) -> Springs:
    """In the place of `energy.build.fit_model`."""
    return Springs(jnp.full(molecule.n_beads, -4.0))


def train(*words, **options):
    """`scorefield.train.train`, but of `Springs` whatever the configuration says, read off at a given level."""
    replaced = {"fit_model": fitted, "level_curve": lambda *_, **__: tiny.LEVELS}
    module = sys.modules["scorefield.train"]  # the package's own `train` is the function
    before = {name: getattr(module, name) for name in replaced}
    try:
        vars(module).update(replaced)
        return module.train(*words, **options)
    finally:
        vars(module).update(before)
