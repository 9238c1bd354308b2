r"""Do the energies of all noise levels belong to one density? The residual of the heat equation.

p_sigma = p_0 * N(0, sigma^2 I) obeys dp/dt = Laplacian p in t = sigma^2 / 2. With U = -log p + c(t):

    dU/dt = (1/sigma) dU/dsigma = Laplacian U - |grad U|^2 + c'(t)

c' is a function of sigma alone, so the residual's mean over frames is left out.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ..energy.base import AbstractEnergy
from ..fields import divergence, over_frames
from ..geometry import centre
from .base import Check, Context, finite

_LEVELS = 9
_LARGEST = 3.0  # of the data's spread: beyond it every density is the Gaussian baseline
_THRESHOLD = 0.1


def fokker_planck(context: Context) -> Check:
    """RMS residual over RMS Laplacian of U, at levels from half the force level to 3 times the data's spread."""
    model = context.model
    shared = {
        "name": "fokker_planck",
        "title": "One density at all noise levels",
        "threshold": _THRESHOLD,
        "reason": "the Laplacian is what noise changes about U; a tenth of it wrong moves U by about a tenth of kT per "
        "degree of freedom over an e-fold of sigma, at the worst level",
    }
    if not isinstance(model.score, AbstractEnergy):
        none = "a direct network has no energy, so there is no residual to measure"
        return Check(**shared, value=None, passed=False, finding=none)
    smallest = max(model.level / 2, float(model.sampling_levels()[-1]))
    sigmas = np.geomspace(smallest, _LARGEST * model.physical.spread, _LEVELS)
    residual, laplacian = residuals(model.score, context.frames(), sigmas, context.key("fokker_planck"))
    relative = residual / laplacian
    worst = int(np.argmax(relative))
    return Check(
        **shared,
        value=float(relative[worst]),
        passed=bool(relative[worst] <= _THRESHOLD),
        finding=f"residual {relative[worst]:.3f} of the Laplacian at {sigmas[worst]:.4g} nm, the worst level; median "
        f"{np.median(relative):.3f}",
        details={
            "sigma_nm": finite(sigmas),
            "relative_residual": finite(relative),
            "residual_kT_per_efold": finite(residual * sigmas**2),
        },
    )


def residuals(
    model: AbstractEnergy, x: Float[Array, "f n 3"], sigmas: Float[np.ndarray, " k"], key: PRNGKeyArray
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """At every level: RMS residual, less its mean, and RMS Laplacian (1/nm^2), over frames `x` (nm) with noise added."""
    rows = []
    for k, sigma in enumerate(sigmas):
        keys = jax.random.split(jax.random.fold_in(key, k), len(x))
        rows.append(np.asarray(_terms(model, x, jnp.float32(sigma), keys), np.float64))
    residual, laplacian = np.stack(rows).transpose(2, 0, 1)
    return residual.std(axis=1), np.sqrt(np.mean(laplacian**2, axis=1))


def _probes(n_beads: int) -> int:
    """Enough for a Laplacian good to about 3%: more terms average better."""
    return max(16, min(64, 1800 // n_beads))


@eqx.filter_jit
def _terms(
    model: AbstractEnergy, x: Float[Array, "f n 3"], sigma: Float[Array, ""], keys: PRNGKeyArray
) -> Float[Array, "f 2"]:
    """Residual and Laplacian of U at x + sigma n, of every frame."""

    def frame(x: Array, key: PRNGKeyArray) -> Array:
        noise, probe = jax.random.split(key)
        y = x + sigma * centre(jax.random.normal(noise, x.shape))
        rate = jax.grad(lambda s: model(y, s))(sigma) / sigma
        gradient = lambda y: -model.score(y, sigma)
        laplacian = divergence(gradient, y, probe, _probes(x.shape[0]))
        return jnp.stack([rate - laplacian + jnp.sum(gradient(y) ** 2), laplacian])

    return over_frames(frame, x, keys)
