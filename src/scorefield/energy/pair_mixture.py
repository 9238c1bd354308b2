r"""Distances with several narrow peaks, such as a protein's C-alpha 1-3 distances: helix at 0.55 nm and strand at 0.65 nm.

The vector between two beads with a spherically symmetric density f(r) stays so under noise, and r f obeys the heat equation
in one dimension, with the variance 2 sigma^2 of noise on both ends. So a peak that is a Gaussian in r f stays one:

    r0, s, w  centre and width (nm) at sigma = 0, and weight, of a component;  S^2 = s^2 + 2 sigma^2
    f(r)      = sum_k w_k [exp(-(r - r0)^2 / 2 S^2) - exp(-(r + r0)^2 / 2 S^2)] / (4 pi sqrt(2 pi) r0 S r)

which is exact, integrates to 1 over space at every sigma, and is finite at r = 0 (the second exponential is the image that
keeps r f odd). The energy is -ln f. Components are fitted by EM to the histogram of r with weights 1/r, which is that of
r f; their number has the least BIC.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ..geometry import distances
from ..molecule import Molecule
from .stiff import MAX_RELATIVE_WIDTH, stiff_pairs
from .term import AbstractTerm, candidates, fade_length, fading, frame_distances, log_shrink

MAX_COMPONENTS = 3
MAX_VALLEY = 0.8
_BINS, _BLOCKS = 200, 50
_SWEEPS, _CONVERGED = 500, 1e-3  # of EM; gain in log likelihood
_NO_WEIGHT = -1e4  # log weight of a component that is not there


class Components(NamedTuple):
    """Gaussian peaks of the density of r f: weights that sum to 1, centres and widths in nm."""

    weights: Float[np.ndarray, " k"]
    centres: Float[np.ndarray, " k"]
    widths: Float[np.ndarray, " k"]

    def __call__(self, r: Float[np.ndarray, " b"]) -> Float[np.ndarray, "b k"]:
        """The density of r f, split by component."""
        z = (r[:, None] - self.centres) / self.widths
        return self.weights * np.exp(-0.5 * z * z) / (np.sqrt(2 * np.pi) * self.widths)


class PairMixture(AbstractTerm):
    """-ln f of every distance with several peaks, less the terms that do not depend on x or sigma."""

    pairs: Int[Array, "m 2"]
    log_weights: Float[Array, "m k"]
    centres: Float[Array, "m k"]
    widths: Float[Array, "m k"]
    fade: Float[Array, ""]

    @property
    def size(self) -> int:
        """Number of distances."""
        return len(self.pairs)

    def __call__(self, x: Float[Array, "n 3"], sigma: Float[Array, ""]) -> Float[Array, ""]:
        """Energy in kT at noise `sigma` (nm)."""
        r = distances(x, self.pairs)[:, None]
        square = self.widths**2 + 2 * sigma**2
        quadratic = 0.5 * (r - self.centres) ** 2 / square
        log_f = self.log_weights - 1.5 * jnp.log(square) - quadratic + log_shrink(2 * r * self.centres / square)
        return -fading(sigma, self.fade) * jnp.sum(jax.nn.logsumexp(log_f, axis=1))

    @staticmethod
    def zeros(size: int) -> "PairMixture":
        """Of the shapes that `fit` gives for so many distances, all zero."""
        table = jnp.zeros((size, MAX_COMPONENTS))
        return PairMixture(jnp.zeros((size, 2), jnp.int32), table, table, table, jnp.zeros(()))

    @staticmethod
    def fit(molecule: Molecule, x: Float[np.ndarray, "f n 3"]) -> "PairMixture":
        """Mixtures for those bonds and 1-3 distances that are not stiff and have `peaks`."""
        stiff = {tuple(pair) for pair in stiff_pairs(molecule, x)}
        pairs = candidates(molecule)
        pairs = pairs[[tuple(pair) not in stiff for pair in pairs]] if len(pairs) else pairs
        found = [(pair, peaks(r)) for pair, r in zip(pairs, frame_distances(x, pairs).T, strict=True)]
        found = [(pair, mixture) for pair, mixture in found if mixture is not None]
        if not found:
            return PairMixture.zeros(0)
        log_weights, centres, widths = np.array([_padded(mixture) for _, mixture in found]).transpose(1, 0, 2)
        f32 = lambda a: jnp.asarray(a, jnp.float32)
        chosen = jnp.asarray(np.array([pair for pair, _ in found]), jnp.int32)
        return PairMixture(chosen, f32(log_weights), f32(centres), f32(widths), f32(fade_length(molecule, x)))


def peaks(r: Float[np.ndarray, " f"]) -> Components | None:
    """The narrow peaks of distances `r` (nm, in time order); None if there are not several.

    Criterion: of 1 to `MAX_COMPONENTS` components the number with the least BIC, counting decorrelated frames only, is at
    least 2; no component is wider than `MAX_RELATIVE_WIDTH` of its centre; and the density has at least two maxima, with a
    valley between them at most `MAX_VALLEY` as high as the lower one. What fails it is flat, broad or a skewed single peak.
    """
    counts, edges = np.histogram(r, _BINS)
    middle = (edges[1:] + edges[:-1]) / 2
    weight = counts / np.maximum(middle, 1e-6)
    weight *= _n_decorrelated(r) / weight.sum()
    fits = [_em(middle, weight, k) for k in range(1, MAX_COMPONENTS + 1)]
    bic = [(3 * k + 2) * np.log(weight.sum()) - 2 * log_likelihood for k, (_, log_likelihood) in enumerate(fits)]
    best = fits[int(np.argmin(bic))][0]
    narrow = (best.widths <= MAX_RELATIVE_WIDTH * best.centres).all()
    return best if narrow and _has_valley(best(middle).sum(axis=1)) else None


def _n_decorrelated(r: Float[np.ndarray, " f"]) -> float:
    """How many independent frames have a mean of `r` as uncertain as these: by the variance of means of blocks."""
    blocks = np.array_split(r, min(_BLOCKS, len(r)))
    inefficiency = np.var([block.mean() for block in blocks], ddof=1) * len(blocks[0]) / max(np.var(r), 1e-30)
    return len(r) / max(1.0, float(inefficiency))


def _em(r: Float[np.ndarray, " b"], weight: Float[np.ndarray, " b"], k: int) -> tuple[Components, float]:
    """The likeliest `k` components of bins `r` with `weight`, and their log likelihood.

    From two starts: segments of equal population, and of equal length, which finds a small peak far off.
    """
    by_population = np.searchsorted(np.arange(1, k) / k, np.cumsum(weight) / weight.sum())
    by_length = np.searchsorted(np.arange(1, k) / k, np.linspace(0, 1, len(r)))
    fits = [_ascend(r, weight, np.eye(k)[start]) for start in (by_population, by_length)]
    return max(fits, key=lambda fit: fit[1])


def _ascend(
    r: Float[np.ndarray, " b"], weight: Float[np.ndarray, " b"], share: Float[np.ndarray, "b k"]
) -> tuple[Components, float]:
    width = r[1] - r[0]
    components, before, log_likelihood = Components(*np.ones((3, share.shape[1]))), -np.inf, -np.inf
    for _ in range(_SWEEPS):
        mass = weight[:, None] * share
        amount = np.maximum(mass.sum(axis=0), 1e-12)
        centres = r @ mass / amount
        # A component may not shrink onto one bin, where the likelihood has no bound.
        variances = np.maximum(((r[:, None] - centres) ** 2 * mass).sum(axis=0) / amount, width**2)
        components = Components(amount / amount.sum(), centres, np.sqrt(variances))
        density = components(r)
        total = np.maximum(density.sum(axis=1), 1e-300)
        share, before, log_likelihood = density / total[:, None], log_likelihood, float(weight @ np.log(total))
        if log_likelihood < before + _CONVERGED:
            break
    return components, log_likelihood


def _has_valley(density: Float[np.ndarray, " b"]) -> bool:
    """Whether somewhere both sides rise above the density by more than 1 / MAX_VALLEY."""
    left, right = np.maximum.accumulate(density), np.maximum.accumulate(density[::-1])[::-1]
    return bool((density <= MAX_VALLEY * np.minimum(left, right)).any())


def _padded(mixture: Components) -> tuple[np.ndarray, ...]:
    """Log weights of f (those of r f times r0), centres and widths, filled up to `MAX_COMPONENTS`."""
    missing = MAX_COMPONENTS - len(mixture.weights)
    weights = mixture.weights * mixture.centres
    log_weights = np.pad(np.log(weights / weights.sum()), (0, missing), constant_values=_NO_WEIGHT)
    return log_weights, *(np.pad(a, (0, missing), mode="edge") for a in (mixture.centres, mixture.widths))
