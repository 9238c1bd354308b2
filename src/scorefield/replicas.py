"""Replicas of a model under a protocol: their states, advanced in blocks, all in one compiled loop a block."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from .blocks import Blocks, usual_size
from .dynamics import Langevin, State, kinetic_temperature
from .energy.base import AbstractEnergy
from .errors import InputError
from .exchange import Exchange, LadderState
from .forcefield import ForceField
from .model import Model
from .processes import Patience, ended, gathered, hear, leads, most, of_the_first, tell
from .protocol import Protocol
from .restraints import Bias, biased
from .tensors import fingerprint
from .units import BOLTZMANN, thermal_energy

Dynamics = Langevin | Exchange
AnyState = State | LadderState
_FRAMES, _STEPS = 0, 1  # the runs that one may be amid: what is simulated, and a look at single steps of it


class Replicas:
    """`n` replicas of a model under a protocol, in blocks of at most `block` (None: `blocks.usual_size`).

    What a replica does depends on the seed, its number and its start alone, up to rounding on the blocks (their size,
    and for long chains what else is in them: `ForceField.force_in_batch`). `bias`
    adds restraints, whose numbers are one for all or one a replica: InputError if there are neither one nor `n`.
    `together`: all processes have these replicas and each computes its part, as the first one says; the others `follow` it.
    """

    def __init__(
        self,
        model: Model,
        protocol: Protocol,
        n: int,
        block: int | None = None,
        bias: Bias | None = None,
        together: bool = False,
    ) -> None:
        if n < 1:
            raise InputError("there are no replicas to simulate: give at least one start")
        self.protocol, self.n = protocol, n
        self.blocks = Blocks.of(n, block or usual_size(model.molecule.n_beads), together)
        self._at: dict[int, tuple[list[AnyState], list[Array]]] = {}
        self._tried: Callable[[], bool] = lambda: False  # whether a signal asks this process to stop
        self._field = ForceField(model.score, protocol.level, model.temperature)
        masses = jnp.asarray(model.masses, jnp.float32)
        bonds = model.bond_thermostat if protocol.friction > 0 else None
        how = masses, thermal_energy(protocol.temperature), protocol.dt, protocol.friction
        if protocol.rungs:
            levels = jnp.asarray([protocol.level, *protocol.rungs], jnp.float32)
            self._dynamics = Exchange(self._field.force, self._field.energy, levels, *how, protocol.between, bonds)
        else:
            # Elsewhere lists have not been timed, and their sums may be added up in any order.
            on_cpu = jax.default_backend() == "cpu"
            self._dynamics = Langevin(self._field.force_in_batch if on_cpu else self._field.force, *how, bonds)
        key, self._init_key = jax.random.split(jax.random.key(protocol.seed))
        self._keys = self.blocks.cut(jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(n)))
        self._everywhere = self.blocks.shared(self._dynamics)
        self._bias = _of_each_replica(bias, n)
        self._biases = self.blocks.cut(self._bias)

    def start(self, starts: Float[np.ndarray, "r n 3"]) -> AnyState:
        """The replicas at `starts` (nm), centred, with velocities of the thermostat's temperature."""
        beads = len(self._dynamics.masses)
        if np.shape(starts) != (self.n, beads, 3):
            raise InputError(f"starts have shape {np.shape(starts)}, not ({self.n}, {beads}, 3)")
        centred = np.asarray(starts, np.float32) - np.mean(starts, axis=1, keepdims=True, dtype=np.float32)
        keys = jax.vmap(jax.random.fold_in, (None, 0))(self._init_key, jnp.arange(self.n))
        return _init(self._dynamics, self._bias, keys, jnp.asarray(centred))

    @property
    def like(self) -> AnyState:
        """A state's structure, with shapes and types in place of numbers."""
        x = jax.ShapeDtypeStruct((self.n, len(self._dynamics.masses), 3), jnp.float32)
        keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), self.n))
        return jax.eval_shape(lambda keys, x: _init(self._dynamics, self._bias, keys, x), keys, x)

    def frames(
        self, state: AnyState, done: int, count: int = 1
    ) -> Iterator[tuple[int, AnyState, Float[np.ndarray, "r f n 3"]]]:
        """From `state` after `done` frames to the last one, `count` at a time: frames done, the state, the new frames."""
        total, stride = self.protocol.n_frames, self.protocol.stride // self.protocol.moves
        run = lambda done: self._run(_FRAMES, done * stride, stride, min(count, total - done))
        self._put(_FRAMES, state)
        if done < total:
            run(done)
        while done < total:
            made, done = self._made(_FRAMES), min(done + count, total)
            if done < total:
                run(done)  # the next frames are under way on the devices while the caller looks at these
            yield done, *made()

    def steps(self, state: AnyState, done: int, count: int) -> Iterator[Float[np.ndarray, "r f n 3"]]:
        """The steps of the dynamics that make the frame after `state`, `count` at a time."""
        stride = self.protocol.stride // self.protocol.moves
        first, count = done * stride, min(count, stride)
        self._put(_STEPS, state)
        for k in range(0, stride, count):
            self._run(_STEPS, first + k, 1, count)
            _, x = self._made(_STEPS)()
            yield x[:, : stride - k]

    def _put(self, which: int, state: AnyState) -> None:
        """Begin the run number `which` at `state`."""
        with self._all("put", which):
            self._at[which] = self.blocks.cut(of_the_first(state) if self.blocks.processes > 1 else state), []

    def _run(self, which: int, first: int, stride: int, count: int) -> None:
        """Every block of a run from step number `first` on."""
        with self._all("run", which, first, stride, count):
            advance = lambda dynamics, bias, state, keys: _advance(
                dynamics, bias, state, keys, jnp.asarray(first), stride, count
            )
            blocks, _ = self._at[which]
            made = self.blocks.each(advance, self._everywhere, self._biases, blocks, self._keys)
            self._at[which] = [state for state, _ in made], [x for _, x in made]

    def _made(self, which: int) -> Callable[[], tuple[AnyState, Float[np.ndarray, "r f n 3"]]]:
        """What a run has come to, the state and the frames, once it is there."""
        with self._all("made", which):
            blocks, x = self._at[which]
            if self.blocks.processes == 1:
                return lambda: (self.blocks.join(blocks), np.asarray(self.blocks.join(x)))
            # before anything else is under way: what is exchanged would queue up behind it
            state, frames = self.blocks.join(list(zip(blocks, x, strict=True)))
            if most(self._tried()) and leads():
                raise KeyboardInterrupt
            return lambda: (state, np.asarray(frames))

    @contextlib.contextmanager
    def _all(self, *words: Any) -> Iterator[None]:
        """What the first process does here all others do, undisturbed by signals."""
        if self.blocks.processes == 1:
            yield
            return
        with Patience():
            if leads():
                tell(*words)
            yield

    def follow(self) -> None:
        """Do what the first process does, until it ends. Raises InputError or KeyboardInterrupt if it does not end well."""
        nothing = jax.tree.map(lambda a: np.zeros(a.shape, a.dtype), self.like)
        orders = {"put": lambda which: self._put(which, nothing), "run": self._run, "made": self._made}
        with Patience() as patience:
            self._tried = lambda: patience.tried
            while (words := hear())[0] != "end":
                orders[words[0]](*words[1:])
        ended(*words[1:])

    def observe(self, state: AnyState) -> dict[str, Float[np.ndarray, " r"]]:
        """`temperatures`, kinetic, in K; `energies`, potential of mean force in kJ/mol, where the model has one.

        With exchanges also `walkers`, the number of the walker that is at the force level.
        """
        observed = _observe(self._dynamics.masses, self._field, state.recorded)
        found = {name: np.asarray(value) for name, value in observed.items()}
        if isinstance(state, LadderState):
            found["walkers"] = np.asarray(state.walker[:, 0], np.float32)
        return found

    @property
    def observed(self) -> tuple[str, ...]:
        """Names of what `observe` gives."""
        names = ("energies", "temperatures") if isinstance(self._field.model, AbstractEnergy) else ("temperatures",)
        return (*names, "walkers") if self.protocol.rungs else names

    def acceptance(self, state: AnyState, frames: int, which: Bool[np.ndarray, " r"]) -> list[float] | None:
        """The share of the exchanges of each level with the next that the replicas `which` made in so many frames."""
        if not (isinstance(state, LadderState) and which.any()):
            return None
        steps = frames * self.protocol.stride // self.protocol.moves
        return (np.asarray(state.made)[which].mean(axis=0) / steps).round(4).tolist()


