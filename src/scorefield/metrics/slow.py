"""Metrics of slow motion, where it leads and how fast: for references whose frames are in time order."""

from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ..distributions import frame_weights, histogram, jensen_shannon
from ..kinetics import (
    dynamics,
    obstacle,
    population_error,
    populations,
    rank_correlation,
    relaxation_times,
    set_entries,
    timescale_errors,
)
from ..states import slow_frames, state_obstacle, state_space
from ..tica import fit_obstacle, slow_coordinates
from ..trajectory import Trajectory
from .base import Metric

BINS = 101


def tica_range(reference: Trajectory) -> Float[np.ndarray, "d 2"]:
    """Smallest and largest value of the reference's slow coordinates."""
    values = slow_frames(reference, reference)
    return np.stack([values.min(axis=0), values.max(axis=0)], axis=1)


def tica_bins(trajectory: Trajectory, reference: Trajectory) -> tuple[Int[np.ndarray, " f"], Int[np.ndarray, " f"]]:
    """Bin number on 101 x 101 bins of the first two slow coordinates, the number 101² outside; and which are outside."""
    ends = tica_range(reference)[:2]
    values = slow_frames(trajectory, reference)[:, :2]
    places = (values - ends[:, 0]) / np.maximum(ends[:, 1] - ends[:, 0], 1e-12)
    # the range comes from the same numbers, but from chunks of another size, which may round differently
    outside = np.any((places < -1e-6) | (places > 1 + 1e-6), axis=1)
    bins = np.clip((places * BINS).astype(int), 0, BINS - 1) @ (BINS ** np.arange(places.shape[1])[::-1])
    return np.where(outside, BINS**2, bins), np.flatnonzero(outside)


def tica_histogram(trajectory: Trajectory, reference: Trajectory) -> Float[np.ndarray, " b"]:
    """Probabilities on the 101 x 101 bins, and of what is outside."""
    bins, _ = tica_bins(trajectory, reference)
    return histogram([(slice(None), bins[:, None])], BINS**2 + 1, frame_weights(trajectory))[0]


def _tica_js(candidate: Trajectory, reference: Trajectory) -> float:
    return float(jensen_shannon(tica_histogram(candidate, reference), tica_histogram(reference, reference)))


def _tica_details(candidate: Trajectory, reference: Trajectory) -> dict[str, Any]:
    slow = slow_coordinates(reference)
    return {
        "lag_ps": slow.lag * slow.interval,
        "outside": float(tica_histogram(candidate, reference)[-1]),
        "tica_timescales_ps": [float(t) for t in slow.timescales],
    }


def _population_error(candidate: Trajectory, reference: Trajectory) -> float:
    return float(np.max(np.abs(populations(candidate, reference) - populations(reference, reference))))


def _population_details(candidate: Trajectory, reference: Trajectory) -> dict[str, Any]:
    return {
        "populations": populations(candidate, reference).tolist(),
        "reference_populations": populations(reference, reference).tolist(),
    }


def _timescale_error(candidate: Trajectory, reference: Trajectory) -> float:
    own = dynamics(candidate, reference)
    return float(
        np.exp(np.max(np.abs(np.log(own.factor * own.timescales / dynamics(reference, reference).timescales))))
    )


def _plain(values: np.ndarray) -> list:
    """Nested lists for JSON, which knows no NaN."""
    return [_plain(v) if np.ndim(v) else None if np.isnan(v) else float(v) for v in values]


def _timescale_details(candidate: Trajectory, reference: Trajectory) -> dict[str, Any]:
    own, theirs = dynamics(candidate, reference), dynamics(reference, reference)
    return {
        "timescales_ps": own.timescales.tolist(),
        "reference_timescales_ps": theirs.timescales.tolist(),
        "timescale_ratios": (own.factor * own.timescales / theirs.timescales).tolist(),
        "timescale_relative_errors": _plain(timescale_errors(candidate, reference)),
        "reference_timescale_relative_errors": _plain(timescale_errors(reference, reference)),
        "time_factor": own.factor,
        "lag_ps": own.lag,
        "reference_lag_ps": theirs.lag,
    }


