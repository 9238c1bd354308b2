r"""Is energy shared as it must be? Virial and single distances, from configurations alone.

For any smooth vector field v, Boltzmann's frames have <v . grad U> = <div v> (U in kT).

    v = x - centre                      the virial: 3 n_beads - 3 for a bound molecule
    v = (q - q_mean) grad q             one distance q: |grad q|^2 = 2, Laplacian 4/q, so 2 + 4 <(q - q_mean) / q>
    v = grad q                          4 <1/q>: its fluctuations explain most of the virial's, and are taken off

g = grad U is minus the force the simulation used.
"""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ..fields import over_frames
from ..trajectory import Trajectory
from .base import Check, Context, finite
from .fields import MeanForce, chain_ratio
from .stability import thin_chains

_FRAMES = 16_384
_THRESHOLD, _ERRORS = 0.02, 3


def equipartition(context: Context) -> Check:
    """Temperatures of the virial, of bonds and of 1-3 distances, in units of the thermostat's."""
    shared = {
        "name": "equipartition",
        "title": "Equipartition",
        "threshold": _THRESHOLD,
        "reason": "the worst of virial, bonds and 1-3 distances: an energy shared evenly to 2%, plus 3 standard errors, "
        "moves no free energy of 5 kT by more than a tenth of kT",
    }
    if context.simulated is None:
        return Check(**shared, value=None, passed=False, finding="every replica was lost at once")
    found = temperatures(context.force, thin_chains(context.simulated, _FRAMES))
    groups = {name: (float(T), float(e)) for name, (T, e) in found["groups"].items()}
    off = {name: max(0.0, abs(T - 1) - _ERRORS * float(np.nan_to_num(e))) for name, (T, e) in groups.items()}
    worst = max(groups, key=lambda name: abs(groups[name][0] - 1))
    words = ", ".join(f"{name} {T:.3f} ± {e:.3f}" for name, (T, e) in groups.items())
    return Check(
        **shared,
        value=finite(abs(groups[worst][0] - 1)),
        error=finite(groups[worst][1]),
        passed=all(excess <= _THRESHOLD for excess in off.values()),
        finding=f"configurational temperatures over the thermostat's: {words}",
        details={
            "groups": {name: {"temperature": finite(T), "error": finite(e)} for name, (T, e) in groups.items()},
            "pairs": found["pairs"],
            "pair_temperature": finite(found["temperature"]),
            "pair_error": finite(found["error"]),
        },
    )


def temperatures(force: MeanForce, trajectory: Trajectory) -> dict[str, Any]:
    """Of the virial, of the mean over bonds and over 1-3 pairs, and of every such pair, each with its standard error."""
    molecule = trajectory.molecule
    bonds, across = molecule.bond_pairs, molecule.angle_triples[:, [0, 2]]
    pairs = np.concatenate([bonds, across])
    virial, q, along = (
        np.asarray(a, np.float64)
        for a in _terms(force, jnp.asarray(trajectory.positions, jnp.float32), jnp.asarray(pairs))
    )
    lengths, n = trajectory.chain_lengths, 3 * molecule.n_beads - 3
    groups = {"virial": chain_ratio(_steadied(virial - n, along - 4 / q) + n, np.full_like(virial, n), lengths)}
    work, expected = (q - q.mean(axis=0)) * along, 2 + 4 * (q - q.mean(axis=0)) / q
    for name, chosen in (("bonds", slice(0, len(bonds))), ("angles", slice(len(bonds), None))):
        if len(pairs[chosen]):
            groups[name] = chain_ratio(work[:, chosen].sum(axis=1), expected[:, chosen].sum(axis=1), lengths)
    T, error = chain_ratio(work, expected, lengths) if len(pairs) else (np.zeros(0), np.zeros(0))
    return {"groups": groups, "pairs": pairs.tolist(), "temperature": T, "error": error}


def _steadied(values: Float[np.ndarray, " f"], nulls: Float[np.ndarray, "f k"]) -> Float[np.ndarray, " f"]:
    """`values` less the combination of `nulls`, whose true means are 0, that explains most of them."""
    if not nulls.shape[1]:
        return values
    centred = nulls - nulls.mean(axis=0)
    weights = np.linalg.lstsq(centred, values - values.mean(), rcond=None)[0]
    return values - nulls @ weights


@eqx.filter_jit
def _terms(
    force: MeanForce, x: Float[Array, "f n 3"], pairs: Int[Array, "k 2"]
) -> tuple[Float[Array, " f"], Float[Array, "f k"], Float[Array, "f k"]]:
    """(x - centre) . g; the distances q; grad q . g, of every frame."""
    i, j = pairs[:, 0], pairs[:, 1]

    def frame(x: Array) -> tuple[Array, Array, Array]:
        g, r = -force(x), x[i] - x[j]
        q = jnp.sqrt(jnp.sum(r * r, axis=-1))
        return jnp.vdot(x - x.mean(axis=0, keepdims=True), g), q, jnp.sum(r * (g[i] - g[j]), axis=-1) / q

    return over_frames(frame, x)  # pyright: ignore[reportReturnType] (a tuple, frames first)
