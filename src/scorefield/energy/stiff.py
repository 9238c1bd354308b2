r"""Stiff distances: bonds and 1-3 distances that are a single narrow peak, as one joint Gaussian.

    q          (m,) stiff distances of one frame, nm (bonds, 1-3 distances)
    q_mean, C  their mean and covariance over the data
    B          dq/dx, (m, 3 n_beads);  G(x) = B B^T = T o (u u^T), u the unit vectors of the pairs, T how they share beads
    l          4 / q_mean, the Laplacian of q (a distance between two free beads in three dimensions)
    d          <(q - q_mean)^T C^-1 B B^T>, the divergence of the metric: d_k = sum_i dG_ik/dq_i; 0 for a single pair

To second order in sigma / q, noise sigma turns the covariance in a frame into S(x) = C + sigma^2 G(x) and moves the mean by
sigma^2 l / 2. The energy

    U(x, sigma) = (q - m)^T S(x)^-1 (q - m) / 2 + ln det S(x) / 2,    m = q_mean - C <G>^-1 (l - d) - sigma^2 l / 2

has these moments: m follows from Stein's identity <grad U . grad q> = <Laplacian q>, which needs no Jacobian J of the
coordinates q (G^-1 (l - d) is the gradient of ln J). For one pair it is the expansion of the exact solution (r p(r) obeys
the heat equation): (r - r0)^2/(2 S^2) + ln r, S^2 = s^2 + 2 sigma^2. Noise that is no longer small beside a distance turns
its pair: G is that of the pairs before the noise, whose mean direction given the noised one is the Langevin function of
k = q q_mean / (2 sigma^2) times u; here k / (1 + (1 + k^2)^1/2), which differs from it by at most .1 and is smooth at q = 0.

`rest` is m at sigma = 0. Read off there it is corrected, once trained, for the network's mean force along q (`corrected`).
"""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ..fields import over_frames
from ..geometry import distances
from ..molecule import Molecule
from .term import AbstractTerm, candidates, fade_length, fading, frame_distances, single_narrow_peaks, thinned

MAX_RELATIVE_WIDTH = 0.06
_MIN_METRIC = 1e-3  # added to G: distances that depend on each other (three beads in line) have none of their own
_TINY = 1e-12  # nm^4; of a root, whose slope at 0 is infinite
_CHUNK = 2e6  # numbers of G held at a time
MIN_WIDTH = 5e-4  # nm; what is narrower (a constraint, frames all alike) no time step of some fs can follow


