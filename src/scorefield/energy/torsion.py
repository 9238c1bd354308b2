r"""Narrow dihedrals, such as those of rigid rings: heat on a circle.

    phi     a dihedral of four bonded beads, rad;  mu, v its circular mean and variance over the data
    D       = sigma^2 <|grad phi|^2>: what noise adds to the variance, with the gradient's square averaged over the data

Noise turns a wrapped Gaussian into a wider one, and its Fourier series and its sum over images are the same function,

    p(phi) = (1 + 2 sum_k exp(-k^2 (v + D) / 2) cos k (phi - mu)) / 2 pi = sum_n N(phi - mu + 2 pi n; 0, v + D)

of which the second is positive however many terms are kept. The energy is -ln p, times a weight that falls to 0 where three
of the beads come to lie on a line, faster than grad phi grows there. D is of first order in sigma^2, so only a dihedral as
stiff as a bond gains: on peptide bonds (0.15 rad) the term made both the loss and the force worse.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ..geometry import Indices, dihedrals
from ..molecule import Molecule
from .term import AbstractTerm, fade_length, fading, single_narrow_peaks, thinned

MAX_SPREAD = 0.1
MIN_SINE = 0.3
_MAX_VARIANCE = 9.0  # rad^2: wider, the density is flat within 2 % and would need more images
_IMAGES = 2 * np.pi * np.arange(-2, 3, dtype=np.float32)[:, None]
_TINY = 1e-12


class NarrowDihedrals(AbstractTerm):
    """-ln p of every narrow dihedral: `means` mu, `variances` v, `speeds` <|grad phi|^2> in rad^2/nm^2.

    `bend`: where sin^2 sin^2 of the two angles is so small, half of the term is gone.
    """

    quads: Int[Array, "m 4"]
    means: Float[Array, " m"]
    variances: Float[Array, " m"]
    speeds: Float[Array, " m"]
    bend: Float[Array, " m"]
    fade: Float[Array, ""]

    @property
    def size(self) -> int:
        """Number of dihedrals."""
        return len(self.quads)

    def __call__(self, x: Float[Array, "n 3"], sigma: Float[Array, ""]) -> Float[Array, ""]:
        """Energy in kT at noise `sigma` (nm)."""
        variance = jnp.minimum(self.variances + self.speeds * sigma**2, _MAX_VARIANCE)
        away = (dihedrals(x, self.quads) - self.means)[None] + _IMAGES
        u = 0.5 * jnp.log(variance) - jax.nn.logsumexp(-0.5 * away**2 / variance[None], axis=0)
        bent = (squared_sines(x, self.quads) / self.bend) ** 4
        return fading(sigma, self.fade) * jnp.sum(bent / (1 + bent) * u)

    @staticmethod
    def zeros(size: int) -> "NarrowDihedrals":
        """Of the shapes that `fit` gives for so many dihedrals, all zero."""
        vector = jnp.zeros(size)
        return NarrowDihedrals(jnp.zeros((size, 4), jnp.int32), vector, vector, vector, vector, jnp.zeros(()))

    @staticmethod
    def fit(molecule: Molecule, x: Float[np.ndarray, "f n 3"]) -> "NarrowDihedrals":
        """Fit to frames `x` (nm) the dihedrals that are one narrow peak, at most one about each bond: the narrowest.

        Criterion: one peak (`single_narrow_peaks`) about the circular mean, of standard deviation at most `MAX_SPREAD` rad;
        and 99 % of the frames have sin sin of the two angles above `MIN_SINE`.
        """
        narrowest: dict[tuple[int, int], _Peak] = {}
        for quad in molecule.dihedral_quads:
            peak, axis = _peak(thinned(x), quad), (int(min(quad[1:3])), int(max(quad[1:3])))
            if peak is not None and (axis not in narrowest or peak.variance < narrowest[axis].variance):
                narrowest[axis] = peak
        if not narrowest:
            return NarrowDihedrals.zeros(0)
        chosen = list(narrowest.values())
        f32 = lambda a: jnp.asarray(np.array(a), jnp.float32)
        return NarrowDihedrals(
            jnp.asarray(np.array([p.quad for p in chosen]), jnp.int32),
            f32([p.mean for p in chosen]),
            f32([p.variance for p in chosen]),
            f32([p.speed for p in chosen]),
            f32([p.bend for p in chosen]),
            f32(fade_length(molecule, x)),
        )


def squared_sines(x: Float[Array, "n 3"], quads: Int[Indices, "m 4"]) -> Float[Array, " m"]:
    """sin^2 sin^2 of the two angles of each of `quads`: 0 where the dihedral is undefined."""
    p = x[quads]
    b1, b2, b3 = p[:, 1] - p[:, 0], p[:, 2] - p[:, 1], p[:, 3] - p[:, 2]
    square = lambda v: jnp.sum(v * v, axis=-1)
    sine = lambda a, b: square(jnp.cross(a, b)) / (square(a) * square(b) + _TINY)
    return sine(b1, b2) * sine(b2, b3)


class _Peak(NamedTuple):
    """One dihedral's numbers, as `NarrowDihedrals` holds them."""

    quad: Int[np.ndarray, "4"]
    mean: float
    variance: float
    speed: float
    bend: float


def _peak(x: Float[np.ndarray, "f n 3"], quad: Int[np.ndarray, "4"]) -> _Peak | None:
    """The dihedral `quad` of frames `x` as one narrow peak; None if it is not."""
    phi, sines, squares = _measured(x, quad)
    mean = np.angle(np.exp(1j * phi).mean())
    away = np.angle(np.exp(1j * (phi - mean)))
    straightest = np.quantile(sines, 0.01)
    if straightest <= MIN_SINE**2 or not single_narrow_peaks(away[:, None], MAX_SPREAD).all():
        return None
    return _Peak(quad, float(mean), float(away.var()), float(squares.mean()), float(0.1 * straightest))


def _measured(x: Float[np.ndarray, "f n 3"], quad: Int[np.ndarray, "4"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of every frame: phi, sin^2 sin^2 of the two angles, and |grad phi|^2 (rad^2/nm^2)."""
    b1, b2, b3 = np.diff(x[:, quad].astype(np.float64), axis=1).transpose(1, 0, 2)
    dot = lambda a, b: np.sum(a * b, axis=1, keepdims=True)
    n1, n2, square = np.cross(b1, b2), np.cross(b2, b3), np.maximum(dot(b2, b2), _TINY)
    length = np.sqrt(square)
    phi = np.arctan2(length * dot(b1, n2), dot(n1, n2))
    sine = lambda n, a: dot(n, n) / np.maximum(dot(a, a) * square, _TINY)
    # The gradient of a dihedral: the outer beads move along the normals, the inner ones by the lever rule.
    first, last = length * n1 / np.maximum(dot(n1, n1), _TINY), length * n2 / np.maximum(dot(n2, n2), _TINY)
    second = (1 + dot(b1, b2) / square) * first + dot(b3, b2) / square * last
    third = first - second - last
    squares = dot(first, first) + dot(second, second) + dot(third, third) + dot(last, last)
    return phi[:, 0], (sine(n1, b1) * sine(n2, b3))[:, 0], squares[:, 0]
