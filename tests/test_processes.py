"""Several processes at one work: two real ones on loopback do what one does."""

import json
import os
import signal
import socket
import subprocess
import sys

import numpy as np
import pytest
import springs
import tiny
from test_stream import made, run

from scorefield.errors import InputError
from scorefield.processes import Patience, alike, in_slurm, most, of_the_first

WORK = """
import json, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from scorefield.processes import alike, join, leads, most, of_the_first
join(f"127.0.0.1:{sys.argv[2]}", 2, int(sys.argv[3]))
import numpy as np, springs, tiny
from scorefield.errors import InputError
from scorefield.replicas import follow
from test_stream import Stop, model, run, stop_at

said = [most(3 + leads()), np.asarray(of_the_first({"a": np.float32([leads(), -0.0])})["a"]).tolist()]
try:
    with alike():
        if not leads():
            raise InputError("the other one is wrong")
except InputError as error:
    said.append(str(error))
springs.train(tiny.dataset(), tiny.config(steps=4, batch=64, contrast=0), Path("run"))
for resume in (False, True):
    try:
        if leads():
            run(Path("out"), 6, block=2, resume=resume, on_progress=None if resume else stop_at(3))
        else:
            follow(model())
        said.append("well")
    except (Stop, InputError) as end:
        said.append(str(end))
print(json.dumps(said))
"""


def test_two_processes_do_what_one_does(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": "1", "JAX_PLATFORMS": "cpu"}
    words = [sys.executable, "-c", WORK, os.path.dirname(__file__), str(port)]
    both = [
        subprocess.Popen([*words, str(k)], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True)
        for k in range(2)
    ]
    said = [json.loads(process.communicate(timeout=500)[0].splitlines()[-1]) for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert said[0] == [4, [1.0, -0.0], "the other one is wrong", "", "well"]
    assert said[1] == [4, [1.0, -0.0], "the other one is wrong", "the first process ended: ", "well"]
    run(tmp_path / "one", 6, block=2)
    assert made(tmp_path / "out") == made(tmp_path / "one")
    springs.train(tiny.dataset(), tiny.config(steps=4, batch=64, contrast=0), tmp_path / "alone")
    losses = [json.loads((tmp_path / name / "log.jsonl").read_text()) for name in ("run", "alone")]
    assert losses[0]["loss"] == pytest.approx(losses[1]["loss"], rel=1e-6)
    assert losses[0]["validation_loss"] == pytest.approx(losses[1]["validation_loss"], rel=1e-6)


def test_one_process_is_all_there_is():
    tree = {"a": np.zeros(3)}
    assert of_the_first(tree) is tree
    assert most(7) == 7
    with pytest.raises(InputError, match=r"^wrong$"), alike():
        raise InputError("wrong")
    before = signal.getsignal(signal.SIGTERM)
    with Patience() as patience:
        assert signal.getsignal(signal.SIGTERM) is before
    assert not patience.tried


def test_signals_wait_where_there_are_other_processes(monkeypatch):
    monkeypatch.setattr("jax.process_count", lambda: 2)
    seen = []
    before = signal.signal(signal.SIGTERM, lambda *came: seen.append("SIGTERM"))
    try:
        with Patience() as patience:
            os.kill(os.getpid(), signal.SIGTERM)
            assert patience.tried
            assert not seen
        assert seen == ["SIGTERM"]
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(
    ("nodes", "host"),
    [("node001", "node001"), ("a,b", "a"), ("gpu[01-04,7]", "gpu01"), ("n[3,5-6],m1", "n3"), ("n[7]", "n7")],
)
def test_what_srun_says(monkeypatch, nodes, host):
    step = {"SLURM_STEP_NUM_TASKS": "8", "SLURM_STEP_NODELIST": nodes, "SLURM_PROCID": "5", "SLURM_LOCALID": "1"}
    step |= {"SLURM_JOB_ID": "4097", "SLURM_STEP_TASKS_PER_NODE": "4(x2)", "CUDA_VISIBLE_DEVICES": "0,1,2,3"}
    for name, value in step.items():
        monkeypatch.setenv(name, value)
    assert in_slurm() == (f"{host}:61441", 8, 5, [1])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert in_slurm() == (f"{host}:61441", 8, 5, None)
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "1")
    assert in_slurm() is None
