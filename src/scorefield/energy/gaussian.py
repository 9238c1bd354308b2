"""The one density whose noised energy, score and samples are known in closed form: a Gaussian of bead positions.

C       (n_beads, n_beads) nm^2, covariance of centred bead positions, the same for each Cartesian component
U       x^T (C (x) I_3 + sigma^2 I)^-1 x / 2 for centred x, the translation left out
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..errors import InputError
from ..geometry import EXACT
from .base import AbstractEnergy


class GaussianEnergy(AbstractEnergy):
    """U of a Gaussian with orthonormal `modes` (n_beads - 1, n_beads), each with its variance in nm^2.

    An oracle for samplers and integrators, and the exact score of any data as sigma grows without bound. It has no
    trainable numbers: gradients with respect to its fields are zero.
    """

    modes: Float[Array, "k n"]
    variances: Float[Array, " k"]

    @staticmethod
    def from_covariance(covariance: Float[np.ndarray, "n n"]) -> "GaussianEnergy":
        """The energy of a bead-bead covariance in nm^2, of which only the centred part counts.

        Raises InputError if the matrix is not symmetric and positive semidefinite.
        """
        covariance = np.asarray(covariance, np.float64)
        n = len(covariance)
        scale = np.abs(covariance).max()
        if not np.isfinite(scale) or not np.allclose(covariance, covariance.T, atol=1e-6 * scale):
            raise InputError("a covariance matrix must be finite and symmetric; give the covariance of positions")
        # An orthonormal basis of the differences: what is orthogonal to a translation.
        basis = np.linalg.qr(np.eye(n) - 1 / n)[0][:, : n - 1]
        variances, vectors = np.linalg.eigh(basis.T @ covariance @ basis)
        if variances.min() < -1e-6 * scale:
            raise InputError("a covariance matrix must be positive semidefinite; give the covariance of positions")
        return GaussianEnergy(jnp.asarray((basis @ vectors).T), jnp.asarray(np.maximum(variances, 0.0)))

    @staticmethod
    def from_positions(positions: Float[np.ndarray, "f n 3"]) -> "GaussianEnergy":
        """The energy with the second moments of `positions` in nm, averaged over rotations (zero mean)."""
        x = np.asarray(positions, np.float64)
        x = x - x.mean(axis=1, keepdims=True)
        return GaussianEnergy.from_covariance(np.einsum("fic,fjc->ij", x, x) / (3 * len(x)))

    @staticmethod
    def zeros(n_beads: int) -> "GaussianEnergy":
        """Of the shapes that `n_beads` beads have, all zero."""
        return GaussianEnergy(jnp.zeros((n_beads - 1, n_beads)), jnp.zeros(n_beads - 1))

    def __call__(self, x: Float[Array, "n 3"], sigma: Float[Array, ""]) -> Float[Array, ""]:
        """U in kT, up to a function of sigma alone."""
        modes, variances = jax.lax.stop_gradient((self.modes, self.variances))
        return 0.5 * jnp.sum(jnp.matmul(modes, x, precision=EXACT) ** 2 / (variances + sigma**2)[:, None])
