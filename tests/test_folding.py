import numpy as np
import pytest
from backbones import chain_molecule, trajectory

from scorefield.distributions import block_lengths, block_means, chain_error
from scorefield.metrics import METRICS
from scorefield.metrics.folding import folding_events
from scorefield.metrics.shape import distance_js_to
from scorefield.observables import far_distances

N = 8
NATIVE = np.cumsum(np.random.default_rng(0).normal(0, 0.25, (N, 3)), axis=0)
MOLECULE = chain_molecule(("CA",) * N, NATIVE)


def frames(is_folded: np.ndarray, seed: int = 0, **kwargs):
    """Frames near the native structure where `is_folded`, else far from it."""
    rng = np.random.default_rng(seed)
    away = NATIVE * np.where(is_folded, 1.0, 3.5)[:, None, None]
    return trajectory(away + 0.02 * rng.normal(size=(len(is_folded), N, 3)), MOLECULE, **kwargs)


def test_folded_population_and_free_energy_in_closed_form():
    quarter = frames(np.arange(400) % 4 == 0)
    half = frames(np.arange(400) % 2 == 0)
    assert METRICS["folded_population"].function(quarter, half) == pytest.approx(0.25)
    assert METRICS["folding_free_energy"].function(quarter, half) == pytest.approx(np.log(3))
    assert METRICS["folding_free_energy"].function(half, half) == pytest.approx(0)
    never = frames(np.zeros(10, bool))
    assert np.isfinite(METRICS["folding_free_energy"].function(never, half))


def test_standard_errors_see_what_chains_share():
    chains, length = 40, 50
    p = np.random.default_rng(1).random(chains) < 0.3  # a chain is folded or not: the truth is one of chains
    t = frames(np.repeat(p, length), chains=chains)
    metric = METRICS["folded_population"]
    assert metric.error is not None
    expected = np.sqrt(p.mean() * (1 - p.mean()) / chains)
    assert metric.error(t, t) == pytest.approx(expected, rel=0.2)
    energy = METRICS["folding_free_energy"]
    assert energy.error is not None
    assert energy.error(t, t) == pytest.approx(expected / (p.mean() * (1 - p.mean())), rel=0.3)


def test_blocks_are_chains_or_stretches_of_few():
    many, few = trajectory(np.zeros((120, 5, 3)), chains=12), trajectory(np.zeros((120, 5, 3)), chains=3)
    assert block_lengths(many) == [10] * 12
    assert block_lengths(few) == [10] * 12
    values = np.random.default_rng(0).normal(size=120)
    assert np.std(block_means(values, many)) == pytest.approx(chain_error(values, many), rel=1e-9)
    assert block_lengths(trajectory(np.zeros((3, 5, 3)))) == [1, 1, 1]


def test_folding_events_are_counted_within_chains():
    state = np.array([0, 0, 1, 1, 0, 1, 1, 1, 0, 0, 0, 0], bool)
    t = frames(state, chains=2)
    assert folding_events(t, t) == (2, 2)
    assert folding_events(frames(state), t) == (2, 2)  # joined, the border changes nothing here: folded on both sides


def test_rmsd_free_energy_differs_by_what_populations_differ():
    a, b = frames(np.arange(4000) % 2 == 0), frames(np.arange(4000) % 4 == 0, 1)
    same = METRICS["rmsd_pmf_error"].function(frames(np.arange(4000) % 2 == 0, 2), a)
    assert same < 0.3
    assert METRICS["rmsd_pmf_error"].function(b, a) > 0.2
    assert METRICS["rmsd_js"].function(b, a) == pytest.approx(0.0334, abs=0.01)  # of (1/4, 3/4) against (1/2, 1/2)


def test_distances_to_published_histograms_are_distance_js():
    a, b = frames(np.arange(300) % 2 == 0), frames(np.arange(300) % 4 == 0, 1)
    columns = np.concatenate([r for _, r in far_distances(b)]).T / 0.01
    histograms = [np.bincount(c.astype(int)) for c in columns]
    assert distance_js_to(b, histograms) == pytest.approx(0, abs=1e-12)
    assert distance_js_to(a, histograms) == pytest.approx(METRICS["distance_js"].function(a, b), rel=1e-6)
