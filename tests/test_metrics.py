import backbones
import numpy as np
import pytest
from backbones import chain_molecule, dipeptide, frames, random_backbones, trajectory

from scorefield import observables
from scorefield.distributions import chain_error, effective_frames, jensen_shannon, wasserstein
from scorefield.metrics import METRICS
from scorefield.metrics.dihedral import N_BINS
from scorefield.trajectory import Trajectory

LONG = chain_molecule(("CA",) * 8, np.arange(24.0).reshape(8, 3) * 0.1)
CENTRES = (np.arange(N_BINS) + 0.5) / N_BINS * 2 * np.pi - np.pi
PHI, PSI = (grid.ravel() for grid in np.meshgrid(CENTRES, CENTRES, indexing="ij"))


def value(name: str, candidate: Trajectory, reference: Trajectory) -> float:
    return METRICS[name].function(candidate, reference)


def example(name: str, seed: int, n: int = 400) -> Trajectory:
    """A trajectory of a molecule to which the metric applies."""
    molecule = dipeptide(frames([-1.0], 2.0)[0])
    if METRICS[name].applies(molecule):
        return trajectory(random_backbones(n, seed), molecule)
    steps = np.random.default_rng(seed).normal(size=(n, 8, 3)) * 0.2
    return trajectory(np.cumsum(steps, axis=1), LONG)


@pytest.mark.parametrize("name", METRICS)
class TestEveryMetric:
    def test_the_reference_itself_is_ideal(self, name):
        reference, metric = example(name, 0), METRICS[name]
        ideal = value(name, reference, example(name, 1)) if metric.ideal is None else metric.ideal
        assert value(name, reference, reference) == pytest.approx(ideal, abs=1e-12)

    def test_ignores_the_order_of_frames_and_rigid_motion(self, name):
        a, b = example(name, 0), example(name, 1)
        turn, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))
        turn *= np.sign(np.linalg.det(turn))
        moved = trajectory(a.positions[::-1].astype(float) @ turn + 1.0, a.molecule)
        assert value(name, moved, b) == pytest.approx(value(name, a, b), rel=0.02, abs=1e-4)

    def test_a_weight_counts_as_so_many_frames(self, name):
        a, b = example(name, 0), example(name, 1)
        counts = np.random.default_rng(3).integers(0, 3, size=a.n_frames)
        repeated = trajectory(np.repeat(a.positions, counts, axis=0), a.molecule)
        weighted = trajectory(a.positions, a.molecule, weights=counts / 7)
        assert value(name, weighted, b) == pytest.approx(value(name, repeated, b), rel=1e-5, abs=1e-9)
        assert value(name, b, weighted) == pytest.approx(value(name, b, repeated), rel=1e-5, abs=1e-9)

    def test_does_not_depend_on_chunks(self, name, monkeypatch):
        a, b = example(name, 0), example(name, 1)
        whole = value(name, a, b)
        monkeypatch.setattr(observables, "_NUMBERS_PER_CHUNK", 1000)
        assert value(name, a, b) == pytest.approx(whole, rel=1e-5)

    def test_says_what_it_is(self, name):
        metric = METRICS[name]
        assert metric.title
        assert len(metric.definition) > 20
        assert isinstance(value(name, example(name, 0), example(name, 1)), float)


@pytest.mark.parametrize("name", [name for name in METRICS if "_js" in name])
def test_divergences_are_symmetric_and_bounded(name):
    a, b = example(name, 0), example(name, 1)
    assert value(name, a, b) == pytest.approx(value(name, b, a), rel=1e-6)
    assert 0 < value(name, a, b) < np.log(2)


def test_jensen_shannon_closed_forms():
    p, q = np.array([0.5, 0.5, 0.0]), np.array([0.0, 0.0, 1.0])
    assert jensen_shannon(p, p) == 0
    assert jensen_shannon(p, q) == pytest.approx(np.log(2))
    half = np.array([1.0, 0.0, 0.0])  # against p: ln(4/3) / 2 from one side, (ln(2/3) + ln 2) / 4 from the other
    assert jensen_shannon(half, p) == pytest.approx(np.log(4 / 3) / 2 + np.log(4 / 3) / 4)


def test_dihedral_js_of_a_uniform_density_against_half_of_it():
    whole, half = trajectory(frames(PHI, PSI)), trajectory(frames(PHI, PSI)[PHI < 0])
    from_whole = 0.5 * np.log(2 / 3) + 0.5 * np.log(2)
    expected = (from_whole + np.log(4 / 3)) / 2
    assert value("dihedral_js", half, whole) == pytest.approx(expected, rel=1e-6)


