r"""Stiff distances: bonds and 1-3 distances that are a single narrow peak, as one joint Gaussian.

    q          (m,) stiff distances of one frame, nm (bonds, 1-3 distances)
    q_mean, C  their mean and covariance over the data
    B          dq/dx, (m, 3 n_beads);  G = <B B^T>
    l          <Laplacian of q> = 4 / q_mean (a distance between two free beads in three dimensions)
    d          <(q - q_mean)^T C^-1 B B^T>, the divergence of the metric: d_k = sum_i dG_ik/dq_i; 0 for a single pair

To second order in sigma / q, noise sigma turns the covariance into C + sigma^2 G and moves the mean by sigma^2 l / 2. The
quadratic energy

    U(x, sigma) = (q - m)^T (C + sigma^2 G)^-1 (q - m) / 2,    m = q_mean - C G^-1 (l - d) - sigma^2 (l / 2 - d)

has these moments: m follows from Stein's identity <grad U . grad q> = <Laplacian q>, which needs no Jacobian J of the
coordinates q (G^-1 (l - d) is the gradient of ln J), so cross terms of pairs that share a bead are exact. For one pair it
is the expansion of the exact solution (r p(r) obeys the heat equation): (r - r0)^2/(2 S^2) + ln r, S^2 = s^2 + 2 sigma^2.

Read off at sigma = 0 the centre m is corrected, once trained, for the network's mean force along q (`corrected`).

Both matrices are diagonal in one basis W (generalised eigenvectors): C = W^-1 diag(v) W^-T, G = W^-1 W^-T.
"""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ..fields import over_frames
from ..geometry import centre, distances
from ..molecule import Molecule
from .term import AbstractTerm, candidates, fade_length, fading, frame_distances, single_narrow_peaks, thinned

MAX_RELATIVE_WIDTH = 0.06
_MIN_METRIC = 1e-3  # of G: distances that depend on each other (three beads in line) have none of their own
MIN_WIDTH = 5e-4  # nm; what is narrower (a constraint, frames all alike) no time step of some fs can follow


class StiffDistances(AbstractTerm):
    """Quadratic energy in the stiff distances, exact in sigma while sigma is small beside a bond."""

    pairs: Int[Array, "m 2"]
    modes: Float[Array, "m m"]
    variances: Float[Array, " m"]
    rest: Float[Array, " m"]
    shift: Float[Array, " m"]
    fade: Float[Array, ""]
    correction: Float[Array, "2 m"]

    @property
    def size(self) -> int:
        """Number of distances."""
        return len(self.pairs)

    def __call__(self, x: Float[Array, "n 3"], sigma: Float[Array, ""]) -> Float[Array, ""]:
        """Energy in kT at noise `sigma` (nm)."""
        square = sigma * sigma
        amplitude = self.modes @ distances(x, self.pairs) - self.rest - square * self.shift
        return 0.5 * fading(sigma, self.fade) * jnp.sum(amplitude**2 / (self.variances + square))

    def read_off(self, x: Float[Array, "n 3"], level: Float[Array, ""]) -> Float[Array, ""]:
        """Energy in kT at sigma = 0, to stand beside a network at noise `level` (nm) that it was `corrected` for."""
        rest = self.rest + self.correction[0] + level * level * self.correction[1]
        return 0.5 * jnp.sum((self.modes @ distances(x, self.pairs) - rest) ** 2 / self.variances)

    def corrected(
        self,
        molecule: Molecule,
        score: Callable[[Array, Array], Array],
        x: Float[Array, "f n 3"],
        levels: Sequence[float],
    ) -> "StiffDistances":
        """With bonds of the right mean length under the whole of `score` (x, level), read off; `x` training frames (nm).

        Stein's identity, <s . grad q + Laplacian q> = 0, holds for the true score. What is missing, r, is the network's error
        of the mean force along q: small beside the force's spread but the same in every frame, so it moves the mean of q by
        C G^-1 r. 1-3 distances stay as they are: the network's own curvature along them is no longer small beside C^-1.
        """
        bonds = (np.asarray(self.pairs)[:, None] == np.sort(molecule.bond_pairs)).all(-1).any(-1)

        def missing(y: Array, level: Array) -> Array:
            q, along = jax.jvp(lambda z: distances(z, self.pairs), (y,), (score(y, level),))
            return along + 4 / q

        mean = jax.jit(lambda level: over_frames(lambda y: missing(y, level), x).mean(axis=0))
        modes = np.asarray(self.modes, np.float64)
        response = np.linalg.solve(modes, np.asarray(self.variances)[:, None] * modes)  # C G^-1
        moved = np.stack([bonds * (response @ np.asarray(mean(jnp.float32(level)))) for level in levels])
        powers = np.stack([np.ones(len(levels)), np.square(levels)], axis=1)
        change = np.linalg.lstsq(powers, -moved @ modes.T, rcond=None)[0]
        return eqx.tree_at(lambda term: term.correction, self, self.correction + jnp.asarray(change, jnp.float32))

    @staticmethod
    def zeros(size: int) -> "StiffDistances":
        """Of the shapes that `fit` gives for so many distances, all zero."""
        vector = jnp.zeros(size)
        pairs = jnp.zeros((size, 2), jnp.int32)
        table, correction = jnp.zeros((size, size)), jnp.zeros((2, size))
        return StiffDistances(pairs, table, vector, vector, vector, jnp.zeros(()), correction)

    @staticmethod
    def fit(molecule: Molecule, x: Float[np.ndarray, "f n 3"]) -> "StiffDistances":
        """Fit to frames `x` (nm): choose the stiff pairs (`stiff_pairs`) and solve for their joint Gaussian."""
        pairs = stiff_pairs(molecule, x)
        if not len(pairs):
            return StiffDistances.zeros(0)
        q = frame_distances(x, pairs)
        mean = q.mean(axis=0)
        cov = _floored(np.cov(q, rowvar=False).reshape(len(pairs), len(pairs)), MIN_WIDTH**2)
        metric, divergence = _metric(thinned(x), pairs, np.linalg.solve(cov, thinned(q - mean).T).T)
        metric = _floored(metric, _MIN_METRIC)
        cholesky = np.linalg.inv(np.linalg.cholesky(metric))
        variances, vectors = np.linalg.eigh(cholesky @ cov @ cholesky.T)
        modes = vectors.T @ cholesky
        laplacian = 4 / mean
        rest = modes @ (mean - cov @ np.linalg.solve(metric, laplacian - divergence))
        f32 = lambda a: jnp.asarray(a, jnp.float32)
        return StiffDistances(
            jnp.asarray(pairs, jnp.int32),
            f32(modes),
            f32(variances),
            f32(rest),
            f32(modes @ (divergence - 0.5 * laplacian)),
            f32(fade_length(molecule, x)),
            jnp.zeros((2, len(pairs))),
        )


