import json
import re
import sys
from dataclasses import replace

import numpy as np
import pytest
from backbones import chain_molecule, frames, random_backbones, trajectory

from scorefield.dataset import Dataset
from scorefield.errors import InputError
from scorefield.evaluate import evaluate
from scorefield.frames import Frames
from scorefield.metrics import METRICS
from scorefield.page import Published, render, write_report
from scorefield.plot import histogram_figure, ramachandran_figure
from scorefield.report import judge, metric_table, reading, summary
from scorefield.words import number


def dataset(n: int = 6000, chains: int = 12, x: np.ndarray | None = None, **extra) -> Dataset:
    whole = trajectory(random_backbones(n, 0) if x is None else x, chains=chains)
    splits = ("train",) * (chains // 3) + ("validation",) * (chains // 6) + ("test",) * (chains // 2)
    return Dataset(whole, splits, ("made up",) * chains, "backbone5", **extra)


def samples(x: np.ndarray, lost: int = 0, **kwargs) -> Frames:
    return Frames(
        trajectory(x, **kwargs), "samples", len(x) + lost, lost, {"seed": 1, "level_nm": None, "a": {"b": [1]}}
    )


@pytest.fixture(scope="module")
def report():
    blurred = random_backbones(4000, 2) + np.random.default_rng(3).normal(0, 0.004, (4000, 5, 3))
    return evaluate(dataset(), {"good <one>": samples(random_backbones(4000, 1)), "blurred": samples(blurred)})


def test_frames_of_the_same_distribution_score_their_floor(report):
    entries = report.metrics["good <one>"]
    for name in ("dihedral_js", "dihedral_js_dff"):
        assert entries[name]["value"] == pytest.approx(entries[name]["floor"], rel=0.2)
    assert all(judge(entry) != "poor" for entry in entries.values())


def test_blurred_bonds_are_poor_and_said_so(report):
    entries = report.metrics["blurred"]
    assert {judge(entries[name]) for name in ("bond_w1", "bond_width", "angle_width")} == {"poor"}
    assert "Bond widths" in summary(entries)


def test_candidate_and_floor_have_as_many_frames(report):
    for name, entry in report.metrics["blurred"].items():
        assert {"value", "floor", "n", "n_reference", "definition"} <= entry.keys()
        if name != "lost":
            assert (entry["n"], entry["n_reference"]) == (3000, 3000)  # no more than the floor has


def test_more_frames_than_the_maximum_are_thinned(monkeypatch):
    monkeypatch.setattr(sys.modules["scorefield.evaluate"], "MAXIMUM_FRAMES", 500)
    found = evaluate(dataset(2000), {"a": samples(random_backbones(900, 1)), "b": samples(random_backbones(300, 1))})
    assert [found.metrics[c]["rg_js"]["n"] for c in "ab"] == [500, 300]
    assert found.metrics["b"]["dihedral_js"]["floor"] > found.metrics["a"]["dihedral_js"]["floor"]


def test_population_comes_with_its_error(report):
    entry = report.metrics["good <one>"]["positive_phi"]
    assert entry["ideal"] == pytest.approx(0.2, abs=0.03)
    assert entry["ideal_error"] == pytest.approx(np.sqrt(0.2 * 0.8 / 3000), rel=0.6)  # frames are independent here
    assert "error" not in entry  # one chain of samples cannot be resampled


def test_frame_weights_of_the_reference_are_honoured():
    x = np.concatenate([random_backbones(2000, 4), random_backbones(2000, 5) * 1.5])
    mixed = x[np.random.default_rng(0).permutation(4000)]
    weights = (mixed[:, 1, 0] < 0.18).astype(float)  # only the unscaled ones count
    t = trajectory(mixed, chains=4, weights=weights)
    weighted = Dataset(t, ("train", "train", "test", "test"), ("",) * 4, "backbone5")
    found = evaluate(weighted, {"a": samples(random_backbones(1000, 6))})
    assert found.metrics["a"]["bond_w1"]["value"] < 0.003
    assert any("reweighted" in warning for warning in found.warnings)


@pytest.mark.parametrize(
    ("candidates", "message"),
    [
        ({}, "nothing to compare"),
        ({"a": samples(np.zeros((5, 4, 3)), molecule=chain_molecule(("CA",) * 4))}, "another molecule"),
        ({"a": samples(np.full((5, 5, 3), np.nan))}, "no finite frame"),
        ({"a": samples(np.zeros((0, 5, 3)))}, "no finite frame"),
    ],
)
def test_rejects_what_cannot_be_compared(candidates, message):
    with pytest.raises(InputError, match=message):
        evaluate(dataset(600), candidates)


def test_rejects_a_dataset_without_floor_or_reference():
    whole = trajectory(random_backbones(100, 0), chains=2)
    for split in ("test", "train"):
        with pytest.raises(InputError):
            evaluate(Dataset(whole, (split, split), ("", ""), "ca"), {"a": samples(random_backbones(50, 1))})


def test_warns_of_all_that_makes_numbers_doubtful():
    x = random_backbones(200, 1)
    x[7] = np.nan
    candidate = Frames(trajectory(x, temperature=310.0), "simulation", 10, 2, {})
    doubtful = {"looks_like_equilibrium": False, "verdict": "chains disagree in phi", "warnings": ["short chains"]}
    found = evaluate(dataset(300, equilibrium=doubtful), {"md": candidate})
    text = "\n".join(found.warnings)
    for words in (
        "310 K",
        "1 of 200 frames",
        "one chain",
        "lost 2 of 10",
        "noise",
        "floor",
        "chains disagree",
        "short",
    ):
        assert words in text
    assert found.metrics["md"]["lost"]["value"] == 2
    assert judge(found.metrics["md"]["lost"]) == "poor"


def test_what_cannot_be_computed_is_left_out_with_a_warning():
    rigid = frames(np.random.default_rng(0).uniform(-3, 3, 600), 1.0)
    found = evaluate(dataset(x=rigid), {"a": samples(rigid[:100])})
    assert "bond_width" not in found.metrics["a"]
    assert any("bond_width" in warning for warning in found.warnings)


@pytest.fixture(scope="module")
def folder(report, tmp_path_factory):
    path = tmp_path_factory.mktemp("reports") / "out"
    write_report(report, path, ["make demo"], [Published("dihedral_js", "DFF", 0.0158, "other data")])
    return path


def test_metrics_json_is_complete_and_finite(report, folder):
    metrics = json.loads((folder / "metrics.json").read_text(), parse_constant=pytest.fail)
    applicable = {name for name, metric in METRICS.items() if metric.applies(report.molecule)} | {"lost"}
    assert {name: set(entries) for name, entries in metrics.items()} == dict.fromkeys(report.metrics, applicable)


def test_page_tells_what_was_done(folder):
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert len(page) < 3e6
    for words in ("make demo", "0.0158", "good &lt;one&gt;", "not physical time", "seed = 1"):
        assert words in page


def test_nothing_is_overwritten(report, folder, monkeypatch):
    monkeypatch.setattr("scorefield.page.render", lambda *arguments: "another page")
    before = (folder / "index.html").read_bytes()
    with pytest.raises(InputError, match="exists already"):
        write_report(report, folder)
    assert (folder / "index.html").read_bytes() == before


def test_page_loads_nothing(folder):
    page = (folder / "index.html").read_text(encoding="utf-8")
    sources = re.findall(r"""(?:src|srcset|href|action|data)\s*=\s*["']([^"']*)""", page) + re.findall(
        r"url\(([^)]*)", page
    )
    assert sources
    assert all(source.startswith("data:") for source in sources)
    assert not re.findall(r"<script[^>]* src", page)
    assert "@import" not in page
    assert not re.search(
        r"\$[a-z]", re.sub(r"<script.*?</script>|base64,[^\"]*", "", page, flags=re.S)
    )  # all fields are filled


def test_molecules_without_dihedrals_or_native_have_a_report():
    molecule = chain_molecule(("CA",) * 30)
    steps = np.random.default_rng(0).normal(size=(2, 300, 30, 3))
    walks = np.cumsum(0.3 * steps / np.linalg.norm(steps, axis=-1, keepdims=True), axis=2)
    whole = trajectory(walks[0], molecule, chains=4)
    reference = Dataset(whole, ("train", "train", "test", "test"), ("",) * 4, "ca")
    found = evaluate(reference, {"a": samples(walks[1], molecule=molecule)})
    assert not found.surfaces
    assert (len(found.bonds), len(found.angles), len(found.distances)) == (8, 8, 9)
    assert "The 8 of 28 with the largest error are shown" in render(found)


@pytest.mark.parametrize("width", [3.7, 7.2])
def test_figures_have_one_panel_a_system_and_coordinate(report, width):
    titles = [ax.get_title() for ax in ramachandran_figure(report.surfaces, width).axes if ax.get_visible()]
    assert {"reference", "blurred", "good <one>"} <= set(titles)
    titles = [ax.get_title() for ax in histogram_figure(report.bonds, "length", width).axes if ax.get_visible()]
    assert len([t for t in titles if t]) == 4


def test_the_page_shows_the_curve_that_the_force_level_was_chosen_by():
    curve = {"levels_nm": [0.001, 0.003, 0.01], "excess": [0.02, 0.0, None], "error": [0.01, 0.0, None]}
    settings = {"force_level": curve | {"chosen_nm": 0.003}, "level_nm": 0.01}
    candidate = replace(samples(random_backbones(2000, 1)), settings=settings)
    page = render(evaluate(dataset(), {"a": candidate}))
    assert "Chosen 0.03 Å, used 0.1 Å" in page


def test_densities_integrate_to_one(report):
    for histogram in (*report.bonds, *report.angles, *report.distances):
        for density in (histogram.reference, *histogram.candidates.values()):
            assert np.sum(density * np.diff(histogram.edges)) == pytest.approx(1, abs=0.01)


def test_terminal_table_has_a_row_a_metric(report):
    table = metric_table(report)
    assert table.row_count == len(report.metrics["blurred"])
    assert len(table.columns) == 1 + 3 * 2


def test_words_for_numbers():
    entry = {"value": 0.012, "floor": 0.008, "ideal": 0.0, "tolerance": 0.0, "unit": ""}
    assert (judge(entry), reading(entry)) == ("good", "1.50 × floor")
    assert judge(entry | {"value": 0.025}) == "poor"
    assert reading(entry | {"value": 1.03, "ideal": 1.0}) == "+3.0%"
    assert reading(entry | {"tolerance": 0.02, "value": 0.016, "unit": "Å"}) == "2.00 × floor, within 0.02 Å"
    assert [number(v) for v in (0, 12, 0.01234, 1.0, 0.000123, 12345.6)] == [
        "0",
        "12",
        "0.0123",
        "1.00",
        "1.2e-4",
        "12,346",
    ]
