"""What the figures of a report show: distributions of single coordinates, reference and candidates on the same bins."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from . import observables
from .distributions import frame_weights
from .metrics.dihedral import N_BINS, ramachandran
from .metrics.local import wasserstein_each
from .molecule import Molecule
from .report import Histogram, Surface
from .trajectory import Trajectory
from .units import ANGSTROM

_BINS = 60
_WIDEST = 10.0  # standard deviations of the reference: what lies beyond would squeeze it into a spike
_DEGREE = np.pi / 180
_MOST_LOCAL = 8
_MOST_DISTANCES = 9

Coordinates = Callable[[Trajectory], Float[np.ndarray, "f k"]]


def surfaces(reference: Trajectory, candidates: dict[str, Trajectory]) -> tuple[Surface, ...]:
    """The (phi, psi) distribution of every residue that has both."""
    labels = [label for label, _ in reference.molecule.ramachandran]
    if not labels:
        return ()
    edges = np.linspace(-np.pi, np.pi, N_BINS + 1)
    truth, others = ramachandran(reference), {name: ramachandran(t) for name, t in candidates.items()}
    return tuple(
        Surface(label, edges, truth[k], {name: p[k] for name, p in others.items()}) for k, label in enumerate(labels)
    )


def bonds(reference: Trajectory, candidates: dict[str, Trajectory]) -> tuple[Histogram, ...]:
    """Bond length distributions in Angstrom, those with the largest error where there are many."""
    return _local(reference, candidates, observables.bond_lengths, reference.molecule.bond_pairs, "Å", ANGSTROM)


def angles(reference: Trajectory, candidates: dict[str, Trajectory]) -> tuple[Histogram, ...]:
    """Bond angle distributions in degrees, those with the largest error where there are many."""
    return _local(reference, candidates, observables.bond_angles, reference.molecule.angle_triples, "°", _DEGREE)


def _local(
    reference: Trajectory,
    candidates: dict[str, Trajectory],
    coordinates: Coordinates,
    beads: np.ndarray,
    unit: str,
    scale: float,
) -> tuple[Histogram, ...]:
    chosen = np.arange(len(beads))
    if len(beads) > _MOST_LOCAL:
        worst = np.max([wasserstein_each(t, reference, coordinates) for t in candidates.values()], axis=0)
        chosen = np.sort(np.argsort(worst)[-_MOST_LOCAL:])
    if not len(chosen):
        return ()
    values = {name: coordinates(t)[:, chosen] / scale for name, t in candidates.items()}
    return _histograms(
        [label(reference.molecule, beads[k]) for k in chosen],
        unit,
        (coordinates(reference)[:, chosen] / scale, frame_weights(reference)),
        {name: (values[name], frame_weights(t)) for name, t in candidates.items()},
    )


def far_distances(reference: Trajectory, candidates: dict[str, Trajectory]) -> tuple[Histogram, ...]:
    """Distance distributions in Angstrom of the pairs |i - j| >= 3 that vary most in the reference."""
    pairs = observables.far_pairs(reference.molecule)
    if not len(pairs):
        return ()
    chosen = pairs[np.sort(np.argsort(_variances(reference))[-_MOST_DISTANCES:])]

    def values(trajectory: Trajectory) -> tuple[np.ndarray, np.ndarray]:
        parts = [r for _, r in observables.far_distances(trajectory, chosen)]
        return np.concatenate(parts) / ANGSTROM, frame_weights(trajectory)

    others = {name: values(t) for name, t in candidates.items()}
    return _histograms([label(reference.molecule, pair) for pair in chosen], "Å", values(reference), others)


def _variances(trajectory: Trajectory) -> Float[np.ndarray, " k"]:
    weights, first, second = frame_weights(trajectory), 0.0, 0.0
    for frames, r in observables.far_distances(trajectory):
        first, second = first + weights[frames] @ r, second + weights[frames] @ np.square(r, dtype=float)
    return np.asarray(second - np.square(first))


def label(molecule: Molecule, beads: np.ndarray) -> str:
    """Beads as a reader names them: N2–CA2–C2."""
    return "–".join(f"{molecule.bead_names[b]}{molecule.residue_ids[b]}" for b in beads)


def _histograms(
    labels: list[str],
    unit: str,
    reference: tuple[np.ndarray, np.ndarray],
    candidates: dict[str, tuple[np.ndarray, np.ndarray]],
) -> tuple[Histogram, ...]:
    found = []
    for k, name in enumerate(labels):
        column = reference[0][:, k]
        edges = _edges(column, [values[:, k] for values, _ in candidates.values()])
        drawn = {c: _density(values[:, k], weights, edges) for c, (values, weights) in candidates.items()}
        found.append(Histogram(name, unit, edges, _density(column, reference[1], edges), drawn))
    return tuple(found)


def _edges(reference: np.ndarray, candidates: list[np.ndarray]) -> np.ndarray:
    ends = np.array([np.quantile(values, [0.0005, 0.9995]) for values in (reference, *candidates)], float)
    middle, reach = reference.mean(dtype=float), _WIDEST * reference.std(dtype=float) + 1e-6
    low, high = max(ends[:, 0].min(), middle - reach), min(ends[:, 1].max(), middle + reach)
    return np.linspace(low, max(high, low + 1e-6), _BINS + 1)


def _density(values: np.ndarray, weights: np.ndarray, edges: np.ndarray) -> Float[np.ndarray, " b"]:
    return np.histogram(values.astype(float), edges, weights=weights)[0] / np.diff(edges)