def stiff_pairs(molecule: Molecule, x: Float[np.ndarray, "f n 3"]) -> Int[np.ndarray, "m 2"]:
    """Bonds and 1-3 pairs whose distance is a single narrow peak in frames `x`.

    Criterion: one peak (`single_narrow_peaks`), its standard deviation at most `MAX_RELATIVE_WIDTH` of the mean; or rigid,
    at most `MIN_WIDTH` wide, whatever its shape.
    """
    pairs = candidates(molecule)
    q = frame_distances(thinned(x), pairs)
    rigid = q.std(axis=0) <= MIN_WIDTH
    return pairs[rigid | single_narrow_peaks(q, MAX_RELATIVE_WIDTH * q.mean(axis=0))]


def _floored(matrix: Float[np.ndarray, "m m"], least: float) -> Float[np.ndarray, "m m"]:
    """The symmetric `matrix`, itself where no eigenvalue is below `least`, else with those raised to it."""
    values, vectors = np.linalg.eigh(matrix)
    return matrix if values[0] >= least else (vectors * np.maximum(values, least)) @ vectors.T


def _metric(
    x: Float[np.ndarray, "f n 3"], pairs: Int[np.ndarray, "m 2"], u: Float[np.ndarray, "f m"]
) -> tuple[Float[np.ndarray, "m m"], Float[np.ndarray, " m"]]:
    """G = <B B^T> over frames, and <u^T (B B^T - G)>."""
    jacobian = jax.jit(jax.vmap(jax.jacfwd(lambda y: distances(centre(y), pairs))))
    total, weighted = np.zeros((len(pairs), len(pairs))), np.zeros(len(pairs))
    for start in range(0, len(x), 2000):
        chunk = slice(start, start + 2000)
        b = np.asarray(jacobian(jnp.asarray(x[chunk])), np.float64).reshape(-1, len(pairs), 3 * x.shape[1])
        total += np.tensordot(b, b, ([0, 2], [0, 2]))
        weighted += np.einsum("fa,fka->k", np.einsum("fi,fia->fa", u[chunk], b), b)
    return total / len(x), weighted / len(x) - u.mean(axis=0) @ total / len(x)
