"""Walkers that are simulated on, round after round, whatever the potential has become: what `refine` learns from.

Both kinds start where the data are. One that is lost starts again there.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .dynamics import Langevin, State
from .energy.invariant import InvariantEnergy
from .errors import InputError
from .geometry import centre
from .model import Model
from .protocol import Protocol
from .replicas import Replicas

ROUND_FRAMES = 20
"""Of a replica, a round."""
_CALLS, _STEPS = 4, 25  # of the walkers at noise levels, a round: frames, and steps before each
_STEP, _FRICTION = 0.5, 1.0  # of theirs: in noise levels, and 1/nm, times being lengths


class ForceFieldCrowd:
    """Replicas of the force field, as it is simulated: its level, time step and thermostat."""

    def __init__(self, model: Model, starts: Float[np.ndarray, "r n 3"], time_ps: float, seed: int) -> None:
        self._starts, self._seed = starts, seed
        self._protocol = partial(Protocol.of, time_ps=time_ps, save_ps=time_ps / ROUND_FRAMES)
        self.fresh = self._replicas(model, 1).start(starts)

    def _replicas(self, model: Model, k: int) -> Replicas:
        return Replicas(model, self._protocol(model, seed=self._seed + k), len(self._starts))

    def advanced(self, model: Model, k: int, state: Any) -> tuple[Float[np.ndarray, "f n 3"], Any, int]:
        """The frames (nm) of round `k` from `state` on, the state after it, and how many replicas were lost.

        The first half of the first kick is that of the potential before. Raises InputError if every replica is lost.
        """
        found = []
        for _, now, x in self._replicas(model, k).frames(state, 0, ROUND_FRAMES):
            found.append(x)
            state = now
        frames = np.concatenate(found, axis=1)
        whole = np.all(model.physical.intact(frames, model.molecule), axis=1)
        if not np.any(whole):
            raise InputError("every replica was lost: the model is not trained well enough to be refined; train longer")
        return frames[whole].reshape(-1, *frames.shape[2:]), _chosen(whole, state, self.fresh), int(np.sum(~whole))


class NoisyCrowd:
    """Walkers in U(x, sigma), equally many at each of some levels (nm), started from noised frames.

    Langevin dynamics of unit mass at kT = 1, where times are lengths: the stiffest there is has a width of sigma, so that
    time steps are half of sigma, and get longer where there is more noise.
    """

    def __init__(self, starts: Float[np.ndarray, "l w n 3"], levels: Sequence[float], seed: int) -> None:
        self._shape = starts.shape[:2]
        self._sigma = jnp.asarray(np.repeat(levels, starts.shape[1]), jnp.float32)
        self._key, key = jax.random.split(jax.random.key(seed))
        x = jnp.asarray(starts.reshape(-1, *starts.shape[2:]), jnp.float32)
        self.fresh = State(x, jax.random.normal(key, x.shape), jnp.zeros_like(x))

    def advanced(
        self, energy: InvariantEnergy, k: int, state: State, measure: Callable[[Array, Array], tuple[Any, Any]]
    ) -> tuple[Float[np.ndarray, "l f k"], State, int]:
        """What `measure` says of (frames, levels) in round `k` from `state` on; the state after it; how many were lost.

        It says two things: what is wanted, and which frames are so far from all data that their walkers start again. There
        the energy can be so rough that a time step heats them, and nothing brings them back.
        """
        found, lost = [], 0
        for call in range(_CALLS):
            state = _moved(energy, state, self._sigma, jax.random.fold_in(self._key, _CALLS * k + call))
            finite = np.all(np.isfinite(state.x), axis=(1, 2))
            measured, astray = measure(_chosen(finite, state, self.fresh).x, self._sigma)
            whole = finite & ~astray
            lost += int(np.sum(~whole))
            state = _chosen(whole, state, self.fresh)
            found.append(measured.reshape(*self._shape, -1))
        return np.concatenate(found, axis=1), state, lost


def _chosen(whole: Any, state: Any, fresh: Any) -> Any:
    """`state` of those that are whole, `fresh` of the others."""
    pick = lambda now, new: jnp.where(whole.reshape(-1, *[1] * (now.ndim - 1)), now, new)
    return jax.tree.map(pick, state, fresh)


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
