"""Does a Trajectory look like equilibrium? Spread between chains, autocorrelation, effective samples, drift, a verdict.

For one coordinate a(t) in m chains, deviations taken from the mean over ALL chains, so that chains which never meet
show up as correlation that does not decay:

rho(t)  normalised autocorrelation at lag t, averaged over chains
tau     integrated autocorrelation time, 1/2 + sum_{t=1}^{M} rho(t), M the first lag >= 5 (2 tau) (Sokal's window)
N_eff   N / (2 tau): how many independent frames estimate a mean as well
R-hat   split potential scale reduction (Gelman et al., Bayesian Data Analysis, eq. 11.4), every chain cut in halves
drift   mean of second halves - mean of first halves, in units of its standard error
"""

from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from .observables import far_distances, far_pairs, phi_psi, radii_of_gyration
from .trajectory import Trajectory

R_HAT_LIMIT = 1.1
EFFECTIVE_LIMIT = 100
FRAMES_LIMIT = 1000

_WINDOW = 5.0
_DRIFT_CHANCE = 0.01  # that a stationary set is called drifting, over all coordinates together
_DISTANCES = 3  # how many distances are main coordinates

DEFINITIONS = {
    "r_hat": "split Gelman-Rubin potential scale reduction; 1 when chain halves agree",
    "autocorrelation": "1/2 + sum of the autocorrelation over lags, Sokal window 5, about the mean of all chains",
    "effective_samples": "frames / (2 autocorrelation time), times Kish's fraction for weighted frames",
    "drift": "mean of second halves minus mean of first halves of the chains, in standard errors",
}

Chains = list[np.ndarray]


@dataclass(frozen=True)
class CoordinateReport:
    """What was found for one coordinate; times in frames. `autocorrelation` is a lower bound unless `decayed`."""

    mean: float
    std: float
    r_hat: float
    autocorrelation: float
    decayed: bool
    effective_samples: float
    drift: float


def equilibrium_report(trajectory: Trajectory) -> dict[str, Any]:
    """The report on `trajectory` as plain data: per coordinate, the warnings, and `verdict`, one plain sentence.

    `autocorrelation` is in ps where `trajectory.interval` is known, else in frames: `time_unit` says which.
    """
    coordinates = main_coordinates(trajectory)
    weights = None if trajectory.weights is None else _by_chain(trajectory, np.asarray(trajectory.weights, float))
    reports = {name: coordinate_report(_by_chain(trajectory, a), weights) for name, a in coordinates.items()}
    scale = trajectory.interval or 1.0
    listed = {name: asdict(r) | {"autocorrelation": r.autocorrelation * scale} for name, r in reports.items()}
    problems = _problems(trajectory, reports)
    return {
        "verdict": "; ".join(problems) if problems else _all_well(reports, scale, _unit(trajectory)),
        "looks_like_equilibrium": not problems,
        "warnings": _warnings(trajectory, reports),
        "n_chains": trajectory.n_chains,
        "n_frames": trajectory.n_frames,
        "interval_ps": trajectory.interval,
        "time_unit": _unit(trajectory),
        "coordinates": {name: {k: _rounded(v) for k, v in row.items()} for name, row in listed.items()},
        "definitions": DEFINITIONS,
    }


def main_coordinates(trajectory: Trajectory) -> dict[str, Float[np.ndarray, " f"]]:
    """Cosine and sine of every backbone dihedral; unless there is just one residue, also size and distances."""
    found: dict[str, np.ndarray] = {}
    residues = trajectory.molecule.ramachandran
    if residues:
        angles = phi_psi(trajectory)
        for r, (label, _) in enumerate(residues):
            for k, angle in enumerate(("phi", "psi")):
                found[f"cos {angle} {label}"] = np.cos(angles[:, r, k])
                found[f"sin {angle} {label}"] = np.sin(angles[:, r, k])
    return found if len(residues) == 1 else found | _sizes(trajectory)


