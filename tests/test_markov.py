import numpy as np
import pytest

from scorefield.markov import (
    MarkovModel,
    chapman_kolmogorov,
    count_matrix,
    crossings,
    markov_model,
    metastable_sets,
)

# Two pairs of states: fast within a pair, slow between; reversible because symmetric, hence uniform
FAST, SLOW = 0.2, 0.01
T = np.array(
    [
        [1 - FAST - SLOW, FAST, SLOW, 0],
        [FAST, 1 - FAST - SLOW, 0, SLOW],
        [SLOW, 0, 1 - FAST - SLOW, FAST],
        [0, SLOW, FAST, 1 - FAST - SLOW],
    ]
)
PAIRS = np.array([0, 0, 1, 1])
MODEL = MarkovModel(T, np.full(4, 0.25), 1.0, np.arange(4), 4)


def walk(transition: np.ndarray, n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    cumulative, state, found = np.cumsum(transition, axis=1), 0, np.empty(n, np.int64)
    for k, u in enumerate(rng.random(n)):
        state = found[k] = min(int(np.searchsorted(cumulative[state], u)), len(transition) - 1)
    return found


def test_counts_never_cross_a_chains_end():
    chains = [np.array([0, 0, 1]), np.array([2, 1]), np.array([2]), np.array([], int)]
    one = np.zeros((3, 3))
    one[0, 0] = one[0, 1] = one[2, 1] = 1
    assert (count_matrix(chains, 1, 3) == one).all()
    two = np.zeros((3, 3))
    two[0, 1] = 1
    assert (count_matrix(chains, 2, 3) == two).all()
    assert not count_matrix(chains, 3, 3).any()


def test_exact_counts_give_back_the_chain():
    pi = np.array([0.5, 0.3, 0.2])
    flux = np.array([[0.42, 0.06, 0.02], [0.06, 0.2, 0.04], [0.02, 0.04, 0.14]])  # detailed balance
    model = markov_model(1e6 * flux, 3)
    assert model is not None
    np.testing.assert_allclose(model.stationary, pi, atol=1e-6)
    np.testing.assert_allclose(model.transition, flux / pi[:, None], atol=1e-6)
    eigenvalues = np.sort(np.linalg.eigvals(flux / pi[:, None]).real)[::-1]
    np.testing.assert_allclose(model.timescales(2), -3 / np.log(eigenvalues[1:]), rtol=1e-4)


def test_timescales_in_closed_form():
    # symmetric pairs: eigenvalues 1, 1 - 2 SLOW, 1 - 2 FAST, 1 - 2 FAST - 2 SLOW
    expected = -1 / np.log([1 - 2 * SLOW, 1 - 2 * FAST, 1 - 2 * FAST - 2 * SLOW])
    np.testing.assert_allclose(MODEL.timescales(3), expected)
    assert (MODEL.timescales(5)[3:] == 0).all()


def test_the_same_process_at_another_lag():
    np.testing.assert_allclose(MODEL.at(3).transition, T @ T @ T, atol=1e-12)
    half = MODEL.at(0.5)
    np.testing.assert_allclose(half.transition @ half.transition, T, atol=1e-12)
    np.testing.assert_allclose(MODEL.at(7).timescales(3), MODEL.timescales(3))


def test_coarse_transitions_and_passage_times_in_closed_form():
    coarse = [[1 - SLOW, SLOW], [SLOW, 1 - SLOW]]
    np.testing.assert_allclose(MODEL.coarse(PAIRS, 2), coarse)
    # a step leads out of a pair with chance SLOW, whatever the state: a geometric time of mean 1 / SLOW
    np.testing.assert_allclose(MODEL.passage_times(PAIRS, 2), [[0, 1 / SLOW], [1 / SLOW, 0]])
    times = MODEL.passage_times(PAIRS, 3)
    assert np.isnan(times[2]).all()
    assert np.isnan(times[:, 2]).all()
    np.testing.assert_allclose(MODEL.coarse(PAIRS, 3)[2], [0, 0, 1])


def test_metastable_sets_are_the_pairs_and_the_largest_comes_first():
    skewed = T.copy()
    skewed[0, 2], skewed[0, 0] = 0.5 * SLOW, skewed[0, 0] + 0.5 * SLOW  # the first pair is left less often
    skewed[1, 3], skewed[1, 1] = 0.5 * SLOW, skewed[1, 1] + 0.5 * SLOW
    pi = np.array([2, 2, 1, 1]) / 6
    model = MarkovModel(skewed, pi, 1.0, np.arange(4), 4)
    assert metastable_sets(model, 2).tolist() == [0, 0, 1, 1]
    swapped = MarkovModel(skewed[::-1, ::-1], pi[::-1], 1.0, np.arange(4), 4)
    assert metastable_sets(swapped, 2).tolist() == [1, 1, 0, 0]


def test_chapman_kolmogorov_holds_for_a_markov_chain_and_fails_for_one_that_remembers():
    chains = [walk(T, 20_000, seed) for seed in range(2)]
    model = markov_model(count_matrix(chains, 1, 4), 1)
    assert model is not None
    predicted, estimated = chapman_kolmogorov(chains, model, PAIRS, 2, (1, 2, 4))
    np.testing.assert_allclose(estimated, predicted, atol=0.01)
    slow = [np.where(np.random.default_rng(1).random(len(c)) < 0.3, 1 - c // 2, c // 2) for c in chains]
    noisy = markov_model(count_matrix(slow, 1, 2), 1)
    assert noisy is not None
    predicted, estimated = chapman_kolmogorov(slow, noisy, np.array([0, 1]), 2, (8,))
    assert np.abs(estimated - predicted).max() > 0.05


def test_no_model_where_nothing_returns():
    assert markov_model(np.zeros((3, 3)), 1) is None
    assert markov_model(count_matrix([np.array([0, 1, 2])], 1, 3), 1) is None


def test_crossings_count_once_however_often_the_border_is_touched():
    rmsd = np.array([0.8, 0.45, 0.35, 0.42, 0.2, 0.45, 0.25, 0.6, 0.4, 0.6, 0.1])
    assert crossings(rmsd, 0.3, 0.5) == (2, 1)
    assert crossings(np.full(5, 0.4), 0.3, 0.5) == (0, 0)


@pytest.mark.parametrize("n_sets", [2, 3])
def test_transition_matrices_stay_stochastic(n_sets):
    sets = np.arange(4) % n_sets
    for model in (MODEL, MODEL.at(2.5)):
        np.testing.assert_allclose(model.coarse(sets, n_sets).sum(axis=1), 1)
