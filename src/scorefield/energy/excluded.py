r"""Excluded volume: a repulsion between beads three or more bonds apart that stays where the network has seen nothing.

    R, s   radius of a ball in which no other bead is found, and how soft its edge is, nm;  S^2 = s^2 + 2 sigma^2
    c(r)   = 1 - [erf((R - r) / sqrt2 S) + erf((R + r) / sqrt2 S)] / 2
             + S [exp(-(r - R)^2 / 2 S^2) - exp(-(r + R)^2 / 2 S^2)] / (sqrt(2 pi) r)

c is 1 less the ball convolved with a Gaussian of width S: the pair density around a soft ball, exact at every sigma for pairs
that are spread evenly outside. With sigma the hole fills, and at its middle as the third power of R / S. The energy of a pair
is -ln(c + e^-E (1 - c)): 0 outside, E (kT) inside, smooth, and of gradient 0 where the beads coincide.
"""

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import erf
from jaxtyping import Array, Float

from ..geometry import all_distances
from ..molecule import Molecule
from .term import AbstractTerm, fade_length, fading, frame_distances, log_shrink, thinned

MIN_PAIRS = 10
MIN_RELATIVE_SIZE = 0.5
QUANTILE = 0.001
EDGE = 0.1
HEIGHT = 10.0


class ExcludedVolume(AbstractTerm):
    """One hole for all pairs of the molecule; `pairs` is 1 for those that it keeps apart, above the diagonal, else 0."""

    pairs: Float[Array, "n n"]
    radius: Float[Array, ""]
    edge: Float[Array, ""]
    fade: Float[Array, ""]

    @property
    def size(self) -> int:
        """Number of beads, or 0."""
        return len(self.pairs)

    def __call__(self, x: Float[Array, "n 3"], sigma: Float[Array, ""]) -> Float[Array, ""]:
        """Energy in kT at noise `sigma` (nm)."""
        c = outside(all_distances(x), self.radius, jnp.sqrt(self.edge**2 + 2 * sigma**2))
        inside = jnp.exp(-HEIGHT)
        kept_apart = self.pairs[np.triu_indices(len(x), 1)]
        return -fading(sigma, self.fade) * jnp.sum(kept_apart * jnp.log(inside + (1 - inside) * c))

    @staticmethod
    def zeros(size: int) -> "ExcludedVolume":
        """Of the shapes that `fit` gives for so many beads, all zero."""
        return ExcludedVolume(jnp.zeros((size, size)), jnp.zeros(()), jnp.zeros(()), jnp.zeros(()))

    @staticmethod
    def fit(molecule: Molecule, x: Float[np.ndarray, "f n 3"]) -> "ExcludedVolume":
        """A hole that ends where the data begin: R + 2 s is the smallest distance in all but `QUANTILE` of the frames.

        Criterion: at least `MIN_PAIRS` pairs are three or more bonds apart (fewer say nothing about a common size), and
        that smallest distance is at least `MIN_RELATIVE_SIZE` of the mean bond (else beads do overlap). s = `EDGE` of it.
        """
        far = far_pairs(molecule)
        if not len(molecule.bonds) or far.sum() < MIN_PAIRS:
            return ExcludedVolume.zeros(0)
        x, pairs = thinned(x), np.argwhere(far)
        nearest = [frame_distances(part, pairs).min(axis=1) for part in np.array_split(x, -(-len(x) // 500))]
        size = float(np.quantile(np.concatenate(nearest), QUANTILE))
        if size < MIN_RELATIVE_SIZE * frame_distances(x, molecule.bond_pairs).mean():
            return ExcludedVolume.zeros(0)
        f32 = lambda a: jnp.asarray(a, jnp.float32)
        return ExcludedVolume(f32(far), f32(size * (1 - 2 * EDGE)), f32(size * EDGE), f32(fade_length(molecule, x)))


def far_pairs(molecule: Molecule) -> Float[np.ndarray, "n n"]:
    """1 for beads three or more bonds apart, or not bonded at all; first bead < second bead."""
    bonded = np.eye(molecule.n_beads, dtype=int)
    i, j = molecule.bond_pairs.T
    bonded[i, j] = bonded[j, i] = 1
    return np.triu(bonded @ bonded == 0).astype(float)


def outside(r: Float[Array, "..."], radius: Float[Array, ""], edge: Float[Array, ""]) -> Float[Array, "..."]:
    """1 less the indicator of a ball of `radius` convolved with a Gaussian of width `edge`, at `r` from its centre (nm)."""
    tail = lambda distance: 0.5 - 0.5 * erf(distance / (jnp.sqrt(2.0) * edge))
    shell = jnp.exp(-0.5 * ((r - radius) / edge) ** 2 + log_shrink(2 * r * radius / edge**2))
    return tail(radius - r) + tail(radius + r) + jnp.sqrt(2 / jnp.pi) * radius / edge * shell
