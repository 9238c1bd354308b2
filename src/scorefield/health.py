"""What speaks against trusting a data set, or generated frames: one sentence each, for reports, logs and stderr.

Whether chains agree, drift or are too short is `equilibrium`'s to say. Here its words are joined by those about splits
and about distributions that have collapsed.
"""

import re

import numpy as np
from jaxtyping import Float

from .dataset import Dataset, Split
from .distributions import frame_weights, spread
from .equilibrium import equilibrium_report
from .geometry import all_pairs
from .trajectory import Trajectory

FEW_FRAMES: dict[Split, tuple[int, str]] = {
    "train": (2_000, "a network learns them by heart"),
    "validation": (500, "the validation loss says little"),
    "test": (5_000, "values and floors are mostly noise"),
}
"""How many frames a split should have, and what follows from fewer."""

_COMPARED = 2_000  # frames looked at for collapse
_MOST_PAIRS = 300
_STILL = 0.005  # relative fluctuation of distances: stiff bonds alone have 2-3%
_NARROW = 0.3  # of the reference's spread
_STRETCH = re.compile(r"(.+)\[\d+:\d+\]")  # how `prepare` names a part of a file


def dataset_warnings(dataset: Dataset) -> list[str]:
    """Too few frames, one chain only, chains that disagree, a collapsed distribution, and what `prepare` had to say."""
    equilibrium = dataset.equilibrium or equilibrium_report(dataset.trajectory)
    found = [*dataset.provenance.get("warnings", ()), *equilibrium.get("warnings", ())]
    verdict = str(equilibrium.get("verdict", "see its report"))
    if not equilibrium.get("looks_like_equilibrium", True):
        found.append(f"may not be at equilibrium: {verdict}")
    if not verdict.startswith("nothing moves"):
        found += _collapsed(dataset.trajectory)
    return found + _split_warnings(dataset)


def _split_warnings(dataset: Dataset) -> list[str]:
    found = []
    lengths, splits = np.array(dataset.trajectory.chain_lengths), np.array(dataset.splits)
    for split, (least, consequence) in FEW_FRAMES.items():
        n = int(lengths[splits == split].sum())
        if 0 < n < least:
            found.append(f"only {n} {split} frames: {consequence}; {least:,} or more are better")
    if (splits == "test").sum() == 1:
        found.append("the test frames are one chain only: nothing tells how far independent chains would differ")
    chains = {split: _cut_chains(dataset, split) for split in FEW_FRAMES}
    if chains["test"] & (chains["train"] | chains["validation"]):
        found.append(
            "training and test frames are stretches of the same chain: they are not independent, and errors look smaller "
            "than they are; more chains are needed"
        )
    return found


def _cut_chains(dataset: Dataset, split: Split) -> set[str]:
    """Names of the chains of which `split` has a part."""
    named = zip(dataset.splits, dataset.sources, strict=True)
    return {match[1] for its, source in named if its == split and (match := _STRETCH.fullmatch(source))}


def frames_warnings(frames: Trajectory, reference: Trajectory) -> list[str]:
    """Generated frames that have collapsed, by themselves or beside the reference, and replicas that disagree."""
    found = _collapsed(frames)
    if not found:
        pairs = _some_pairs(frames)
        width, expected = (_width(t.thin(_COMPARED), pairs) for t in (frames, reference))
        if width < _NARROW * expected:
            found.append(
                f"distances vary {width / expected:.0%} as much as the reference's: the distribution has collapsed"
            )
    if frames.n_chains > 1:
        equilibrium = equilibrium_report(frames)
        if not equilibrium["looks_like_equilibrium"]:
            found.append(f"replicas have not forgotten their starts: {equilibrium['verdict']}")
    return found


def _collapsed(trajectory: Trajectory) -> list[str]:
    """One structure, or a few, in place of a distribution."""
    some = trajectory.thin(_COMPARED)
    if some.n_frames < 2:
        return []
    rounded = np.asarray(some.positions, np.float32).round(4).reshape(some.n_frames, -1)
    different = len(np.unique(rounded, axis=0))
    if different < some.n_frames / 2:
        return [f"only {different} of {some.n_frames} frames differ: the distribution has collapsed, or frames repeat"]
    q = _distances(some, _some_pairs(some))
    fluctuation = np.sqrt(np.mean(q.var(axis=0) / np.maximum(q.mean(axis=0), 1e-9) ** 2)) if q.size else 1.0
    if fluctuation < _STILL:
        return [f"distances vary by {fluctuation:.2%} only: the distribution has collapsed to one structure"]
    return []


def _some_pairs(trajectory: Trajectory) -> np.ndarray:
    pairs = all_pairs(trajectory.molecule.n_beads)
    return pairs[:: max(1, len(pairs) // _MOST_PAIRS)]


def _distances(trajectory: Trajectory, pairs: np.ndarray) -> Float[np.ndarray, "f k"]:
    x = np.asarray(trajectory.positions, np.float64)
    return np.linalg.norm(x[:, pairs[:, 0]] - x[:, pairs[:, 1]], axis=-1)


def _width(trajectory: Trajectory, pairs: np.ndarray) -> float:
    """Root mean square over pairs of the standard deviation of their distance, nm."""
    return float(np.sqrt(np.mean(spread(_distances(trajectory, pairs), frame_weights(trajectory)) ** 2)))
