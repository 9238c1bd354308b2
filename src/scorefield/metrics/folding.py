"""Metrics of folding, for molecules whose native structure is known: deviations from it, the folded population."""

from typing import Any

import numpy as np
from jaxtyping import Float

from ..distributions import block_means, frame_weights, histogram, jensen_shannon
from ..markov import crossings
from ..memo import remembered
from ..molecule import Molecule
from ..observables import rmsd
from ..trajectory import Trajectory
from ..units import ANGSTROM
from .base import UNSEEN, Metric

FOLDED = 4 * ANGSTROM  # nm, as in arXiv 2302.00600
_CORES = (3 * ANGSTROM, 5 * ANGSTROM)  # nm: an event goes from beyond the one to within the other
_BIN = 0.1 * ANGSTROM  # nm
_ENERGY_BIN = 0.2 * ANGSTROM  # nm
_LEAST_PROBABILITY = 1e-4  # of a bin or a state: makes an empty one finitely wrong


@remembered
def native_rmsd(trajectory: Trajectory, reference: Trajectory) -> Float[np.ndarray, " f"]:
    """RMSD in nm of every frame from the reference's native structure, all beads alike."""
    native = reference.molecule.native
    assert native is not None, "Metric.applies is false without it"
    return rmsd(trajectory, native)


def folded(trajectory: Trajectory, reference: Trajectory) -> Float[np.ndarray, " f"]:
    """1 for every folded frame (RMSD to native below 4 Angstrom), else 0."""
    return (native_rmsd(trajectory, reference) < FOLDED).astype(float)


def folding_events(trajectory: Trajectory, reference: Trajectory) -> tuple[int, int]:
    """How often chains fold (from beyond 5 to within 3 Angstrom) and unfold."""
    chains = np.split(native_rmsd(trajectory, reference), np.cumsum(trajectory.chain_lengths)[:-1])
    events = [crossings(chain, *_CORES) for chain in chains]
    return sum(f for f, _ in events), sum(u for _, u in events)


def _histogram(trajectory: Trajectory, reference: Trajectory, width: float) -> Float[np.ndarray, " b"]:
    """Probabilities of the RMSD, the last bin for all beyond the reference's largest."""
    n_bins = int(native_rmsd(reference, reference).max() / width) + 2
    bins = np.minimum(native_rmsd(trajectory, reference) / width, n_bins - 1).astype(np.int64)
    return histogram([(slice(None), bins[:, None])], n_bins, frame_weights(trajectory))[0]


def _rmsd_js(candidate: Trajectory, reference: Trajectory) -> float:
    return float(jensen_shannon(*(_histogram(t, reference, _BIN) for t in (candidate, reference))))


def _pmf_error(candidate: Trajectory, reference: Trajectory) -> float:
    p, q = (_histogram(t, reference, _ENERGY_BIN) for t in (candidate, reference))
    difference = np.log(np.maximum(p, _LEAST_PROBABILITY)) - np.log(np.maximum(q, _LEAST_PROBABILITY))
    return float(q @ difference**2)


def _population(trajectory: Trajectory, reference: Trajectory) -> float:
    return float(frame_weights(trajectory) @ folded(trajectory, reference))


def _energy(population: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """-ln(p / (1 - p)), which ends where p is as near to 0 or 1 as `_LEAST_PROBABILITY`."""
    p = np.clip(population, _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
    return np.log((1 - p) / p)


def _free_energy(trajectory: Trajectory, reference: Trajectory) -> float:
    return float(_energy(np.array(_population(trajectory, reference))))


def _free_energy_error(trajectory: Trajectory, reference: Trajectory) -> float:
    return float(np.std(_energy(block_means(folded(trajectory, reference), trajectory))))


def event_details(candidate: Trajectory, reference: Trajectory) -> dict[str, Any]:
    """Folding and unfolding events, of trajectories whose frames are in time order."""
    found: dict[str, Any] = {}
    for prefix, t in (("", candidate), ("reference_", reference)):
        if t.interval is not None:
            found[f"{prefix}folding_events"], found[f"{prefix}unfolding_events"] = folding_events(t, reference)
            found[f"{prefix}time_ns"] = t.n_frames * t.interval / 1000
    return found


def _has_native(molecule: Molecule) -> bool:
    return molecule.native is not None


RMSD_JS = Metric(
    title="RMSD to native",
    question="Is it as near to the native structure?",
    topic="folding",
    definition="Jensen-Shannon divergence of the distributions of the root mean square deviation from the native "
    "structure after superposition (all beads alike), natural logarithm, no square root; bins of 0.1 Å",
    unit="",
    function=_rmsd_js,
    applies=_has_native,
    tolerance=UNSEEN,
)
RMSD_PMF_ERROR = Metric(
    title="Free energy along RMSD",
    question="Is the free energy on the way there right?",
    topic="folding",
    definition="squared difference of ln p of the RMSD to native, weighted by the reference's p; bins of 0.2 Å, p at "
    "least 1e-4",
    unit="kT²",
    function=_pmf_error,
    applies=_has_native,
)
FOLDED_POPULATION = Metric(
    title="Folded population",
    question="Is it folded as often?",
    topic="folding",
    definition="probability of an RMSD to native below 4 Å; ideal is the reference's own; standard errors by bootstrap "
    "over chains (over stretches of them where there are fewer than 10); folding events go from beyond 5 Å to within 3 Å",
    unit="",
    function=_population,
    applies=_has_native,
    ideal=None,
    details=event_details,
    error=lambda trajectory, reference: float(np.std(block_means(folded(trajectory, reference), trajectory))),
)
FOLDING_FREE_ENERGY = Metric(
    title="Free energy of folding",
    question="Is the free energy of folding right?",
    topic="folding",
    definition="-ln(p / (1 - p)) of the folded population p, which counts as 1e-4 to 1 - 1e-4; ideal is the "
    "reference's own; standard errors likewise",
    unit="kT",
    function=_free_energy,
    applies=_has_native,
    ideal=None,
    error=_free_energy_error,
)
