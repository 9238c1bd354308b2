"""The report's page in a browser, where there is one, and what it shows without."""

import base64
import gzip
import hashlib
import json
from dataclasses import replace
from importlib.resources import files
from io import BytesIO
from xml.etree import ElementTree

import numpy as np
import pytest
from backbones import chain_molecule, dipeptide, frames, random_backbones, trajectory
from chromium import Page, browser
from PIL import Image

from scorefield.dataset import Dataset
from scorefield.evaluate import evaluate
from scorefield.frames import Frames
from scorefield.geometry import superpose
from scorefield.movies import movies, typical_frame
from scorefield.page import Published, write_report
from scorefield.player import content, player
from scorefield.report import judge, summary, topics
from scorefield.staying import staying
from scorefield.trajectory import Trajectory

NATIVE = frames([-1.2], 2.5)[0]
REPLICAS, STEPS = 10, 100


def simulation(x: np.ndarray, lost: int = 0) -> Frames:
    t = Trajectory(dipeptide(), x.astype(np.float32), (STEPS,) * REPLICAS, 300.0, 2.0)
    return Frames(t, "simulation", REPLICAS + lost, lost, {"model": {"train_frames": 1000, "seconds": 90.0}})


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    whole = trajectory(random_backbones(3000, 0), dipeptide(NATIVE), chains=6)
    return Dataset(whole, ("train", "train", "validation", "test", "test", "test"), ("made up",) * 6, "backbone5")


@pytest.fixture(scope="module")
def report(dataset):
    drawn = trajectory(random_backbones(600, 1))
    samples = Frames(drawn, "samples", 600, 0, {"model": {"train_frames": 1000, "seconds": 90.0}})
    return evaluate(dataset, {"samples <1>": samples, "simulation": simulation(random_backbones(1000, 2), lost=1)})


@pytest.fixture(scope="module")
def page(report, tmp_path_factory):
    path = tmp_path_factory.mktemp("pages") / "out"
    figures = [Published("dihedral_js", "Two for One", 0.0158, "elsewhere", "simulation")]
    write_report(report, path, published=figures, sections=["<p>one more section</p>"])
    return path / "index.html"


def test_its_figures_are_files_for_print(page):
    text, drawn = page.read_text(), sorted((page.parent / "figures").iterdir())
    names = {path.name for path in drawn}
    assert {"free-energies.svg", "backbone-dihedrals.svg", "bond-lengths.svg"} <= names
    assert len(drawn) == text.count("<figure><h3>")
    for path in drawn:
        assert ElementTree.fromstring(path.read_bytes()).tag.endswith("svg")
        assert base64.b64encode(path.read_bytes()).decode() in text


def test_folding_events_are_told(page, report):
    entry = report.metrics["simulation"]["folded_population"]
    assert (
        f"folded {entry['folding_events']:,}, unfolded {entry['unfolding_events']:,} times in 2.00 ns"
        in page.read_text()
    )


@pytest.mark.skipif(browser() is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("size", [(390, 844), (1280, 800)])
def test_it_opens_plays_and_asks_for_nothing(page, size):
    assert page.stat().st_size < 3e6
    with Page(size) as tab:
        tab.open(page)
        tab.until("document.getElementById('player').dataset.state !== 'waiting'")
        assert tab.value("document.getElementById('player').dataset.state") == "ready"
        assert tab.value("document.documentElement.scrollWidth") <= size[0]
        panels = [f".view[data-of='{name}']" for name in ("native", "reference", "simulation")]
        before = [tab.picture(panel) for panel in panels]
        assert all(len(Image.open(BytesIO(shot)).convert("L").getcolors()) > 20 for shot in before)
        tab.value("document.querySelector('#player .play').click()")
        tab.until("Number(document.getElementById('player').dataset.frame) > 2")
        tab.value("document.querySelector('#player .play').click()")
        after = [tab.picture(panel) for panel in panels]
        assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, False]
        assert "ps, RMSD" in tab.value("document.querySelector(\"[data-of='simulation'] + figcaption\").textContent")
        assert not tab.errors
        assert [url for url in tab.requests if not url.startswith("data:")] == [page.resolve().as_uri()]


