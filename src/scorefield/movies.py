"""Frames to look at: the native structure, the reference and every candidate, superposed on one structure."""

import numpy as np
from jaxtyping import Float

from .geometry import superpose
from .observables import rmsd
from .report import Movie
from .trajectory import Trajectory

_FRAMES, _LEAST = 100, 10
_NUMBERS = 50_000  # of a movie: what a page can carry several of
_AVERAGED = 500  # frames


def movies(reference: Trajectory, candidates: dict[str, Trajectory]) -> dict[str, Movie]:
    """By name: "native" where it is known, "reference", and the candidates.

    All are superposed on the native structure or else on the reference's most typical frame. Frames in time order come
    from one chain, the longest, evenly spaced; others evenly from all.
    """
    native = reference.molecule.native
    onto = typical_frame(reference) if native is None else native
    still = {} if native is None else {"native": Movie((native - native.mean(axis=0))[None], None, None)}
    named = {"reference": reference} | candidates
    return still | {name: _movie(_some(t), onto, native) for name, t in named.items()}


def typical_frame(trajectory: Trajectory) -> Float[np.ndarray, "n 3"]:
    """The frame (nm, centred) nearest to the mean structure, of a few hundred evenly spaced."""
    x = np.asarray(trajectory.representative(_AVERAGED).positions, float)
    mean = x[0]
    for _ in range(3):
        mean = superpose(x, mean).mean(axis=0)
    moved = superpose(x, mean)
    return moved[np.argmin(np.sum((moved - mean) ** 2, axis=(1, 2)))]


def _some(trajectory: Trajectory) -> Trajectory:
    """Few enough frames to show; their interval is that between them."""
    n = max(_LEAST, min(_FRAMES, _NUMBERS // (3 * trajectory.molecule.n_beads)))
    if trajectory.interval is None:
        chosen = trajectory.representative(n)
        return Trajectory(chosen.molecule, chosen.positions, (chosen.n_frames,), chosen.temperature)
    longest = trajectory.select_chains([int(np.argmax(trajectory.chain_lengths))])
    stride = -(-longest.n_frames // n)
    x = longest.positions[::stride]
    return Trajectory(longest.molecule, x, (len(x),), longest.temperature, stride * trajectory.interval)


def _movie(trajectory: Trajectory, onto: np.ndarray, native: np.ndarray | None) -> Movie:
    x = superpose(np.asarray(trajectory.positions, float), onto)
    return Movie(x, trajectory.interval, None if native is None else rmsd(trajectory, native))