class StiffDistances(AbstractTerm):
    """Joint Gaussian of the stiff distances, normalised, exact in sigma while sigma is small beside a bond."""

    pairs: Int[Array, "m 2"]
    mean: Float[Array, " m"]
    covariance: Float[Array, "m m"]
    precision: Float[Array, "m m"]
    rest: Float[Array, " m"]
    fade: Float[Array, ""]
    correction: Float[Array, "2 m"]

    @property
    def size(self) -> int:
        """Number of distances."""
        return len(self.pairs)

    def __call__(self, x: Float[Array, "n 3"], sigma: Float[Array, ""]) -> Float[Array, ""]:
        """Energy in kT at noise `sigma` (nm)."""
        square = sigma * sigma
        root = jnp.linalg.cholesky(self.covariance + square * self.metric(x, sigma))
        gap = distances(x, self.pairs) - self.rest + 2 * square / self.mean
        white = jax.scipy.linalg.solve_triangular(root, gap, lower=True)
        return fading(sigma, self.fade) * (0.5 * jnp.sum(white * white) + jnp.sum(jnp.log(jnp.diagonal(root))))

    def metric(self, x: Float[Array, "n 3"], sigma: Float[Array, ""]) -> Float[Array, "m m"]:
        """G of the frame that `x` was before noise `sigma` (nm), as far as `x` tells."""
        return _metric(x, sigma, self.pairs, self.mean)

    def read_off(self, x: Float[Array, "n 3"], level: Float[Array, ""]) -> Float[Array, ""]:
        """Energy in kT at sigma = 0, to stand beside a network at noise `level` (nm) that it was `corrected` for."""
        gap = distances(x, self.pairs) - self.rest - self.correction[0] - level * level * self.correction[1]
        return 0.5 * gap @ self.precision @ gap

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
        C <G>^-1 r. 1-3 distances stay as they are: the network's own curvature along them is no longer small beside C^-1.
        """
        bonds = (np.asarray(self.pairs)[:, None] == np.sort(molecule.bond_pairs)).all(-1).any(-1)

        def missing(y: Array, level: Array) -> Array:
            q, along = jax.jvp(lambda z: distances(z, self.pairs), (y,), (score(y, level),))
            return along + 4 / q

        mean = jax.jit(lambda level: over_frames(lambda y: missing(y, level), x).mean(axis=0))
        metric, _ = mean_metric(np.asarray(x), self.pairs, self.mean)
        response = np.linalg.solve(metric, np.asarray(self.covariance)).T  # C <G>^-1
        moved = np.stack([bonds * (response @ np.asarray(mean(jnp.float32(level)))) for level in levels])
        powers = np.stack([np.ones(len(levels)), np.square(levels)], axis=1)
        change = np.linalg.lstsq(powers, -moved, rcond=None)[0]
        return eqx.tree_at(lambda term: term.correction, self, self.correction + jnp.asarray(change, jnp.float32))

    @staticmethod
    def zeros(size: int) -> "StiffDistances":
        """Of the shapes that `fit` gives for so many distances, all zero."""
        vector, table = jnp.zeros(size), jnp.zeros((size, size))
        pairs, correction = jnp.zeros((size, 2), jnp.int32), jnp.zeros((2, size))
        return StiffDistances(pairs, vector, table, table, vector, jnp.zeros(()), correction)

    @staticmethod
    def fit(molecule: Molecule, x: Float[np.ndarray, "f n 3"]) -> "StiffDistances":
        """Fit to frames `x` (nm): choose the stiff pairs (`stiff_pairs`) and solve for their joint Gaussian."""
        pairs = stiff_pairs(molecule, x)
        if not len(pairs):
            return StiffDistances.zeros(0)
        q = frame_distances(x, pairs)
        mean = q.mean(axis=0)
        cov = floored(np.cov(q, rowvar=False).reshape(len(pairs), len(pairs)), MIN_WIDTH**2)
        metric, divergence = mean_metric(thinned(x), pairs, mean, np.linalg.solve(cov, thinned(q - mean).T).T)
        f32 = lambda a: jnp.asarray(a, jnp.float32)
        return StiffDistances(
            jnp.asarray(pairs, jnp.int32),
            f32(mean),
            f32(cov),
            f32(np.linalg.inv(cov)),
            f32(mean - cov @ np.linalg.solve(metric, 4 / mean - divergence)),
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


def floored(matrix: Float[np.ndarray, "m m"], least: float) -> Float[np.ndarray, "m m"]:
    """The symmetric `matrix`, itself where no eigenvalue is below `least`, else with those raised to it."""
    values, vectors = np.linalg.eigh(matrix)
    return matrix if values[0] >= least else (vectors * np.maximum(values, least)) @ vectors.T


def _metric(
    x: Float[Array, "n 3"], sigma: Float[Array, ""], pairs: Int[Array, "m 2"], mean: Float[Array, " m"]
) -> Float[Array, "m m"]:
    i, j = pairs.T
    same = lambda a, b: jnp.asarray(a[:, None] == b[None, :], x.dtype)
    shared = same(i, i) + same(j, j) - same(i, j) - same(j, i)
    v, blur = x[i] - x[j], 2 * sigma * sigma
    turned = jnp.sqrt(blur**2 + mean**2 * jnp.sum(v * v, axis=-1) + _TINY)
    u = v * (mean / (blur + turned))[:, None]
    own = np.eye(len(pairs), dtype=np.float32)
    return shared * ((1 - own) * (u @ u.T) + own) + _MIN_METRIC * own


def mean_metric(
    x: Float[np.ndarray, "f n 3"],
    pairs: Int[np.ndarray, "m 2"] | Int[Array, "m 2"],
    mean: Float[np.ndarray, " m"] | Float[Array, " m"],
    a: Float[np.ndarray, "f m"] | None = None,
) -> tuple[Float[np.ndarray, "m m"], Float[np.ndarray, " m"]]:
    """<G> over frames without noise, and <(G - <G>) a> for what is given with every frame; some frames at a time."""
    a = np.zeros((len(x), len(pairs))) if a is None else a
    pairs, mean = jnp.asarray(pairs), jnp.asarray(mean, jnp.float32)

    @jax.jit
    def sums(x: Array, a: Array) -> tuple[Array, Array]:
        g = jax.vmap(lambda y: _metric(y, jnp.zeros(()), pairs, mean))(x)
        return g.sum(axis=0), jnp.einsum("fij,fj->i", g, a)

    total, weighted = np.zeros((len(pairs), len(pairs))), np.zeros(len(pairs))
    size = max(1, int(_CHUNK / len(pairs) ** 2))
    for start in range(0, len(x), size):
        g, ga = sums(jnp.asarray(x[start : start + size]), jnp.asarray(a[start : start + size], jnp.float32))
        total += g
        weighted += ga
    return total / len(x), weighted / len(x) - total / len(x) @ a.mean(axis=0)
