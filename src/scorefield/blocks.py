"""Replicas in blocks of one size, dealt out to the devices of this process, or of all processes at one work.

A compiled function rounds differently for batches of different sizes, and also where the compiler itself divides the
work among devices. So every block is a call of its own of one and the same function, whatever the number of devices:
the same seed gives the same trajectories on one device, on two and on eight, in one process or in several.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import equinox as eqx
import jax
import numpy as np

from .processes import gathered

Tree = TypeVar("Tree")
Made = TypeVar("Made")

_MOST_ON_A_CORE, _MOST_ELSEWHERE = 64, 1024
_IN_CACHE = 112  # beads of one replica, whose pairs fill a core's cache


def usual_size(n_beads: int) -> int:
    """How many replicas of `n_beads` a block has, unless another number is asked for.

    On a processor at most 64: a core loses a seventh of its pace with so few, what is more is left to other cores. And no
    more than a core's cache holds the pairs of: us a bead and step in blocks of 64, 8, 4 and 1, 56 beads 8.3, 6.5, 5.9,
    5.3; 100 beads 12.1, 9.4, 8.0, 5.2 (before chains of 96 beads had lists of what is near, `energy.densities`).
    """
    if jax.default_backend() != "cpu":
        return _MOST_ELSEWHERE
    return max(1, min(_MOST_ON_A_CORE, (_IN_CACHE // n_beads) ** 2))


@dataclass(frozen=True)
class Blocks:
    """`n` replicas in blocks of `size`, dealt out to `processes` and there to `devices`; the last one is filled up."""

    n: int
    size: int
    devices: tuple[Any, ...]
    processes: int = 1
    process: int = 0

    @staticmethod
    def of(n: int, most: int, together: bool = False) -> "Blocks":
        """As few blocks of at most `most` replicas as hold `n`, as even as they can be, over all local devices.

        `together`: over those of all processes.
        """
        number = -(-n // min(n, most))
        processes, process = (jax.process_count(), jax.process_index()) if together else (1, 0)
        devices = jax.local_devices()[: -(-number // processes)]
        return Blocks(n, -(-n // number), tuple(devices), processes, process)

    @property
    def number(self) -> int:
        """Of blocks."""
        return -(-self.n // self.size)

    @property
    def here(self) -> range:
        """Which blocks are this process's: of every process as many, so that there may be some beyond the last one."""
        each = -(-self.number // self.processes)
        return range(self.process * each, (self.process + 1) * each)

    @property
    def _undivided(self) -> bool:
        return self.number == self.processes == 1

    def cut(self, replicas: Tree) -> list[Tree]:
        """The blocks of arrays that have replicas first, each on its device; those of this process."""
        if self._undivided:
            return [replicas]
        index = [np.minimum(np.arange(k * self.size, (k + 1) * self.size), self.n - 1) for k in self.here]
        return [self._on(k, jax.tree.map(lambda a, i=i: a[i], replicas)) for k, i in enumerate(index)]

    def shared(self, tree: Tree) -> list[Tree]:
        """What all replicas have in common, once a block on its device."""
        if self._undivided:
            return [tree]
        copies = [self._on(k, tree) for k in range(len(self.devices))]
        return [copies[k % len(copies)] for k in range(len(self.here))]

    def _on(self, block: int, tree: Tree) -> Tree:
        arrays, rest = eqx.partition(tree, eqx.is_array)
        return eqx.combine(jax.device_put(arrays, self.devices[block % len(self.devices)]), rest)

    def each(self, function: Callable[..., Made], *blocks: Sequence[Any]) -> list[Made]:
        """`function` of every block, called by a thread a device: each has it compiled, and none waits for another."""
        if len(self.devices) == 1:
            return [function(*block) for block in zip(*blocks, strict=True)]
        with ThreadPoolExecutor(len(self.devices)) as threads:
            return list(threads.map(function, *blocks))

    def join(self, blocks: Sequence[Tree]) -> Tree:
        """Arrays of all replicas: as they are if there is one block, else in main memory, of every process."""
        if self._undivided:
            return blocks[0]
        leaves, structures = zip(*(jax.tree.flatten(block) for block in blocks), strict=True)
        mine = [np.concatenate([np.asarray(a) for a in parts]) for parts in zip(*leaves, strict=True)]
        if self.processes > 1:
            mine = [every.reshape(-1, *every.shape[2:]) for every in gathered(*mine)]
        return jax.tree.unflatten(structures[0], [a[: self.n] for a in mine])
