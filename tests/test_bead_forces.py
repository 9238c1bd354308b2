"""Bead forces: the conditions on the map, its closed form for a harmonic system, and what is refused."""

import mdtraj
import numpy as np
import pytest
from peptides import peptide_topology

from scorefield.bead_forces import least_variance_map, rigid_groups
from scorefield.errors import InputError

RNG = np.random.default_rng(0)
N_BEADS, N_ATOMS = 3, 9


def harmonic():
    """A stiffness matrix without zero modes, and a map of weighted pairs of atoms."""
    a = RNG.normal(size=(N_ATOMS, N_ATOMS))
    positions = np.zeros((N_BEADS, N_ATOMS))
    for i in range(N_BEADS):
        positions[i, 3 * i : 3 * i + 2] = 0.3, 0.7
    return a @ a.T + np.eye(N_ATOMS), positions


def test_in_a_harmonic_system_the_least_noisy_force_is_the_mean_force_itself():
    """x ~ N(0, kT K^-1), f = -K x: then W f = -(M K^-1 M^T)^-1 M x, which has no noise."""
    stiffness, positions = harmonic()
    weights = least_variance_map(positions, 2.5 * stiffness, np.arange(N_ATOMS))
    inverse = np.linalg.inv(stiffness)
    mean_force = np.linalg.inv(positions @ inverse @ positions.T) @ positions
    np.testing.assert_allclose(weights @ stiffness, mean_force, atol=1e-8)


def test_atoms_of_a_rigid_group_weigh_alike_and_no_such_map_has_less_variance():
    covariance, positions = harmonic()
    groups = np.array([0, 0, 2, 3, 4, 4, 6, 7, 8])
    weights = least_variance_map(positions, covariance, groups)
    np.testing.assert_allclose(weights @ positions.T, np.eye(N_BEADS), atol=1e-9)
    np.testing.assert_allclose(weights[:, [0, 4]], weights[:, [1, 5]], atol=1e-12)
    variance = lambda w: np.einsum("na,ab,nb->n", w, covariance, w)
    for _ in range(20):  # another map: add what the conditions do not see
        change = RNG.normal(size=(N_BEADS, N_ATOMS))
        change[:, [1, 5]] = change[:, [0, 4]]
        allowed = np.eye(N_ATOMS)[np.unique(groups)] + np.eye(N_ATOMS)[[1, 1, 5, 5, 5, 5, 5]] * 0
        allowed[0, 1] = allowed[3, 5] = 1
        condition = positions @ allowed.T
        coordinates = change[:, np.unique(groups)]
        coordinates -= coordinates @ np.linalg.pinv(condition) @ condition
        assert (variance(weights + 0.1 * coordinates @ allowed) > variance(weights)).all()


def test_forces_of_translation_do_not_count():
    """Forces that sum to 0 leave C singular; the map is found all the same."""
    covariance, positions = harmonic()
    projector = np.eye(N_ATOMS) - 1 / N_ATOMS
    weights = least_variance_map(positions, projector @ covariance @ projector, np.arange(N_ATOMS))
    np.testing.assert_allclose(weights @ positions.T, np.eye(N_BEADS), atol=1e-8)
    np.testing.assert_allclose(weights.sum(axis=0) @ projector @ covariance @ projector, 0, atol=1e-8)


def test_an_atom_and_its_hydrogens_are_a_rigid_group():
    topology = peptide_topology(1)
    hydrogen = topology.add_atom("HA", mdtraj.element.hydrogen, topology.residue(1))
    carbon = next(a for a in topology.residue(1).atoms if a.name == "CA")
    topology.add_bond(carbon, hydrogen)
    groups = rigid_groups(topology)
    assert groups[hydrogen.index] == carbon.index
    assert len(np.unique(groups)) == topology.n_atoms - 1


def test_beads_that_share_a_rigid_group_are_refused():
    _, positions = harmonic()
    with pytest.raises(InputError, match="rigid group"):
        least_variance_map(positions, np.eye(N_ATOMS), np.zeros(N_ATOMS, int))
