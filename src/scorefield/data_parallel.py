"""Training on several devices: each batch shared out, weights and optimiser on every device (`jax.sharding`).

The program is that of one device; the compiler divides it. Sums over a batch are then taken in another order, so that
losses differ by rounding from those of another number of devices; on the same number they are the same, bit for bit.
"""

from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, PRNGKeyArray

from .errors import InputError

Tree = TypeVar("Tree")

LEAST_FRAMES = 32
"""Of a batch, to a device: fewer are not worth a device's while."""


class DataParallel:
    """The devices that share batches of `batch` frames evenly, at least `LEAST_FRAMES` each: of every process as many.

    `wanted` devices at most, but one of every process; None: all, but a processor is one, for XLA has its cores share a step
    as it is (197 steps/s on two devices of two cores, 194 on one). Raises InputError if so many processes cannot share a
    batch evenly.
    """

    def __init__(self, batch: int, wanted: int | None = None) -> None:
        processes = jax.process_count()
        if batch % processes:
            raise InputError(f"training.batch = {batch} cannot be shared evenly by {processes} processes; change it")
        each = [[d for d in jax.devices() if d.process_index == k] for k in range(processes)]
        least = min(map(len, each)) if wanted is None else max(1, wanted // processes)
        alone = wanted is None and each[0][0].platform == "cpu"
        most = 1 if alone else max(1, min(least, batch // (LEAST_FRAMES * processes)))
        number = max(k for k in range(1, most + 1) if batch % (k * processes) == 0)
        devices = [device for those in each for device in those[:number]]
        mesh = Mesh(np.array(devices), ("batch",))
        self.number = len(devices)
        self._parts = lambda *axes: NamedSharding(mesh, PartitionSpec(*axes))

    def share(self, batches: Any) -> Any:
        """Arrays (steps, batch, ...), each device with its part of every batch; every process gives all of them."""
        if self.number == 1:
            return jax.tree.map(jnp.asarray, batches)
        parts = self._parts(None, "batch")
        place = lambda a: jax.make_array_from_callback(a.shape, parts, lambda index: a[index])
        return jax.tree.map(lambda a: place(np.asarray(a)), batches)

    def copy(self, tree: Tree) -> Tree:
        """Arrays on every device."""
        if self.number == 1:
            return tree
        place = lambda a: jax.make_array_from_callback(a.shape, self._parts(), lambda index: a[index])
        return jax.tree.map(lambda a: place(np.asarray(a)), tree)

    def copy_key(self, key: PRNGKeyArray) -> PRNGKeyArray:
        """A random key on every device."""
        return key if self.number == 1 else jax.random.wrap_key_data(self.copy(jax.random.key_data(key)))

    def spread(self, a: Array, axis: int = 0) -> Array:
        """In a compiled function: an array of the frames of a batch (axis `axis`), to be worked at by all devices."""
        if self.number == 1 or a.shape[axis] % self.number:
            return a
        return jax.lax.with_sharding_constraint(a, self._parts(*(None,) * axis, "batch"))

    def here(self, tree: Tree) -> Tree:
        """Arrays that are on every device, on the first one of this process."""
        return tree if self.number == 1 else jax.tree.map(lambda a: a.addressable_data(0), tree)
