"""Molecules and exact frames for tests of metrics: backbones built from given bonds, angles and dihedrals."""

import numpy as np

from scorefield.molecule import Molecule
from scorefield.trajectory import Trajectory

ANGLE = np.radians(110)


def chain_molecule(names: tuple[str, ...], native: np.ndarray | None = None) -> Molecule:
    n = len(names)
    bonds = tuple((i, i + 1) for i in range(n - 1))
    return Molecule("test", names, ("ALA",) * n, tuple(range(n)), (12.0,) * n, bonds, native)


def dipeptide(native: np.ndarray | None = None) -> Molecule:
    return chain_molecule(("C", "N", "CA", "C", "N"), native)


def frames(phi, psi, bond=0.15, angle=ANGLE) -> np.ndarray:
    """(f, 5, 3) nm: every bond and angle alike within a frame; arguments broadcast over frames."""
    phi, psi, bond, angle = np.broadcast_arrays(phi, psi, bond, angle)
    x = np.zeros((len(phi), 5, 3))
    x[:, 1, 0] = bond
    x[:, 2] = x[:, 1] + bond[:, None] * np.stack([-np.cos(angle), np.sin(angle), 0 * angle], axis=1)
    for k, dihedral in ((3, phi), (4, psi)):
        x[:, k] = place(x[:, k - 3], x[:, k - 2], x[:, k - 1], bond, angle, dihedral)
    return x


def place(a, b, c, bond, angle, dihedral):
    """The fourth bead of each frame, at `bond` from c and `angle` at c, with `dihedral` about b-c; all (f,) or (f, 3)."""
    along = (c - b) / np.linalg.norm(c - b, axis=1, keepdims=True)
    normal = np.cross(b - a, along)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    side = np.cross(normal, along)
    steps = (-np.cos(angle), np.sin(angle) * np.cos(dihedral), np.sin(angle) * np.sin(dihedral))
    return c + bond[:, None] * sum(s[:, None] * axis for s, axis in zip(steps, (along, side, normal), strict=True))


def trajectory(x, molecule: Molecule | None = None, chains: int = 1, temperature=300.0, weights=None) -> Trajectory:
    lengths = tuple(len(part) for part in np.array_split(np.arange(len(x)), chains))
    return Trajectory(molecule or dipeptide(), x.astype(np.float32), lengths, temperature, None, weights)


def random_backbones(n: int, seed: int) -> np.ndarray:
    """Two basins in phi, noisy bonds and angles: a stand-in for molecular dynamics, frames independent."""
    rng = np.random.default_rng(seed)
    phi = np.where(rng.random(n) < 0.2, 1.0, -1.5) + 0.3 * rng.normal(size=n)
    psi = rng.vonmises(2.0, 3.0, size=n)
    return frames(phi, psi, 0.15 + 0.003 * rng.normal(size=n), ANGLE + 0.05 * rng.normal(size=n))


def random_chain(
    n: int, bonds: int, seed: int, length=0.15, length_sd=0.004, across=0.25, across_sd=0.006
) -> np.ndarray:
    """(n, bonds + 1, 3) nm: independent Gaussian bonds and 1-3 distances, uniform dihedrals; centred."""
    rng = np.random.default_rng(seed)
    b = length + length_sd * rng.normal(size=(n, bonds))
    r = across + across_sd * rng.normal(size=(n, bonds - 1))
    angle = np.arccos((b[:, :-1] ** 2 + b[:, 1:] ** 2 - r**2) / (2 * b[:, :-1] * b[:, 1:]))
    x = np.zeros((n, bonds + 1, 3))
    x[:, 1, 0] = b[:, 0]
    x[:, 2, 0] = b[:, 0] - b[:, 1] * np.cos(angle[:, 0])
    x[:, 2, 1] = b[:, 1] * np.sin(angle[:, 0])
    for k in range(3, bonds + 1):
        dihedral = rng.uniform(-np.pi, np.pi, n)
        x[:, k] = place(x[:, k - 3], x[:, k - 2], x[:, k - 1], b[:, k - 1], angle[:, k - 2], dihedral)
    return x - x.mean(axis=1, keepdims=True)


def dimer(r: np.ndarray, seed: int) -> np.ndarray:
    """Frames of two beads `r` apart, (f,) nm, in uniformly random directions."""
    u = np.random.default_rng(seed).normal(size=(len(r), 3))
    u *= r[:, None] / np.linalg.norm(u, axis=1, keepdims=True)
    return np.stack([-u / 2, u / 2], axis=1)


def noised(x: np.ndarray, sigma: float, seed: int) -> np.ndarray:
    return x + sigma * np.random.default_rng(seed).normal(size=x.shape)
