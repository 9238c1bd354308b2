"""A state space that a reference fixes once: slow coordinates, small states, and the metastable sets they form.

Candidates are assigned to it and never change it, so that all transition matrices speak of the same states.
"""

import warnings
from dataclasses import dataclass

import numpy as np
from deeptime.clustering import KMeans, KMeansModel
from jaxtyping import Bool, Float, Int

from .markov import MarkovModel, count_matrix, markov_model, metastable_sets
from .memo import remembered
from .tica import SlowCoordinates, fit_obstacle, lag_of, slow_coordinates
from .trajectory import Trajectory

PROCESSES = 3
"""Slow processes that are looked at, at most."""

_SMALL_STATES = 100
_FRAMES_PER_STATE = 50  # at least, on average
_CLUSTERED = 10_000  # frames that the small states are found from
_SLOWER = 1.5  # than the lag: what is faster is not resolved by it
_MODEL_LAG = 2  # lags of TICA: longer, for implied timescales that are level
_LEAST_ENTRIES = 5  # into a metastable set: a place that was found once or twice says nothing about rates


@dataclass(frozen=True, eq=False)
class StateSpace:
    """Small states by k-means on `slow` coordinates, and the metastable `sets` they belong to (PCCA+).

    Attributes: `centres` (n, d); `active` (n,), whether a state takes part in kinetics; `sets` (n,), numbered by falling
    population; `core` (n,), the same where a state's next step mostly stays in its set, else -1; `n_sets`; `model` of
    the reference on the small states; `lag` in frames of the reference; `interval` of the reference in ps; `entries`
    (n_sets,), how often the reference came into each set.
    """

    slow: SlowCoordinates
    centres: Float[np.ndarray, "n d"]
    active: Bool[np.ndarray, " n"]
    sets: Int[np.ndarray, " n"]
    core: Int[np.ndarray, " n"]
    n_sets: int
    model: MarkovModel
    lag: int
    interval: float
    entries: Int[np.ndarray, " s"]

    @property
    def processes(self) -> int:
        """Slow processes between the metastable sets."""
        return self.n_sets - 1


@remembered
def slow_frames(trajectory: Trajectory, reference: Trajectory) -> Float[np.ndarray, "f d"]:
    """The slow coordinates of `reference`, of every frame of `trajectory`."""
    return slow_coordinates(reference)(trajectory)


@remembered
def small_states(trajectory: Trajectory, reference: Trajectory) -> Int[np.ndarray, " f"]:
    """The small state of every frame: the nearest centre of the state space of `reference`."""
    return _nearest(slow_frames(trajectory, reference), _centres(reference))


def discrete(trajectory: Trajectory, reference: Trajectory) -> list[Int[np.ndarray, " f"]]:
    """Small states chain by chain, -1 for those that are left out of the state space."""
    small = small_states(trajectory, reference)
    return _by_chain(np.where(state_space(reference).active[small], small, -1), trajectory)


def _by_chain(values: np.ndarray, trajectory: Trajectory) -> list[np.ndarray]:
    return np.split(values, np.cumsum(trajectory.chain_lengths)[:-1])


@remembered
def state_obstacle(reference: Trajectory) -> str | None:
    """Why no state space can be had from these frames; None where it can, "" where nobody expects it."""
    obstacle = fit_obstacle(reference)
    if obstacle is not None:
        return obstacle
    space = _state_space(reference)
    if space is None:
        lag = _MODEL_LAG * lag_of(reference) * (reference.interval or 0.0)
        return f"the reference's chains pass between no metastable states and back at a lag of {lag:g} ps: no kinetics"
    if space.entries.min() < _LEAST_ENTRIES:
        return (
            f"the reference comes into a metastable state {space.entries.min()} times only, should be {_LEAST_ENTRIES} or "
            "more: too few events for kinetics"
        )
    return None


def state_space(reference: Trajectory) -> StateSpace:
    """The state space of a reference for which `state_obstacle` is None."""
    space = _state_space(reference)
    assert space is not None, "state_obstacle"
    return space


@remembered
def _state_space(reference: Trajectory) -> StateSpace | None:
    """The space whose sets were each entered a few times; small states of sets that were not are left out of it."""
    slow, centres, lag = slow_coordinates(reference), _centres(reference), _MODEL_LAG * lag_of(reference)
    small = small_states(reference, reference)
    active, space = np.ones(len(centres), bool), None
    while True:
        chains = _by_chain(np.where(active[small], small, -1), reference)
        model = markov_model(count_matrix(chains, lag, len(centres)), lag)
        if model is None or len(model.states) <= PROCESSES or model.timescales(1)[0] < _SLOWER * lag:
            return space
        found = metastable_sets(model, 1 + int(np.sum(model.timescales(PROCESSES) >= _SLOWER * lag)))
        n_sets = int(found.max()) + 1
        if n_sets < 2:
            return space
        nearest = _nearest(centres, centres[model.states])  # states that are left out follow their neighbours
        sets = found[nearest]
        core = _core(model, sets, n_sets)
        entries = np.sum([count_entries(chain, core, n_sets) for chain in chains], axis=0)
        space = StateSpace(slow, centres, active, sets, core, n_sets, model, lag, slow.interval, entries)
        rare = np.isin(sets, np.flatnonzero(entries < _LEAST_ENTRIES)) & active
        rare &= sets != 0  # the largest set stays
        if not rare.any():
            return space
        active = active & ~rare


def _core(model: MarkovModel, sets: Int[np.ndarray, " n"], n_sets: int) -> Int[np.ndarray, " n"]:
    of = sets[model.states]
    stays = (model.transition @ np.eye(n_sets)[of])[np.arange(len(of)), of] > 0.5
    core = np.full(len(sets), -1)
    core[model.states[stays]] = of[stays]
    return core


def count_entries(chain: Int[np.ndarray, " f"], core: Int[np.ndarray, " n"], n_sets: int) -> Int[np.ndarray, " s"]:
    """How often one chain of small states comes into each set from the core of another: wavering between does not count."""
    visited = core[chain[chain >= 0]]
    visited = visited[visited >= 0]
    return np.bincount(visited[1:][np.diff(visited) != 0], minlength=n_sets)


@remembered
def _centres(reference: Trajectory) -> Float[np.ndarray, "n d"]:
    values = slow_frames(reference, reference)
    values = values[:: max(1, len(values) // _CLUSTERED)]
    n = max(2 * PROCESSES, min(_SMALL_STATES, len(values) // _FRAMES_PER_STATE))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that centres still move a little does not matter
        model = KMeans(n, max_iter=50, fixed_seed=True, n_jobs=1).fit_fetch(np.ascontiguousarray(values))
    assert isinstance(model, KMeansModel)
    return np.asarray(model.cluster_centers)


def _nearest(values: Float[np.ndarray, "f d"], centres: Float[np.ndarray, "n d"]) -> Int[np.ndarray, " f"]:
    found = np.empty(len(values), np.int32)
    for start in range(0, len(values), 65_536):
        part = values[start : start + 65_536]
        found[start : start + len(part)] = np.argmin(np.sum(centres**2, axis=1) - 2 * part @ centres.T, axis=1)
    return found
