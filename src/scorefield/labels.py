"""Forces of a DATASET as labels of the score."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from .dataset import Dataset, Split
from .diffusion import LabelScale
from .energy.stiff import stiff_pairs
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
    return Labels(scores, _scale(stiff_pairs(dataset.molecule, x[some]), x[some], scores[some]))


def _scale(
    pairs: Int[np.ndarray, "m 2"], x: Float[np.ndarray, "f n 3"], scores: Float[np.ndarray, "f n 3"]
) -> LabelScale:
    eye, one = np.eye(x.shape[1], dtype=np.float32), jnp.ones(())
    unscaled = LabelScale(jnp.asarray(eye[pairs[:, 0]] - eye[pairs[:, 1]]), one, one)
    along = np.asarray(jax.jit(jax.vmap(unscaled.along_stiff))(jnp.asarray(x), jnp.asarray(scores)))
    rms = lambda v, n: np.sqrt(max(float(np.sum(np.square(v), dtype=np.float64)) / (len(x) * n), 1e-12))
    soft = rms(scores - along, 3 * (x.shape[1] - 1) - len(pairs))
    stiff = rms(along, len(pairs)) if len(pairs) else soft
    return LabelScale(unscaled.difference, jnp.float32(stiff), jnp.float32(soft))
