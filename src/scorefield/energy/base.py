"""What every model of noised densities is (arXiv 2302.00600): a score at any noise level, and for energies the U it is the
gradient of.

x       (n_beads, 3) nm, ONE frame (`jax.vmap` for more)
sigma   noise standard deviation, nm
p_sigma the data's density convolved with N(0, sigma^2 I), on centred coordinates
U       -log p_sigma(x) + const, in kT
score   grad_x log p_sigma = -dU/dx, 1/nm
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Self

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ..molecule import Molecule


class AbstractScore(eqx.Module):
    """A model of the score of p_sigma. Final subclasses: energies, and direct networks (the paper's ablation).

    `trained`: names of the fields that training changes; the others were fitted to the data once.
    """

    trained: ClassVar[tuple[str, ...]] = ("network",)

    @abstractmethod
    def score(self, x: Float[Array, "n 3"], sigma: Float[Array, ""]) -> Float[Array, "n 3"]:
        """grad_x log p_sigma(x), in 1/nm."""

    @abstractmethod
    def mean_force(self, x: Float[Array, "n 3"], level: Float[Array, ""]) -> Float[Array, "n 3"]:
        """The best estimate of the score at sigma = 0, read off at noise `level` (nm), in 1/nm.

        Times kT it is the force of arXiv 2302.00600, eq. 9. What is known analytically is taken at 0, the rest at `level`.
        """

    def at_level(self, level: float) -> Self:
        """The same at noise `level` (nm), without what only other levels need."""
        return self

    def cheaper(self) -> tuple[Self, ...]:
        """Models that give the same for those frames that they hold, the cheapest first."""
        return ()

    def holds(self, x: Float[Array, "n 3"], level: Float[Array, ""]) -> Bool[Array, ""]:
        """Whether what it gives for `x` (nm) at noise `level` (nm) is right; of any model but a `cheaper` one it is."""
        return jnp.ones((), bool)

    def corrected(self, molecule: Molecule, x: Float[Array, "f n 3"], levels: Sequence[float]) -> Self:
        """Once trained: what `mean_force` can be corrected for in closed form, from training frames `x` (centred, nm)."""
        return self


class AbstractEnergy(AbstractScore):
    """A scalar energy U(x, sigma) in kT; its score is the exact gradient, so the force field is conservative.

    `normalised`: whether exp(-U) has, as p_sigma has, the same integral at every sigma, so that levels can be compared.
    """

    normalised: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, x: Float[Array, "n 3"], sigma: Float[Array, ""]) -> Float[Array, ""]:
        """U(x, sigma) in kT, up to a function of sigma alone."""

    def potential(self, x: Float[Array, "n 3"], level: Float[Array, ""]) -> Float[Array, ""]:
        """The potential of mean force in kT read off at noise `level` (nm); `mean_force` is minus its gradient."""
        return self(x, level)

    def score(self, x: Float[Array, "n 3"], sigma: Float[Array, ""]) -> Float[Array, "n 3"]:
        """-dU/dx, in 1/nm."""
        return -jax.grad(self.__call__)(x, sigma)

    def mean_force(self, x: Float[Array, "n 3"], level: Float[Array, ""]) -> Float[Array, "n 3"]:
        """Minus the gradient of `potential`, in 1/nm."""
        return -jax.grad(self.potential)(x, level)
