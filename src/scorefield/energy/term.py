"""What every term of the noise-aware prior is, and what the terms share."""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ..geometry import Indices
from ..molecule import Molecule

FADE = 0.25
N_FRAMES = 20_000
MAX_SKEWNESS, MAX_EXCESS_KURTOSIS = 1.0, 2.0


class AbstractTerm(eqx.Module):
    """-log of a density of a few internal coordinates, in kT, whose dependence on sigma is known in closed form.

    Finite, with finite derivatives, for every x and sigma. At large sigma, where the Gaussian baseline and the network hold
    the density, it vanishes (`fading`). Final subclasses only; `TERMS` of `prior` lists them.
    """

    @property
    @abstractmethod
    def size(self) -> int:
        """What the arrays' shapes depend on, as `zeros` takes it; 0 if the data ask for nothing of this kind."""

    @abstractmethod
    def __call__(self, x: Float[Array, "n 3"], sigma: Float[Array, ""]) -> Float[Array, ""]:
        """Energy of one frame in kT at noise `sigma` (nm); 0 is allowed. Not to be called if `size` is 0."""

    @staticmethod
    @abstractmethod
    def fit(molecule: Molecule, x: Float[np.ndarray, "f n 3"]) -> "AbstractTerm":
        """Choose by the class's criterion what frames `x` (nm) ask for, and fit it to them."""

    @staticmethod
    @abstractmethod
    def zeros(size: int) -> "AbstractTerm":
        """Of the shapes that `fit` gives for this `size`, all zero."""


def fading(sigma: Float[Array, ""], fade: Float[Array, ""]) -> Float[Array, ""]:
    """1 / (1 + (sigma / fade)^4)."""
    return 1 / (1 + (sigma / fade) ** 4)


def fade_length(molecule: Molecule, x: Float[np.ndarray, "f n 3"]) -> float:
    """`FADE` times the mean bond length of frames `x`, nm; without bonds next to nothing, a thousandth of their spread."""
    bonds = molecule.bond_pairs
    return FADE * float(frame_distances(thinned(x), bonds).mean()) if len(bonds) else 1e-3 * float(np.std(x))


def candidates(molecule: Molecule) -> Int[np.ndarray, "m 2"]:
    """Bonds and 1-3 pairs, each once, sorted: the distances that a term may hold."""
    pairs = np.concatenate([molecule.bond_pairs, molecule.angle_triples[:, [0, 2]]])
    return np.unique(np.sort(pairs, axis=1), axis=0)


def thinned(x: Float[np.ndarray, "f ..."]) -> Float[np.ndarray, "g ..."]:
    """Evenly spaced frames of `x`: fewer than twice `N_FRAMES`."""
    return x[:: max(1, len(x) // N_FRAMES)]


def frame_distances(x: Float[np.ndarray, "f n 3"], pairs: Int[Indices, "m 2"]) -> Float[np.ndarray, "f m"]:
    """Distances in nm of bead `pairs` in frames `x`, in double precision."""
    return np.linalg.norm(x[:, pairs[:, 0]].astype(np.float64) - x[:, pairs[:, 1]], axis=-1)


def single_narrow_peaks(q: Float[np.ndarray, "f m"], width: Float[np.ndarray, " m"] | float) -> Bool[np.ndarray, " m"]:
    """Which columns of `q` are one peak no wider than `width`.

    Criterion: standard deviation at most `width`, |skewness| and |excess kurtosis| below `MAX_SKEWNESS` and
    `MAX_EXCESS_KURTOSIS`.
    """
    spread = q.std(axis=0)
    z = (q - q.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    single = (np.abs((z**3).mean(axis=0)) < MAX_SKEWNESS) & (np.abs((z**4).mean(axis=0) - 3) < MAX_EXCESS_KURTOSIS)
    return (spread <= width) & single


def log_shrink(y: Float[Array, "..."]) -> Float[Array, "..."]:
    """ln((1 - e^-y) / y) of y >= 0: what the image charge at -r0 adds to a shell of radius r0; smooth at 0."""
    small = y < 1e-3
    safe = jnp.where(small, 1.0, y)
    return jnp.where(small, -y / 2 + y * y / 24, jnp.log(-jnp.expm1(-safe) / safe))
