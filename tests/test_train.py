import json

import numpy as np
import pytest
import tiny

from scorefield import journal
from scorefield.errors import InputError
from scorefield.train import BLOCK, batch_of, train

STEPS = tiny.config().training.steps


class Stop(Exception):
    """In place of a power cut."""


def stop_after(steps):
    def on_progress(progress):
        if progress.step >= steps:
            raise Stop

    return on_progress


def interrupted(path, steps, monkeypatch, every=0.0):
    """Train until `steps` steps are logged; a checkpoint after every block, or every `every` seconds."""
    monkeypatch.setattr(journal, "CHECKPOINT_SECONDS", every)
    with pytest.raises(Stop):
        train(tiny.dataset(), tiny.config(), path, on_progress=stop_after(steps))


def log(path):
    return [json.loads(line) for line in (path / "log.jsonl").read_text().splitlines()]


def same_model(one, other):
    return (one / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()


def contents(path):
    return {p.name: p.read_bytes() for p in sorted(path.iterdir())}


def test_the_loss_falls_and_every_block_is_logged(run_folder):
    lines = log(run_folder)
    assert [line["step"] for line in lines] == list(range(BLOCK, STEPS + 1, BLOCK))
    assert lines[-1]["loss"] < 0.98 * lines[0]["loss"]
    assert lines[-1]["validation_loss"] < 1  # predicting no noise at all scores 1
    assert json.loads((run_folder / "model.json").read_text())["training"]["steps"] == STEPS


@pytest.mark.parametrize(("steps", "every"), [(100, 0.0), (200, 0.0), (200, 1e9), (300, 0.0)])
def test_a_resumed_training_is_bit_for_bit_the_uninterrupted_one(tmp_path, run_folder, monkeypatch, steps, every):
    interrupted(tmp_path / "run", steps, monkeypatch, every)
    with open(tmp_path / "run/log.jsonl", "a") as file:
        file.write('{"step": 1')  # a line torn by a power cut
    train(tiny.dataset(), tiny.config(), tmp_path / "run", resume=True)
    assert same_model(tmp_path / "run", run_folder)
    keys = ("step", "loss", "validation_loss")
    assert [[line[k] for k in keys] for line in log(tmp_path / "run")] == [
        [x[k] for k in keys] for x in log(run_folder)
    ]
    assert len(list((tmp_path / "run").glob("checkpoint-*"))) == 1


def test_a_training_by_muon_is_resumed_as_exactly_and_its_loss_falls(tmp_path, monkeypatch):
    config = tiny.config(optimiser="muon")
    train(tiny.dataset(), config, tmp_path / "whole")
    monkeypatch.setattr(journal, "CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(Stop):
        train(tiny.dataset(), config, tmp_path / "run", on_progress=stop_after(100))
    train(tiny.dataset(), config, tmp_path / "run", resume=True)
    assert same_model(tmp_path / "run", tmp_path / "whole")
    lines = log(tmp_path / "whole")
    assert lines[-1]["loss"] < 0.98 * lines[0]["loss"]


def test_an_existing_folder_is_refused_and_left_alone(run_folder):
    before = contents(run_folder)
    with pytest.raises(InputError, match="exists already"):
        train(tiny.dataset(), tiny.config(), run_folder)
    assert contents(run_folder) == before


@pytest.mark.parametrize(
    ("data", "config", "says"),
    [
        (tiny.dataset(), tiny.config(steps=400), r"training\.steps = 300, not 400"),
        (tiny.dataset(), tiny.config(batch=64), r"training\.batch = 32, not 64"),
        (tiny.dataset(), tiny.config().model_copy(update={"seed": 1}), "seed = 0, not 1"),
        (tiny.dataset(seed=1), tiny.config(), "other data"),
        (tiny.dataset(weights=np.ones(2000, np.float32)), tiny.config(), "other data"),
    ],
)
def test_resuming_another_training_is_refused(run_folder, data, config, says):
    before = contents(run_folder)
    with pytest.raises(InputError, match=says) as error:
        train(data, config, run_folder, resume=True)
    assert "\n" not in str(error.value)
    assert contents(run_folder) == before


def test_resuming_nothing_is_refused(tmp_path):
    with pytest.raises(InputError, match="no checkpoint to go on from; leave --resume away"):
        train(tiny.dataset(), tiny.config(), tmp_path / "run", resume=True)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"blocks": "many"},
        {"blocks": -1},
        {"blocks": [1]},
        {"arrays": "../run/checkpoint-1.safetensors"},
        {"arrays": "/etc/passwd"},
        {"arrays": "checkpoint-99.safetensors"},
        {"arrays": None},
        {"sha256": "0" * 64},
        {"seconds": "long"},
        {"steps": None},
        {"version": 2},
        {"config": "[["},
    ],
)
def test_a_damaged_checkpoint_is_refused(tmp_path, checkpointed, change):
    folder = tmp_path / "run"
    folder.mkdir()
    for name, content in checkpointed.items():
        (folder / name).write_bytes(content)
    description = json.loads(checkpointed["checkpoint.json"])
    (folder / "checkpoint.json").write_text(json.dumps(description | change))
    with pytest.raises(InputError) as error:
        train(tiny.dataset(), tiny.config(), folder, resume=True)
    assert "\n" not in str(error.value)


