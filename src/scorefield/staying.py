"""Does a simulation keep the distribution that it starts with? One metric, window by window, and the replicas left."""

from itertools import pairwise

import numpy as np

from .metrics import METRICS
from .report import Staying
from .trajectory import Trajectory

_WINDOWS = 8
_FRAMES = 4_000  # of a window, at most
_LEAST = 100
_METRICS = ("dihedral_js", "distance_js", "rg_js")
_TIMES = 200


def staying(candidate: Trajectory, started: int, reference: Trajectory, others: Trajectory) -> Staying:
    """Of a simulation of `started` replicas, in time order; `others` are true frames that are not the reference's.

    The first of `dihedral_js`, `distance_js` and `rg_js` that the molecule has. Every window and the floor are of the same
    number of frames.
    """
    assert candidate.interval is not None, "what has no time order has no windows"
    name = next(name for name in _METRICS if METRICS[name].applies(reference.molecule))
    metric, longest = METRICS[name], max(candidate.chain_lengths)
    windows = max(1, min(_WINDOWS, longest, candidate.n_frames // _LEAST))
    ends = np.linspace(0, longest, windows + 1).astype(int)
    chains = candidate.chains()
    stride = max(1, candidate.n_frames // (2 * windows * _FRAMES))
    found = [np.concatenate([c[a:b:stride] for c in chains]) for a, b in pairwise(ends)]
    size = min(_FRAMES, others.n_frames, max(_LEAST, min(map(len, found))))
    value = lambda t: metric.function(t.thin(size), reference)
    of = lambda x: Trajectory(candidate.molecule, x, (len(x),), candidate.temperature)
    values = [value(of(x)) if len(x) >= size else np.nan for x in found]
    reached = np.unique(np.linspace(0, longest, _TIMES + 1).astype(int))
    alive = (np.array(candidate.chain_lengths)[None] >= reached[:, None]).sum(axis=1) / started
    alive[0] = 1.0
    return Staying(
        name,
        metric.title,
        ends * candidate.interval,
        np.array(values, float),
        value(others),
        reached * candidate.interval,
        alive,
    )