def _sizes(trajectory: Trajectory) -> dict[str, Float[np.ndarray, " f"]]:
    """Radius of gyration, end-to-end distance, and the distances |i - j| >= 3 that vary most, in nm."""
    n = trajectory.molecule.n_beads
    pairs = far_pairs(trajectory.molecule)
    spread = _variances(trajectory.thin(FRAMES_LIMIT), pairs)
    widest = [pairs[k] for k in np.argsort(-spread, kind="stable") if tuple(pairs[k]) != (0, n - 1)][:_DISTANCES]
    chosen = np.array([(0, n - 1), *widest], np.int64)
    values = np.concatenate([part for _, part in far_distances(trajectory, chosen)])
    names = ["end-to-end distance", *(f"distance {i}-{j}" for i, j in widest)]
    return {"radius of gyration": radii_of_gyration(trajectory)} | dict(zip(names, values.T, strict=True))


def _variances(trajectory: Trajectory, pairs: Int[np.ndarray, "k 2"]) -> Float[np.ndarray, " k"]:
    """Variance of every distance, nm^2, by running sums: a large molecule has too many distances to hold."""
    first, second = np.zeros(len(pairs)), np.zeros(len(pairs))
    for _, values in far_distances(trajectory, pairs) if len(pairs) else ():
        first += values.sum(axis=0, dtype=float)
        second += np.einsum("fk,fk->k", values, values, dtype=float)
    return second / trajectory.n_frames - (first / trajectory.n_frames) ** 2


def coordinate_report(chains: Chains, weights: Chains | None = None) -> CoordinateReport:
    """The statistics of one coordinate given as one array a chain, with frame `weights` or without."""
    chains = [np.asarray(c, float) for c in chains]
    n = sum(map(len, chains))
    uniform = [np.ones(len(c)) for c in chains]
    w = weights or uniform
    mean = sum(np.sum(a * b) for a, b in zip(chains, w, strict=True)) / sum(b.sum() for b in w)
    variance = sum(np.sum(b * (a - mean) ** 2) for a, b in zip(chains, w, strict=True)) / sum(b.sum() for b in w)
    if not variance > 1e-12 * max(1.0, mean * mean):  # all frames alike: nothing to correlate
        return CoordinateReport(float(mean), 0.0, 1.0, 0.5, True, float(n), 0.0)
    tau, decayed = autocorrelation_time(chains)
    kish = sum(b.sum() for b in w) ** 2 / (n * sum(np.sum(b * b) for b in w))
    effective = n / (2 * tau) * kish
    return CoordinateReport(
        float(mean),
        float(np.sqrt(variance)),
        split_r_hat(chains, w),
        tau,
        decayed,
        float(effective),
        _drift(chains, w, float(variance), float(effective)),
    )


