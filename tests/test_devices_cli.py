"""Where a command computes: what is refused, and what the variables say that JAX goes by."""

import pytest
from commands import assert_refused, invoke

from scorefield import runtime
from scorefield.cli import app
from scorefield.errors import InputError


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--device tpu", "--device tpu: give cpu, gpu"),
        ("--device gpu:", "give cpu, gpu"),
        ("--device cpu:1", "give cpu, gpu"),
        ("--device gpu:1,x", "give cpu, gpu"),
        ("--device gpu", "JAX finds no GPU here"),
        ("--threads 0", "--threads"),
        ("--threads 1.5", "--threads"),
        ("--processes 2", "give --processes, --process"),
        ("--processes 2 --process 2 --coordinator a:1", "give --processes, --process (below --processes)"),
        ("--process 1", "give --processes"),
    ],
)
def test_words_that_make_no_sense(tmp_path, monkeypatch, words, says):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SLURM_STEP_NUM_TASKS", raising=False)
    result = invoke("train", "data", "-o", "out", *words.split())
    assert_refused(result)
    assert says in result.err


@pytest.fixture
def variables(monkeypatch):
    """In place of the environment."""
    found = {}
    monkeypatch.setattr(runtime.os, "environ", found)
    monkeypatch.setattr(runtime, "cores", lambda: 6)
    return found


def test_a_processor_is_as_many_devices_as_cores_are_wanted(variables):
    runtime.use(None, None)
    assert variables["JAX_NUM_CPU_DEVICES"] == "6"
    assert not {"JAX_PLATFORMS", "OMP_NUM_THREADS"} & set(variables)
    variables.clear()
    runtime.use(3, "cpu")
    assert variables.pop("JAX_NUM_CPU_DEVICES") == variables["OMP_NUM_THREADS"] == variables["NPROC"] == "3"
    assert variables["JAX_PLATFORMS"] == "cpu"
    variables.clear()
    runtime.use(1000, "gpu:0,2")
    assert variables["JAX_NUM_CPU_DEVICES"] == "16"
    assert variables["JAX_CUDA_VISIBLE_DEVICES"] == "0,2"
    assert "JAX_PLATFORMS" not in variables


def test_what_the_user_has_set_stays(variables):
    variables["XLA_FLAGS"] = "--xla_force_host_platform_device_count=5"
    runtime.use(2, None)
    assert "JAX_NUM_CPU_DEVICES" not in variables
    variables.clear()
    variables["JAX_NUM_CPU_DEVICES"] = "4"
    runtime.use(2, None)
    assert variables["JAX_NUM_CPU_DEVICES"] == "4"


def test_every_computing_command_takes_threads_and_device():
    for name in ("train", "sample", "simulate", "evaluate", "verify", "run"):
        words = {"--threads", "--device"} | (
            {"--processes", "--coordinator"} if name in ("train", "simulate") else set()
        )
        found = {word for argument in app[name].assemble_argument_collection() for word in argument.names}
        assert words <= found, name


def test_one_process_of_one_is_alone(tmp_path):
    with pytest.raises(InputError):
        runtime.use(None, "abacus")
    result = invoke("train", tmp_path / "missing", "-o", tmp_path / "out", "--processes", 1)
    assert "missing" in result.err
