"""One energy of many molecules: `InvariantEnergy`, whose network and normalisation know a molecule by its beads' features.

The weights are shared; what was fitted once (prior, baseline, standardisation) is put together for each molecule by types of
beads (`types.Types`). So an energy of a molecule that no training has seen is the same weights beside other `Parts`.
"""

from collections.abc import Sequence
from typing import ClassVar, Self

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ..molecule import Molecule
from .base import AbstractEnergy
from .chain import ChainNetwork, OfMolecule
from .invariant import InvariantEnergy
from .invariants import Invariants
from .types import Parts


class TransferableEnergy(AbstractEnergy):
    """U(x, sigma) of one molecule, which `parts` describe, by weights that others have too."""

    parts: Parts
    network: ChainNetwork
    normaliser: Float[Array, "g k"]

    trained: ClassVar[tuple[str, ...]] = ("network", "normaliser")
    normalised: ClassVar[bool] = True

    @property
    def whole(self) -> InvariantEnergy:
        """As the default energy has it."""
        parts = self.parts
        return InvariantEnergy(
            parts.baseline,
            parts.prior,
            parts.standardiser,
            OfMolecule(self.network, parts.features),
            parts.spread,
            parts.fade,
            self.normaliser @ jnp.sum(parts.features, axis=0),
            Invariants(len(parts.features), "local"),
        )

    def __call__(self, x: Float[Array, "n 3"], sigma: Float[Array, ""]) -> Float[Array, ""]:
        """U(x, sigma) in kT."""
        return self.whole(x, sigma)

    def potential(self, x: Float[Array, "n 3"], level: Float[Array, ""]) -> Float[Array, ""]:
        """The prior at sigma = 0, all else at `level` (nm), in kT."""
        return self.whole.potential(x, level)

    def corrected(self, molecule: Molecule, x: Float[Array, "f n 3"], levels: Sequence[float]) -> Self:
        """With the centres of the stiff distances corrected for the network (`StiffDistances.corrected`)."""
        prior = self.whole.corrected(molecule, x, levels).prior
        return eqx.tree_at(lambda e: e.parts.prior, self, prior)


class Pooled(eqx.Module):
    """Shared weights beside the parts of many molecules, in `groups` whose arrays have the same shapes, stacked."""

    groups: tuple[Parts, ...]
    network: ChainNetwork
    normaliser: Float[Array, "g k"]

    trained: ClassVar[tuple[str, ...]] = TransferableEnergy.trained

    def at(self, group: int, which: Int[Array, ""]) -> TransferableEnergy:
        """The energy of molecule number `which` of a group."""
        parts = jax.tree.map(lambda a: a[which], self.groups[group])
        return TransferableEnergy(parts, self.network, self.normaliser)
