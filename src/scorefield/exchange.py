r"""Replica exchange over noise levels: what crosses slowly where a force field is sharp crosses fast where it is blurred.

    rung k = 0 ... K - 1 of a ladder moves in U_k(x) = U(x, level_k), levels increasing, all at one temperature

Rung 0 is the force field as it is simulated. All rungs move by Langevin dynamics side by side; every now and then neighbours
k, k + 1 with frames a, b exchange them with probability min(1, exp(U_k(a) + U_{k+1}(b) - U_k(b) - U_{k+1}(a))) (kT), even
and odd pairs in turn (Okabe et al. 2001; Syed et al. 2022 for the order). That leaves the product of exp(-U_k) as it is, so
the frames of rung 0 are those of its own potential, whatever the other rungs are: no normalisation is needed, and no rung
has to be right, only to overlap with its neighbours.

walker  one frame on its way over the rungs; a new crossing at rung 0 is a walker's that came back in another basin
"""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from .bond_thermostat import BondThermostat
from .dynamics import Langevin, State


class LadderState(NamedTuple):
    """One ladder, rung 0 first: its frames, the number of the `walker` at each rung, and how many exchanges were `made`."""

    x: Float[Array, "k n 3"]
    v: Float[Array, "k n 3"]
    f: Float[Array, "k n 3"]
    walker: Int[Array, " k"]
    made: Int[Array, " k-1"]

    @property
    def recorded(self) -> State:
        """What frames show: rung 0, of one ladder or of many."""
        return State(*(a[..., 0, :, :] for a in (self.x, self.v, self.f)))


class Exchange(eqx.Module):
    """Langevin dynamics of all rungs with exchanges. `force(x, level)` in kJ/mol/nm and `energy(x, level)` in kJ/mol.

    A `step` is twice `between` time steps of all rungs, with exchanges of even pairs after the first and of odd pairs after
    the second.
    """

    force: Callable[[Float[Array, "n 3"], Float[Array, ""]], Float[Array, "n 3"]]
    energy: Callable[[Float[Array, "n 3"], Float[Array, ""]], Float[Array, ""]]
    levels: Float[Array, " k"]
    masses: Float[Array, " n"]
    kT: float
    dt: float
    friction: float
    between: int = eqx.field(static=True)
    bonds: BondThermostat | None = None

    def _rung(self, level: Float[Array, ""]) -> Langevin:
        return Langevin(lambda x: self.force(x, level), self.masses, self.kT, self.dt, self.friction, self.bonds)

    def init(self, key: PRNGKeyArray, x: Float[Array, "n 3"]) -> LadderState:
        """A ladder with all rungs at `x` and velocities from the Maxwell-Boltzmann distribution."""
        n = len(self.levels)
        start = lambda level, key: self._rung(level).init(key, x)
        rungs = jax.vmap(start)(self.levels, jax.random.split(key, n))
        return LadderState(*rungs, jnp.arange(n, dtype=jnp.int32), jnp.zeros(n - 1, jnp.int32))

    def step(self, key: PRNGKeyArray, state: LadderState) -> LadderState:
        """Dynamics and exchanges of even pairs, then of odd ones."""
        first, second = jax.random.split(key)
        return self._half(second, self._half(first, state, 0), 1)

    def _half(self, key: PRNGKeyArray, state: LadderState, parity: int) -> LadderState:
        move_key, swap_key = jax.random.split(key)
        n = len(self.levels)

        def move(i: Array, rungs: State) -> State:
            keys = jax.random.split(jax.random.fold_in(move_key, i), n)
            return jax.vmap(lambda level, key, rung: self._rung(level).step(key, rung))(self.levels, keys, rungs)

        rungs = jax.lax.fori_loop(0, self.between, move, State(state.x, state.v, state.f))
        made = self._accepted(swap_key, rungs.x, parity)
        no = jnp.zeros(1, bool)
        source = jnp.arange(n) + jnp.concatenate([made, no]) - jnp.concatenate([no, made])
        x = rungs.x[source]
        f = jax.vmap(self.force)(x, self.levels)
        return LadderState(x, rungs.v[source], f, state.walker[source], state.made + made)

    def _accepted(self, key: PRNGKeyArray, x: Float[Array, "k n 3"], parity: int) -> Bool[Array, " k-1"]:
        """Which pairs k, k + 1 exchange: of those with k of `parity`."""
        energy, levels = jax.vmap(self.energy), self.levels
        own = energy(x, levels)
        change = energy(x[1:], levels[:-1]) + energy(x[:-1], levels[1:]) - own[:-1] - own[1:]
        allowed = jnp.log(jax.random.uniform(key, change.shape, minval=1e-30)) < -change / self.kT
        return allowed & (jnp.arange(len(change)) % 2 == parity)  # a change that is not finite is never allowed


def evaluations_a_step(rungs: int, between: int) -> float:
    """Evaluations of a force or an energy that one time step of a ladder takes: moves, energies and forces of exchanges."""
    return rungs + (rungs + 3 * rungs - 2) / between


def crossings(basin: Int[np.ndarray, "l f"], walker: Int[np.ndarray, "l f"] | None = None) -> int:
    """How often a walker that was at rung 0 in one basin came to be there in another, over ladders and frames.

    `basin`: that of each frame of rung 0, -1 between basins; `walker`: who was there, None where it is always the same.
    Two walkers in different basins that take turns at rung 0 cross nothing. A round trip is two crossings.
    """
    count = 0
    for basins, walkers in zip(basin, np.zeros_like(basin) if walker is None else walker, strict=True):
        for w in np.unique(walkers):
            seen = basins[(walkers == w) & (basins >= 0)]
            count += int((np.diff(seen) != 0).sum())
    return count
