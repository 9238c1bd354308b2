"""Starts stand for the frames they are chosen from: each as likely as any other, a rare basin with its share."""

import numpy as np

from scorefield.starts import choose_starts, equal_groups


def two_basins(n, share, seed=0):
    """Frames of four beads, of which a `share` is the mirror image of the others; (frames, which)."""
    rng = np.random.default_rng(seed)
    x = np.array([[0, 0, 0], [0.15, 0, 0], [0.2, 0.14, 0], [0.25, 0.18, 0.13]]) + 0.005 * rng.normal(size=(n, 4, 3))
    mirrored = rng.random(n) < share
    x[mirrored, :, 2] *= -1
    return x.astype(np.float32), mirrored


def is_mirrored(x):
    return x[:, 3, 2] < x[:, 0, 2]


def test_a_rare_basin_gets_its_share_of_starts_whatever_the_seed():
    x, mirrored = two_basins(5000, 0.03)
    counts = [is_mirrored(choose_starts(x, 200, seed)).sum() for seed in range(10)]
    expected = 200 * mirrored.mean()
    assert abs(np.mean(counts) - expected) < 1
    assert np.std(counts) < 0.65 * np.sqrt(expected)  # of draws at random


def test_every_frame_is_as_likely_to_be_chosen():
    x, _ = two_basins(60, 0.3)
    chosen = np.concatenate([choose_starts(x, 20, seed) for seed in range(300)])
    counts = (chosen[:, None] == x[None]).all((2, 3)).sum(axis=0)
    assert counts.sum() == 6000
    assert 4 * np.sqrt(100) > np.abs(counts - 100).max()


def test_starts_are_different_frames_where_there_are_enough_and_all_of_them_where_not():
    x, _ = two_basins(50, 0.3)
    assert len(np.unique(choose_starts(x, 50, 0), axis=0)) == 50
    few = choose_starts(x[:4], 10, 0)
    assert few.shape == (10, 4, 3)
    assert sorted((few[:, None] == x[None, :4]).all((2, 3)).sum(axis=0)) == [2, 2, 3, 3]


def test_groups_are_equal_and_alike():
    rng = np.random.default_rng(0)
    f = rng.normal(size=(700, 3)) * [5, 1, 1]
    groups = equal_groups(f, 7)
    assert [len(g) for g in groups] == [100] * 7
    assert sorted(np.concatenate(groups)) == list(range(700))
    within = np.mean([f[g, 0].var() for g in groups])
    assert within < 0.2 * f[:, 0].var()


def test_two_frames_a_start_are_enough_however_many_starts_and_left_over_frames_have_their_chance():
    x, mirrored = two_basins(45_001, 0.1)
    starts = choose_starts(x, 15_000, 0)
    assert len(np.unique(starts, axis=0)) == 15_000
    assert abs(is_mirrored(starts).mean() - mirrored.mean()) < 0.6 * np.sqrt(0.1 * 0.9 / 15_000)
    few, _ = two_basins(39, 0.3)
    chosen = np.concatenate([choose_starts(few, 10, seed) for seed in range(300)])
    assert (chosen[:, None] == few[None]).all((2, 3)).any(axis=0).all()


def test_frames_all_alike_are_starts_too():
    x = np.repeat(two_basins(1, 0.0)[0], 30, axis=0)
    assert (choose_starts(x, 5, 0) == x[:5]).all()
