"""Walkers that are simulated on, round after round, whatever the potential has become: what `refine` learns from.

Both kinds start where the data are. One that is lost starts again there.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from .dynamics import Langevin, State
from .energy.invariant import InvariantEnergy
from .errors import InputError
from .geometry import centre
from .model import Model
from .protocol import Protocol
from .replicas import Replicas

_FRAMES = 20  # of a replica, a round
_CALLS, _STEPS = 4, 25  # of the walkers at noise levels, a round: frames, and steps before each
_STEP, _FRICTION = (
    0.5,
    1.0,
)  # of theirs: in noise levels, and 1/nm: a walker of unit mass and kT goes about 1 nm in a time of 1


class ForceFieldCrowd:
    """Replicas of the force field, as it is simulated: its level, time step and thermostat."""

    def __init__(self, model: Model, starts: Float[np.ndarray, "r n 3"], time_ps: float, seed: int) -> None:
        self._starts, self._seed, self._state, self.lost = starts, seed, None, 0
        self._protocol = partial(Protocol.of, time_ps=time_ps, save_ps=time_ps / _FRAMES)
        self._protocol(model)  # what is out of range is said before anything is computed

    def advanced(self, model: Model, k: int) -> Float[np.ndarray, "f n 3"]:
        """The frames (nm) of round `k`, of the replicas that are whole. Raises InputError if none is."""
        replicas = Replicas(model, self._protocol(model, seed=self._seed + 1 + k), len(self._starts))
        state = fresh = replicas.start(self._starts)
        if self._state is not None:
            state = self._state
        found = []
        for _, now, x in replicas.frames(state, 0, _FRAMES):
            found.append(x)
            state = now
        frames = np.concatenate(found, axis=1)
        whole = model.physical.intact(frames, model.molecule).all(axis=1)
        if not whole.any():
            raise InputError("every replica was lost: the model is not trained well enough to be refined; train longer")
        self.lost += int((~whole).sum())
        self._state = _chosen(whole, state, fresh)
        return frames[whole].reshape(-1, *frames.shape[2:])


class NoisyCrowd:
    """Walkers in U(x, sigma), equally many at each of `levels` (nm), started from noised frames.

    Langevin dynamics of unit mass at kT = 1, where times are lengths: the stiffest there is has a width of sigma, so that
    time steps are half of sigma, and get longer where there is more noise.
    """

    def __init__(self, starts: Float[np.ndarray, "l w n 3"], levels: Float[np.ndarray, " l"], seed: int) -> None:
        self._levels, self._walkers = levels, starts.shape[1]
        self._x = jnp.asarray(starts.reshape(-1, *starts.shape[2:]), jnp.float32)
        self._sigma = jnp.asarray(np.repeat(levels, self._walkers), jnp.float32)
        self._key, key = jax.random.split(jax.random.key(seed))
        self._fresh = self._state = State(self._x, jax.random.normal(key, self._x.shape), jnp.zeros_like(self._x))
        self.lost = 0

    def advanced(
        self, energy: InvariantEnergy, k: int, measure: Callable[[Array, Array], Float[np.ndarray, "f k"]]
    ) -> Float[np.ndarray, "l f k"]:
        """What `measure` says of (frames, their levels) in round `k`, level by level."""
        found = []
        for call in range(_CALLS):
            state = _moved(energy, self._state, self._sigma, jax.random.fold_in(self._key, _CALLS * k + call))
            whole = np.isfinite(np.asarray(state.x)).all(axis=(1, 2))
            self.lost += int((~whole).sum())
            self._state = _chosen(whole, state, self._fresh)
            f = measure(self._state.x, self._sigma)
            found.append(f.reshape(len(self._levels), self._walkers, -1))
        return np.concatenate(found, axis=1)


def _chosen(whole: Bool[np.ndarray, " r"], state: Any, fresh: Any) -> Any:
    """`state` of those that are whole, `fresh` of the others."""
    pick = lambda new, old: jnp.where(whole.reshape(-1, *[1] * (old.ndim - 1)), old, new)
    return jax.tree.map(pick, fresh, state)


@eqx.filter_jit
def _moved(energy: InvariantEnergy, state: State, sigma: Float[Array, " w"], key: PRNGKeyArray) -> State:
    """`_STEPS` steps of every walker."""

    def one(key: PRNGKeyArray, sigma: Array, state: State) -> State:
        masses = jnp.ones(len(state.x))
        moved = Langevin(lambda x: energy.score(x, sigma), masses, 1.0, _STEP * sigma, _FRICTION).step(key, state)
        return moved._replace(x=centre(moved.x))

    def step(i: Array, state: State) -> State:
        return jax.vmap(one)(jax.random.split(jax.random.fold_in(key, i), len(sigma)), sigma, state)

    return jax.lax.fori_loop(0, _STEPS, step, state)
