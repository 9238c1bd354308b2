"""A dipeptide whose phi and psi jump between two values each, as Markov chains of known timescales."""

import numpy as np
from backbones import ANGLE, dipeptide, frames

from scorefield.trajectory import Trajectory

RATES = (0.012, 0.02)  # chance of phi and of psi to jump, either way, per frame
INTERVAL = 2.0  # ps


def timescales(rates=RATES) -> np.ndarray:
    """ps: of phi, of psi, of both together; the eigenvalue of a symmetric two-state chain is 1 - 2 rate."""
    a, b = (1 - 2 * r for r in rates)
    return -INTERVAL / np.log([a, b, a * b])


def trajectory(seed: int, chains: int = 6, length: int = 3000, rates=RATES, interval: float | None = INTERVAL):
    """Chains from equilibrium; angles and bonds with a little independent noise."""
    rng = np.random.default_rng(seed)
    n = chains * length
    jumps = rng.random((chains, length, 2)) < rates
    jumps[:, 0] = rng.random((chains, 2)) < 0.5
    phi, psi = (np.cumsum(jumps, axis=1) % 2).reshape(n, 2).T
    x = frames(
        np.where(phi, -1.5, 1.0) + 0.05 * rng.normal(size=n),
        np.where(psi, 2.5, -0.5) + 0.05 * rng.normal(size=n),
        0.15 + 0.002 * rng.normal(size=n),
        ANGLE + 0.02 * rng.normal(size=n),
    )
    return Trajectory(dipeptide(), x.astype(np.float32), (length,) * chains, 300.0, interval)
