"""What makes a data set or generated frames doubtful is said, wherever numbers of it are read."""

import json

import numpy as np
import pytest
import tiny
from backbones import frames, random_backbones, trajectory
from commands import invoke

from scorefield.dataset import Dataset, load_dataset, write_dataset
from scorefield.errors import InputError
from scorefield.evaluate import evaluate
from scorefield.frames import Frames, load_frames, write_frames
from scorefield.health import dataset_warnings, frames_warnings
from scorefield.page import write_report
from scorefield.verify import Context
from scorefield.verify.page import write_verification

SPLITS = ("train", "train", "validation", "test")


def dataset(x, sources=("a", "b", "c", "d"), splits=SPLITS) -> Dataset:
    return Dataset(trajectory(x, chains=len(splits)), splits, sources, "backbone5")


def said(words: str, warnings) -> bool:
    return any(words in warning for warning in warnings)


@pytest.fixture(scope="module")
def good():
    return random_backbones(24_000, 0)


def test_nothing_is_said_of_many_frames_of_agreeing_chains(good):
    splits = ("train", "train", "validation", "test", "test")
    assert dataset_warnings(dataset(good, ("",) * 5, splits)) == [
        "frame interval unknown: autocorrelation times are in frames"
    ]
    assert frames_warnings(trajectory(good[:1000]), trajectory(good)) == []


def test_too_few_frames_are_named_by_split():
    warnings = dataset_warnings(dataset(random_backbones(400, 1)))
    for words in ("only 200 train frames", "only 100 validation frames", "only 100 test frames"):
        assert said(words, warnings)


def test_one_chain_cut_into_splits_is_not_independent(good):
    cut = dataset(good, ("t.xtc[0:12000]", "t.xtc[12000:16000]", "t.xtc[16000:20000]", "t.xtc[20000:24000]"))
    warnings = dataset_warnings(cut)
    assert said("stretches of the same chain", warnings)
    assert said("test frames are one chain only", warnings)
    assert not said("stretches", dataset_warnings(dataset(good, ("t.xtc",) * 4)))


def rigid(n: int, noise: float) -> np.ndarray:
    return random_backbones(1, 3) + noise * np.random.default_rng(0).normal(size=(n, 5, 3))


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (rigid(2000, 0), "nothing moves"),
        (rigid(2000, 3e-4), "collapsed to one structure"),
        (np.repeat(random_backbones(40, 2), 50, axis=0), "only 40 of 2000 frames differ"),
    ],
    ids=["still", "nearly", "repeated"],
)
def test_a_collapsed_distribution_is_said(x, words):
    assert said(words, dataset_warnings(dataset(x)))
    if words != "nothing moves":
        assert said(words, frames_warnings(trajectory(x), trajectory(random_backbones(2000, 5))))


def test_generated_frames_that_are_much_alike_have_collapsed(good):
    spread = 0.05 * np.random.default_rng(0).normal(size=(2, 2000))
    narrow = trajectory(frames(-1.5 + spread[0], 1 + spread[1], 0.15 + 0.02 * spread[0]))
    assert said("as much as the reference's: the distribution has collapsed", frames_warnings(narrow, trajectory(good)))


def test_chains_that_disagree_are_said_though_prepare_did_not(good):
    order = np.argsort(good[:, 3, 2], kind="stable")  # each chain in a region of its own
    apart = good[order]
    assert said("may not be at equilibrium: chains disagree", dataset_warnings(dataset(apart)))
    assert said(
        "not forgotten their starts: chains disagree", frames_warnings(trajectory(apart, chains=8), trajectory(good))
    )


@pytest.mark.parametrize("value", ["missing", None])
def test_a_missing_temperature_is_refused_and_not_guessed(tmp_path, data_folder, value):
    write_dataset(tiny.dataset(), tmp_path / "data")
    write_frames(Frames(tiny.dataset().trajectory, "samples", 2000, 0, {}), tmp_path / "frames")
    for folder, file, load in (("data", "dataset", load_dataset), ("frames", "simulation", load_frames)):
        path = tmp_path / folder / f"{file}.json"
        content = json.loads(path.read_text())
        del content["temperature_K"]
        path.write_text(json.dumps(content if value == "missing" else content | {"temperature_K": None}))
        with pytest.raises(InputError, match=f"{folder}/{file}.json: no temperature_K is stated"):
            load(tmp_path / folder)


def test_training_writes_them_to_its_log_and_the_model(run_folder):
    lines = [json.loads(line) for line in (run_folder / "log.jsonl").read_text().splitlines()]
    warnings = json.loads((run_folder / "model.json").read_text())["training"]["warnings"]
    assert said("only 1000 train frames", warnings)
    assert lines[0]["warnings"] == warnings
    assert not any("warnings" in line for line in lines[1:])


def test_reports_repeat_them_beside_every_number(tmp_path):
    data = dataset(random_backbones(400, 1))
    report = evaluate(data, {"md": Frames(trajectory(rigid(200, 3e-4)), "samples", 200, 0, {})})
    write_report(report, tmp_path / "report")
    metrics = json.loads((tmp_path / "report/metrics.json").read_text())["md"]
    page = (tmp_path / "report/index.html").read_text()
    for words in ("reference: only 100 test frames", "md: distances vary by"):
        assert said(words, report.warnings)
        assert words in page
        assert all(said(words, entry["warnings"]) for entry in metrics.values())


def test_verification_repeats_them(tmp_path, run_folder, data_folder):
    from scorefield.model import load_model

    context = Context(load_model(run_folder), load_dataset(data_folder))
    write_verification(context, [], tmp_path / "out")
    content = json.loads((tmp_path / "out/verify.json").read_text())
    assert said("reference: only 500 test frames", content["warnings"])
    assert "only 500 test frames" in (tmp_path / "out/index.html").read_text()
    alone = Context(load_model(run_folder))
    assert said("training data: only 1000 train frames", alone.warnings)


def test_they_are_on_stderr(tmp_path, data_folder):
    write_frames(Frames(tiny.dataset(1).trajectory, "samples", 2000, 0, {}), tmp_path / "frames")
    result = invoke("evaluate", f"a={tmp_path}/frames", "--reference", data_folder, "-o", tmp_path / "report")
    assert result.code == 0
    assert said("warning: reference: only 500 test frames", result.err.splitlines())
