import json

import numpy as np
import pytest

from scorefield.equilibrium import autocorrelation_time, coordinate_report, equilibrium_report, main_coordinates
from scorefield.molecule import Molecule
from scorefield.trajectory import Trajectory

LINE = Molecule("line", ("CA",) * 5, ("ALA",) * 5, (1, 2, 3, 4, 5), (12.0,) * 5, tuple((i, i + 1) for i in range(4)))
CAPPED = Molecule(
    "ala2",
    ("C", "N", "CA", "C", "N"),
    ("ACE", "ALA", "ALA", "ALA", "NME"),
    (1, 2, 2, 2, 3),
    (12.0,) * 5,
    tuple((i, i + 1) for i in range(4)),
)


def autoregressive(phi, n, m, seed=0):
    """`m` chains of a(t+1) = phi a(t) + noise, started from its stationary distribution, variance 1: rho(t) = phi^t."""
    rng = np.random.default_rng(seed)
    a = np.empty((m, n))
    a[:, 0] = rng.normal(size=m)
    noise = np.sqrt(1 - phi * phi) * rng.normal(size=(m, n))
    for t in range(1, n):
        a[:, t] = phi * a[:, t - 1] + noise[:, t]
    return list(a)


def trajectory(chains, molecule=LINE, interval=None, weights=None):
    """Beads on a line whose spacing is 0.38 + 0.01 a(t), with other beads still."""
    positions = []
    for a in chains:
        x = np.zeros((len(a), 5, 3), np.float32)
        x[:, :, 0] = 0.38 * np.arange(5) * (1 + 0.03 * np.asarray(a)[:, None])
        x[:, 1::2, 1] = 0.1
        x[:, 3, 2] = 0.1
        positions.append(x)
    return Trajectory(molecule, np.concatenate(positions), tuple(map(len, chains)), 300.0, interval, weights)


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9, 0.98])
def test_autocorrelation_time_of_an_autoregressive_process(phi):
    tau, decayed = autocorrelation_time(autoregressive(phi, 20_000, 8))
    assert decayed
    assert tau == pytest.approx(0.5 + phi / (1 - phi), rel=0.1)


def test_effective_samples_predict_the_error_of_the_mean():
    means, effective = [], []
    for seed in range(40):
        report = coordinate_report(autoregressive(0.9, 2000, 4, seed))
        means.append(report.mean)
        effective.append(report.effective_samples)
    assert np.std(means) == pytest.approx(1 / np.sqrt(np.mean(effective)), rel=0.35)


def test_stationary_chains_have_r_hat_one_and_little_drift():
    reports = [coordinate_report(autoregressive(0.9, 4000, m, seed)) for seed, m in enumerate([1, 4, 16, 64])]
    assert all(r.r_hat < 1.05 for r in reports)
    assert all(abs(r.drift) < 4 for r in reports)


def test_drift_is_in_units_of_its_standard_error():
    for m in (2, 16):
        drifts = [coordinate_report(autoregressive(0.8, 1000, m, seed)).drift for seed in range(60)]
        assert np.std(drifts) == pytest.approx(1, rel=0.35)
        assert abs(np.mean(drifts)) < 0.5


def test_chains_that_never_meet_do_not_decorrelate():
    chains = [c + offset for c, offset in zip(autoregressive(0.5, 2000, 4), (-3, -3, 3, 3), strict=True)]
    report = coordinate_report(chains)
    assert report.r_hat > 2
    assert not report.decayed
    assert report.effective_samples < 100


def test_uniform_weights_change_nothing_and_uneven_ones_cost_samples():
    chains = autoregressive(0.5, 1000, 4)
    plain = coordinate_report(chains)
    assert coordinate_report(chains, [np.full(1000, 3.0)] * 4).effective_samples == pytest.approx(
        plain.effective_samples
    )
    uneven = [np.where(np.arange(1000) % 2, 1.0, 0.0)] * 4
    report = coordinate_report(chains, uneven)
    assert report.effective_samples == pytest.approx(plain.effective_samples / 2, rel=0.01)
    assert report.mean == pytest.approx(np.mean([c[1::2] for c in chains]))


@pytest.mark.parametrize("chains", [[np.zeros(1)], [np.ones(5)], [np.array([1.0, 2.0])], [np.arange(3.0), np.zeros(1)]])
def test_tiny_chains_give_finite_numbers(chains):
    report = coordinate_report(chains)
    assert np.all(
        np.isfinite([report.mean, report.std, report.autocorrelation, report.effective_samples, report.drift])
    )


def test_the_verdict_of_equilibrium():
    report = equilibrium_report(trajectory(autoregressive(0.9, 5000, 8), interval=2.0))
    assert report["looks_like_equilibrium"]
    assert report["verdict"].startswith("looks like equilibrium")
    assert report["warnings"] == []
    row = report["coordinates"]["end-to-end distance"]
    assert row["autocorrelation"] == pytest.approx(2.0 * 9.5, rel=0.2)  # ps
    assert json.loads(json.dumps(report, allow_nan=False)) == report


def test_without_an_interval_times_are_in_frames():
    report = equilibrium_report(trajectory(autoregressive(0.9, 5000, 8)))
    assert report["time_unit"] == "frames"
    assert report["coordinates"]["end-to-end distance"]["autocorrelation"] == pytest.approx(9.5, rel=0.2)
    assert any("in frames" in w for w in report["warnings"])


def test_the_verdict_names_what_is_wrong():
    process = autoregressive(0.5, 3000, 4)
    apart = equilibrium_report(trajectory([c + k for k, c in enumerate(process)]))
    assert "chains disagree in" in apart["verdict"]
    drifting = equilibrium_report(trajectory([c + np.linspace(0, 0.5, 3000) for c in process]))
    assert "drift" in drifting["verdict"]
    few = equilibrium_report(trajectory(autoregressive(0.99, 1000, 8, seed=3)))
    assert "too few independent observations" in few["verdict"]
    assert not any(report["looks_like_equilibrium"] for report in (apart, drifting, few))


def test_one_chain_few_frames_and_frozen_frames_are_said():
    one = equilibrium_report(trajectory(autoregressive(0.0, 500, 1)))
    assert any("only one chain" in w for w in one["warnings"])
    assert any("only 500 frames" in w for w in one["warnings"])
    frozen = equilibrium_report(trajectory([np.zeros(2000)]))
    assert "nothing moves" in frozen["verdict"]
    assert not frozen["looks_like_equilibrium"]


def test_main_coordinates_are_dihedrals_of_one_residue_and_sizes_otherwise():
    chains = autoregressive(0.0, 50, 1)
    assert set(main_coordinates(trajectory(chains, CAPPED))) == {
        f"{f} {a} ALA2" for f in ("cos", "sin") for a in ("phi", "psi")
    }
    sizes = main_coordinates(trajectory(chains))
    assert {"radius of gyration", "end-to-end distance"} <= set(sizes)
    assert all(len(values) == 50 for values in sizes.values())


def test_two_beads_have_an_end_to_end_distance():
    molecule = Molecule("pair", ("A", "B"), ("X", "X"), (1, 1), (1.0, 1.0), ((0, 1),))
    x = np.random.default_rng(0).normal(size=(2000, 2, 3)).astype(np.float32)
    assert equilibrium_report(Trajectory(molecule, x, (1000, 1000), 300.0))["looks_like_equilibrium"]
