"""Replica exchange: the exact distribution of rung 0 across a barrier, whatever the other rungs are; and what is refused."""

from dataclasses import replace
from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from small import MOLECULE, N, frames, untrained
from test_stream import SAVE, STARTS, model

from scorefield.errors import InputError
from scorefield.exchange import Exchange, crossings
from scorefield.protocol import Protocol
from scorefield.replicas import Replicas
from scorefield.simulate import simulate

KT, MASS = 2.5, 12.0
HALF, WIDTH, SHARE = 0.3, 0.06, 0.75  # two Gaussian wells 12.5 kT deep; the share of the right one
LEVELS = jnp.array([0.0, 0.06, 0.13, 0.25])
LADDERS, STEPS, RELAX = 64, 700, 200


class Wells(eqx.Module):
    """-kT ln p of one particle in two wells on the first axis, blurred by the level; a single well on the others.

    Above rung 0 the right well has `share`, and every energy a constant of its own, `lift` times the level.
    """

    share: float = SHARE
    lift: float = 0.0

    def __call__(self, x, level):
        square = WIDTH**2 + level**2
        share = jnp.where(level > 0, self.share, SHARE)
        wells = jnp.array([-HALF, HALF])
        log = jnp.log(jnp.stack([1 - share, share])) - (x[0, 0] - wells) ** 2 / (2 * square)
        return KT * (jnp.sum(x[0, 1:] ** 2) / (2 * square) - jax.nn.logsumexp(log)) + self.lift * level

    def force(self, x, level):
        return -jax.grad(self.__call__)(x, level)


RIGHT, WRONG = Wells(), Wells(1 - SHARE, 1000.0)


@cache
def run(right):
    """First coordinates (steps, ladders, rungs), walkers at rung 0, the last state; all walkers started in the left well."""
    wells = RIGHT if right else WRONG
    *made, state = ladders(jax.tree.map(jnp.float32, wells), jax.random.key(0))
    return *(np.asarray(a)[RELAX:] for a in made), state


@eqx.filter_jit
def ladders(wells, key):
    ladder = Exchange(wells.force, wells, LEVELS, jnp.array([MASS]), KT, 0.03, 5.0, 3)
    keys = jax.random.split(key, LADDERS)
    state = jax.vmap(ladder.init, (0, None))(keys, jnp.array([[-HALF, 0.0, 0.0]]))

    def step(state, k):
        state = jax.vmap(ladder.step)(jax.random.split(k, LADDERS), state)
        return state, (state.x[:, :, 0, 0], state.walker[:, 0])

    state, made = jax.lax.scan(step, state, jax.random.split(jax.random.fold_in(key, 1), STEPS))
    return *made, state


@pytest.mark.parametrize("right_above", [True, False])
def test_rung_0_has_its_own_distribution_whatever_the_others_are(right_above):
    x, walkers, state = run(right_above)
    right = x[:, :, 0] > 0
    assert right.mean() == pytest.approx(SHARE, abs=5 * right.mean(axis=0).std() / np.sqrt(LADDERS))
    assert np.abs(right.mean() - SHARE) < 0.08
    off = x[:, :, 0] - np.where(right, HALF, -HALF)
    assert (off**2).mean() == pytest.approx(WIDTH**2, rel=0.03)
    basin = np.where(np.abs(off) < 2 * WIDTH, right, -1)
    assert crossings(basin.T, walkers.T) > 3 * LADDERS
    assert np.array_equal(np.sort(state.walker, axis=1), np.tile(np.arange(len(LEVELS)), (LADDERS, 1)))
    share = np.asarray(state.made).mean(axis=0) / STEPS
    assert ((share > 0.1) & (share < 1)).all()


def test_every_rung_has_its_own_distribution():
    x, _, _ = run(True)
    expected = (HALF**2 + WIDTH**2 + LEVELS**2).tolist()
    for rung, square in enumerate(expected):
        assert (x[:, :, rung] ** 2).mean() == pytest.approx(square, rel=0.06)


def test_walkers_that_take_turns_cross_nothing():
    basin = np.array([[0, 1, 0, 1, -1, 0, 1]])
    assert crossings(basin, np.array([[0, 1, 0, 1, 1, 0, 1]])) == 0
    assert crossings(basin, np.array([[0, 1, 0, 0, 0, 1, 0]])) == 2
    assert crossings(basin) == 5


def test_a_model_exchanges_and_keeps_the_force_level():
    """A Gaussian's coordinates have the variance of the force level, not of those above."""
    settings = {"save_ps": 0.2, "dt_fs": 10.0, "seed": 1, "exchange": (0.05, 0.1), "friction": 5.0}
    found = simulate(model(), np.repeat(frames()[:1], 40, axis=0), 12.0, **settings)
    assert found.settings["exchange"]["levels_nm"] == [0.05, 0.1]
    assert all(0.2 < share < 0.9 for share in found.settings["exchange"]["acceptance"])
    chains = np.stack(found.trajectory.chains())[:, 15:]
    chains = chains - chains.mean(axis=2, keepdims=True)
    square = 0.01 + tiny.LEVELS.chosen_nm**2
    assert (chains**2).sum(axis=(2, 3)).mean() == pytest.approx(3 * (N - 1) * square, rel=0.1)


@pytest.mark.parametrize(
    ("exchange", "says"), [((0.1, 0.05), "must increase"), ((0.001,), "must increase"), ((np.inf,), "must increase")]
)
def test_levels_that_are_no_ladder_are_refused(exchange, says):
    with pytest.raises(InputError, match=says):
        Protocol.of(model(), 1.0, save_ps=SAVE, exchange=exchange)


def test_exchanges_need_an_energy_and_some_time_between_frames():
    direct = replace(model(), score=untrained("graph_transformer_direct"))
    with pytest.raises(InputError, match="no energy"):
        Protocol.of(direct, 1.0, save_ps=0.1, exchange=(0.1,))
    with pytest.raises(InputError, match="exchanges of 100 fs"):
        Protocol.of(model(), 1.0, save_ps=0.02, exchange=(0.1,))


def test_the_default_ladder_grows_with_the_molecule_and_ends_at_a_share_of_a_bond():
    protocol = Protocol.of(model(), 1.0, save_ps=0.1, exchange="auto")
    top = 0.2 * float(np.mean(model().physical.bond_mean))
    assert protocol.rungs == (pytest.approx(top, rel=1e-3),)
    assert Replicas(model(), protocol, 3).like.x.shape == (3, 2, N, 3)
    assert len(STARTS[0]) == MOLECULE.n_beads
