"""Slow coordinates, state spaces and comparisons in time, of a dipeptide whose timescales are known."""

import json
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import slow_dipeptide
from slow_dipeptide import INTERVAL, RATES, timescales, trajectory

from scorefield import kinetics
from scorefield.dataset import Dataset
from scorefield.evaluate import evaluate
from scorefield.frames import Frames
from scorefield.kinetics import dynamics, obstacle, rank_correlation, reference_notes, relaxation_times
from scorefield.metrics import TIMED
from scorefield.page import render
from scorefield.plot_landscape import map_figure
from scorefield.report import PairMap, judge
from scorefield.states import state_obstacle, state_space
from scorefield.tica import fit_obstacle, slow_coordinates
from scorefield.trajectory import Trajectory


@cache
def reference() -> Trajectory:
    return trajectory(0)


@cache
def others() -> Trajectory:
    return trajectory(1)


def value(name: str, candidate: Trajectory) -> float:
    return TIMED[name].function(candidate, reference())


def every(k: int, t: Trajectory) -> Trajectory:
    """Every k-th frame, which claims to be `INTERVAL` apart: dynamics k times faster."""
    chains = [c[::k] for c in t.chains()]
    return replace(t, positions=np.concatenate(chains), chain_lengths=tuple(map(len, chains)))


def test_tica_finds_the_slow_coordinates_and_their_timescales():
    slow = slow_coordinates(reference())
    np.testing.assert_allclose(slow.timescales[:2], timescales()[:2], rtol=0.15)
    values = slow(reference())
    phi = reference().positions[:, 3, 2] > 0  # of the two values of phi, one is on this side of the first beads' plane
    correlation = np.corrcoef(values[:, 0], phi)[0, 1]
    assert abs(correlation) > 0.98
    assert values.shape == (reference().n_frames, len(slow.timescales))


def test_slow_coordinates_ignore_rigid_motion_and_see_mirror_images():
    some = trajectory(2, chains=1, length=50)
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    turn *= np.sign(np.linalg.det(turn))
    slow = slow_coordinates(reference())
    moved = replace(some, positions=(some.positions @ turn + 0.3).astype(np.float32))
    np.testing.assert_allclose(slow(moved), slow(some), atol=1e-3)
    mirrored = replace(some, positions=some.positions * np.float32([1, 1, -1]))
    assert np.abs(slow(mirrored) - slow(some)).max() > 0.3


def test_the_state_space_knows_the_four_states():
    space = state_space(reference())
    assert space.n_sets == 4
    np.testing.assert_allclose(kinetics.populations(reference(), reference()), 0.25, atol=0.06)
    found = np.sort(dynamics(reference(), reference()).timescales)[::-1]
    np.testing.assert_allclose(found, np.sort(timescales())[::-1], rtol=0.2)
    assert (space.entries > 100).all()


def test_other_chains_of_the_same_process_agree():
    own = dynamics(others(), reference())
    assert own.factor == pytest.approx(1, rel=0.2)
    assert value("timescales", others()) < 1.3
    assert value("transition_error", others()) < 0.03
    assert value("state_populations", others()) < 0.06
    assert value("tica_js", others()) < 0.05
    assert value("timescale_rank", others()) > 0.9


def test_a_faster_clock_is_one_factor_and_costs_nothing():
    fast = every(3, others())
    own = dynamics(fast, reference())
    assert own.factor == pytest.approx(3, rel=0.25)
    assert own.lag * own.factor == pytest.approx(state_space(reference()).lag * INTERVAL, rel=0.3)
    assert value("timescales", fast) < 1.35
    assert value("transition_error", fast) < 0.03


def test_other_ratios_of_timescales_are_not_excused_by_a_factor():
    swapped = trajectory(3, rates=RATES[::-1])
    assert value("timescales", swapped) < 1.3  # the same numbers
    assert value("transition_error", swapped) > 2 * value("transition_error", others())  # of other motions
    stretched = trajectory(4, rates=(RATES[0] / 3, RATES[1]))
    assert value("timescales", stretched) > 1.5


def test_the_reference_itself_is_ideal():
    for name, metric in TIMED.items():
        assert value(name, reference()) == pytest.approx(metric.ideal, abs=1e-9)


def test_the_order_of_frames_does_not_matter_where_time_does_not():
    shuffled = np.random.default_rng(0).permutation(others().n_frames)
    samples = replace(others(), positions=others().positions[shuffled], chain_lengths=(len(shuffled),), interval=None)
    for name in ("tica_js", "state_populations"):
        assert value(name, samples) == pytest.approx(value(name, others()), abs=1e-9)
    assert obstacle(samples, reference()) == ""


def test_what_lies_outside_the_reference_counts():
    away = replace(others(), positions=30 * others().positions)
    assert TIMED["tica_js"].details is not None
    assert TIMED["tica_js"].details(away, reference())["outside"] > 0.5
    assert value("tica_js", away) > 0.5


def test_standard_errors_are_of_the_size_of_differences():
    errors = kinetics.timescale_errors(reference(), reference())
    assert ((errors > 0.01) & (errors < 0.3)).all()
    assert 0.005 < kinetics.population_error(reference(), reference()) < 0.06


