"""The parts of a Langevin step and of a training step of our default energy, for `roofline.py`: each a function of its own.

What LAPACK computes XLA does not count. In closed form, for the m stiff distances of a frame: a Cholesky factor m^3/3 and a
solution m^2; in the derivative by positions two triangular systems with m right-hand sides more, 2 m^3. The derivative by
the weights does not pass through the stiff part.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from scorefield.config import Config
from scorefield.diffusion import denoising_loss, level_contrast
from scorefield.dynamics import Langevin, State
from scorefield.energy.build import training_levels
from scorefield.energy.invariant import LADDER, InvariantEnergy
from scorefield.forcefield import ForceField
from scorefield.geometry import centre
from scorefield.model import Model
from scorefield.noise import LogUniformMixture
from scorefield.optimise import start
from scorefield.units import thermal_energy

_DT = 0.002  # ps


@dataclass(frozen=True)
class Part:
    """`function` of (arrays of `tree`, step number, *`inputs`); `uncounted` flops beside XLA's count.

    `in_sum`: whether it is one of those that make up the whole step (others are parts of parts).
    """

    name: str
    function: Callable[..., Any]
    tree: Any
    inputs: tuple[Any, ...]
    uncounted: float = 0.0
    in_sum: bool = False

    def flops(self) -> float:
        """XLA's count of the program as written, transcendental functions as one each, and `uncounted`."""
        found = jax.jit(self.function).lower(self.tree, jnp.int32(0), *self.inputs).cost_analysis() or {}
        return found.get("flops", 0.0) + found.get("transcendentals", 0.0) + self.uncounted

    def bytes(self) -> float:
        """Of the arrays that go in and come out."""
        out = jax.eval_shape(self.function, self.tree, jnp.int32(0), *self.inputs)
        leaves = jax.tree.leaves((self.tree, self.inputs, out))
        return float(sum(int(np.prod(leaf.shape)) * leaf.dtype.itemsize for leaf in leaves))

    def products(self) -> list[tuple[int, int, int]]:
        """Shapes (m, k, n) of its products of matrices, batches in m."""
        return _products(jax.make_jaxpr(self.function)(self.tree, jnp.int32(0), *self.inputs).jaxpr)


def part(name: str, one: Callable[..., Any], module: Any, *inputs: Any, **more: Any) -> Part:
    """`one` (module, step number, *inputs of one frame), for all frames."""
    arrays, static = eqx.partition(module, eqx.is_array)
    every = lambda tree, i, *batch: jax.vmap(lambda *frame: one(eqx.combine(tree, static), i, *frame))(*batch)
    return Part(name, every, arrays, inputs, **more)


def langevin_parts(model: Model, frames: np.ndarray, batch: int) -> list[Part]:
    """Of a step of `batch` replicas."""
    x, keys = _batch(frames, batch)
    score, level = model.score.at_level(model.level), jnp.float32(model.level)
    assert isinstance(score, InvariantEnergy)
    noise = 0.5 * jnp.log(level**2 + LADDER**2) - jnp.log(score.spread)
    features = jax.vmap(score.invariants)(x)
    field, masses = ForceField(score, model.level, model.temperature), jnp.asarray(model.masses, jnp.float32)
    kT, bonds, v = thermal_energy(model.temperature), model.bond_thermostat, 0.1 * x
    free = Langevin(lambda y: -y, masses, kT, _DT, 1.0)
    random = lambda _, i, y, key: y + jax.random.normal(jax.random.fold_in(key, i), y.shape)
    step = lambda d, i, y, v, key: d.step(jax.random.fold_in(key, i), State(y, v, y))
    drawn = lambda b, i, key: jax.random.normal(jax.random.fold_in(key, i), b.frequencies.shape)
    damped = lambda b, i, y, v, key: b.damped(drawn(b, i, key), y, v, masses, kT, _DT)
    return [
        part("invariants", lambda _, i, y: score.invariants(centre(y)), (), x),
        part("standardiser", lambda s, i, f: s(f, level), score.standardiser, features),
        part("network", lambda n, i, z, y: n(z, noise, y, level), score.network, features, x),
        part("baseline", lambda b, i, y: b(y, level), score.baseline, x),
        part("prior at noise 0", lambda p, i, y: p.read_off(y, level), score.prior, x),
        part("energy", lambda f, i, y: f.energy(y), field, x),
        part("force", lambda f, i, y: f.force_in_batch(y), field, x, in_sum=True),
        part("random numbers", random, (), x, keys),
        part("integrator and its random numbers", step, free, x, v, keys, in_sum=True),
        part("bond thermostat and its random numbers", damped, bonds, x, v, keys, in_sum=True),
    ]


