"""Many short replicas at any time step and noise level, compiled once."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ..bond_thermostat import BondThermostat
from ..dynamics import Langevin
from ..energy.base import AbstractScore
from ..model import Model
from ..units import thermal_energy


def short_runs(
    model: Model,
    starts: Float[np.ndarray, "r n 3"],
    levels: Float[np.ndarray, " r"],
    dt: float,
    friction: float,
    stride: int,
    n_frames: int,
    key: PRNGKeyArray,
) -> tuple[Float[np.ndarray, "r f n 3"], Float[np.ndarray, "r f n 3"]]:
    """Positions (nm) and velocities (nm/ps) every `stride` steps of `dt` ps; one replica from each start, at its level."""
    physics = (jnp.asarray(model.masses, jnp.float32), thermal_energy(model.temperature), jnp.float32(dt))
    bonds = model.bond_thermostat if friction > 0 else None
    x, v = _run(
        model.score,
        *physics,
        bonds,
        jnp.float32(friction),
        jnp.asarray(starts, jnp.float32),
        jnp.asarray(levels, jnp.float32),
        jax.random.split(key, len(starts)),
        jnp.int32(stride),
        n_frames,
    )
    return np.asarray(x), np.asarray(v)


@eqx.filter_jit
def _run(
    score: AbstractScore,
    masses: Float[Array, " n"],
    kT: float,
    dt: Float[Array, ""],
    bonds: BondThermostat | None,
    friction: Float[Array, ""],
    starts: Float[Array, "r n 3"],
    levels: Float[Array, " r"],
    keys: PRNGKeyArray,
    stride: Int[Array, ""],
    n_frames: int,
):
    def dynamics(level: Array) -> Langevin:
        force = lambda x: kT * score.mean_force(x, level)
        return Langevin(force, masses, kT, dt, friction, bonds)  # pyright: ignore[reportArgumentType] (numbers, traced)

    def frame(state, k: Array):
        def step(i: Array, state):
            step_keys = jax.vmap(jax.random.fold_in, (0, None))(keys, i)
            return jax.vmap(lambda level, key, s: dynamics(level).step(key, s))(levels, step_keys, state)

        state = jax.lax.fori_loop(1 + k * stride, 1 + (k + 1) * stride, step, state)
        return state, (state.x, state.v)

    first = jax.vmap(jax.random.fold_in, (0, None))(keys, 0)
    state = jax.vmap(lambda level, key, x: dynamics(level).init(key, x))(levels, first, starts)
    _, (x, v) = jax.lax.scan(frame, state, jnp.arange(n_frames))
    return jnp.swapaxes(x, 0, 1), jnp.swapaxes(v, 0, 1)
