"""Replicas in blocks of one size, dealt out to the devices of this process.

A compiled function rounds differently for batches of different sizes, and also where the compiler itself divides the
work among devices. So every block is a call of its own of one and the same function, whatever the number of devices:
the same seed gives the same trajectories on one device, on two and on eight.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import equinox as eqx
import jax
import numpy as np

Tree = TypeVar("Tree")

MOST_REPLICAS = 1024
"""Of a block, unless another number is asked for."""


@dataclass(frozen=True)
class Blocks:
    """`n` replicas in blocks of `size`, one after another dealt out to `devices`; the last one is filled up."""

    n: int
    size: int
    devices: tuple[Any, ...]

    @staticmethod
    def of(n: int, most: int | None = None) -> "Blocks":
        """As few blocks of at most `most` replicas as hold `n`, as even as they can be, over all local devices."""
        number = -(-n // min(n, most or MOST_REPLICAS))
        return Blocks(n, -(-n // number), tuple(jax.local_devices()[:number]))

    @property
    def number(self) -> int:
        """Of blocks."""
        return -(-self.n // self.size)

    def cut(self, replicas: Tree) -> list[Tree]:
        """The blocks of arrays that have replicas first, each on its device."""
        if self.number == 1:
            return [replicas]
        index = [np.minimum(np.arange(k, k + self.size), self.n - 1) for k in range(0, self.n, self.size)]
        return [self._on(k, jax.tree.map(lambda a, i=i: a[i], replicas)) for k, i in enumerate(index)]

    def shared(self, tree: Tree) -> list[Tree]:
        """What all replicas have in common, once a block on its device."""
        if self.number == 1:
            return [tree]
        copies = [self._on(k, tree) for k in range(len(self.devices))]
        return [copies[k % len(copies)] for k in range(self.number)]

    def _on(self, block: int, tree: Tree) -> Tree:
        arrays, rest = eqx.partition(tree, eqx.is_array)
        return eqx.combine(jax.device_put(arrays, self.devices[block % len(self.devices)]), rest)

    def join(self, blocks: Sequence[Tree]) -> Tree:
        """Arrays of all replicas: as they are if there is one block, else in main memory."""
        if self.number == 1:
            return blocks[0]
        return jax.tree.map(lambda *parts: np.concatenate([np.asarray(a) for a in parts])[: self.n], *blocks)
