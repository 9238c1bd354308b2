"""Fine-tuning starts where another training ended, keeps what was fitted once, and refuses what it cannot go on from."""

from dataclasses import replace

import jax
import numpy as np
import pytest
import tiny
from backbones import chain_molecule
from commands import invoke

from scorefield.config import config_from
from scorefield.dataset import write_dataset
from scorefield.errors import InputError
from scorefield.finetune import finetuning
from scorefield.model import load_model
from scorefield.optimise import trainable
from scorefield.tensors import fingerprint
from scorefield.train import train

STEPS, RATE = 100, 1e-5
SHORT = tiny.config(steps=STEPS, learning_rate=RATE)


@pytest.fixture(scope="module")
def toml(tmp_path_factory):
    path = tmp_path_factory.mktemp("finetune") / "short.toml"
    path.write_text(SHORT.to_toml())
    return path


@pytest.fixture(scope="module")
def more(tmp_path_factory):
    """A DATASET of other frames of the same kind."""
    folder = tmp_path_factory.mktemp("finetune") / "more"
    write_dataset(tiny.dataset(seed=1), folder)
    return folder


@pytest.fixture(scope="module")
def tuned_folder(tmp_path_factory, more, run_folder, toml):
    out = tmp_path_factory.mktemp("finetune") / "tuned"
    result = invoke("train", more, "-o", out, "--from", run_folder, "--config", toml, "--json")
    assert result.code == 0, result
    return out


@pytest.fixture(scope="module")
def tuned(tuned_folder):
    return load_model(tuned_folder)


def test_it_starts_from_what_was_learned(tuned, run_folder):
    """A step of Adam moves a number by about the rate at most, so many small steps stay near the weights they began at."""
    initial = load_model(run_folder)
    moves = jax.tree.leaves(trainable(tuned.score))
    pairs = zip(jax.tree.leaves(initial.score), jax.tree.leaves(tuned.score), moves, strict=True)
    off = [float(np.abs(np.asarray(a) - np.asarray(b)).max()) for a, b, moved in pairs if moved]
    assert 0 < max(off) < 2 * STEPS * RATE


def test_what_was_fitted_once_stays_and_what_is_trained_moves(tuned, run_folder):
    initial = load_model(run_folder)
    assert tuned.training["initial"] == fingerprint(initial.score)
    assert tuned.config.noise == initial.config.noise
    moves = jax.tree.leaves(trainable(tuned.score))
    pairs = list(zip(jax.tree.leaves(initial.score), jax.tree.leaves(tuned.score), moves, strict=True))
    assert "stiff" not in initial.score.prior.terms  # whose correction follows the network
    assert all(np.array_equal(a, b) for a, b, moved in pairs if not moved)
    assert np.array_equal(initial.score.standardiser.log_levels, tuned.score.standardiser.log_levels)
    assert all(not np.array_equal(a, b) for a, b, moved in pairs if moved and np.size(a) > 1)


def test_the_model_that_it_started_from_is_left_alone(run_folder, tmp_path):
    initial, before = load_model(run_folder), fingerprint(load_model(run_folder).score)
    train(tiny.dataset(seed=1), SHORT, tmp_path / "out", initial=initial)
    assert fingerprint(initial.score) == before


def test_unless_said_otherwise_it_takes_a_quarter_of_the_steps_and_of_the_rate(run_folder):
    config = load_model(run_folder).config
    short = finetuning(config)
    assert (short.training.steps, short.training.learning_rate) == (75, config.training.learning_rate / 4)
    assert short.energy == config.energy


def test_a_configuration_that_does_not_go_with_the_models_energy_is_refused(tmp_path):
    model = train(tiny.dataset(), tiny.direct(steps=5), tmp_path / "direct")
    with pytest.raises(InputError, match="contrast must be 0"):
        train(tiny.dataset(), config_from({"training": {"steps": 5}}, "test"), tmp_path / "out", initial=model)
    assert not (tmp_path / "out").exists()


def test_another_molecule_or_temperature_is_refused(run_folder, tmp_path):
    initial, data = load_model(run_folder), tiny.dataset()
    other = tiny.dataset(molecule=chain_molecule(("CB",) * 4))
    warm = replace(data, trajectory=replace(data.trajectory, temperature=350.0))
    for dataset, words in ((other, "another molecule"), (warm, "at 350 K")):
        with pytest.raises(InputError, match=words):
            train(dataset, SHORT, tmp_path / "out", initial=initial)
    assert not (tmp_path / "out").exists()


def test_going_on_without_the_model_that_it_began_from_is_refused(more, run_folder, toml, tmp_path):
    words = ("train", more, "-o", tmp_path / "out", "--config", toml)
    assert invoke(*words, "--from", run_folder).code == 0
    result = invoke(*words, "--resume")
    assert result.code == 2
    assert "give the same --from" in result.err