def test_the_page_answers_in_plain_words_first(page, report):
    text = page.read_text(encoding="utf-8")
    order = [
        "trained on 1,000 frames in 1.5 minutes",
        "Can it be trusted?",
        "Be careful",
        "Structures",
        "Measure by measure",
    ]
    places = [text.index(words) for words in order]
    assert places == sorted(places)
    for words in ("Are bond lengths right?", "published: 0.0158 (Two for One)", "one more section", "stays"):
        assert words in text
    assert topics(report.metrics["simulation"])["stability"] == "poor"
    assert "Lost replicas (1)" in summary(report.metrics["simulation"])
    assert "content=\"default-src 'none'" in text  # the browser itself lets nothing out


def test_few_lost_samples_do_not_matter_but_any_lost_replica_does(report):
    lost = report.metrics["samples <1>"]["lost"]
    assert judge(lost | {"value": 1, "tolerance": 0.001 * 20_000}) == "good"
    assert report.metrics["simulation"]["lost"]["tolerance"] == 0


def test_the_viewer_is_the_published_build():
    folder = files("scorefield") / "data" / "viewer"
    source = json.loads((folder / "source.json").read_text())
    code = gzip.decompress((folder / "3Dmol-min.js.gz").read_bytes())
    assert hashlib.sha256(code).hexdigest() == source["sha256"]
    assert "University of Pittsburgh" in (folder / "LICENSE").read_text()


def test_frames_to_play_are_superposed_and_survive_their_packing(report, dataset):
    found = report.movies
    assert list(found) == ["native", "reference", "samples <1>", "simulation"]
    assert (found["simulation"].interval, found["samples <1>"].interval) == (2.0, None)
    x = found["samples <1>"].positions
    np.testing.assert_allclose(superpose(x, NATIVE), x, atol=1e-9)
    packed = content(dataset.molecule, found)
    movie = packed["movies"]["simulation"]
    integers = np.frombuffer(base64.b64decode(movie["positions"]), "<i2").reshape(movie["frames"], 5, 3)
    np.testing.assert_allclose(integers * packed["angstrom"] / 10, found["simulation"].positions, atol=1e-4)
    chain = chain_molecule(("CA",) * 5)
    assert content(chain, found)["trace"]
    assert not packed["trace"]


def test_the_most_typical_frame_stands_where_no_native_structure_is_known():
    x = frames(np.r_[np.full(40, -1.2), 2.0], 2.5)
    assert np.linalg.norm(typical_frame(trajectory(x)) - (x[0] - x[0].mean(axis=0)), axis=1).max() > 0  # turned
    t = trajectory(x + np.random.default_rng(0).normal(0, 1e-3, x.shape))
    assert list(movies(t, {"a": t})) == ["reference", "a"]
    typical = typical_frame(t)
    assert np.sqrt(np.mean((superpose(typical[None], x[0]) - (x[0] - x[0].mean(axis=0))) ** 2)) < 0.003


def test_staying_sees_a_simulation_that_leaves(dataset):
    truth, others = dataset.split("test"), dataset.split("train")
    drift = np.linspace(0, 1.5, STEPS)[None] * np.ones((REPLICAS, 1))
    rng = np.random.default_rng(5)
    x = frames((-1.5 + drift).ravel() + 0.3 * rng.normal(size=1000), rng.vonmises(2.0, 3.0, size=1000))
    leaves = staying(simulation(x).trajectory, REPLICAS + 2, truth, others)
    stays = staying(simulation(random_backbones(1000, 3)).trajectory, REPLICAS, truth, others)
    assert leaves.metric == "dihedral_js"
    assert leaves.values[-1] > 1.5 * leaves.values[0]
    assert np.ptp(stays.values) < 0.2 * stays.floor
    assert leaves.alive[0] == 1
    assert leaves.alive[-1] == pytest.approx(REPLICAS / (REPLICAS + 2))
    assert leaves.edges[-1] == 2.0 * STEPS


def test_nothing_to_play_takes_no_viewer(report):
    assert player(replace(report, movies={})) == ""