def autocorrelation_time(chains: Chains) -> tuple[float, bool]:
    """tau in frames, at least 1/2 (independent frames), and whether the window closed before the chains ended."""
    lags = max(1, max(map(len, chains)) // 2)
    mean = sum(c.sum() for c in chains) / sum(map(len, chains))
    covariance, counts = np.zeros(lags), np.zeros(lags)
    for chain in chains:
        m = min(lags, len(chain))
        padded = np.fft.rfft(chain - mean, 2 ** int(np.ceil(np.log2(2 * len(chain)))))
        covariance[:m] += np.fft.irfft(padded * padded.conj())[:m]
        counts[:m] += len(chain) - np.arange(m)
    rho = covariance / np.maximum(counts, 1)
    if not rho[0] > 0:
        return 0.5, True
    tau = np.cumsum(rho / rho[0]) - 0.5
    closed = np.arange(lags) >= _WINDOW * 2 * tau
    window = int(np.argmax(closed)) if closed.any() else lags - 1
    return max(0.5, float(tau[window])), bool(closed.any()) or lags < 2


def split_r_hat(chains: Chains, weights: Chains) -> float:
    """Split R-hat of (weighted) chains; halves of fewer than two frames do not count; 1 if nothing is left."""
    halves = [h for c in chains for h in np.array_split(c, 2)]
    half_weights = [h for c in weights for h in np.array_split(c, 2)]
    kept = [(a, b) for a, b in zip(halves, half_weights, strict=True) if len(a) > 1 and b.sum() > 0]
    if len(kept) < 2:
        return 1.0
    means = np.array([np.average(a, weights=b) for a, b in kept])
    within = np.mean([np.average((a - m) ** 2, weights=b) for (a, b), m in zip(kept, means, strict=True)])
    between = means.var(ddof=1)
    return float(np.sqrt((within + between) / within)) if within > 0 else float("inf")


def _drift(chains: Chains, weights: Chains, variance: float, effective: float) -> float:
    shifts = []
    for a, w in zip(chains, weights, strict=True):
        (a1, a2), (w1, w2) = np.array_split(a, 2), np.array_split(w, 2)
        if w1.sum() > 0 and w2.sum() > 0:
            shifts.append((len(a), np.average(a2, weights=w2) - np.average(a1, weights=w1)))
    if not shifts:
        return 0.0
    lengths, values = np.array(shifts).T
    shift = np.average(values, weights=lengths)
    m = len(values)
    # each half holds half of the effective samples: var(m2 - m1) = 2 variance / (effective / 2)
    error = np.sqrt(4 * variance / effective)
    if m > 1:  # few chains may agree by chance, so the larger of two estimates
        error = max(error, np.sqrt(np.sum((lengths * (values - shift)) ** 2) * m / (m - 1)) / lengths.sum())
    return float(shift / error) if error > 0 else 0.0


def _problems(trajectory: Trajectory, reports: dict[str, CoordinateReport]) -> list[str]:
    """Sentences on what speaks against equilibrium, worst coordinate first."""
    moving = {name: r for name, r in reports.items() if r.std > 0}
    if trajectory.n_frames > 1 and not moving:
        return ["nothing moves: all frames are alike in every main coordinate"]
    limit = NormalDist().inv_cdf(1 - _DRIFT_CHANCE / (2 * max(1, len(moving))))
    found = []
    apart = sorted((n for n, r in moving.items() if r.r_hat > R_HAT_LIMIT), key=lambda n: -moving[n].r_hat)
    if apart:
        who = "chains disagree" if trajectory.n_chains > 1 else "the two halves of the chain disagree"
        found.append(f"{who} in {_some(apart)}: R-hat {moving[apart[0]].r_hat:.2f}, should be below {R_HAT_LIMIT}")
    drifting = sorted((n for n, r in moving.items() if abs(r.drift) > limit), key=lambda n: -abs(moving[n].drift))
    if drifting:
        worst = moving[drifting[0]].drift
        found.append(f"{_some(drifting)} drift: second halves differ from first by {abs(worst):.1f} standard errors")
    few = sorted(
        (n for n, r in moving.items() if r.effective_samples < EFFECTIVE_LIMIT),
        key=lambda n: moving[n].effective_samples,
    )
    if few:
        n = max(1, round(moving[few[0]].effective_samples))
        found.append(
            f"too few independent observations in {_some(few)}: about {n}, should be {EFFECTIVE_LIMIT} or more"
        )
    return found


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _warnings(trajectory: Trajectory, reports: dict[str, CoordinateReport]) -> list[str]:
    found = []
    if trajectory.n_chains == 1:
        found.append("only one chain: nothing independent to compare it with")
    if trajectory.n_frames < FRAMES_LIMIT:
        found.append(f"only {trajectory.n_frames} frames: fewer than {FRAMES_LIMIT} say little about a distribution")
    found += [f"{name} does not move" for name, r in reports.items() if r.std == 0]
    found += [
        f"autocorrelation of {name} does not decay within the chains: its time is a lower bound"
        for name, r in reports.items()
        if not r.decayed
    ]
    if trajectory.interval is None:
        found.append("frame interval unknown: autocorrelation times are in frames")
    return found


def _all_well(reports: dict[str, CoordinateReport], scale: float, unit: str) -> str:
    slowest = max(reports, key=lambda name: reports[name].autocorrelation)
    r = reports[slowest]
    return (
        f"looks like equilibrium: chains agree, no drift, slowest coordinate {slowest} "
        f"({r.autocorrelation * scale:.3g} {unit}, {r.effective_samples:.0f} independent observations)"
    )


def _unit(trajectory: Trajectory) -> str:
    return "frames" if trajectory.interval is None else "ps"


def _by_chain(trajectory: Trajectory, values: np.ndarray) -> Chains:
    return np.split(values, np.cumsum(trajectory.chain_lengths)[:-1])


def _rounded(value: Any) -> Any:
    """Six digits; JSON knows no infinity."""
    return min(float(f"{value:.6g}"), 1e9) if isinstance(value, float) else value
