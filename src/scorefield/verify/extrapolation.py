"""How far simulated frames are from the training data, beside held-out frames.

Distance of two frames: the root mean square difference of their pair distances, in nm. It ignores rotations,
translations and mirror images.
"""

import numpy as np
from jaxtyping import Float, Int

from ..geometry import all_pairs
from ..trajectory import Trajectory
from .base import Check, Context, finite

_THRESHOLD, _QUANTILE = 0.01, 0.999
_MOST_PAIRS = 300
_BINS, _CHUNK = 60, 256


def extrapolation(context: Context) -> Check:
    """The share of simulated frames farther from the training data than the 99.9th percentile of held-out frames."""
    if context.simulated is None:
        return _check(None, "every replica was lost at once", {})
    known, held_out, what = _known(context)
    pairs = _pairs(context.model.molecule.n_beads, context.seed)
    known = known.thin(context.sizes.training_frames)
    near, far = (
        nearest_distance(t.thin(context.sizes.held_out_frames).positions, known.positions, pairs)
        for t in (held_out, context.simulated)
    )
    limit = float(np.quantile(near, _QUANTILE))
    share = float(np.mean(far > limit))
    edges = np.linspace(0, 1.02 * max(near.max(), far.max()), _BINS + 1)
    details = {
        "limit_nm": limit,
        "edges_nm": finite(edges),
        "held_out": finite(np.histogram(near, edges, density=True)[0]),
        "simulated": finite(np.histogram(far, edges, density=True)[0]),
        "median_held_out_nm": float(np.median(near)),
        "median_simulated_nm": float(np.median(far)),
        "largest_simulated_nm": float(far.max()),
        "training_frames": known.n_frames,
        "compared_with": what,
    }
    finding = f"{100 * share:.2f}% of simulated frames are farther than {limit:.4f} nm from the nearest of "
    return _check(share, finding + f"{known.n_frames:,} {what}; the farthest {far.max():.4f} nm", details)


def _check(share: float | None, finding: str, details: dict) -> Check:
    return Check(
        name="extrapolation",
        title="Within the training data",
        value=share,
        threshold=_THRESHOLD,
        passed=share is not None and share <= _THRESHOLD,
        reason="0.1% of held-out frames are that far by definition; ten times as many mean that the simulation goes where "
        "nothing was learned",
        finding=finding,
        details=details,
    )


def _known(context: Context) -> tuple[Trajectory, Trajectory, str]:
    """Frames that count as known, frames to compare with, and what the first are called."""
    dataset = context.dataset
    if dataset is not None:
        for split, what in (("train", "training frames"), ("validation", "validation frames")):
            chains = [i for i, its_split in enumerate(dataset.splits) if its_split == split]
            if chains:
                return dataset.trajectory.select_chains(chains), context.reference, what
    x = np.asarray(context.reference.positions)
    rest = np.arange(len(x)) % 5 != 0
    molecule, T = context.model.molecule, context.model.temperature
    whole = [Trajectory(molecule, part, (len(part),), T) for part in (x[rest], x[~rest])]
    return whole[0], whole[1], "test frames" if dataset is not None else "samples of the model (no --reference)"


def _pairs(n_beads: int, seed: int) -> Int[np.ndarray, "k 2"]:
    """All bead pairs, or 300 of them drawn at random: enough to tell conformations apart."""
    pairs = all_pairs(n_beads)
    if len(pairs) <= _MOST_PAIRS:
        return pairs
    return pairs[np.sort(np.random.default_rng(seed).choice(len(pairs), _MOST_PAIRS, replace=False))]


def nearest_distance(
    x: Float[np.ndarray, "f n 3"], known: Float[np.ndarray, "g n 3"], pairs: Int[np.ndarray, "k 2"]
) -> Float[np.ndarray, " f"]:
    """Distance (nm) of every frame of `x` to the nearest of `known`, over `pairs` of beads."""
    a, b = _distances(x, pairs), _distances(known, pairs)
    middle = b.mean(axis=0)
    b32 = (b - middle).astype(np.float32)
    half = 0.5 * np.einsum("gk,gk->g", b32, b32)
    found = np.empty(len(a))
    for start in range(0, len(a), _CHUNK):
        part = a[start : start + _CHUNK]
        nearest = np.argmin(half - (part - middle).astype(np.float32) @ b32.T, axis=1)
        # the difference of large numbers finds the neighbour, not the distance
        found[start : start + _CHUNK] = np.sqrt(np.mean((part - b[nearest]) ** 2, axis=1))
    return found


def _distances(x: Float[np.ndarray, "f n 3"], pairs: Int[np.ndarray, "k 2"]) -> Float[np.ndarray, "f k"]:
    x = np.asarray(x, np.float64)
    return np.linalg.norm(x[:, pairs[:, 0]] - x[:, pairs[:, 1]], axis=-1)