def lead(model: Model, protocol: Protocol, n: int, block: int | None = None) -> Replicas:
    """Replicas that all processes share, in the first of them. Raises InputError if another one has another model."""
    replicas = Replicas(model, protocol, n, block, together=True)
    if replicas.blocks.processes > 1:
        tell("replicas", asdict(protocol), n, replicas.blocks.size)
        _same_model(model)
    return replicas


def follow(model: Model) -> None:
    """What the other processes do: a part of what the first one computes, until it ends.

    Raises InputError or KeyboardInterrupt if that does not end well, InputError too if it has another model.
    """
    what, *words = hear()
    if what == "end":
        return ended(*words)
    settings, n, size = words
    stated: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in settings.items()}
    protocol = Protocol(**stated)
    _same_model(model)
    Replicas(model, protocol, n, size, together=True).follow()


def _same_model(model: Model) -> None:
    mine = np.frombuffer(bytes.fromhex(fingerprint(model.score)), np.uint8)
    if (gathered(mine)[0] != mine).any():
        raise InputError("not all processes have the same RUN folder; give all of them the same")


@eqx.filter_jit
def _observe(masses: Float[Array, " n"], field: ForceField, state: State) -> dict[str, Float[Array, " r"]]:
    temperatures = jax.vmap(kinetic_temperature, (0, None, None))(state.v, masses, BOLTZMANN)
    if not isinstance(field.model, AbstractEnergy):
        return {"temperatures": temperatures}
    return {"energies": jax.vmap(field.energy)(state.x), "temperatures": temperatures}


