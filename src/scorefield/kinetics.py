"""Does a candidate move between the reference's states as the reference does, but for one factor in time?

Coarse-grained time is not physical time: removing atoms removes friction. So all of a candidate's times are multiplied
by one factor s, the geometric mean of t_k(reference) / t_k(candidate) over the slow processes k, before anything is
compared. The candidate's own lag is the one for which s lag is the reference's: both are then looked at alike.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from .distributions import block_lengths, block_means
from .equilibrium import autocorrelation_time
from .geometry import all_pairs
from .markov import MarkovModel, count_matrix, markov_model
from .memo import remembered
from .observables import far_pairs
from .states import StateSpace, count_entries, discrete, small_states, state_obstacle, state_space
from .tica import features
from .trajectory import Trajectory

COARSE_INTERVAL = 1000.0
"""ps between frames, above which local motion (backbone dihedrals turn within 0.1 to 1 ns) cannot be followed."""

REFERENCE_AT_FAULT = ("the reference ", "the reference's chains ")
"""How obstacles begin that no candidate can help."""

_FEW_EVENTS = 30
_DOUBTFUL = float(np.log(1.5))
_CONNECTED = 0.98  # of the reference's frames, at least
_MOST_LAGS = 24
_RESAMPLES = 25
_MOST_COORDINATES = 60  # distances, and as many dihedrals, whose autocorrelation times are ranked


@dataclass(frozen=True, eq=False)
class Dynamics:
    """One trajectory on the state space of a reference.

    Attributes: `model` on the small states at its own lag; `interval` in ps; `factor` s; `timescales` in ps of its own
    time; `transitions` T_AB at the reference's lag after rescaling; `passage_times` in ps of its own time.
    """

    model: MarkovModel
    interval: float
    factor: float
    timescales: Float[np.ndarray, " k"]
    transitions: Float[np.ndarray, "s s"]
    passage_times: Float[np.ndarray, "s s"]

    @property
    def lag(self) -> float:
        """Lag in ps of its own time."""
        return self.model.lag * self.interval


def populations(trajectory: Trajectory, reference: Trajectory) -> Float[np.ndarray, " s"]:
    """The fraction of frames in each metastable set."""
    space, weights = state_space(reference), trajectory.weights
    sets = space.sets[small_states(trajectory, reference)]
    counts = np.bincount(sets, None if weights is None else weights.astype(float), minlength=space.n_sets)
    return counts / counts.sum()


def population_error(trajectory: Trajectory, reference: Trajectory) -> float:
    """The largest standard error of `populations`, by bootstrap over blocks."""
    sets = state_space(reference).sets[small_states(trajectory, reference)]
    draws = [block_means((sets == k).astype(float), trajectory) for k in range(state_space(reference).n_sets)]
    return float(np.max(np.std(draws, axis=1)))


@remembered
def obstacle(candidate: Trajectory, reference: Trajectory) -> str | None:
    """Why the two cannot be compared in time, in one sentence; "" where nobody expects it; None where they can."""
    if candidate.interval is None or candidate.weights is not None:
        return ""
    found = state_obstacle(reference)
    if found is not None:
        return found
    entries = set_entries(candidate, reference)
    if not entries.all():
        return f"its chains never come into metastable state {np.argmin(entries) + 1} from another one: no kinetics"
    if _model(candidate, reference, 1) is None:
        return "its chains never come back to a state: no kinetics"
    slow = dynamics(candidate, reference).timescales
    if not (slow > 0).all():
        return f"its chains show only {np.sum(slow > 0)} of the reference's {len(slow)} slow processes: no kinetics"
    return None


@remembered
def dynamics(trajectory: Trajectory, reference: Trajectory) -> Dynamics:
    """`trajectory` on the state space of `reference`, compared by one factor in time; the reference's own is 1."""
    space = state_space(reference)
    assert trajectory.interval is not None, "obstacle"
    model = space.model if trajectory is reference else _matched(trajectory, reference)
    slow = model.timescales(space.processes) * trajectory.interval
    factor = _factor(model, trajectory.interval, space)
    lag = space.lag * space.interval / (factor * trajectory.interval)
    return Dynamics(
        model,
        trajectory.interval,
        factor,
        slow,
        model.at(lag).coarse(space.sets, space.n_sets),
        model.passage_times(space.sets, space.n_sets) * trajectory.interval,
    )


