r"""The default energy: Gaussian baseline + noise-aware prior + a network on exact invariants.

    U(x, sigma) = w c^2 |x|^2 / 2 + (1 - w) G(x, sigma) + prior(x, sigma) + 2 s_d c NN(invariants(x), sigma) + ln Z(sigma)

    s_d   standard deviation of all centred coordinates of the data, nm
    c     (sigma^2 + s_d^2)^-1/2: at large sigma c^2 |x|^2 / 2 is exact, and the network's share falls off as c
    G     the exact U of a Gaussian with the data's covariance of beads (`GaussianEnergy`): what a chain looks like from afar
    w     1 / (1 + (sigma / fade)^4), with which the prior's terms fade: where they go, the chain's covariance comes
    Z     the normalisation: that of the baseline's Gaussians (the prior has its own), times a learned function of sigma

The network's own inputs of sigma are functions of sigma^2 that are smooth at 0, ln(sigma^2 + a^2) for a ladder of lengths a:
U obeys the heat equation in sigma^2, so below the smallest a it cannot vary and what larger noise levels, where the
denoising loss has far more signal, have taught holds down to sigma = 0.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ..geometry import centre
from ..molecule import Molecule
from .base import AbstractEnergy
from .gaussian import GaussianEnergy
from .invariants import Invariants, Standardiser
from .networks import AbstractNetwork
from .prior import Prior
from .shifts import Shifts
from .stiff import StiffDistances
from .term import fading

LADDER = 0.005 * 3.0 ** np.arange(6, dtype=np.float32)
"""Lengths a in nm: from below a bond's width after blurring to several times a protein's radius."""


class InvariantEnergy(AbstractEnergy):
    """U(x, sigma), exactly invariant to rotation and translation, conservative, finite everywhere."""

    baseline: GaussianEnergy
    prior: Prior
    standardiser: Standardiser
    network: AbstractNetwork
    spread: Float[Array, ""]
    fade: Float[Array, ""]
    normaliser: Float[Array, " g"]
    invariants: Invariants = eqx.field(static=True)
    shifts: Shifts | None = None
    """What simulations have found to be added to the network's last layer (`refine`)."""

    trained: ClassVar[tuple[str, ...]] = ("network", "normaliser")
    normalised: ClassVar[bool] = True
    n_noise_features: ClassVar[int] = len(LADDER)

    def _smooth(self, x: Float[Array, "n 3"], sigma: Float[Array, ""]) -> Float[Array, ""]:
        x, square = centre(x), sigma * sigma
        c = jax.lax.rsqrt(square + self.spread**2)
        z = self.standardiser(self.invariants(x), sigma)
        noise = 0.5 * jnp.log(square + LADDER**2) - jnp.log(self.spread)
        network = self.network if self.shifts is None else self.shifts.added(self.network, sigma)
        output = network(z, noise, x, sigma)
        near = fading(sigma, self.fade)
        baseline = near * 0.5 * c * c * jnp.sum(x * x) + (1 - near) * self.baseline(x, sigma)
        return baseline + 2 * self.spread * c * output

    def __call__(self, x: Float[Array, "n 3"], sigma: Float[Array, ""]) -> Float[Array, ""]:
        """U(x, sigma) in kT."""
        return self._smooth(x, sigma) + self.prior(x, sigma) + self._log_z(x.shape[0], sigma)

    def _log_z(self, n_beads: int, sigma: Float[Array, ""]) -> Float[Array, ""]:
        square = sigma * sigma
        near, soft = fading(sigma, self.fade), 3 * (n_beads - 1) - self.prior.n_normalised
        gaussians = near * soft * jnp.log(square + self.spread**2)
        gaussians += (1 - near) * 3 * jnp.sum(jnp.log(self.baseline.variances + square))
        # Linear interpolation as a product with hat functions: searching the grid example by example is slow.
        grid = jnp.arange(len(self.normaliser))
        hats = jnp.maximum(0.0, 1 - jnp.abs(self.standardiser.position(sigma) - grid))
        return 0.5 * gaussians + hats @ self.normaliser

    def potential(self, x: Float[Array, "n 3"], level: Float[Array, ""]) -> Float[Array, ""]:
        """The prior at sigma = 0, all else at `level` (nm), in kT."""
        return self._smooth(x, level) + self.prior.read_off(x, level)

    def at_level(self, level: float) -> Self:
        """The same at noise `level` (nm), with the network of that range alone."""
        network = self.network if self.shifts is None else self.shifts.added(self.network, jnp.float32(level))
        return replace(self, network=network.at(level), shifts=None)

    def cheaper(self) -> tuple[Self, ...]:
        """With each of the network's cheaper ones."""
        return tuple(eqx.tree_at(lambda e: e.network, self, network) for network in self.network.cheaper())

    def holds(self, x: Float[Array, "n 3"], level: Float[Array, ""]) -> Bool[Array, ""]:
        """Whether the network does."""
        return self.network.holds(x, level)

    def corrected(self, molecule: Molecule, x: Float[Array, "f n 3"], levels: Sequence[float]) -> Self:
        """With the centres of the stiff distances corrected for the network, at `levels` (`StiffDistances.corrected`)."""
        stiff = self.prior.terms.get("stiff")
        if not isinstance(stiff, StiffDistances):
            return self
        return eqx.tree_at(
            lambda e: e.prior.terms["stiff"], self, stiff.corrected(molecule, self.mean_force, x, levels)
        )
