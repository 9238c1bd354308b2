"""Metrics of the whole molecule's shape: distances, contacts, radius of gyration."""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float, Int

from ..distributions import frame_weights, histogram, jensen_shannon
from ..observables import far_distances, far_pairs, radii_of_gyration
from ..trajectory import Trajectory
from ..units import ANGSTROM
from .base import UNSEEN, Metric

_BIN = 0.1 * ANGSTROM  # nm
_CONTACT = 8 * ANGSTROM  # nm
_OVERLAP = 0.001  # share of the reference's frames that count as overlapping


def _bins(values: np.ndarray, n_bins: int) -> np.ndarray:
    """Bin numbers, the last for all that lies beyond.

    Where the reference is empty the divergence does not depend on the bins, so one bin serves beyond its largest value.
    """
    return np.minimum(values / _BIN, n_bins - 1).astype(np.int64)


def _distance_js(candidate: Trajectory, reference: Trajectory) -> float:
    n_bins = int(max(np.max(r) for _, r in far_distances(reference)) / _BIN) + 2

    def bins(trajectory: Trajectory) -> Iterator[tuple[slice, np.ndarray]]:
        return ((frames, _bins(r, n_bins)) for frames, r in far_distances(trajectory))

    p, q = (histogram(bins(t), n_bins, frame_weights(t)) for t in (candidate, reference))
    return float(np.mean(jensen_shannon(p, q)))


def distance_js_to(candidate: Trajectory, histograms: Sequence[Int[np.ndarray, " b"]]) -> float:
    """`distance_js` to published `histograms`: counts for every pair |i - j| >= 3, in bins of 0.1 Angstrom from 0."""
    n_bins = max(map(len, histograms)) + 1  # the last for all that lies beyond
    bins = ((frames, _bins(r, n_bins)) for frames, r in far_distances(candidate))
    p = histogram(bins, n_bins, frame_weights(candidate))
    q = np.stack([np.pad(h / h.sum(), (0, n_bins - len(h))) for h in histograms])
    return float(np.mean(jensen_shannon(p, q)))


def _scalar_js(a: np.ndarray, b: np.ndarray, candidate: Trajectory, reference: Trajectory) -> float:
    n_bins = int(np.max(b) / _BIN) + 2
    p, q = (
        histogram([(slice(None), _bins(values, n_bins)[:, None])], n_bins, frame_weights(t))
        for values, t in ((a, candidate), (b, reference))
    )
    return float(jensen_shannon(p, q)[0])


def _rg_js(candidate: Trajectory, reference: Trajectory) -> float:
    return _scalar_js(radii_of_gyration(candidate), radii_of_gyration(reference), candidate, reference)


def contact_probabilities(trajectory: Trajectory) -> Float[np.ndarray, " k"]:
    """The probability that each of `far_pairs` is nearer than 8 Angstrom."""
    weights, total = frame_weights(trajectory), np.zeros(len(far_pairs(trajectory.molecule)))
    for frames, r in far_distances(trajectory):
        total += weights[frames] @ (r < _CONTACT)
    return total


def mean_distances(trajectory: Trajectory) -> Float[np.ndarray, " k"]:
    """The mean distance in nm of each of `far_pairs`."""
    weights = frame_weights(trajectory)
    return np.sum([weights[frames] @ r for frames, r in far_distances(trajectory)], axis=0)


def _contact_error(candidate: Trajectory, reference: Trajectory) -> float:
    difference = contact_probabilities(candidate) - contact_probabilities(reference)
    return float(np.sqrt(np.mean(difference**2)))


def _nearest(trajectory: Trajectory) -> Float[np.ndarray, " f"]:
    """Of every frame the smallest distance in nm of `far_pairs`."""
    return np.concatenate([r.min(axis=1) for _, r in far_distances(trajectory)])


def _overlap(candidate: Trajectory, reference: Trajectory) -> float:
    true = _nearest(reference)
    order = np.argsort(true)
    below = np.cumsum(frame_weights(reference)[order])
    least = true[order][np.searchsorted(below, _OVERLAP)]
    return max(0.0, float(frame_weights(candidate) @ (_nearest(candidate) < least)) - _OVERLAP)


DISTANCE_JS = Metric(
    title="Bead distances",
    question="Are beads as far from each other?",
    topic="conformations",
    definition="Jensen-Shannon divergence of the distance distributions of bead pairs with |i - j| >= 3, natural "
    "logarithm, no square root; bins of 0.1 Å from 0, mean over pairs",
    unit="",
    function=_distance_js,
    applies=lambda molecule: len(far_pairs(molecule)) > 0,
    tolerance=UNSEEN,
)
RG_JS = Metric(
    title="Radius of gyration",
    question="Is it as compact?",
    topic="conformations",
    definition="Jensen-Shannon divergence of the distributions of the radius of gyration (all beads alike), natural "
    "logarithm, no square root; bins of 0.1 Å",
    unit="",
    function=_rg_js,
    applies=lambda molecule: True,
    tolerance=UNSEEN,
)
CONTACT_ERROR = Metric(
    title="Contacts",
    question="Are the same contacts made, as often?",
    topic="conformations",
    definition="root mean square difference of the contact probabilities (nearer than 8 Å) of bead pairs with "
    "|i - j| >= 3",
    unit="",
    function=_contact_error,
    applies=lambda molecule: molecule.n_beads >= 7,  # fewer bonded beads never leave 8 Å
)
OVERLAP = Metric(
    title="Overlaps",
    question="Do beads stay out of each other?",
    topic="conformations",
    definition="share of frames in which a bead pair with |i - j| >= 3 is nearer than any is in all but 1 in 1000 of the "
    "reference's frames, less that 1 in 1000; 0 if fewer",
    unit="",
    function=_overlap,
    applies=lambda molecule: len(far_pairs(molecule)) > 0,
    tolerance=0.01,
)