def _matched(trajectory: Trajectory, reference: Trajectory) -> MarkovModel:
    """The model at the lag that is, after rescaling, nearest to the reference's lag."""
    space, longest = state_space(reference), max(trajectory.chain_lengths)
    lags = np.unique(np.geomspace(1, max(1, longest // 2), _MOST_LAGS).astype(int))
    low, high = 0, len(lags) - 1
    best, closest = None, np.inf
    while low <= high:  # s falls more slowly than the lag rises, so that their product rises
        middle = (low + high) // 2
        model = _model(trajectory, reference, int(lags[middle]))
        if model is None:
            high = middle - 1
            continue
        off = np.log(_factor(model, trajectory.interval or 1.0, space) * model.lag * (trajectory.interval or 1.0))
        off -= np.log(space.lag * space.interval)
        if best is None or abs(off) < closest:
            best, closest = model, abs(off)
        low, high = (middle + 1, high) if off < 0 else (low, middle - 1)
    assert best is not None, "obstacle"
    return best


def _model(trajectory: Trajectory, reference: Trajectory, lag: int) -> MarkovModel | None:
    n = len(state_space(reference).centres)
    return markov_model(count_matrix(discrete(trajectory, reference), lag, n), lag)


def _factor(model: MarkovModel, interval: float, space: StateSpace) -> float:
    """s over the processes that the model shows; 1 where it shows none."""
    own, theirs = model.timescales(space.processes) * interval, space.model.timescales(space.processes) * space.interval
    some = (own > 0) & (theirs > 0)
    return float(np.exp(np.mean(np.log(theirs[some] / own[some])))) if some.any() else 1.0


@remembered
def timescale_errors(trajectory: Trajectory, reference: Trajectory) -> Float[np.ndarray, " k"]:
    """Relative standard errors of the timescales of `dynamics`, by bootstrap over blocks."""
    space, lag = state_space(reference), round(dynamics(trajectory, reference).model.lag)
    borders, states = np.cumsum(block_lengths(trajectory))[:-1], np.concatenate(discrete(trajectory, reference))
    counts = [count_matrix([block], lag, len(space.centres)) for block in np.split(states, borders)]
    rng, found = np.random.default_rng(0), []
    for _ in range(_RESAMPLES):
        drawn = np.bincount(rng.integers(len(counts), size=len(counts)), minlength=len(counts))
        model = markov_model(np.einsum("b,bij->ij", drawn, np.stack(counts)), lag)
        if model is not None:
            found.append(model.timescales(space.processes))
    return np.std(np.log(np.maximum(found, 1e-3)), axis=0) if found else np.full(space.processes, np.nan)


def set_entries(trajectory: Trajectory, reference: Trajectory) -> Int[np.ndarray, " s"]:
    """How often the chains come into each metastable set."""
    space = state_space(reference)
    return np.sum([count_entries(c, space.core, space.n_sets) for c in discrete(trajectory, reference)], axis=0)


def reference_notes(reference: Trajectory, others: Trajectory) -> list[str]:
    """What makes the kinetics of a reference doubtful: one sentence each, or the one that says why there are none.

    `others`: true frames of other chains, whose time factor should be 1.
    """
    found = state_obstacle(reference)
    if found is not None:
        return [found] if found else []
    interval, notes = reference.interval or 0.0, []
    if interval > COARSE_INTERVAL:
        notes.append(
            f"the reference has a frame every {interval / 1000:g} ns: too coarse in time for the kinetics of local motion; "
            f"timescales and rates are of what takes longer than {3 * interval / 1000:g} ns"
        )
    connected = np.isin(small_states(reference, reference), state_space(reference).model.states).mean()
    if connected < _CONNECTED:
        notes.append(
            f"{1 - connected:.0%} of the reference is in states that its chains do not connect: not in its kinetics"
        )
    entries = state_space(reference).entries
    if entries.min() < _FEW_EVENTS:
        notes.append(f"the reference comes into a metastable state {entries.min()} times only: its rates are rough")
    if obstacle(others, reference) is None and abs(np.log(off := dynamics(others, reference).factor)) > _DOUBTFUL:
        notes.append(
            f"true frames of other chains have a time factor of {off:.2g} in place of 1: the reference is too short, or its "
            "frames too far apart, to tell by which factor time is off"
        )
    return notes


@remembered
def relaxation_times(trajectory: Trajectory) -> Float[np.ndarray, " c"]:
    """Autocorrelation times in ps of distances |i - j| >= 3 and cosines of dihedrals, at most 60 of each, evenly chosen."""
    molecule = trajectory.molecule
    pairs, quads = (_some(index) for index in (far_pairs(molecule), molecule.dihedral_quads))
    if not len(pairs):
        pairs = _some(all_pairs(molecule.n_beads))
    values = np.concatenate([part for _, part in features(trajectory, pairs, quads)])[:, : len(pairs) + len(quads)]
    starts = np.cumsum(trajectory.chain_lengths)[:-1]
    times = [autocorrelation_time(np.split(column, starts))[0] for column in values.T]
    return np.array(times) * (trajectory.interval or 1.0)


def _some(index: np.ndarray) -> np.ndarray:
    return index[:: -(-len(index) // _MOST_COORDINATES) or 1]


def rank_correlation(a: Float[np.ndarray, " n"], b: Float[np.ndarray, " n"]) -> float:
    """Spearman's: the correlation of ranks, those of equal values averaged; NaN for fewer than three values."""
    if len(a) < 3:
        return float("nan")
    ranks = []
    for values in (a, b):
        _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
        ranks.append((np.cumsum(counts) - (counts - 1) / 2)[which])
    if not all(np.std(r) > 0 for r in ranks):
        return float("nan")
    return float(np.corrcoef(ranks)[0, 1])