def _of_each_replica(bias: Bias | None, replicas: int) -> Bias | None:
    """Every number of `bias` once a replica. Raises InputError if there are neither one nor as many as replicas."""

    def repeated(number: Array) -> Array:
        if number.ndim and number.shape[0] != replicas:
            raise InputError(f"a restraint has {number.shape[0]} numbers for {replicas} replicas")
        return jnp.broadcast_to(number, (replicas,))

    return jax.tree.map(repeated, bias)


@eqx.filter_jit
def _init(dynamics: Dynamics, bias: Bias | None, keys: PRNGKeyArray, x: Float[Array, "r n 3"]) -> AnyState:
    return jax.vmap(lambda bias, key, x: _with(dynamics, bias).init(key, x))(bias, keys, x)


def _with(dynamics: Dynamics, bias: Bias | None) -> Dynamics:
    if isinstance(dynamics, Langevin):
        return biased(dynamics, bias)
    if bias is None:
        return dynamics
    raise InputError("restraints and exchanges of noise levels do not go together")


@eqx.filter_jit
def _advance(
    dynamics: Dynamics, bias: Bias | None, state: AnyState, keys: PRNGKeyArray, first: Array, stride: int, count: int
) -> tuple[AnyState, Float[Array, "r f n 3"]]:
    """`count` frames of `stride` steps each, all replicas in one loop; a step's noise depends on replica and step alone."""

    def step(i: Array, state: AnyState) -> AnyState:
        step_keys = jax.vmap(jax.random.fold_in, (0, None))(keys, i)
        return jax.vmap(lambda bias, key, state: _with(dynamics, bias).step(key, state))(bias, step_keys, state)

    def frame(state: AnyState, k: Array) -> tuple[AnyState, Array]:
        start = first + k * stride
        state = jax.lax.fori_loop(start, start + stride, step, state)
        return state, state.recorded.x

    state, x = jax.lax.scan(frame, state, jnp.arange(count))
    return state, jnp.swapaxes(x, 0, 1)
