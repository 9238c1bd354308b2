"""Metrics of bonds and bond angles: the stiff part of a force field."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from ..distributions import frame_weights, spread, wasserstein
from ..observables import bond_angles, bond_lengths
from ..trajectory import Trajectory
from ..units import ANGSTROM
from .base import Metric

_DEGREE = np.pi / 180
_RIGID = 1e-6  # nm or rad: a coordinate constrained in the reference has no width to compare

Coordinates = Callable[[Trajectory], Float[np.ndarray, "f k"]]


def wasserstein_each(candidate: Trajectory, reference: Trajectory, coordinates: Coordinates) -> Float[np.ndarray, " k"]:
    """Wasserstein-1 distance of every one of `coordinates`, in their unit."""
    a, b, wa, wb = coordinates(candidate), coordinates(reference), frame_weights(candidate), frame_weights(reference)
    return np.array([wasserstein(x, y, wa, wb) for x, y in zip(a.T, b.T, strict=True)])


def _w1(coordinates: Coordinates, unit: float) -> Callable[[Trajectory, Trajectory], float]:
    return lambda candidate, reference: float(np.mean(wasserstein_each(candidate, reference, coordinates))) / unit


def _width(coordinates: Coordinates) -> Callable[[Trajectory, Trajectory], float]:
    def value(candidate: Trajectory, reference: Trajectory) -> float:
        a, b = (spread(coordinates(t), frame_weights(t)) for t in (candidate, reference))
        flexible = b > _RIGID
        return float(np.mean(a[flexible] / b[flexible])) if flexible.any() else float("nan")

    return value


BOND_W1 = Metric(
    title="Bond lengths",
    question="Are bond lengths right?",
    topic="bonds and angles",
    definition="Wasserstein-1 distance of the bond length distributions, mean over bonds",
    unit="Å",
    function=_w1(bond_lengths, ANGSTROM),
    applies=lambda molecule: len(molecule.bond_pairs) > 0,
    tolerance=0.003,
)
ANGLE_W1 = Metric(
    title="Bond angles",
    question="Are bond angles right?",
    topic="bonds and angles",
    definition="Wasserstein-1 distance of the bond angle distributions, mean over angles",
    unit="°",
    function=_w1(bond_angles, _DEGREE),
    applies=lambda molecule: len(molecule.angle_triples) > 0,
    tolerance=0.3,
)
BOND_WIDTH = Metric(
    title="Bond widths",
    question="Are bonds as stiff?",
    topic="bonds and angles",
    definition="ratio of the standard deviations of bond lengths, candidate / reference, mean over bonds; ideal 1",
    unit="",
    function=_width(bond_lengths),
    applies=lambda molecule: len(molecule.bond_pairs) > 0,
    ideal=1.0,
    tolerance=0.05,
)
ANGLE_WIDTH = Metric(
    title="Angle widths",
    question="Are bond angles as stiff?",
    topic="bonds and angles",
    definition="ratio of the standard deviations of bond angles, candidate / reference, mean over angles; ideal 1",
    unit="",
    function=_width(bond_angles),
    applies=lambda molecule: len(molecule.angle_triples) > 0,
    ideal=1.0,
    tolerance=0.05,
)