def test_pmf_error_is_the_mean_squared_free_energy_difference():
    energy = 1.5 * np.cos(PHI) - np.sin(PSI)  # kT; the von Mises densities, on the bins
    candidate = trajectory(frames(PHI, PSI), weights=np.exp(-energy))
    difference = -energy - np.log(np.mean(np.exp(-energy)))
    assert value("pmf_error", candidate, trajectory(frames(PHI, PSI))) == pytest.approx(
        np.mean(difference**2), rel=1e-6
    )


def test_dihedrals_tell_mirror_images_apart():
    x = frames(PHI[PHI < 0], PSI[PHI < 0])
    mirrored = x * np.array([1.0, 1.0, -1.0])
    assert value("dihedral_js", trajectory(mirrored), trajectory(x)) == pytest.approx(np.log(2), rel=1e-6)
    assert value("positive_phi", trajectory(mirrored), trajectory(x)) == 1
    assert value("distance_js", trajectory(mirrored), trajectory(x)) == pytest.approx(0, abs=2e-3)


def test_wasserstein_of_a_shift_is_the_shift():
    bond = 0.15 + 0.003 * np.random.default_rng(0).normal(size=300)
    reference, longer = (trajectory(frames(np.full(300, -1.0), 1.0, bond + shift)) for shift in (0, 0.002))
    wider = trajectory(frames(np.full(300, -1.0), 1.0, bond, backbones.ANGLE + np.radians(3)))
    assert value("bond_w1", longer, reference) == pytest.approx(0.02, rel=1e-3)  # Angstrom
    assert value("bond_width", longer, reference) == pytest.approx(1, rel=1e-3)
    assert value("angle_w1", wider, reference) == pytest.approx(3, rel=1e-3)  # degrees


def test_wasserstein_of_unequal_weighted_samples():
    # mass 3/4 at 0 and 1/4 at 2, against all at 1
    found = wasserstein(np.array([0.0, 2.0]), np.array([1.0]), np.array([0.75, 0.25]), np.array([1.0]))
    assert found == pytest.approx(1.0)


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_width_ratio_of_scaled_fluctuations(factor):
    z = np.random.default_rng(0).normal(size=300)
    reference = trajectory(frames(np.full(300, -1.0), 1.0, 0.15 + 0.003 * z, backbones.ANGLE + 0.05 * z))
    scaled = frames(np.full(300, -1.0), 1.0, 0.15 + factor * 0.003 * z, backbones.ANGLE + factor * 0.05 * z)
    for name in ("bond_width", "angle_width"):
        assert value(name, trajectory(scaled), reference) == pytest.approx(factor, rel=1e-3)


def test_rigid_bonds_have_no_width():
    rigid = trajectory(np.repeat(frames([-1.0], 1.0), 10, axis=0))
    assert np.isnan(value("bond_width", rigid, rigid))


def test_distances_far_outside_the_reference_count_whole():
    reference = trajectory(random_backbones(200, 0), dipeptide(frames([-1.0], 1.0)[0]))
    exploded = trajectory(random_backbones(200, 1) * 1e4, reference.molecule)
    for name in ("distance_js", "rg_js", "rmsd_js"):
        assert value(name, exploded, reference) == pytest.approx(np.log(2))


def test_contact_error_counts_pairs_within_eight_angstrom():
    line = np.zeros((1, 8, 3))
    line[0, :, 0] = 0.38 * np.arange(8)
    stretched = trajectory(np.repeat(line, 4, axis=0), LONG)
    half = trajectory(np.concatenate([line, line, line / 4, line / 4]), LONG)  # two of four frames: all in contact
    assert value("contact_error", half, stretched) == pytest.approx(0.5)


def test_overlap_counts_frames_nearer_than_all_but_one_in_a_thousand_of_the_reference():
    def line(spacing):
        return spacing[:, None, None] * np.array([[k, 0.0, 0.0] for k in range(8)])

    rng = np.random.default_rng(0)
    reference = trajectory(line(rng.uniform(0.3, 0.4, 20_000)), LONG)
    some = trajectory(line(np.where(np.arange(1000) < 130, 0.29, 0.35)), LONG)
    assert value("overlap", some, reference) == pytest.approx(0.129)


def test_chain_error_sees_that_chains_agree_within_and_differ_between():
    n_chains, n = 100, 50
    chain_means = np.random.default_rng(0).normal(size=n_chains)
    correlated = np.repeat(chain_means, n)
    t = trajectory(np.zeros((n_chains * n, 5, 3)), chains=n_chains)
    assert chain_error(correlated, t) == pytest.approx(chain_means.std() / np.sqrt(n_chains), rel=0.15)
    assert chain_error(correlated, trajectory(t.positions)) is None


def test_effective_frames():
    assert effective_frames(trajectory(np.zeros((4, 5, 3)))) == pytest.approx(4)
    assert effective_frames(trajectory(np.zeros((4, 5, 3)), weights=np.array([1.0, 1, 0, 0]))) == pytest.approx(2)
