"""Internal coordinates of whole trajectories: the one-frame functions of `geometry`, mapped over frames in chunks.

Chunks bound the memory, whatever the number of frames. Results are float32, nm or rad, frames first.
"""

from collections.abc import Callable, Iterator
from functools import partial

import jax
import numpy as np
from jaxtyping import Float, Int

from .geometry import all_pairs, angles, dihedrals, distances, superpose
from .molecule import Molecule
from .trajectory import Trajectory

_NUMBERS_PER_CHUNK = 2**21
_SEPARATION = 3  # pairs |i - j| >= 3: nearer ones are bonds and angles


def in_chunks(function: Callable, positions: Float[np.ndarray, "f n 3"], index: Int[np.ndarray, "k m"]) -> Iterator:
    """Yield (slice of frames, `function(x, index)` of those frames), `function` one of `geometry`'s on one frame."""
    for frames in chunk_slices(len(positions), max(index.size, positions[0].size)):
        x = np.asarray(positions[frames], np.float32)
        size = 2 ** int(np.ceil(np.log2(len(x))))  # one compilation serves all chunks, and other trajectories
        padded = np.pad(x, ((0, size - len(x)), (0, 0), (0, 0)))
        yield frames, np.asarray(_map(function, padded, index))[: len(x)]


def chunk_slices(n_frames: int, numbers_per_frame: int) -> Iterator[slice]:
    """Slices that together cover `n_frames`, each of a size that fits comfortably in memory."""
    size = 2 ** int(np.log2(max(1, _NUMBERS_PER_CHUNK // numbers_per_frame)))
    for start in range(0, n_frames, size):
        yield slice(start, min(start + size, n_frames))


@partial(jax.jit, static_argnums=0)
def _map(function: Callable, x: jax.Array, index: jax.Array) -> jax.Array:
    return jax.vmap(lambda frame: function(frame, index))(x)


def _collect(function: Callable, trajectory: Trajectory, index: Int[np.ndarray, "k m"]) -> Float[np.ndarray, "f k"]:
    values = np.empty((trajectory.n_frames, len(index)), np.float32)
    for frames, part in in_chunks(function, trajectory.positions, index):
        values[frames] = part
    return values


def bond_lengths(trajectory: Trajectory) -> Float[np.ndarray, "f k"]:
    """Lengths in nm of `molecule.bond_pairs`."""
    return _collect(distances, trajectory, trajectory.molecule.bond_pairs)


def bond_angles(trajectory: Trajectory) -> Float[np.ndarray, "f k"]:
    """Angles in rad of `molecule.angle_triples`."""
    return _collect(angles, trajectory, trajectory.molecule.angle_triples)


def phi_psi(trajectory: Trajectory) -> Float[np.ndarray, "f r 2"]:
    """Backbone dihedrals (phi, psi) in rad of every residue in `molecule.ramachandran`."""
    residues = trajectory.molecule.ramachandran
    quads = np.concatenate([quads for _, quads in residues])
    return _collect(dihedrals, trajectory, quads).reshape(-1, len(residues), 2)


def far_pairs(molecule: Molecule) -> Int[np.ndarray, "k 2"]:
    """Bead pairs with |i - j| >= 3."""
    return all_pairs(molecule.n_beads, _SEPARATION)


def far_distances(trajectory: Trajectory, pairs: Int[np.ndarray, "k 2"] | None = None) -> Iterator:
    """Yield (slice of frames, distances in nm) of `pairs`, by default all `far_pairs`: too many to hold at once."""
    yield from in_chunks(distances, trajectory.positions, far_pairs(trajectory.molecule) if pairs is None else pairs)


def radii_of_gyration(trajectory: Trajectory) -> Float[np.ndarray, " f"]:
    """Root mean square distance in nm of the beads from their geometric centre (all beads alike)."""
    radii = np.empty(trajectory.n_frames, np.float32)
    for frames in chunk_slices(trajectory.n_frames, 3 * trajectory.molecule.n_beads):
        x = np.asarray(trajectory.positions[frames], np.float32)
        x = x - x.mean(axis=1, keepdims=True)
        radii[frames] = np.sqrt(np.mean(np.sum(x * x, axis=2), axis=1))
    return radii


def rmsd(trajectory: Trajectory, onto: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " f"]:
    """Root mean square deviation in nm from the structure `onto`, after superposition, all beads alike."""
    target = np.asarray(onto) - np.mean(onto, axis=0)
    deviations = np.empty(trajectory.n_frames, np.float32)
    for frames in chunk_slices(trajectory.n_frames, 3 * trajectory.molecule.n_beads):
        moved = superpose(np.asarray(trajectory.positions[frames], float), target)
        deviations[frames] = np.sqrt(np.mean(np.sum((moved - target) ** 2, axis=2), axis=1))
    return deviations
