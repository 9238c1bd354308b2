"""Training, validation and test splits: whole chains, or contiguous stretches of one or two, never shuffled frames.

Frames of one chain resemble their neighbours, so a split by shuffled frames would test on what was trained on.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .dataset import SPLITS, Split
from .errors import InputError

_BLOCKS = 10


class Stretch(NamedTuple):
    """Frames `start` to `stop` of chain `chain`, and the split they belong to."""

    chain: int
    start: int
    stop: int
    split: Split


def check_fractions(fractions: Sequence[float]) -> None:
    """Raise InputError unless `fractions` are train, validation, test; none negative, sum 1, some training."""
    ok = len(fractions) == 3 and all(math.isfinite(f) and f >= 0 for f in fractions) and fractions[0] > 0
    if not ok or abs(sum(fractions) - 1) > 1e-6:
        raise InputError(
            f"split {tuple(fractions)} must be three fractions (train, validation, test) with sum 1, train > 0"
        )


def split_chains(lengths: Sequence[int], fractions: Sequence[float]) -> list[Stretch]:
    """Assign chains of `lengths` frames to the splits, in chain order.

    From as many chains as there are splits: whole chains, the longest first, each to the split that lacks most frames,
    and at least one to every split. From fewer: ten blocks of each chain, the first to train on, the last to test.
    """
    wanted: list[Split] = [s for s, f in zip(SPLITS, fractions, strict=True) if f > 0]
    if len(lengths) < len(wanted):
        return [part for chain, n in enumerate(lengths) for part in _stretches(chain, n, fractions)]
    share: dict[Split, float] = dict(zip(SPLITS, fractions, strict=True))
    lacking: dict[Split, float] = {s: share[s] * sum(lengths) for s in wanted}
    chosen: dict[int, Split] = {}
    for chain in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        empty: list[Split] = [s for s in wanted if s not in chosen.values()]
        # once as many chains are left as splits are empty, each of those gets one
        choices = empty if len(empty) >= len(lengths) - len(chosen) else wanted
        chosen[chain] = max(choices, key=lambda s: lacking[s])
        lacking[chosen[chain]] -= lengths[chain]
    return [Stretch(chain, 0, n, chosen[chain]) for chain, n in enumerate(lengths)]


def split_pieces(lengths: Sequence[int], fractions: Sequence[float]) -> list[Stretch]:
    """Assign consecutive pieces of one trajectory: whole pieces in order of time, the first to train on, the last to test.

    At least one piece to every split that has a share; from fewer pieces than splits, stretches as in `split_chains`.
    """
    wanted: list[Split] = [s for s, f in zip(SPLITS, fractions, strict=True) if f > 0]
    if len(lengths) < len(wanted):
        return split_chains(lengths, fractions)
    ends, share = np.cumsum(lengths) / sum(lengths), np.cumsum([f for f in fractions if f > 0])
    cuts = [0]
    for k, limit in enumerate(share[:-1]):
        nearest = int(np.argmin(np.abs(ends - limit))) + 1
        cuts.append(min(max(nearest, cuts[-1] + 1), len(lengths) - (len(wanted) - 1 - k)))
    parts = np.searchsorted(cuts, np.arange(len(lengths)), side="right") - 1
    return [Stretch(k, 0, n, wanted[part]) for k, (n, part) in enumerate(zip(lengths, parts, strict=True))]


def _stretches(chain: int, n: int, fractions: Sequence[float]) -> list[Stretch]:
    """Contiguous runs of blocks, at least one block for every split that has a share."""
    blocks = [max(1, round(_BLOCKS * f)) if f > 0 else 0 for f in fractions]
    blocks[int(np.argmax(blocks))] += _BLOCKS - sum(blocks)
    edges = np.round(np.cumsum([0, *blocks]) * n / _BLOCKS).astype(int).tolist()
    runs = zip(edges, edges[1:], SPLITS, strict=False)
    return [Stretch(chain, start, stop, split) for start, stop, split in runs if stop > start]
