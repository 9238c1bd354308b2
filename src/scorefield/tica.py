"""Slow coordinates by time-lagged independent component analysis (TICA), fitted on a reference and applied to all.

Of all linear combinations of features, TICA finds those with the largest autocorrelation at a lag tau (Molgedey and
Schuster 1994; Perez-Hernandez et al. 2013): C(tau) v = lambda C(0) v, timescale t = -tau / ln lambda. Features are all
distances |i - j| >= 3 and the sines and cosines of the dihedrals along bonds, so that mirror images differ.

Before it, features are standardised and cut to their first principal components. Without that a few thousand frames
are fitted, not described: for BBA (28 beads, 4,000 frames, 375 features) the slowest component has a timescale of 551
frames where it was fitted and 156 in other chains; from 40 principal components 329 and 131.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from deeptime.decomposition import TICA
from jaxtyping import Float, Int

from .equilibrium import autocorrelation_time, main_coordinates
from .memo import remembered
from .observables import chunk_slices, far_pairs
from .trajectory import Trajectory

COMPONENTS = 4
"""Slow coordinates that are kept."""

_PRINCIPAL = 40
_MOST_PAIRS = 1500  # distances of larger molecules are those between every second, third ... bead
_RELAXATION = 8  # the lag is so small a part of the longest autocorrelation time
_LEAST_RELAXATION = 3.0  # frames
_LEAST_PAIRS = 1000  # of frames a lag apart, and


@dataclass(frozen=True, eq=False)
class SlowCoordinates:
    """A linear map from features to the slowest coordinates, scaled to a kinetic map (variance lambda², reference).

    Attributes: bead `pairs` and `quads` of the features, their `mean`, the `matrix` to the coordinates, slowest first;
    `lag` in frames, `interval` in ps, `timescales` in ps at this lag.
    """

    pairs: Int[np.ndarray, "p 2"]
    quads: Int[np.ndarray, "q 4"]
    mean: Float[np.ndarray, " c"]
    matrix: Float[np.ndarray, "c d"]
    lag: int
    interval: float
    timescales: Float[np.ndarray, " d"]

    def __call__(self, trajectory: Trajectory) -> Float[np.ndarray, "f d"]:
        """The coordinates of every frame."""
        return _projected(trajectory, self.pairs, self.quads, self.mean, self.matrix)


def relaxation(trajectory: Trajectory) -> float:
    """The longest autocorrelation time of the main coordinates, in frames; 1/2 for independent frames."""
    starts = np.cumsum(trajectory.chain_lengths)[:-1]
    values = main_coordinates(trajectory).values()
    return max((autocorrelation_time(np.split(np.asarray(a, float), starts))[0] for a in values), default=0.5)


@remembered
def fit_obstacle(reference: Trajectory) -> str | None:
    """Why slow coordinates cannot be had from these frames, in one sentence; "" where nobody expects them."""
    interval = reference.interval
    if interval is None or reference.weights is not None or reference.molecule.n_beads < 4:
        return ""
    slowest = relaxation(reference)
    if slowest < _LEAST_RELAXATION:
        return (
            f"the reference has a frame every {interval:g} ps and forgets within {slowest * interval:.3g} ps: too coarse "
            "in time for slow coordinates and kinetics"
        )
    lag = lag_of(reference)
    pairs = sum(max(0, n - lag) for n in reference.chain_lengths)
    if pairs < _LEAST_PAIRS:
        return (
            f"the reference has too few frames for a lag of {lag * interval:g} ps: {pairs} pairs of frames that far apart, "
            f"should be {_LEAST_PAIRS} or more; no slow coordinates and no kinetics"
        )
    return None


@remembered
def lag_of(reference: Trajectory) -> int:
    """The lag in frames: an eighth of the longest autocorrelation time, at least one frame."""
    return max(1, round(relaxation(reference) / _RELAXATION))


@remembered
def slow_coordinates(reference: Trajectory) -> SlowCoordinates:
    """TICA of a reference for which `fit_obstacle` is None."""
    assert reference.interval is not None, "fit_obstacle"
    lag, pairs, quads = lag_of(reference), _feature_pairs(reference), reference.molecule.dihedral_quads
    mean, principal = _principal(reference, pairs, quads)
    y = _projected(reference, pairs, quads, mean, principal)
    estimator = TICA(lagtime=lag, dim=min(COMPONENTS, y.shape[1]), scaling=None)
    for chain in np.split(y, np.cumsum(reference.chain_lengths)[:-1]):
        if len(chain) > lag:
            estimator.partial_fit((chain[:-lag], chain[lag:]))
    model = estimator.fetch_model()
    assert model is not None, "fit_obstacle"
    scale = model.singular_values[: model.output_dimension]
    matrix = np.asarray(model.instantaneous_coefficients)[:, : model.output_dimension] * scale
    matrix *= np.sign(matrix[np.argmax(np.abs(matrix), axis=0), np.arange(matrix.shape[1])])  # the sign means nothing
    timescales = reference.interval * np.asarray(model.timescales(lag))[: matrix.shape[1]]
    return SlowCoordinates(pairs, quads, mean, principal @ matrix, lag, reference.interval, timescales)


def _feature_pairs(reference: Trajectory) -> Int[np.ndarray, "p 2"]:
    pairs, step = far_pairs(reference.molecule), 1
    while len(pairs) > _MOST_PAIRS:
        step += 1
        pairs = far_pairs(reference.molecule)
        pairs = pairs[(pairs % step == 0).all(axis=1)]
    return pairs


def features(
    trajectory: Trajectory, pairs: Int[np.ndarray, "p 2"], quads: Int[np.ndarray, "q 4"]
) -> Iterator[tuple[slice, Float[np.ndarray, "f k"]]]:
    """Yield (slice of frames, features): distances in nm, then cosines, then sines of dihedrals (0 where collinear)."""
    for frames in chunk_slices(trajectory.n_frames, 3 * (len(pairs) + 4 * len(quads))):
        x = np.asarray(trajectory.positions[frames], float)
        r = np.linalg.norm(x[:, pairs[:, 0]] - x[:, pairs[:, 1]], axis=2)
        b1, b2, b3 = (x[:, quads[:, k + 1]] - x[:, quads[:, k]] for k in range(3))
        n1, n2 = np.cross(b1, b2), np.cross(b2, b3)
        along = np.einsum("fqi,fqi->fq", n1, n2)
        across = np.linalg.norm(b2, axis=2) * np.einsum("fqi,fqi->fq", b1, n2)
        size = np.maximum(np.hypot(along, across), 1e-12)
        yield frames, np.concatenate([r, along / size, across / size], axis=1)


def _principal(reference: Trajectory, pairs: np.ndarray, quads: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The features' mean, and the matrix to the first principal components of the standardised features."""
    first, second = 0.0, 0.0
    for _, values in features(reference, pairs, quads):
        first, second = first + values.sum(axis=0), second + values.T @ values
    mean = np.asarray(first) / reference.n_frames
    covariance = np.asarray(second) / reference.n_frames - np.outer(mean, mean)
    spread = np.sqrt(np.maximum(np.diag(covariance), 0))
    inverse = np.where(spread > 1e-6, 1 / np.maximum(spread, 1e-6), 0.0)  # constraints do not vary
    variances, vectors = np.linalg.eigh(covariance * inverse * inverse[:, None])
    kept = np.argsort(-variances)[:_PRINCIPAL]
    kept = kept[variances[kept] > 1e-6 * variances.max()]
    return mean, inverse[:, None] * vectors[:, kept]


def _projected(
    trajectory: Trajectory, pairs: np.ndarray, quads: np.ndarray, mean: np.ndarray, matrix: np.ndarray
) -> Float[np.ndarray, "f d"]:
    projected = np.empty((trajectory.n_frames, matrix.shape[1]))
    for frames, values in features(trajectory, pairs, quads):
        projected[frames] = (values - mean) @ matrix
    return projected
