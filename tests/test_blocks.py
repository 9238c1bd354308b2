"""Blocks of replicas: what goes in comes out, and the number of devices changes nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small import frames
from test_stream import SAVE, model

from scorefield.blocks import Blocks, usual_size
from scorefield.protocol import Protocol
from scorefield.replicas import Replicas


@pytest.mark.parametrize(
    ("n", "most", "number", "size"),
    [(1, 64, 1, 1), (10, 4, 3, 4), (9, 4, 3, 3), (2000, 1024, 2, 1000), (200, usual_size(5), 4, 50)],
)
def test_replicas_are_cut_evenly_and_joined_in_order(n, most, number, size):
    blocks = Blocks.of(n, most)
    assert (blocks.number, blocks.size) == (number, size)
    tree = {"x": jnp.arange(2 * n).reshape(n, 2), "keys": jax.random.split(jax.random.key(0), n)}
    parts = blocks.cut(tree)
    assert [part["x"].shape for part in parts] == [(size, 2)] * number
    joined = blocks.join([part["x"] for part in parts])
    np.testing.assert_array_equal(joined, tree["x"])
    assert len(blocks.shared(tree)) == number


def test_blocks_of_larger_molecules_are_smaller():
    sizes = [usual_size(n) for n in (1, 5, 14, 28, 56, 100, 1000)]
    assert sizes == sorted(sizes, reverse=True)
    assert (sizes[0], sizes[-1]) == (64, 1)


def trajectories(n_devices, monkeypatch):
    devices = jax.local_devices()[:n_devices]
    monkeypatch.setattr(jax, "local_devices", lambda: devices)
    replicas = Replicas(model(), Protocol.of(model(), 3 * SAVE, save_ps=SAVE), 5, 2)
    assert replicas.blocks.devices == tuple(devices[: min(3, n_devices)])
    x = [x for _, _, x in replicas.frames(replicas.start(frames()[:5]), 0)]
    monkeypatch.undo()
    return np.concatenate(x, axis=1)


def test_one_device_and_several_give_the_same_trajectories(monkeypatch):
    one = trajectories(1, monkeypatch)
    assert one.shape == (5, 3, 4, 3)
    assert np.isfinite(one).all()
    for n in (3,):
        np.testing.assert_array_equal(trajectories(n, monkeypatch), one)


@pytest.mark.parametrize(("n", "most", "processes"), [(5, 2, 2), (1, 64, 2), (10, 2, 4), (7, 2, 3)])
def test_processes_share_the_blocks_and_have_as_many_each(n, most, processes):
    one, x = Blocks.of(n, most), np.arange(2 * n).reshape(n, 2)
    parts = [Blocks(n, one.size, one.devices, processes, k) for k in range(processes)]
    assert len({len(part.here) for part in parts}) == 1
    assert [k for part in parts for k in part.here][: one.number] == list(range(one.number))
    joined = np.concatenate([np.asarray(block) for part in parts for block in part.cut(jnp.asarray(x))])
    np.testing.assert_array_equal(joined[:n], x)
