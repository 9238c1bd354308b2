"""Blocks of replicas: what goes in comes out, and the number of devices changes nothing."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorefield.blocks import Blocks


@pytest.mark.parametrize(
    ("n", "most", "number", "size"), [(1, None, 1, 1), (10, 4, 3, 4), (9, 4, 3, 3), (2000, None, 2, 1000)]
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


SIMULATE = """
import sys, jax, numpy as np
sys.path.insert(0, sys.argv[1])
from test_stream import SAVE, model
from scorefield.protocol import Protocol
from scorefield.replicas import Replicas
from small import frames
starts = frames()[:5]
replicas = Replicas(model(), Protocol.of(model(), 3 * SAVE, save_ps=SAVE), 5, 2)
x = [x for _, _, x in replicas.frames(replicas.start(starts), 0)]
sys.stdout.buffer.write(len(replicas.blocks.devices).to_bytes() + np.concatenate(x, axis=1).tobytes())
"""


def test_one_device_and_three_give_the_same_trajectories():
    found = {}
    for n in (1, 3):
        environment = os.environ | {"XLA_FLAGS": f"--xla_force_host_platform_device_count={n}", "JAX_PLATFORMS": "cpu"}
        words = [sys.executable, "-c", SIMULATE, os.path.dirname(__file__)]
        found[n] = subprocess.run(words, env=environment, capture_output=True, check=True).stdout
    assert [found[n][0] for n in (1, 3)] == [1, 3]
    x = np.frombuffer(found[1][1:], np.float32)
    assert np.isfinite(x).all()
    assert x.size == 5 * 3 * 4 * 3
    assert found[1][1:] == found[3][1:]
