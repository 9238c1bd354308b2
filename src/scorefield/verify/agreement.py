"""Do the two uses of one model agree: its samples, and its simulation started from them?"""

import numpy as np

from ..metrics import METRICS
from ..report import GOOD_RATIO
from ..trajectory import Trajectory
from .base import Check, Context

_MEASURES = ("dihedral_js", "distance_js", "rg_js")


def agreement(context: Context) -> Check:
    """A divergence between halves of samples and halves of the simulation, against its floor.

    Value: mean of (simulation half 1, samples half 1) and (half 2, half 2). Floor: mean of (samples half 1, half 2) and
    (simulation half 1, half 2). All halves have as many frames, so both hold the same noise, correlated frames included,
    and without a difference between the two the expected ratio is 1.
    """
    molecule = context.model.molecule
    key = next(name for name in _MEASURES if METRICS[name].applies(molecule))
    metric = METRICS[key]
    shared = {
        "name": "agreement",
        "title": "Samples and simulation agree",
        "threshold": GOOD_RATIO,
        "unit": "× floor",
        "reason": f"the {GOOD_RATIO:g} floors that count as good in a report; the floor, halves of samples and halves of "
        "replicas against each other, falls with more of both, and smaller differences show",
    }
    if context.samples is None or context.simulated is None:
        missing = "no sample is physical" if context.samples is None else "every replica was lost at once"
        return Check(**shared, value=None, passed=False, finding=missing)
    if min(context.samples.trajectory.n_frames, context.simulated.n_frames) < 2:
        return Check(**shared, value=None, passed=False, finding="fewer than two frames: nothing to compare")
    halves = [*_halves(context.samples.trajectory), *_halves(context.simulated)]
    n = min(t.n_frames for t in halves)
    a, b, c, d = (t.thin(n) for t in halves)
    value = (metric.function(c, a) + metric.function(d, b)) / 2
    floor = (metric.function(b, a) + metric.function(d, c)) / 2
    ratio = value / floor if floor > 0 else float(value > 0)
    return Check(
        **shared,
        value=ratio,
        passed=ratio <= GOOD_RATIO,
        finding=f"simulation against samples: {key} {value:.4f}, floor {floor:.4f} ({n:,} frames each)",
        details={"measure": key, "definition": metric.definition, "value": value, "floor": floor, "frames": n},
    )


def _halves(trajectory: Trajectory) -> tuple[Trajectory, Trajectory]:
    """Chains split into two halves; of a single chain, its frames."""
    chains = trajectory.chains()
    if len(chains) == 1:
        middle = len(chains[0]) // 2
        chains = [chains[0][:middle], chains[0][middle:]]
    middle = len(chains) // 2

    def joined(part: list[np.ndarray]) -> Trajectory:
        lengths = tuple(len(chain) for chain in part)
        return Trajectory(trajectory.molecule, np.concatenate(part), lengths, trajectory.temperature)

    return joined(chains[:middle]), joined(chains[middle:])
