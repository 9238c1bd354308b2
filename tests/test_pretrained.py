"""The built-in model: small, found by name everywhere, and the score of the data that it comes with."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from commands import invoke

from scorefield.engines.replicas import ReplicaForce
from scorefield.errors import InputError
from scorefield.frames import Frames, load_frames, write_frames
from scorefield.model import load_model
from scorefield.systems import load_system, models, run_folder


@pytest.mark.parametrize("name", models())
def test_a_built_in_model_is_small_and_of_its_system(name):
    assert sum(file.stat().st_size for file in run_folder(name).iterdir()) <= 500_000
    model, data = load_model(name), load_system(name)
    assert model.molecule.same_as(data.molecule)
    assert model.temperature == data.trajectory.temperature


def test_its_score_obeys_steins_identity_on_frames_that_it_has_not_seen():
    """<x . s(x, sigma)> = -(3 n_beads - 3) over noised frames, for any sigma and density (centred coordinates)."""
    model = load_model("ala2")
    x0 = jnp.asarray(load_system("ala2").split("test").thin(4000).positions)
    sigma, noise = jnp.float32(0.02), jax.random.normal(jax.random.key(0), x0.shape)
    x = x0 + sigma * (noise - noise.mean(axis=1, keepdims=True))
    found = jax.jit(jax.vmap(lambda y: jnp.sum(y * model.score.score(y, sigma))))(x)
    error = float(jnp.std(found)) / np.sqrt(len(found))
    assert abs(float(found.mean()) + 12) < max(4 * error, 0.03 * 12)


def test_a_name_does_in_place_of_a_folder_unless_there_is_one(tmp_path, monkeypatch):
    assert ReplicaForce("ala2").run == str(run_folder("ala2"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ala2").mkdir()
    with pytest.raises(InputError, match="is ala2 a run folder"):
        load_model("ala2")


def test_the_output_of_a_run_says_where_its_model_is(tmp_path):
    (tmp_path / "out/run").mkdir(parents=True)
    (tmp_path / "out/plan.json").write_text("{}")
    with pytest.raises(InputError, match="out/run: give that"):
        load_model(tmp_path / "out")


def test_it_simulates_at_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model, held = load_model("ala2"), load_system("ala2").split("test").thin(4)
    write_frames(Frames(held, "samples", 4, 0, {}), tmp_path / "start")  # drawing them would be another compilation
    words = ("--replicas", 4, "--time-ns", 0.002, "--save-ps", 0.2, "--start", "start")
    result = invoke("simulate", "ala2", *words)
    assert result.code == 0, result
    frames = load_frames(tmp_path / "simulation")
    assert frames.lost == 0
    x = frames.trajectory.positions
    i, j = model.molecule.bond_pairs.T
    lengths = np.linalg.norm(x[:, i] - x[:, j], axis=-1)
    np.testing.assert_allclose(lengths.mean(axis=0), model.physical.bond_mean, atol=0.003)
    assert invoke("info", "ala2").code == 0