@pytest.fixture(scope="module")
def checkpointed(run_folder):
    """The files of a training, as they are before the model is written."""
    return {name: content for name, content in contents(run_folder).items() if not name.startswith("model")}


def test_a_diverging_training_says_what_to_do(tmp_path):
    with pytest.raises(InputError, match=r"diverged at step 100 .* smaller training\.learning_rate") as error:
        train(tiny.dataset(), tiny.direct(learning_rate=1e12, steps=100, warmup=0), tmp_path / "run")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run/model.json").exists()


def test_frames_are_drawn_in_proportion_to_their_weights():
    weights = np.zeros(2000, np.float32)
    weights[::2] = 1
    weights[1000:] = 1
    frames = tiny.dataset(weights=weights).split("train")
    drawn = np.asarray(batch_of(frames, None, tiny.config(), block=3, steps=100).x).reshape(-1, 4, 3)
    x = np.asarray(frames.positions)
    nearest = np.argmin(np.abs(drawn[:, None, 0] - x[None, :, 0]).sum(axis=-1), axis=1)
    assert np.abs(drawn - x[nearest]).max() < 1e-6
    assert set(nearest) <= set(range(0, 1000, 2))
    assert len(set(nearest)) > 490  # of 500, in 3200 draws
    again = batch_of(frames, None, tiny.config(), block=3, steps=100).x
    assert np.array_equal(np.asarray(again).reshape(-1, 4, 3), drawn)


def test_only_training_frames_teach(tmp_path, run_folder):
    """Other validation and test frames, the same training frames: the same weights."""
    data = tiny.dataset()
    x = np.array(data.trajectory.positions)
    x[1000:] = tiny.positions(1000, seed=7)
    train(tiny.with_frames(data, x), tiny.config(), tmp_path / "run")
    assert same_model(tmp_path / "run", run_folder)
    assert log(tmp_path / "run")[-1]["validation_loss"] != log(run_folder)[-1]["validation_loss"]


def test_data_that_cannot_be_trained_on_are_refused(tmp_path):
    data = tiny.dataset()
    with pytest.raises(InputError, match="all alike"):
        train(tiny.with_frames(data, np.zeros((2000, 4, 3), np.float32)), tiny.config(), tmp_path / "run")
    weights = np.ones(2000, np.float32)
    weights[:1000] = 0
    with pytest.raises(InputError, match="weights of all train frames are 0"):
        train(tiny.dataset(weights=weights), tiny.config(), tmp_path / "run")
    assert not (tmp_path / "run").exists()
