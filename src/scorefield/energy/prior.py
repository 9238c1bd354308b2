"""The noise-aware prior: the part of U(x, sigma) whose dependence on sigma is known in closed form.

A force field read off at sigma > 0 is that of a blurred molecule: bonds come out too soft. So U carries an analytic part. It
is present at every sigma while the network is trained, and taken at sigma = 0 when the force is read off. It is a sum of
terms, each of which chooses by a stated criterion, for any molecule, what of its kind the data ask for:

    stiff            bonds and 1-3 distances that are one narrow peak, jointly Gaussian        `stiff.StiffDistances`
    mixtures         bonds and 1-3 distances with several narrow peaks                         `pair_mixture.PairMixture`
    dihedrals        dihedrals that are one narrow peak                                        `torsion.NarrowDihedrals`
    excluded_volume  a hole that no pair three or more bonds apart enters                      `excluded.ExcludedVolume`

What is flat, broad or skewed is left to the network.
"""

from collections.abc import Mapping

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..molecule import Molecule
from .excluded import ExcludedVolume
from .pair_mixture import PairMixture
from .stiff import StiffDistances
from .term import AbstractTerm
from .torsion import NarrowDihedrals

TERMS: dict[str, type[AbstractTerm]] = {
    "stiff": StiffDistances,
    "mixtures": PairMixture,
    "dihedrals": NarrowDihedrals,
    "excluded_volume": ExcludedVolume,
}


class Prior(eqx.Module):
    """The sum of those `terms`, by their names in `TERMS`, that the data ask for; without any it is 0."""

    terms: dict[str, AbstractTerm]

    def __call__(self, x: Float[Array, "n 3"], sigma: Float[Array, ""]) -> Float[Array, ""]:
        """Energy of one frame in kT at noise `sigma` (nm); 0 is allowed."""
        return sum((term(x, sigma) for term in self.terms.values()), start=jnp.zeros(()))

    def read_off(self, x: Float[Array, "n 3"], level: Float[Array, ""]) -> Float[Array, ""]:
        """Energy of one frame in kT at sigma = 0, where all else is taken at noise `level` (nm)."""
        at_zero = lambda t: t.read_off(x, level) if isinstance(t, StiffDistances) else t(x, jnp.zeros(()))
        return sum((at_zero(term) for term in self.terms.values()), start=jnp.zeros(()))

    @property
    def n_normalised(self) -> int:
        """How many stiff distances there are, whose energy holds its own normalisation."""
        return self.sizes.get("stiff", 0)

    @property
    def sizes(self) -> dict[str, int]:
        """What the arrays' shapes depend on, as `zeros` takes it."""
        return {name: term.size for name, term in self.terms.items()}

    @staticmethod
    def zeros(sizes: Mapping[str, int]) -> "Prior":
        """Of the shapes that `fit` gives for these `sizes`, all zero."""
        return Prior({name: TERMS[name].zeros(size) for name, size in sizes.items()})

    @staticmethod
    def fit(molecule: Molecule, x: Float[np.ndarray, "f n 3"]) -> "Prior":
        """All terms fitted to frames `x` (nm)."""
        terms = {name: kind.fit(molecule, x) for name, kind in TERMS.items()}
        return Prior({name: term for name, term in terms.items() if term.size})
