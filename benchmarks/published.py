"""Samples against training frames as the literature compares them (arXiv 2506.17139, code noegroup/ScoreMD)."""

import numpy as np
from jaxtyping import Float

from scorefield.distributions import jensen_shannon
from scorefield.observables import phi_psi
from scorefield.trajectory import Trajectory

FRAMES = 120_000
JS_BINS = 64  # between the least and largest value of both sets
PMF_BINS = 62  # of [-pi, pi)
LEAST_PROBABILITY = 1e-6


def as_published(candidate: Trajectory, training: Trajectory) -> dict[str, float]:
    """Jensen-Shannon divergence of (phi, psi), and the squared difference of ln p weighted by the mean of both p, kT^2.

    120,000 frames of the candidate (or all there are) against all training frames, for a molecule with one residue.
    """
    a, b = (phi_psi(t)[:, 0].astype(np.float64) for t in (candidate.thin(FRAMES), training))
    both = np.concatenate([a, b])
    limits = [(low, high) for low, high in zip(both.min(axis=0), both.max(axis=0), strict=True)]
    js = jensen_shannon(*(_probabilities(v, JS_BINS, limits).ravel() for v in (a, b)))
    p, q = (_probabilities(v, PMF_BINS, [(-np.pi, np.pi)] * 2) for v in (a, b))
    difference = np.log(np.where(p > 0, p, LEAST_PROBABILITY)) - np.log(np.where(q > 0, q, LEAST_PROBABILITY))
    return {
        "dihedral_js_published": round(float(js), 6),
        "pmf_error_published": round(float(np.sum((p + q) / 2 * difference**2)), 6),
        "frames_published": len(a),
    }


def _probabilities(
    angles: Float[np.ndarray, "f 2"], n_bins: int, limits: list[tuple[float, float]]
) -> Float[np.ndarray, "b b"]:
    counts, _, _ = np.histogram2d(*angles.T, bins=n_bins, range=limits)
    return counts / counts.sum()
