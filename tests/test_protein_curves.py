"""The curves that figures of proteins are drawn from: what is written is read back, and adds up."""

import numpy as np
import pytest
from backbones import chain_molecule

from scorefield.report import PairMap, Plane, Profile, Report

curves = pytest.importorskip("protein_curves", reason="benchmarks/ is not there")
figures = pytest.importorskip("protein_figures", reason="benchmarks/ is not there")


@pytest.fixture
def report():
    rng = np.random.default_rng(0)
    p, square = rng.dirichlet(np.ones(50)), rng.dirichlet(np.ones(101 * 101)).reshape(101, 101)
    contacts = np.full((9, 9), np.nan)
    contacts[:5, 5:] = contacts[5:, :5] = 0.25
    edges = np.linspace(-1.0, 1.0, 102)
    return Report(
        molecule=chain_molecule(("CA",) * 9),
        dataset={},
        sources={},
        metrics={},
        surfaces=(),
        bonds=(),
        angles=(),
        distances=(),
        profiles=(Profile("RMSD to native", "Å", np.linspace(0, 5, 51), p, 0.9 * p, 1.1 * p, {"samples": p}),),
        plane=Plane(("a", "b"), (edges, edges), square, {"samples": square}),
        maps=(PairMap("contact probability", 1.0, tuple(range(1, 10)), contacts, {"samples": contacts}),),
        kinetics=None,
        staying={},
        movies={},
        warnings=(),
        versions={},
    )


def test_what_is_written_is_read_back(report, tmp_path, monkeypatch):
    monkeypatch.setattr(curves, "FOLDER", tmp_path / "figures")
    found = curves.read_curves(curves.write_curves(report, "x"))
    profile, plane, contacts = found["profiles"][0], found["plane"], found["maps"][0]
    np.testing.assert_allclose(profile.reference, report.profiles[0].reference, rtol=1e-3)
    np.testing.assert_allclose(contacts.candidates["samples"], report.maps[0].candidates["samples"])
    assert plane.reference.shape == (50, 50)
    assert plane.reference.sum() == pytest.approx(1, abs=1e-3)
    assert found["kinetics"] is None
    assert set(figures.figures(found)) == {"energies", "plane", "contacts"}
