"""Jobs: what is refused before it is queued, and that a job told to stop is requeued and resumed."""

import os
import signal
from pathlib import Path

import pytest
from commands import assert_refused, invoke
from test_stream import made, wait_for

from scorefield.launch import Resources, Work, launch

pytest.importorskip("submitit")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["sample", "run", "-n", "3", "-o", "out"], "launch one of train, simulate"),
        (["train", "data", "-o", "here"], "exists already"),
        (["train", "data"], "-o"),
        (["train", "data", "-o", "out", "--stepz", "3"], "--stepz"),
        (["--tasks", "2", "run", "ala2", "-o", "out"], "run is for one process"),
        (["--set", "account", "train", "data", "-o", "out"], "give NAME=VALUE"),
        (["--hours", "0", "train", "data", "-o", "out"], "--hours is 0"),
        (["--cluster", "slurm", "train", "data", "-o", "out"], "no SLURM here"),
    ],
)
def test_a_job_that_cannot_be_is_not_queued(tmp_path, monkeypatch, words, says):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "")
    (tmp_path / "here").mkdir()
    k = next((k for k in range(0, len(words), 2) if not words[k].startswith("--")), 0)
    result = invoke("launch", *(["--cluster", "local"] if "slurm" not in words else []), *words[:k], "--", *words[k:])
    assert_refused(result)
    assert says in result.err
    assert [p.name for p in tmp_path.iterdir()] == ["here"]


def test_a_job_is_done_once_and_gone_on_with_when_it_was_stopped(tmp_path, run_folder, data_folder, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["simulate", run_folder, "--replicas", 4, "--time-ns", 0.02, "--save-ps", 0.2, "--start", data_folder]
    job = launch([*map(str, words), "-o", "out"], tmp_path / "jobs", Resources(hours=0.2), "local")
    wait_for(tmp_path / "out", 0, job._process)
    os.kill(task_of(job._process.pid), signal.SIGUSR2)  # as SLURM does before it takes a job away
    job.result()
    assert "preempted" in job.stderr()
    assert "go on with" in job.stderr()
    assert invoke(*words, "-o", "whole").code == 0
    assert made(tmp_path / "out") == made(tmp_path / "whole")


def task_of(controller: int) -> int:
    return int(Path(f"/proc/{controller}/task/{controller}/children").read_text().split()[0])


def test_a_command_that_fails_is_a_job_that_fails(tmp_path, capfd):
    with pytest.raises(RuntimeError, match="ended with exit code 2"):
        Work(["train", str(tmp_path / "missing"), "-o", str(tmp_path / "out")], tmp_path / "out")()
    assert "error:" in capfd.readouterr().err
