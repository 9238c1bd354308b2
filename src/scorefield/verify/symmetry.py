"""Rotations, translations and mirror images: what must change nothing, and what must."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ..energy.base import AbstractEnergy
from ..fields import over_frames
from ..geometry import dihedrals, random_rotation
from .base import Check, Context
from .fields import MeanForce

_THRESHOLD = 1e-4
_FAR = 1.0  # nm, standard deviation of the translations
_MIRROR = np.array([[1.0, 1.0, -1.0]], np.float32)
_CHIRAL = 0.05  # of the mean sine of a dihedral: 0 if mirror images are as likely as what they mirror
_REASON = "1e-4 is 1% of the force, less than its own error; exact symmetry leaves rounding, 1e-12 to 1e-8"


def rotation(context: Context) -> Check:
    """<|F(R x) - R F(x)|^2> / <|F(x)|^2> over random rotations R."""
    return _invariance(context, "rotation", "Rotation", _turned)


def translation(context: Context) -> Check:
    """<|F(x + c) - F(x)|^2> / <|F(x)|^2> over random translations c of about 1 nm."""
    return _invariance(context, "translation", "Translation", _moved)


def _turned(force: MeanForce, x: Array, key: PRNGKeyArray) -> tuple[Array, Array]:
    R = random_rotation(key)
    return force(x @ R.T), force(x) @ R.T


def _moved(force: MeanForce, x: Array, key: PRNGKeyArray) -> tuple[Array, Array]:
    return force(x + _FAR * jax.random.normal(key, (1, 3))), force(x)


def _mirrored(force: MeanForce, x: Array, key: PRNGKeyArray) -> tuple[Array, Array]:
    return force(x * _MIRROR), force(x) * _MIRROR


def _invariance(context: Context, name: str, title: str, pair: Callable) -> Check:
    error = _relative_square(context, name, pair)
    return Check(
        name=name,
        title=title,
        value=error,
        threshold=_THRESHOLD,
        passed=error <= _THRESHOLD,
        reason=_REASON,
        finding=f"relative squared error of the force {error:.1e} over random {name}s",
    )


def reflection(context: Context) -> Check:
    """<|F(M x) - M F(x)|^2> / <|F(x)|^2> of the mirror image M x, and the energy <U(M x) - U(x)> it costs.

    Data that differ from their mirror image (a dihedral whose mean sine is not 0) need a model that does too. Data that
    do not ask nothing of the model.
    """
    error, chirality = _relative_square(context, "reflection", _mirrored), _chirality(context)
    cost, cost_error = _mirror_energy(context)
    chiral = chirality > _CHIRAL
    apart = error > _THRESHOLD and (cost is None or cost > 2 * cost_error)
    price = "" if cost is None else f", and the mirror image costs {cost:.2f} ± {cost_error:.2f} kT"
    data = "the data are chiral" if chiral else "the data are their own mirror image, so either would do"
    return Check(
        name="reflection",
        title="Mirror images told apart",
        value=error,
        threshold=_THRESHOLD,
        bound="at least",
        passed=apart or not chiral,
        reason="where the data are chiral the mirror image must differ by more than rotations may; its energy must be "
        "higher by 2 standard errors",
        finding=f"{data}; the force of mirror images differs by {error:.1e} (relative square){price}",
        details={"chirality": chirality, "mirror_energy_kT": cost, "mirror_energy_error_kT": cost_error},
    )


def _relative_square(context: Context, name: str, pair: Callable) -> float:
    x = context.frames()
    squares = np.asarray(_squares(pair, context.force, x, jax.random.split(context.key(name), len(x))), np.float64)
    return float(np.divide(*squares.sum(axis=0)))


@eqx.filter_jit
def _squares(pair: Callable, force: MeanForce, x: Float[Array, "f n 3"], keys: PRNGKeyArray) -> Float[Array, "f 2"]:
    def frame(x: Array, key: PRNGKeyArray) -> Array:
        found, expected = pair(force, x, key)
        return jnp.stack([jnp.sum((found - expected) ** 2), jnp.sum(expected**2)])

    return over_frames(frame, x, keys)


def _chirality(context: Context) -> float:
    """The largest |<sin(dihedral)>| of the reference frames; 0 for fewer than four bonded beads."""
    quads = context.model.molecule.dihedral_quads
    if not len(quads):
        return 0.0
    sines = jax.vmap(lambda x: jnp.sin(dihedrals(x, quads)))(context.frames(1000))
    return float(np.abs(np.asarray(sines).mean(axis=0)).max())


def _mirror_energy(context: Context) -> tuple[float | None, float]:
    """<U(M x) - U(x)> in kT over reference frames, and its standard error; None for a direct network."""
    model, level = context.model.score, jnp.asarray(context.model.level, jnp.float32)
    if not isinstance(model, AbstractEnergy):
        return None, 0.0
    difference = eqx.filter_jit(jax.vmap(lambda x: model.potential(x * _MIRROR, level) - model.potential(x, level)))
    cost = np.asarray(difference(context.frames()), np.float64)
    return float(cost.mean()), float(cost.std() / np.sqrt(len(cost)))