def _timescale_obstacle(candidate: Trajectory, reference: Trajectory) -> str | None:
    found = obstacle(candidate, reference)
    if found is None and state_space(reference).processes == 1:
        return "the reference shows one slow process only, whose timescale agrees by rescaling: none are compared"
    return found


def _transition_error(candidate: Trajectory, reference: Trajectory) -> float:
    difference = dynamics(candidate, reference).transitions - dynamics(reference, reference).transitions
    return float(np.sqrt(populations(reference, reference) @ np.mean(difference**2, axis=1)))


def _transition_details(candidate: Trajectory, reference: Trajectory) -> dict[str, Any]:
    own, theirs = dynamics(candidate, reference), dynamics(reference, reference)
    return {
        "transitions": own.transitions.tolist(),
        "reference_transitions": theirs.transitions.tolist(),
        "entries": set_entries(candidate, reference).tolist(),
        "reference_entries": set_entries(reference, reference).tolist(),
        "passage_times_ps": _plain(own.passage_times),
        "reference_passage_times_ps": _plain(theirs.passage_times),
        "time_factor": own.factor,
        "reference_lag_ps": theirs.lag,
    }


def _rank(candidate: Trajectory, reference: Trajectory) -> float:
    return rank_correlation(relaxation_times(candidate), relaxation_times(reference))


TICA_JS = Metric(
    title="Slow coordinates (TICA)",
    question="Are the states between which it moves slowly visited as often?",
    topic="slow motion",
    definition="Jensen-Shannon divergence of the joint distributions of the first two slow coordinates (TICA of all "
    "distances |i - j| >= 3 and of sines and cosines of the dihedrals along bonds, 40 principal components, fitted on "
    "the reference), natural logarithm, no square root; 101 x 101 bins on the reference's range and one for all that "
    "is outside; lag_ps is the lag",
    unit="",
    function=_tica_js,
    applies=lambda molecule: molecule.n_beads >= 4,
    details=_tica_details,
    obstacle=lambda _, reference: fit_obstacle(reference),
)
STATE_POPULATIONS = Metric(
    title="Metastable populations",
    question="Are metastable sets populated as they should be?",
    topic="slow motion",
    definition="largest absolute difference of the populations of the metastable sets (PCCA+ on k-means states of the "
    "slow coordinates, at most 4, fixed by the reference); standard errors, the largest, by bootstrap over chains",
    unit="",
    function=_population_error,
    applies=lambda molecule: molecule.n_beads >= 4,
    error=population_error,
    details=_population_details,
    obstacle=lambda _, reference: state_obstacle(reference),
)
TIMESCALES = Metric(
    title="Slow timescales",
    question="Do slow motions keep their ratios?",
    topic="slow motion",
    definition="the factor by which the worst of the slowest implied timescales (at most 3, Markov model on the "
    "reference's states) is off after all the candidate's times were multiplied by one factor (time_factor); ideal 1; "
    "standard errors (relative, the largest) by bootstrap over chains",
    unit="",
    function=_timescale_error,
    applies=lambda molecule: molecule.n_beads >= 4,
    ideal=1.0,
    error=lambda trajectory, reference: float(np.max(timescale_errors(trajectory, reference))),
    details=_timescale_details,
    obstacle=_timescale_obstacle,
    ordered=True,
)
TRANSITION_ERROR = Metric(
    title="Transitions",
    question="Does it go from set to set in the same way?",
    topic="slow motion",
    definition="root mean square difference of the transition probabilities between the metastable sets at the "
    "reference's lag, weighted by the reference's populations, after the same rescaling of time",
    unit="",
    function=_transition_error,
    applies=lambda molecule: molecule.n_beads >= 4,
    details=_transition_details,
    obstacle=obstacle,
    ordered=True,
)
TIMESCALE_RANK = Metric(
    title="Order of timescales",
    question="Do motions keep their order from slow to fast?",
    topic="slow motion",
    definition="Spearman's rank correlation of the autocorrelation times of distances |i - j| >= 3 and of cosines of "
    "dihedrals along bonds (at most 60 of each), candidate against reference: is what is slow in one slow in the "
    "other? 1 is ideal",
    unit="",
    function=_rank,
    applies=lambda molecule: molecule.n_beads >= 4,
    ideal=1.0,
    obstacle=obstacle,
    ordered=True,
)
