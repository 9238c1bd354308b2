"""Forces of a DATASET as labels of the score."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from .dataset import Dataset, Split
from .errors import InputError
from .geometry import centred
from .units import thermal_energy


class Labels(NamedTuple):
    """`scores` (n_frames, n_beads, 3): forces over kT, centred, 1/nm; `rms`: root mean square over degrees of freedom."""

    scores: Float[np.ndarray, "f n 3"]
    rms: float


def force_labels(dataset: Dataset, split: Split) -> Labels:
    """The labels of the frames of `split`, in their order.

    Centred, as the density of centred positions has no force along a translation. Raises InputError if the dataset has
    no forces, or they are all 0.
    """
    scores = centred(dataset.split_forces(split)) / np.float32(thermal_energy(dataset.trajectory.temperature))
    rms = float(np.sqrt(np.mean(np.square(scores), dtype=np.float64) * scores.shape[1] / (scores.shape[1] - 1)))
    if not rms > 0:
        raise InputError("the forces of all frames are 0; prepare the dataset again, or train without --forces")
    return Labels(scores, rms)
