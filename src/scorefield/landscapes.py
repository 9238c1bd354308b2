"""What the figures of a protein's report show: free energies along single coordinates and slow ones, contacts, kinetics."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from .distributions import block_means, frame_weights
from .kinetics import dynamics, obstacle, populations, set_entries, timescale_errors
from .markov import chapman_kolmogorov, count_matrix, markov_model
from .metrics import METRICS
from .metrics.folding import native_rmsd
from .metrics.shape import contact_probabilities, mean_distances
from .metrics.slow import BINS, tica_histogram, tica_range
from .observables import far_pairs, radii_of_gyration
from .report import Course, Kinetics, PairMap, Plane, Profile
from .states import discrete, slow_frames, state_obstacle, state_space
from .tica import fit_obstacle
from .trajectory import Trajectory
from .units import ANGSTROM

_BINS = 50
_SMALL = 5  # beads: a capped residue, whose dihedrals say all
_MULTIPLES = (1, 2, 3, 4, 5)
_LAGS = 8
_SMOOTHEST = 6.0  # standard deviations: what lies further out would squeeze the rest

Coordinate = Callable[[Trajectory], Float[np.ndarray, " f"]]


def profiles(reference: Trajectory, candidates: dict[str, Trajectory]) -> tuple[Profile, ...]:
    """RMSD to native and radius of gyration in Angstrom, the first two slow coordinates: those that exist."""
    found, slow_known = [], fit_obstacle(reference) is None
    if reference.molecule.native is not None:
        rmsd = lambda t: native_rmsd(t, reference) / ANGSTROM
        found.append(_profile("RMSD to native", "Å", rmsd, reference, candidates))
    if reference.molecule.n_beads > _SMALL or slow_known:
        size = lambda t: radii_of_gyration(t) / ANGSTROM
        found.append(_profile("radius of gyration", "Å", size, reference, candidates))
    if slow_known:
        for k in range(min(2, slow_frames(reference, reference).shape[1])):
            slow = lambda t, k=k: slow_frames(t, reference)[:, k]
            found.append(_profile(f"slow coordinate {k + 1}", "", slow, reference, candidates))
    return tuple(found)


def _profile(
    label: str, unit: str, coordinate: Coordinate, reference: Trajectory, candidates: dict[str, Trajectory]
) -> Profile:
    true = coordinate(reference).astype(float)
    others = {name: coordinate(t).astype(float) for name, t in candidates.items()}
    middle, reach = true.mean(), _SMOOTHEST * true.std() + 1e-6
    ends = np.array([np.quantile(values, [0.0002, 0.9998]) for values in (true, *others.values())])
    edges = np.linspace(max(ends[:, 0].min(), middle - reach), min(ends[:, 1].max(), middle + reach), _BINS + 1)
    bins = np.digitize(true, edges) - 1
    error = np.array([np.std(block_means((bins == k).astype(float), reference)) for k in range(_BINS)])
    p = _probabilities(true, reference, edges)
    drawn = {name: _probabilities(values, candidates[name], edges) for name, values in others.items()}
    return Profile(label, unit, edges, p, np.maximum(p - error, 0), p + error, drawn)


def _probabilities(values: np.ndarray, trajectory: Trajectory, edges: np.ndarray) -> Float[np.ndarray, " b"]:
    return np.histogram(values, edges, weights=frame_weights(trajectory))[0]


def plane(reference: Trajectory, candidates: dict[str, Trajectory]) -> Plane | None:
    """The first two slow coordinates, on the bins of `tica_js`."""
    if fit_obstacle(reference) is not None or slow_frames(reference, reference).shape[1] < 2:
        return None
    ends = tica_range(reference)
    square = lambda t: tica_histogram(t, reference)[:-1].reshape(BINS, BINS)
    edges = (np.linspace(ends[0, 0], ends[0, 1], BINS + 1), np.linspace(ends[1, 0], ends[1, 1], BINS + 1))
    names = ("slow coordinate 1", "slow coordinate 2")
    return Plane(names, edges, square(reference), {name: square(t) for name, t in candidates.items()})


def maps(reference: Trajectory, candidates: dict[str, Trajectory]) -> tuple[PairMap, ...]:
    """Probabilities of contacts and mean distances, where there is a metric of contacts."""
    molecule = reference.molecule
    if not METRICS["contact_error"].applies(molecule):
        return ()
    pairs = far_pairs(molecule)

    def square(values: Float[np.ndarray, " k"]) -> Float[np.ndarray, "n n"]:
        matrix = np.full((molecule.n_beads, molecule.n_beads), np.nan)
        matrix[pairs[:, 0], pairs[:, 1]] = matrix[pairs[:, 1], pairs[:, 0]] = values
        return matrix

    return tuple(
        PairMap(
            label, most, molecule.residue_ids, square(of(reference)), {k: square(of(t)) for k, t in candidates.items()}
        )
        for label, most, of in (
            ("contact probability", 1.0, contact_probabilities),
            ("mean distance (Å)", None, lambda t: mean_distances(t) / ANGSTROM),
        )
    )


def kinetics(reference: Trajectory, others: Trajectory, candidates: dict[str, Trajectory]) -> Kinetics | None:
    """Reference, `others` (the floor) and those candidates that can be compared in time; None where there are none."""
    if state_obstacle(reference) is not None:
        return None
    moving = {name: t for name, t in candidates.items() if obstacle(t, reference) is None}
    if not moving:
        return None
    space = state_space(reference)
    courses = {name: _course(t, reference) for name, t in moving.items()}
    floor = _course(others, reference) if obstacle(others, reference) is None else None
    return Kinetics(space.lag * space.interval, _course(reference, reference), floor, courses)


def _course(trajectory: Trajectory, reference: Trajectory) -> Course:
    space, own, chains = state_space(reference), dynamics(trajectory, reference), discrete(trajectory, reference)
    unit, lag = own.factor * own.interval, own.model.lag
    longest = min(max(trajectory.chain_lengths) // 3, 8 * lag)
    lags = np.unique(np.geomspace(1, max(1, longest), _LAGS).astype(int))
    models = [markov_model(count_matrix(chains, int(n), len(space.centres)), int(n)) for n in lags]
    timescales = [np.zeros(space.processes) if m is None else m.timescales(space.processes) for m in models]
    multiples = [k for k in _MULTIPLES if k * lag <= max(trajectory.chain_lengths) // 2] or [1]
    tests = chapman_kolmogorov(chains, own.model, space.sets, space.n_sets, multiples)
    predicted, estimated = (np.diagonal(t, axis1=1, axis2=2) for t in tests)
    return Course(
        own.factor,
        lags * unit,
        np.where(np.array(timescales) > 0, np.array(timescales) * unit, np.nan),
        own.timescales * own.factor,
        timescale_errors(trajectory, reference),
        own.transitions,
        predicted,
        estimated,
        own.passage_times * own.factor,
        populations(trajectory, reference),
        set_entries(trajectory, reference),
    )
