"""What a metric is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..molecule import Molecule
from ..trajectory import Trajectory

UNSEEN = 5e-4
"""A Jensen-Shannon divergence of single coordinates that does not matter: two normal distributions a sixteenth of their
standard deviation apart, delta²/8 to leading order; floors of smooth coordinates of many frames lie far below."""


@dataclass(frozen=True)
class Metric:
    """One number that compares a candidate with a reference, each of at least one frame.

    Attributes: `title`, `question` (what a good verdict says yes to), `topic` (that several metrics share) and
    `definition`, for readers; `unit`, "" for a pure number; `function` of (candidate, reference), NaN where the reference
    has nothing to compare; `applies`, whether a molecule (the reference's, which knows the native structure) has what is
    measured; `ideal`, the value of a perfect candidate, None where that is the reference's own; `tolerance`, the
    deviation from it that does not matter whatever the floor; `error` of (trajectory, reference), the standard error of a
    trajectory's value, where it can be had; `details`, further numbers of (all frames of the candidate, reference) as
    plain types. For metrics of time: `obstacle` of (candidate, reference) is None, or one sentence that says why these
    data do not allow it, "" where nobody expects it; `ordered`, whether the candidate's frames must all be there in time
    order, not thinned.
    """

    title: str
    question: str
    topic: str
    definition: str
    unit: str
    function: Callable[[Trajectory, Trajectory], float]
    applies: Callable[[Molecule], bool]
    ideal: float | None = 0.0
    tolerance: float = 0.0
    error: Callable[[Trajectory, Trajectory], float | None] | None = None
    details: Callable[[Trajectory, Trajectory], dict[str, Any]] | None = None
    obstacle: Callable[[Trajectory, Trajectory], str | None] | None = None
    ordered: bool = False