def training_parts(model: Model, config: Config, frames: np.ndarray, batch: int) -> list[Part]:
    """Of a step on a batch of `batch` frames."""
    x, keys = _batch(frames, batch)
    score, levels = model.score, training_levels(config, model.physical.spread)
    assert isinstance(score, InvariantEnergy)
    assert isinstance(levels, LogUniformMixture)
    sigma = jax.vmap(levels.sample)(keys)
    m = score.prior.sizes.get("stiff", 0)
    forward, backward = batch * (m**3 / 3 + m**2), 2.0 * batch * m**3
    fit, fixed, optimiser = start(score, config.training)

    def random(_: Any, i: jax.Array, y: jax.Array, key: jax.Array) -> jax.Array:
        level, noise = jax.random.split(jax.random.fold_in(key, i))
        return y + levels.sample(level) * jax.random.normal(noise, y.shape)

    def update(fit: Any, i: jax.Array, gradient: jax.Array) -> Any:
        """The gradient's numbers are one vector, cut to the weights' shapes."""
        leaves, structure = jax.tree.flatten(fit.weights)
        cuts = jnp.split(gradient, np.cumsum([a.size for a in leaves])[:-1].tolist())
        tree = jax.tree.unflatten(structure, [c.reshape(a.shape) for c, a in zip(cuts, leaves, strict=True)])
        step, state = optimiser.update(tree, fit.optimiser, fit.weights)
        weights = optax.apply_updates(fit.weights, step)
        return weights, optax.incremental_update(weights, fit.average, 1e-3), state

    def gradient(loss: Callable[..., Any]) -> Callable[..., Any]:
        """By the weights, of the mean of `loss` (energy, frame, noise, key)."""
        mean = lambda w, rest, *b: jnp.mean(
            jax.vmap(lambda *a: loss(eqx.combine(w, eqx.combine(rest, static)), *a))(*b)
        )
        return lambda tree, i, *b: jax.grad(mean)(*tree, *b)

    held, static = eqx.partition(fixed, eqx.is_array)
    half = [a[: -(-batch // 2)] for a in (x, sigma, keys)]
    contrast = lambda energy, y, s, key: level_contrast(energy, levels, y, s, key, key)
    tree, n_weights = (fit.weights, held), sum(a.size for a in jax.tree.leaves(fit.weights))
    doubled = 2 * forward + backward  # an energy of the contrast has no derivative by positions
    return [
        part("random numbers", random, (), x, keys),
        part("prior with noise", lambda p, i, y, s: p(y, s), score.prior, x, sigma, uncounted=forward),
        part("energy", lambda u, i, y, s: u(y, s), score, x, sigma, uncounted=forward),
        part("score", lambda u, i, y, s: u.score(y, s), score, x, sigma, uncounted=forward + backward),
        Part("denoising loss by weights", gradient(denoising_loss), tree, (x, sigma, keys), forward + backward, True),
        Part("contrast by weights", gradient(contrast), tree, tuple(half), doubled / 2, bool(config.training.contrast)),
        Part("optimiser and average", update, fit, (jnp.full(n_weights, 1e-3),), in_sum=True),
    ]


def _batch(frames: np.ndarray, batch: int) -> tuple[jax.Array, jax.Array]:
    return jnp.asarray(np.resize(frames, (batch, *frames.shape[1:]))), jax.random.split(jax.random.key(0), batch)


def _products(jaxpr: Any) -> list[tuple[int, int, int]]:
    found = []
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            left, out = equation.invars[0].aval.shape, int(np.prod(equation.outvars[0].aval.shape))
            k = int(np.prod([left[d] for d in contracted]))
            m = int(np.prod(left)) // k
            found.append((m, k, max(1, out // m)))
        for value in equation.params.values():
            for inner in value if isinstance(value, tuple | list) else (value,):
                inner = getattr(inner, "jaxpr", inner)
                found += _products(inner) if hasattr(inner, "eqns") else []
    return found