def test_frames_too_coarse_in_time_are_told_so():
    coarse = trajectory(5, rates=(0.5, 0.5))  # every frame independent of the one before
    assert "too coarse in time" in str(fit_obstacle(coarse))
    assert reference_notes(coarse, others()) == [fit_obstacle(coarse)]
    slow = replace(reference(), interval=10_000.0)
    assert any("10 ns: too coarse in time" in note for note in reference_notes(slow, slow))


def test_too_few_frames_for_the_lag_are_told_so():
    few = trajectory(6, chains=30, length=30, rates=(0.02, 0.02))
    assert "too few frames for a lag of" in str(fit_obstacle(few))


def test_too_few_events_are_told_so():
    once = trajectory(7, chains=12, length=500, rates=(0.002, 0.3))
    assert "times only" in str(state_obstacle(once))
    rare = trajectory(7, chains=12, length=500, rates=(0.005, 0.3))
    assert any("its rates are rough" in note for note in reference_notes(rare, rare))


def test_nothing_is_expected_of_frames_without_time():
    still = trajectory(8, chains=1, length=100, interval=None)
    assert fit_obstacle(still) == ""
    assert reference_notes(still, still) == []


def test_a_candidate_that_never_moves_is_named():
    one = trajectory(9, chains=2, length=200, rates=(0.0, 0.0))
    assert "never come into metastable state" in str(obstacle(one, reference()))


def test_relaxation_times_of_known_dihedrals():
    # the cosine of a dihedral with two values relaxes with its chain: 1/2 + lambda / (1 - lambda)
    times = relaxation_times(reference())[-2:]
    expected = [INTERVAL * (0.5 + (1 - 2 * r) / (2 * r)) for r in RATES]
    np.testing.assert_allclose(times, expected, rtol=0.3)


def test_rank_correlation():
    a = np.array([1.0, 2.0, 3.0, 4.0])
    assert rank_correlation(a, np.exp(a)) == pytest.approx(1)
    assert rank_correlation(a, -a) == pytest.approx(-1)
    assert rank_correlation(a, np.array([1.0, 1.0, 2.0, 2.0])) == pytest.approx(2 / np.sqrt(5))
    assert np.isnan(rank_correlation(a[:2], a[:2]))
    assert np.isnan(rank_correlation(a, np.ones(4)))


def test_slow_dipeptide_is_what_it_says():
    assert slow_dipeptide.timescales((0.5 - 1e-9, 0.25))[1] == pytest.approx(INTERVAL / np.log(2))


@pytest.fixture(scope="module")
def report():
    whole = trajectory(10, chains=12, length=2500)
    native = whole.positions[0].astype(float)
    whole = replace(whole, molecule=replace(whole.molecule, native=native))
    splits = ("train",) * 5 + ("validation",) + ("test",) * 6
    simulated = every(2, trajectory(11, chains=4, length=2000))
    samples = trajectory(12, chains=1, length=2000, interval=None)
    return evaluate(
        Dataset(whole, splits, ("made up",) * 12, "backbone5"),
        {
            "simulation": Frames(simulated, "simulation", 4, 0, {}),
            "samples": Frames(samples, "samples", 2000, 0, {}),
        },
    )


def test_a_report_judges_kinetics_of_simulations_and_not_of_samples(report):
    assert set(TIMED) <= set(report.metrics["simulation"])
    assert set(report.metrics["samples"]) & set(TIMED) == {"tica_js", "state_populations"}
    entry = report.metrics["simulation"]["timescales"]
    assert entry["time_factor"] == pytest.approx(2, rel=0.3)
    assert entry["floor_time_factor"] == pytest.approx(1, rel=0.3)
    assert entry["n"] == 4000
    assert judge(entry) != "poor"
    assert json.loads(json.dumps(report.metrics, allow_nan=False))


def test_the_page_of_a_report_with_kinetics(report):
    few = replace(
        report, surfaces=(), bonds=(), angles=(), distances=(), profiles=report.profiles[:1]
    )  # drawing is slow
    page = render(few)
    for words in (
        "Implied timescales",
        "Chapman-Kolmogorov",
        "time factor",
        "other chains",
        "Slow coordinates",
        "RMSD",
    ):
        assert words in page
    assert "Nothing on this page judges kinetics" not in page
    still = render(replace(few, kinetics=None, profiles=(), plane=None))
    assert "Nothing on this page judges kinetics" in still
    assert "Implied timescales" not in still


def test_a_contact_map_shows_both_sides():
    beads = np.arange(8)
    square = 1 / (1 + np.abs(beads[:, None] - beads))
    drawn = map_figure([PairMap("contact probability", 1.0, tuple(range(1, 9)), square, {"a": square / 2})])
    shown = np.asarray(drawn.axes[0].images[0].get_array())
    np.testing.assert_allclose(np.triu(shown.T), np.triu(square))
    np.testing.assert_allclose(np.tril(shown.T, -1), np.tril(square / 2, -1))
