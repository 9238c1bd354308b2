"""Geometry: guards, signs against mdtraj, paths along bonds, and uniform rotations."""

import jax
import jax.numpy as jnp
import mdtraj
import numpy as np
import pytest

from scorefield.geometry import (
    all_pairs,
    angles,
    bonded_paths,
    centre,
    dihedrals,
    distances,
    random_rotation,
    safe_norm,
    superpose,
)

QUADS = np.array([[0, 1, 2, 3], [3, 1, 0, 2], [1, 2, 3, 4]])
TRIPLES = np.array([[0, 1, 2], [3, 1, 4]])
PAIRS = all_pairs(5)


@jax.jit
def all_coordinates(x):
    return jnp.concatenate([distances(x, PAIRS), angles(x, TRIPLES), dihedrals(x, QUADS)])


def test_distances_angles_and_dihedrals_are_mdtrajs():
    x = np.random.default_rng(0).normal(size=(20, 5, 3)).astype(np.float32)
    trajectory = mdtraj.Trajectory(x, None)
    parts = (
        mdtraj.compute_distances(trajectory, PAIRS),
        mdtraj.compute_angles(trajectory, TRIPLES),
        mdtraj.compute_dihedrals(trajectory, QUADS),
    )
    np.testing.assert_allclose(jax.vmap(all_coordinates)(x), np.concatenate(parts, axis=1), atol=2e-4)


def test_the_dihedral_has_the_iupac_sign():
    """Looking along the middle bond, a far bond turned clockwise by 90 degrees is +90."""
    x = jnp.array([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, -1.0]])
    quad = np.array([[0, 1, 2, 3]])
    assert float(dihedrals(x, quad)[0]) == pytest.approx(np.pi / 2, abs=1e-6)
    assert float(dihedrals(x * jnp.array([[-1.0, 1.0, 1.0]]), quad)[0]) == pytest.approx(-np.pi / 2, abs=1e-6)


@pytest.mark.parametrize(
    "x",
    [
        np.zeros((5, 3)),
        np.outer(np.arange(5), [1.0, 2.0, 3.0]),
        np.array([[0, 0, 0], [0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 1, 1]]),
        np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0], [2, 1, 0], [1, 0, 0]]),
        1e3 * np.eye(5, 3),
    ],
    ids=["at one point", "on a line", "two together", "three on a line", "far apart"],
)
def test_no_position_gives_a_nan_or_an_infinite_gradient(x):
    x = jnp.asarray(x, jnp.float32)
    assert np.isfinite(all_coordinates(x)).all()
    assert np.isfinite(jax.jacrev(all_coordinates)(x)).all()
    assert np.isfinite(jax.jacfwd(all_coordinates)(x)).all()


def test_safe_norm_is_the_length_and_its_gradient_the_direction():
    v = jnp.array([3.0, 4.0, 12.0])
    assert float(safe_norm(v)) == pytest.approx(13)
    np.testing.assert_allclose(jax.grad(safe_norm)(v), v / 13, rtol=1e-6)
    np.testing.assert_array_equal(jax.grad(safe_norm)(jnp.zeros(3)), 0)


def test_centre_moves_the_mean_to_the_origin():
    x = jax.random.normal(jax.random.key(0), (5, 3)) + 7
    np.testing.assert_allclose(centre(x).mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(centre(x) - x, (centre(x) - x)[:1].repeat(5, axis=0), atol=1e-6)


def test_all_pairs_are_those_of_at_least_the_separation():
    expected = [(i, j) for i in range(6) for j in range(6) if j - i >= 3]
    np.testing.assert_array_equal(all_pairs(6, 3), expected)


def test_paths_of_a_chain_a_star_and_a_ring():
    chain, star, ring = [(0, 1), (1, 2), (2, 3)], [(0, 1), (0, 2), (0, 3)], [(0, 1), (1, 2), (2, 0)]
    np.testing.assert_array_equal(bonded_paths(4, chain, 2), chain)
    np.testing.assert_array_equal(bonded_paths(4, chain, 3), [(0, 1, 2), (1, 2, 3)])
    np.testing.assert_array_equal(bonded_paths(4, chain, 4), [(0, 1, 2, 3)])
    np.testing.assert_array_equal(bonded_paths(4, star, 3), [(1, 0, 2), (1, 0, 3), (2, 0, 3)])
    assert bonded_paths(4, star, 4).shape == (0, 4)
    np.testing.assert_array_equal(bonded_paths(3, ring, 3), [(0, 1, 2), (0, 2, 1), (1, 0, 2)])
    assert bonded_paths(3, [], 2).shape == (0, 2)


def test_random_rotations_are_proper_and_uniform():
    """A column of a uniform rotation is uniform on the sphere: <u u^T> = I/3, <u_i^4> = 1/5; <R_ij> = 0."""
    n = 40_000
    r = np.asarray(jax.vmap(random_rotation)(jax.random.split(jax.random.key(0), n)), np.float64)
    np.testing.assert_allclose(r @ r.transpose(0, 2, 1), np.broadcast_to(np.eye(3), r.shape), atol=2e-6)
    np.testing.assert_allclose(np.linalg.det(r), 1, atol=2e-6)
    error = 5 / np.sqrt(n)
    np.testing.assert_allclose(r.mean(axis=0), 0, atol=error)
    column = r[:, :, 0]
    np.testing.assert_allclose(column.T @ column / n, np.eye(3) / 3, atol=error)
    np.testing.assert_allclose((column**4).mean(axis=0), 1 / 5, atol=error)
    trace = np.trace(r, axis1=1, axis2=2)  # 1 + 2 cos(angle): mean 0 and mean square 1 under the Haar measure
    np.testing.assert_allclose([trace.mean(), (trace**2).mean()], [0, 1], atol=2 * error)


def test_superpose_undoes_a_rotation_and_a_translation():
    rng = np.random.default_rng(0)
    onto = rng.normal(size=(6, 3))
    onto -= onto.mean(axis=0)
    turn = np.asarray(random_rotation(jax.random.key(3)), np.float64)
    turn = np.linalg.qr(turn)[0] * np.sign(np.diag(np.linalg.qr(turn)[1]))
    np.testing.assert_allclose(superpose((onto @ turn.T + 4.0)[None], onto + 1.0)[0], onto, atol=1e-6)


def test_superpose_never_reflects_and_no_rotation_fits_better():
    rng = np.random.default_rng(1)
    onto = rng.normal(size=(6, 3))
    onto -= onto.mean(axis=0)
    mirrored = onto * [-1.0, 1.0, 1.0]
    fitted = superpose(mirrored[None], onto)[0]
    volume = lambda y: np.linalg.det(y[1:4] - y[0])
    assert volume(fitted) == pytest.approx(volume(mirrored))
    best = ((fitted - onto) ** 2).sum()
    for seed in range(50):
        turn = np.asarray(random_rotation(jax.random.key(seed)))
        assert ((mirrored @ turn.T - onto) ** 2).sum() >= best - 1e-5
