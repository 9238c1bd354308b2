"""Umbrella sampling: the free energy along a collective variable, from restrained simulations (Torrie and Valleau 1977).

Windows are put together by MBAR (Shirts and Chodera 2008), frame by frame, without bins:

    w_n = 1 / sum_k N_k exp(f_k - u_k(x_n)),   exp(-f_k) = sum_n w_n exp(-u_k(x_n))

u_k the bias of window k in kT · N_k its frames · f_k its free energy in kT · w_n the weight of frame n without any bias
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from .errors import InputError
from .model import Model
from .restraints import AbstractVariable, Restraint
from .simulate import RunProgress, sample, simulate
from .units import thermal_energy

_BLOCKS = 4
_SAMPLES = 2000


class FreeEnergy(NamedTuple):
    """The free energy along a variable.

    `value`: the variable at the middle of each bin (nm or rad); `energy` in kJ/mol, least 0, NaN in bins without frames;
    `error`: its standard error, from blocks of time; `overlap`: the least share of frames that neighbouring windows have in
    common (below 0.03 they hang together badly).
    """

    value: Float[np.ndarray, " b"]
    energy: Float[np.ndarray, " b"]
    error: Float[np.ndarray, " b"]
    overlap: float


def umbrella(
    model: Model,
    variable: AbstractVariable,
    centres: Float[np.ndarray, " k"],
    stiffness: float,
    *,
    replicas: int = 8,
    time_ps: float = 20.0,
    equilibrate_ps: float = 5.0,
    save_ps: float = 0.1,
    bins: int = 50,
    seed: int = 0,
    on_progress: Callable[[RunProgress], None] | None = None,
) -> FreeEnergy:
    """The free energy along `variable` by windows at `centres` (its unit), `stiffness` kJ/mol per unit squared.

    Each window has `replicas`, started from the samples of the model that are nearest to it; `equilibrate_ps` of each are
    left out. Raises InputError if the settings are out of range, or a replica is lost.
    """
    centres = np.asarray(centres, float)
    if len(centres) < 2 or not np.isfinite(centres).all() or not stiffness > 0 or replicas < 1 or bins < 2:
        raise InputError("umbrella sampling needs two windows or more, a positive stiffness, replicas and bins")
    if not 0 <= equilibrate_ps < time_ps:
        raise InputError(f"{equilibrate_ps:g} ps of equilibration leave nothing of {time_ps:g} ps")
    every = np.repeat(centres, replicas)
    frames = simulate(
        model,
        _nearest(model, variable, every, seed),
        time_ps,
        save_ps=save_ps,
        seed=seed,
        bias=Restraint(variable, every, stiffness),
        on_progress=on_progress,
    )
    if frames.lost:
        raise InputError(f"{frames.lost} of {frames.started} restrained replicas were lost; a softer restraint may do")
    xi = np.asarray(jax.jit(jax.vmap(variable))(jnp.asarray(frames.trajectory.positions)), float)
    xi = xi.reshape(len(centres), replicas, -1)[:, :, round(equilibrate_ps / save_ps) :]
    return free_energy(xi, variable, centres, stiffness, thermal_energy(frames.trajectory.temperature), bins)


def _nearest(
    model: Model, variable: AbstractVariable, targets: Float[np.ndarray, " r"], seed: int
) -> Float[np.ndarray, "r n 3"]:
    """For each target one of the few samples that are nearest to it."""
    x = sample(model, _SAMPLES, seed).trajectory.positions
    xi = jax.jit(jax.vmap(variable))(jnp.asarray(x))
    off = np.abs(np.asarray(variable.difference(xi[None, :], jnp.asarray(targets, jnp.float32)[:, None])))
    order = np.argsort(off, axis=1)[:, :5]
    return x[order[np.arange(len(targets)), np.random.default_rng(seed).integers(0, order.shape[1], len(targets))]]


def free_energy(
    xi: Float[np.ndarray, "k r f"],
    variable: AbstractVariable,
    centres: Float[np.ndarray, " k"],
    stiffness: float,
    kT: float,
    bins: int,
) -> FreeEnergy:
    """From values of the variable in each window, replica and frame; `kT` in kJ/mol."""
    period = variable.period
    edges = np.linspace(-period / 2, period / 2, bins + 1) if period else np.linspace(xi.min(), xi.max(), bins + 1)

    def profile(part: Float[np.ndarray, "k r f"]) -> tuple[Float[np.ndarray, " b"], float]:
        values = part.reshape(len(centres), -1)
        off = jnp.asarray(values.ravel()[None] - centres[:, None])
        u = np.asarray(Restraint(variable, 0.0, stiffness).of_value(off), float) / kT
        weights, overlap = mbar(u, values.shape[1])
        density = np.histogram(values.ravel(), edges, weights=weights)[0]
        with np.errstate(divide="ignore"):
            energy = -kT * np.log(density)
        return energy, overlap

    energy, overlap = profile(xi)
    parts = np.stack([profile(part)[0] for part in np.array_split(xi, _BLOCKS, axis=2)])
    seen = np.isfinite(parts).all(axis=0)
    parts = np.where(seen, parts, 0.0)
    error = (parts - parts[:, seen].mean(axis=1, keepdims=True)).std(axis=0, ddof=1) / np.sqrt(_BLOCKS)
    energy = np.where(np.isfinite(energy), energy - energy.min(), np.nan)
    return FreeEnergy((edges[1:] + edges[:-1]) / 2, energy, np.where(seen, error, np.nan), overlap)


def mbar(u: Float[np.ndarray, "k n"], per_window: int) -> tuple[Float[np.ndarray, " n"], float]:
    """Weights (sum 1) of frames without bias, and the least overlap of neighbouring windows.

    `u`: every frame's bias in every window, kT, with as many frames of each. Newton's method on the convex function whose
    minimum the equations of the module are (Shirts and Chodera 2008, appendix C), with step halving.
    """
    f = np.zeros(len(u))
    value, share = _objective(f, u, per_window)
    for _ in range(100):
        gradient = share.sum(axis=1) - per_window
        hessian = np.diag(share.sum(axis=1)) - share @ share.T
        step = np.zeros(len(f))
        step[1:] = np.linalg.lstsq(hessian[1:, 1:], gradient[1:], rcond=None)[0]  # f_0 is free to choose
        new, tried = _objective(f - step, u, per_window)
        for _ in range(40):
            if new <= value:
                break
            step /= 2
            new, tried = _objective(f - step, u, per_window)
        f, value, share = f - step, new, tried
        if np.abs(step).max() < 1e-8:
            break
    weights = np.exp(-_log_denominator(f, u, per_window))
    common = share @ share.T / per_window
    return weights / weights.sum(), float(np.diagonal(common, 1).min())


def _log_denominator(
    f: Float[np.ndarray, " k"], u: Float[np.ndarray, "k n"], per_window: int
) -> Float[np.ndarray, " n"]:
    terms = f[:, None] - u
    top = terms.max(axis=0)
    return top + np.log(per_window * np.exp(terms - top).sum(axis=0))


def _objective(
    f: Float[np.ndarray, " k"], u: Float[np.ndarray, "k n"], per_window: int
) -> tuple[float, Float[np.ndarray, "k n"]]:
    """The function, and the share of every window in every frame."""
    log = _log_denominator(f, u, per_window)
    return float(log.sum() - per_window * f.sum()), per_window * np.exp(f[:, None] - u - log)
