"""Statistics of weighted samples: histograms, divergences between them, and errors of means over chains.

Samples come frames first, one column a coordinate; `weights` sum to 1 over frames. Probabilities come one row a
coordinate and sum to 1 over bins. Natural logarithms.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Float, Int

from .trajectory import Trajectory

_LEAST_BLOCKS = 10


def frame_weights(trajectory: Trajectory) -> Float[np.ndarray, " f"]:
    """The frames' weights, normalised; equal where the trajectory has none."""
    n = trajectory.n_frames
    weights = np.ones(n) if trajectory.weights is None else np.asarray(trajectory.weights, float)
    return weights / weights.sum()


def effective_frames(trajectory: Trajectory) -> float:
    """Kish's effective number of frames, 1 / sum of squared normalised weights."""
    return float(1 / np.sum(frame_weights(trajectory) ** 2))


def histogram(
    chunks: Iterable[tuple[slice, Int[np.ndarray, "f k"]]], n_bins: int, weights: Float[np.ndarray, " f"]
) -> Float[np.ndarray, "k b"]:
    """Probabilities of bin numbers that come in chunks of frames; numbers >= `n_bins` count in the last bin."""
    alike = bool(np.all(weights == weights[0]))  # counting is several times faster than summing weights
    total: np.ndarray | None = None
    for frames, bins in chunks:
        k = bins.shape[1]
        flat = (np.clip(bins, 0, n_bins - 1) + n_bins * np.arange(k)).ravel()
        # ravel runs over frames, then columns; repeat gives each column its frame's weight
        counts = np.bincount(flat, None if alike else np.repeat(weights[frames], k), minlength=k * n_bins)
        total = counts if total is None else total + counts
    assert total is not None, "a trajectory has at least one frame"
    return (total * weights[0] if alike else total).reshape(-1, n_bins)


def periodic_histogram(
    angles: Float[np.ndarray, "f r 2"], n_bins: int, weights: Float[np.ndarray, " f"]
) -> Float[np.ndarray, "r b b"]:
    """Joint probabilities of pairs of angles (rad) on n_bins x n_bins bins of [-pi, pi)."""
    bins = np.floor((angles + np.pi) * (n_bins / (2 * np.pi))).astype(np.int64) % n_bins
    flat = bins[..., 0] * n_bins + bins[..., 1]
    return histogram([(slice(None), flat)], n_bins**2, weights).reshape(-1, n_bins, n_bins)


def jensen_shannon(p: Float[np.ndarray, "*k b"], q: Float[np.ndarray, "*k b"]) -> Float[np.ndarray, "*k"]:
    """Jensen-Shannon divergence over the last axis, natural logarithm, no square root: 0 to ln 2."""
    return (_entropy_to_mean(p, q) + _entropy_to_mean(q, p)) / 2


def _entropy_to_mean(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    some = p > 0
    ratio = np.where(some, p, 1.0) / np.where(some, (p + q) / 2, 1.0)
    return np.sum(p * np.log(ratio), axis=-1)


def wasserstein(
    a: Float[np.ndarray, " f"], b: Float[np.ndarray, " g"], wa: Float[np.ndarray, " f"], wb: Float[np.ndarray, " g"]
) -> float:
    """Wasserstein-1 distance of two weighted samples: the area between their cumulative distributions."""
    values = np.concatenate([a, b]).astype(float)
    order = np.argsort(values)
    difference = np.cumsum(np.concatenate([wa, -wb])[order])
    return float(np.sum(np.abs(difference[:-1]) * np.diff(values[order])))


def spread(values: Float[np.ndarray, "f k"], weights: Float[np.ndarray, " f"]) -> Float[np.ndarray, " k"]:
    """Weighted standard deviation of every column."""
    values = values.astype(float)
    return np.sqrt(weights @ (values - weights @ values) ** 2)


def chain_error(values: Float[np.ndarray, " f"], trajectory: Trajectory, resamples: int = 500) -> float | None:
    """Standard error of the mean of one value a frame: bootstrap over chains, the unit that is independent.

    None where fewer than 4 chains leave nothing to resample. The random numbers are fixed: same input, same error.
    """
    if trajectory.n_chains < 4:
        return None
    return float(
        np.std(_resampled_means(values, trajectory, [n for n in trajectory.chain_lengths if n > 0], resamples))
    )


def block_means(
    values: Float[np.ndarray, " f"], trajectory: Trajectory, resamples: int = 500
) -> Float[np.ndarray, " r"]:
    """Means of one value a frame over blocks drawn with replacement: their spread is the mean's standard error.

    A block is a chain or, where there are fewer than 10, an equal stretch of one (too small an error where stretches
    are shorter than it takes to forget). The random numbers are fixed: same input, same means.
    """
    return _resampled_means(values, trajectory, block_lengths(trajectory), resamples)


def block_lengths(trajectory: Trajectory) -> list[int]:
    """The blocks of `block_means`, in frames."""
    pieces = -(-_LEAST_BLOCKS // max(1, sum(n > 0 for n in trajectory.chain_lengths)))
    parts = (np.diff(np.linspace(0, n, min(pieces, n) + 1).astype(int)) for n in trajectory.chain_lengths if n > 0)
    return [int(n) for part in parts for n in part]


def _resampled_means(
    values: np.ndarray, trajectory: Trajectory, lengths: Sequence[int], resamples: int
) -> Float[np.ndarray, " r"]:
    starts = np.cumsum((0, *lengths[:-1]))
    weights = frame_weights(trajectory)
    sums, norms = np.add.reduceat(weights * values, starts), np.add.reduceat(weights, starts)
    drawn = np.random.default_rng(0).integers(len(starts), size=(resamples, len(starts)))
    return sums[drawn].sum(axis=1) / norms[drawn].sum(axis=1)
