r"""Excluded volume: a repulsion between beads three or more bonds apart that stays where the network has seen nothing.

    R, s   radius of a ball in which no other bead is found, and how soft its edge is, nm;  S^2 = s^2 + 2 sigma^2
    c(r)   = 1 - [erf((R - r) / sqrt2 S) + erf((R + r) / sqrt2 S)] / 2
             + S [exp(-(r - R)^2 / 2 S^2) - exp(-(r + R)^2 / 2 S^2)] / (sqrt(2 pi) r)

c is 1 less the ball convolved with a Gaussian of width S: the pair density around a soft ball, exact at every sigma for pairs
that are spread evenly outside. With sigma the hole fills, and at its middle as the third power of R / S. The energy of a pair
is -ln(c + e^-E (1 - c)): 0 outside, E (kT) deep inside, smooth, and of gradient 0 where the beads coincide. E is so high that
the slope reaches 9 S inwards: two beads that a sample or a long step has put into one another are driven apart.
"""

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import erfc
from jaxtyping import Array, Float, Int

from ..geometry import all_distances, centre, squared_distances
from ..molecule import Molecule
from .term import AbstractTerm, fade_length, fading, frame_distances, log_shrink, thinned

MIN_PAIRS = 10
MIN_RELATIVE_SIZE = 0.5
SHARES = (0.001, 0.1)
Z_OF_SHARES = (-3.090, -1.282)  # where the normal distribution function has these values
STEEPEST = 0.02  # s over R at least: few frames have a sharp edge by chance, and a wall so steep asks for short steps
BINS_A_BOND, MOST_BONDS = 50, 3.3
HEIGHT = 40.0
_FEW = 40  # beads: to as many the distances of all pairs are fastest as one product with a constant matrix


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
        few = len(x) <= _FEW
        r = all_distances(x) if few else jnp.sqrt(squared_distances(centre(x)) + 1e-12)
        c = outside(r, self.radius, jnp.sqrt(self.edge**2 + 2 * sigma**2))
        inside = jnp.exp(-HEIGHT)
        kept_apart = self.pairs[np.triu_indices(len(x), 1)] if few else self.pairs
        return -fading(sigma, self.fade) * jnp.sum(kept_apart * jnp.log(inside + (1 - inside) * c))

    @staticmethod
    def zeros(size: int) -> "ExcludedVolume":
        """Of the shapes that `fit` gives for so many beads, all zero."""
        return ExcludedVolume(jnp.zeros((size, size)), jnp.zeros(()), jnp.zeros(()), jnp.zeros(()))

    @staticmethod
    def fit(molecule: Molecule, x: Float[np.ndarray, "f n 3"]) -> "ExcludedVolume":
        """R and s from the inner edge of the density of all those pairs together, g(r) = counts / r^2.

        A soft ball has g = c, nearly Phi((r - R) / s): its values of `SHARES` of the largest g, up to the largest, give R
        and s. Criterion: at least `MIN_PAIRS` pairs are three or more bonds apart (fewer say nothing about a common size),
        and the hole is at least `MIN_RELATIVE_SIZE` of the mean bond (else beads do overlap).
        """
        far = far_pairs(molecule)
        if not len(molecule.bonds) or far.sum() < MIN_PAIRS:
            return ExcludedVolume.zeros(0)
        x = thinned(x)
        bond = float(frame_distances(x, molecule.bond_pairs).mean())
        hole, shoulder = edge_of_density(x, np.argwhere(far), bond)
        if hole < MIN_RELATIVE_SIZE * bond:
            return ExcludedVolume.zeros(0)
        s = max((shoulder - hole) / (Z_OF_SHARES[1] - Z_OF_SHARES[0]), STEEPEST * shoulder)
        f32 = lambda a: jnp.asarray(a, jnp.float32)
        return ExcludedVolume(f32(far), f32(shoulder - Z_OF_SHARES[1] * s), f32(s), f32(fade_length(molecule, x)))


def edge_of_density(x: Float[np.ndarray, "f n 3"], pairs: Int[np.ndarray, "m 2"], bond: float) -> tuple[float, ...]:
    """Distances (nm) at which the density of all `pairs` together first has each of `SHARES` of its maximum.

    On a grid of `BINS_A_BOND` to a mean `bond` (nm), to `MOST_BONDS` of them: what is one bond more apart is nearer.
    """
    edges = np.arange(round(MOST_BONDS * BINS_A_BOND) + 1) * bond / BINS_A_BOND
    parts = np.array_split(x, -(-len(x) // 500))
    counts = sum(np.histogram(frame_distances(part, pairs), edges)[0] for part in parts)
    middle = (edges[1:] + edges[:-1]) / 2
    g = counts / middle**2
    rising = slice(0, int(np.argmax(g)) + 1)
    risen = np.maximum.accumulate(g[rising])
    return tuple(float(np.interp(share * risen[-1], risen, middle[rising])) for share in SHARES)


def far_pairs(molecule: Molecule) -> Float[np.ndarray, "n n"]:
    """1 for beads three or more bonds apart, or not bonded at all; first bead < second bead."""
    bonded = np.eye(molecule.n_beads, dtype=int)
    i, j = molecule.bond_pairs.T
    bonded[i, j] = bonded[j, i] = 1
    return np.triu(bonded @ bonded == 0).astype(float)


def outside(r: Float[Array, "..."], radius: Float[Array, ""], edge: Float[Array, ""]) -> Float[Array, "..."]:
    """1 less the indicator of a ball of `radius` convolved with a Gaussian of width `edge`, at `r` from its centre (nm)."""
    tail = lambda distance: 0.5 * erfc(distance / (jnp.sqrt(2.0) * edge))  # to its last digits where it is tiny
    shell = jnp.exp(-0.5 * ((r - radius) / edge) ** 2 + log_shrink(2 * r * radius / edge**2))
    return tail(radius - r) + tail(radius + r) + jnp.sqrt(2 / jnp.pi) * radius / edge * shell
