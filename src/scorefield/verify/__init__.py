"""`scorefield verify`: how far a trained model can be trusted as a force field, check by check.

Adding a check is one function of a Context and one line here.
"""

import time
from collections.abc import Callable
from dataclasses import replace

from ..dataset import Dataset
from ..model import Model
from .agreement import agreement
from .base import Check, Checker, Context, Sizes
from .conservative import conservative
from .drift import energy_drift
from .equipartition import equipartition
from .extrapolation import extrapolation
from .fokker_planck import fokker_planck
from .stability import stability
from .symmetry import reflection, rotation, translation

CHECKS: dict[str, Checker] = {
    "conservative": conservative,
    "rotation": rotation,
    "translation": translation,
    "reflection": reflection,
    "stability": stability,
    "energy_drift": energy_drift,
    "equipartition": equipartition,
    "agreement": agreement,
    "extrapolation": extrapolation,
    "fokker_planck": fokker_planck,
}


def verify(
    model: Model,
    dataset: Dataset | None = None,
    *,
    seed: int = 0,
    sizes: Sizes | None = None,
    on_check: Callable[[int, str], None] | None = None,
) -> list[Check]:
    """How far `model` can be trusted as a force field: every check with its value, bound, unit and verdict.

    Without a `dataset`, samples of the model stand for its held-out frames. `sizes` says how much is computed (times in ps).
    Raises InputError if the dataset is of another molecule or has no test chains.
    """
    return run_checks(Context(model, dataset, seed, sizes or Sizes.of(model.molecule.n_beads)), on_check)


def run_checks(context: Context, on_check: Callable[[int, str], None] | None = None) -> list[Check]:
    """All checks in order; `on_check` is told how many are done, and the next one's name."""
    found = []
    for k, (name, check) in enumerate(CHECKS.items()):
        if on_check is not None:
            on_check(k, name)
        started = time.monotonic()
        done = check(context)
        found.append(replace(done, seconds=round(time.monotonic() - started, 1)))
    return found


__all__ = ["CHECKS", "Check", "Context", "Sizes", "run_checks", "verify"]
