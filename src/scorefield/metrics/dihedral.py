"""Metrics of the backbone dihedrals phi and psi."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from ..distributions import chain_error, frame_weights, jensen_shannon, periodic_histogram
from ..molecule import Molecule
from ..observables import phi_psi
from ..trajectory import Trajectory
from .base import Metric

N_BINS = 64
_DFF_BINS = 60  # arXiv 2302.00600
_LEAST_PROBABILITY = 1e-6  # of a bin, in `pmf_error`: makes an empty bin finitely wrong


def ramachandran(trajectory: Trajectory, n_bins: int = N_BINS) -> Float[np.ndarray, "r b b"]:
    """Joint probabilities of (phi, psi) of every residue on n_bins x n_bins bins of [-pi, pi)."""
    return periodic_histogram(phi_psi(trajectory), n_bins, frame_weights(trajectory))


def _dihedral_js(n_bins: int) -> Callable[[Trajectory, Trajectory], float]:
    def value(candidate: Trajectory, reference: Trajectory) -> float:
        p, q = (ramachandran(t, n_bins).reshape(-1, n_bins**2) for t in (candidate, reference))
        return float(np.mean(jensen_shannon(p, q)))

    return value


def _pmf_error(candidate: Trajectory, reference: Trajectory) -> float:
    p, q = ramachandran(candidate), ramachandran(reference)
    difference = np.log(np.maximum(p, _LEAST_PROBABILITY)) - np.log(np.maximum(q, _LEAST_PROBABILITY))
    return float(np.mean(np.sum(q * difference**2, axis=(1, 2))))


def positive_phi(trajectory: Trajectory) -> Float[np.ndarray, " f"]:
    """The fraction of residues with phi > 0, frame by frame."""
    return np.mean(phi_psi(trajectory)[..., 0] > 0, axis=1)


def _has_dihedrals(molecule: Molecule) -> bool:
    return len(molecule.ramachandran) > 0


DIHEDRAL_JS = Metric(
    title="Backbone dihedrals",
    question="Does the backbone take the same shapes, as often?",
    topic="conformations",
    definition="Jensen-Shannon divergence of the joint (phi, psi) distributions, natural logarithm, no square root; "
    "64 x 64 bins on [-pi, pi), per residue, mean over residues",
    unit="",
    function=_dihedral_js(N_BINS),
    applies=_has_dihedrals,
)
DIHEDRAL_JS_DFF = Metric(
    title="Backbone dihedrals, 60 × 60",
    question="The same on the bins of the original paper",
    topic="conformations",
    definition="dihedral_js with the 60 x 60 bins of arXiv 2302.00600",
    unit="",
    function=_dihedral_js(_DFF_BINS),
    applies=_has_dihedrals,
)
PMF_ERROR = Metric(
    title="Dihedral free energy",
    question="Are the free energies of these shapes right?",
    topic="conformations",
    definition="squared difference of ln p on 64 x 64 (phi, psi) bins, weighted by the reference's p, p at least 1e-6; "
    "mean over residues",
    unit="kT²",
    function=_pmf_error,
    applies=_has_dihedrals,
)
POSITIVE_PHI = Metric(
    title="Population of φ > 0",
    question="Is the rare state φ > 0 populated as often?",
    topic="conformations",
    definition="probability that phi > 0, mean over residues; ideal is the reference's own; standard errors by "
    "bootstrap over chains",
    unit="",
    function=lambda candidate, reference: float(frame_weights(candidate) @ positive_phi(candidate)),
    applies=_has_dihedrals,
    ideal=None,
    error=lambda trajectory, _: chain_error(positive_phi(trajectory), trajectory),
)
