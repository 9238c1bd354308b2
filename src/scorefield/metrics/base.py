"""What a metric is."""

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Float
from numpy import ndarray

from ..molecule import Molecule
from ..trajectory import Trajectory


@dataclass(frozen=True)
class Metric:
    """One number that compares a candidate with a reference, each of at least one frame.

    Attributes: `title` and `definition`, for readers; `unit`, "" for a pure number; `function` of (candidate,
    reference), NaN where the reference has nothing to compare; `applies`, whether a molecule (the reference's, which
    knows the native structure) has what is measured; `ideal`, the value of a perfect candidate, None where that is the
    reference's own; `tolerance`, the deviation from it that does not matter whatever the floor; `per_frame`, for
    metrics that are a mean over frames, the values whose statistical error can be had.
    """

    title: str
    definition: str
    unit: str
    function: Callable[[Trajectory, Trajectory], float]
    applies: Callable[[Molecule], bool]
    ideal: float | None = 0.0
    tolerance: float = 0.0
    per_frame: Callable[[Trajectory], Float[ndarray, " f"]] | None = None
