"""Is the force the gradient of anything? Symmetry of its Jacobian, and work around closed loops."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..fields import over_frames
from ..geometry import centre
from .base import Check, Context, finite
from .fields import MeanForce

_PROBES, _LOOP_POINTS, _RADIUS = 16, 128, 0.005  # radius in nm, of each coordinate: about two bond widths
_THRESHOLD = 1e-3


def conservative(context: Context) -> Check:
    """|J - J^T| / 2|J| of the mean force's Jacobian J, and |work| / integral |F . dx| around random closed loops."""
    x = context.frames()
    # numpy's numbers: compiling a generator takes longer than all the rest
    draw = lambda m: jnp.asarray(context.rng("conservative").standard_normal((len(x), m, *x.shape[1:])), x.dtype)
    jacobian = np.asarray(_jacobian(context.force, x, draw(2 * _PROBES)))
    loops = np.asarray(_loops(context.force, x, _RADIUS * draw(2)))
    odd, whole = (float(np.sqrt(np.mean(column.astype(np.float64) ** 2))) for column in jacobian.T)
    asymmetry, work = odd / whole, np.abs(loops[:, 0]) / loops[:, 1]
    # the root mean square over loops, weighted as the Jacobian's: one loop of nearly no work says nothing
    circulation = float(np.sqrt(np.sum(loops[:, 0].astype(float) ** 2) / np.sum(loops[:, 1].astype(float) ** 2)))
    value = max(asymmetry, circulation)
    return Check(
        name="conservative",
        title="Conservative force",
        value=value,
        threshold=_THRESHOLD,
        passed=value <= _THRESHOLD,
        reason="single-precision rounding leaves 1e-6 to 1e-4 of a true gradient; a force that is not one does net work "
        "around loops, which heats a simulation without end",
        finding=f"antisymmetric part of the Jacobian {asymmetry:.1e} of its norm; work around closed loops "
        f"{circulation:.1e} of the work along them",
        details={"asymmetry": asymmetry, "loop_work": circulation, "largest_loop_work": finite(work.max())},
    )


@eqx.filter_jit
def _jacobian(force: MeanForce, x: Float[Array, "f n 3"], w: Float[Array, "f 2p n 3"]) -> Float[Array, "f 2"]:
    """Of every frame the Frobenius norms of (J - J^T)/2 and of J, from random u, v (both in `w`): E (u^T A v)^2 = |A|^2."""

    def frame(x: Array, w: Array) -> Array:
        Jw = jax.vmap(lambda v: jax.jvp(force, (x,), (v,))[1])(w)
        uJv, vJu = jnp.sum(w * jnp.roll(Jw, _PROBES, axis=0), axis=(1, 2)).reshape(2, -1)
        return jnp.sqrt(jnp.stack([jnp.mean((uJv - vJu) ** 2) / 4, jnp.mean((uJv**2 + vJu**2) / 2)]))

    return over_frames(frame, x, w)


@eqx.filter_jit
def _loops(force: MeanForce, x: Float[Array, "f n 3"], radii: Float[Array, "f 2 n 3"]) -> Float[Array, "f 2"]:
    """Of an ellipse through every frame, x + u (cos s - 1) + v sin s: work, and integral |F . dx|, in kT.

    Equal steps around a closed curve: the quadrature of a smooth periodic function converges exponentially.
    """
    s = jnp.linspace(0, 2 * jnp.pi, _LOOP_POINTS, endpoint=False)

    def frame(x: Array, radii: Array) -> Array:
        u, v = jax.vmap(centre)(radii)

        def power(s: Array) -> Array:
            F = force(x + u * (jnp.cos(s) - 1) + v * jnp.sin(s))
            return jnp.sum(F * (v * jnp.cos(s) - u * jnp.sin(s)))

        p = jax.vmap(power)(s)
        return jnp.stack([jnp.mean(p), jnp.mean(jnp.abs(p))]) * 2 * jnp.pi

    return over_frames(frame, x, radii)
