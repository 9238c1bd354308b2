"""Forces of a DATASET as labels of the score."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from .dataset import Dataset, Split
from .diffusion import LabelScale
from .energy.stiff import StiffDistances
from .errors import InputError
from .geometry import centred
from .units import thermal_energy

_FRAMES = 20_000


class Labels(NamedTuple):
    """`scores` (n_frames, n_beads, 3): forces over kT, centred, 1/nm; and how large they are."""

    scores: Float[np.ndarray, "f n 3"]
    scale: LabelScale


def force_labels(dataset: Dataset, split: Split) -> Labels:
    """The labels of the frames of `split`, in their order, and their scale.

    Centred, as the density of centred positions has no force along a translation. Raises InputError if the dataset has
    no forces, or they are all 0.
    """
    scores = centred(dataset.split_forces(split)) / np.float32(thermal_energy(dataset.trajectory.temperature))
    if not scores.any():
        raise InputError("the forces of all frames are 0; prepare the dataset again, or train without --forces")
    x = centred(dataset.split(split).positions)
    some = np.linspace(0, len(x) - 1, min(len(x), _FRAMES)).round().astype(int)
    return Labels(scores, _scale(StiffDistances.fit(dataset.molecule, x[some]), x[some], scores[some]))


def _scale(stiff: StiffDistances, x: Float[np.ndarray, "f n 3"], scores: Float[np.ndarray, "f n 3"]) -> LabelScale:
    eye, pairs = np.eye(x.shape[1], dtype=np.float32), np.asarray(stiff.pairs)
    one = jnp.ones(())
    unscaled = LabelScale(jnp.asarray(eye[pairs[:, 0]] - eye[pairs[:, 1]]), stiff.modes, one, one)
    along = np.asarray(jax.jit(jax.vmap(unscaled.along_stiff))(jnp.asarray(x), jnp.asarray(scores)))
    square = lambda v, n: max(float(np.sum(np.square(v), dtype=np.float64)) / (len(x) * n), 1e-12)
    soft = np.sqrt(square(scores - along, 3 * (x.shape[1] - 1) - len(pairs)))
    return LabelScale(
        unscaled.difference,
        unscaled.whitening,
        jnp.float32(np.sqrt(square(along, len(pairs))) if len(pairs) else soft),
        jnp.float32(soft),
    )
