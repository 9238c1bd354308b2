"""Training on several devices: the same losses up to rounding, and on as many devices as before the same bits."""

import json
import sys

import jax
import numpy as np
import pytest
import springs
import tiny
from test_train import Stop, same_model, stop_after

from scorefield import journal
from scorefield.data_parallel import DataParallel
from scorefield.errors import InputError


def trained(path, devices, **options):
    config = tiny.config(steps=20, batch=256, contrast=0)
    return springs.train(tiny.dataset(), config, path, devices=devices, **options)


def losses(path):
    lines = [json.loads(line) for line in (path / "log.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines] + [lines[-1]["validation_loss"]]


def test_losses_on_several_devices_are_those_on_one_and_a_restart_is_exact(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules["scorefield.train"], "BLOCK", 10)
    for n in (1, 8):
        trained(tmp_path / f"{n}", n)
    np.testing.assert_allclose(losses(tmp_path / "8"), losses(tmp_path / "1"), rtol=1e-6)
    monkeypatch.setattr(journal, "CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(Stop):
        trained(tmp_path / "again", 8, on_progress=stop_after(10))
    trained(tmp_path / "again", 8, resume=True)
    assert same_model(tmp_path / "again", tmp_path / "8")
    assert losses(tmp_path / "again") == losses(tmp_path / "8")


@pytest.mark.parametrize(
    ("batch", "wanted", "used"),
    [(32, 8, 1), (64, 8, 2), (256, 8, 8), (256, 3, 2), (96, 8, 3), (7, 8, 1), (256, None, 1)],
)
def test_a_batch_goes_to_devices_that_divide_it_into_parts_worth_having(batch, wanted, used):
    assert DataParallel(batch, wanted).number == used


def test_batches_are_shared_out_and_weights_are_everywhere():
    parallel, x = DataParallel(256, 8), np.arange(2 * 256 * 12, dtype=np.float32).reshape(2, 256, 4, 3)
    shared, tree = parallel.share(x), {"a": np.arange(3.0, dtype=np.float32)}
    np.testing.assert_array_equal(shared, x)
    assert {part.data.shape for part in shared.addressable_shards} == {(2, 32, 4, 3)}
    copied = parallel.copy(tree)["a"]
    assert len(copied.addressable_shards) == 8
    np.testing.assert_array_equal(parallel.here({"a": copied})["a"], tree["a"])


def test_devices_of_several_processes_must_share_a_batch_evenly(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 3)
    with pytest.raises(InputError, match=r"training\.batch = 256 cannot be shared evenly by 3 processes"):
        DataParallel(256, 3)
