import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tiny
from commands import contents, invoke
from peptides import peptide, saved

from scorefield import pipeline
from scorefield.frames import load_frames
from scorefield.model import load_model
from scorefield.structure import write_pdb

SIZES = ("--samples", 64, "--replicas", 4, "--time-ps", 2)
COMMAND = Path(sys.executable).with_name("scorefield")


def ok(*words):
    """What a command prints that must end well."""
    result = invoke(*words)
    assert result.code == 0, result
    return result


def strict(text):
    """JSON as the standard has it: no NaN."""

    def refuse(name):
        raise ValueError(name)

    return json.loads(text, parse_constant=refuse)


@pytest.fixture(scope="module")
def toml(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "tiny.toml"
    path.write_text(tiny.config().to_toml())
    return path


@pytest.fixture(scope="module")
def ran(tmp_path_factory, data_folder, toml):
    """The folder of a `run` that Ctrl-C hit after sampling, gone on with and finished; and what it said both times."""
    out = tmp_path_factory.mktemp("ran") / "new/out"
    words = ("run", data_folder, "-o", out, "--config", toml, *SIZES)

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "simulate_into", interrupt)
        first = invoke(*words)
    there = contents(out)
    return out, first, there, ok(*words, "--resume"), words


def test_an_interrupted_run_says_how_to_go_on_and_keeps_whole_parts(ran):
    out, first, there, _, words = ran
    assert first.code == 130
    assert first.err.splitlines()[-1] == f"interrupted; go on with: scorefield {' '.join(map(str, words))} --resume"
    assert {name for name in there if "/" not in name} == {"plan.json", "dataset", "run", "samples"}
    assert not [p for p in out.parent.iterdir() if p != out]


def test_a_resumed_run_completes_and_keeps_what_was_finished(ran, run_folder):
    out, _, there, second, _ = ran
    now = contents(out)
    assert {name: now[name] for name in there} == there
    assert {name for name in now if "/" not in name} == {"plan.json", *pipeline.PARTS}
    metrics = strict((out / "report/metrics.json").read_text())
    assert set(metrics) == {"samples", "simulation"}
    assert "training" not in second.err
    assert f"report: {out}/report/index.html" in second.out
    assert (out / "run/model.safetensors").read_bytes() == (run_folder / "model.safetensors").read_bytes()
    assert not [name for name in now if Path(name).name.startswith(".")]


def test_stages_are_one_line_each_where_there_is_no_terminal(ran):
    _, first, _, second, _ = ran
    assert [line.split()[0] for line in first.err.splitlines()] == ["training:", "sampling", "interrupted;"]
    lines = [line for line in second.err.splitlines() if not line.startswith("warning: ")]
    assert [line.split()[0] for line in lines] == ["simulating:", "evaluating"]


def test_a_finished_run_is_read_only(ran):
    out, *_, words = ran
    before = contents(out)
    again = ok(*words, "--resume", "--json")
    assert strict(again.out) == strict((out / "report/metrics.json").read_text())
    assert invoke(*words).code == 2
    assert contents(out) == before


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("--steps", 100), "training.steps = 300, not 100"),
        (("--seed", 1), "seed = 0, not 1"),
        (("--samples", 65), "samples = 64, not 65"),
        (("--replicas", 5), "replicas = 4, not 5"),
        (("--time-ps", 3), "time_ps = 2.0, not 3.0"),
        (("--save-ps", 0.4), "save_ps = 0.8, not 0.4"),
        (("--config", "paper/alanine"), "energy.kind = invariant, not graph_transformer"),
    ],
)
def test_going_on_with_other_settings_is_refused(ran, data_folder, toml, change, says):
    out = ran[0]
    before = contents(out)
    words = {"--config": toml} | dict(zip(SIZES[::2], SIZES[1::2], strict=True)) | {change[0]: change[1]}
    result = invoke("run", data_folder, "-o", out, *(w for pair in words.items() for w in pair), "--resume")
    assert result.code == 2
    assert says in result.err
    assert result.err.count("\n") == 1
    assert contents(out) == before


def test_going_on_with_other_data_is_refused(ran, toml):
    out = ran[0]
    result = invoke("run", "ala2", "-o", out, "--config", toml, *SIZES, "--resume")
    assert (result.code, "other data" in result.err) == (2, True)


def test_a_missing_part_amid_others_is_refused(ran, tmp_path):
    out, *_, words = ran
    (out / "samples").rename(tmp_path / "samples")
    result = invoke(*words, "--resume")
    (tmp_path / "samples").rename(out / "samples")
    assert result.code == 2
    assert f"to go on remove {out}/simulation, {out}/report" in result.err


def test_train(tmp_path, data_folder, toml, run_folder):
    result = ok("train", data_folder, "-o", tmp_path / "run", "--config", toml, "--json")
    said = strict(result.out)
    assert (said["run"], said["steps"]) == (str(tmp_path / "run"), 300)
    assert said["warnings"] == [line[len("warning: ") :] for line in result.err.splitlines()[1:]]
    assert (tmp_path / "run/model.safetensors").read_bytes() == (run_folder / "model.safetensors").read_bytes()


def test_the_seed_is_the_configurations_unless_given(tmp_path, data_folder, toml):
    other = tmp_path / "seed.toml"
    other.write_text(toml.read_text().replace("seed = 0", "seed = 3"))
    words = ("--resume", "-o", tmp_path / "missing")
    assert invoke("train", data_folder, "--config", other, *words).code == 2
    from scorefield.options import configured

    assert [configured(str(other), seed, None).seed for seed in (None, 0, 7)] == [3, 0, 7]


def test_sample(tmp_path, ran, run_folder):
    result = ok("sample", run_folder, "-n", 64, "-o", tmp_path / "a/samples", "--json")
    said = strict(result.out)
    assert said["frames"] + said["lost"] == 64
    assert said["settings"]["evaluations"] == 16
    found = load_frames(tmp_path / "a/samples").trajectory.positions
    assert np.array_equal(found, load_frames(ran[0] / "samples").trajectory.positions)  # the same seed


@pytest.mark.parametrize("start", ["folder", "dataset", "pdb"])
def test_simulate_from_given_frames(tmp_path, ran, run_folder, data_folder, start):
    write_pdb(tmp_path / "start.pdb", tiny.MOLECULE, tiny.positions(1, 5)[0])
    starts = {"folder": ran[0] / "samples", "dataset": data_folder, "pdb": tmp_path / "start.pdb"}
    words = ("--replicas", 4, "--time-ns", 0.002, "--save-ps", 0.8, "--start", starts[start], "--level", "auto")
    result = ok("simulate", run_folder, "-o", tmp_path / "out", *words)
    assert result.out == f"{tmp_path}/out: 8 frames of 4 replicas, 0 lost\n"
    frames = load_frames(tmp_path / "out")
    assert (frames.trajectory.chain_lengths, frames.trajectory.interval) == ((2,) * 4, pytest.approx(0.8))
    assert frames.settings["start"] == str(starts[start])
    assert frames.settings["level_nm"] == load_model(run_folder).levels.chosen_nm
    assert frames.settings["warnings"] == []
    if start == "pdb":  # one frame, four replicas, each with its own noise
        assert len(np.unique(frames.trajectory.positions[::2, 0, 0])) == 4


def test_another_temperature_is_a_warning(tmp_path, run_folder):
    words = ("--replicas", 4, "--time-ns", 0.002, "--save-ps", 0.8, "--temperature", 350)
    result = ok("simulate", run_folder, "-o", tmp_path / "out", *words, "--json")
    (warning,) = load_frames(tmp_path / "out").settings["warnings"]
    assert f"warning: {warning}" in result.err.splitlines()
    assert "thermostat at 350 K" in warning
    assert strict(result.out)["frames"] == 8
    assert load_frames(tmp_path / "out").trajectory.temperature == 350


def test_evaluate(tmp_path, ran, data_folder):
    words = (f"one={ran[0]}/samples", f"other={ran[0]}/simulation", "--reference", data_folder, "-o")
    result = ok("evaluate", *words, tmp_path / "report")
    assert f"{tmp_path}/report/index.html" in result.out
    assert set(strict((tmp_path / "report/metrics.json").read_text())) == {"one", "other"}
    assert strict(ok("evaluate", *words, tmp_path / "again", "--json").out).keys() == {"one", "other"}


def test_prepare(tmp_path):
    files = [saved(peptide(3, 40, seed), tmp_path / f"{seed}.xtc") for seed in range(3)]
    words = ("--top", saved(peptide(3, 1), tmp_path / "top.pdb"), "--map", "ca", "--temperature", 300)
    result = ok("prepare", *files, *words, "-o", tmp_path / "data")
    assert f"{tmp_path}/data: 120 frames of 3 beads, 3 chains" in result.out
    said = strict(ok("prepare", *files, *words, "-o", tmp_path / "again", "--json").out)
    assert said["frames"] == 120
    assert {"equilibrium", "warnings"} <= said.keys()
    assert strict(ok("info", tmp_path / "data", "--json").out)["splits"] == {"train": 1, "validation": 1, "test": 1}


def test_info_says_what_every_folder_is(ran, data_folder, run_folder):
    out = ran[0]
    kinds = {
        data_folder: "dataset",
        run_folder: "run",
        out / "samples": "samples",
        out / "simulation": "simulation",
        out / "report": "report",
        out: "output of scorefield run",
    }
    for folder, kind in kinds.items():
        assert strict(ok("info", folder, "--json").out)["kind"] == kind
        assert f"kind: {kind}" in ok("info", folder).out
    assert strict(ok("info", out, "--json").out)["state"] == "finished"
    run = strict(ok("info", run_folder, "--json").out)
    assert run["config"]["training"]["steps"] == run["training"]["steps"] == 300
    assert run["written_by"].keys() == {"scorefield", "jax", "numpy"}


def test_info_on_a_training_under_way(tmp_path, run_folder):
    for file in run_folder.iterdir():
        if not file.name.startswith("model"):
            (tmp_path / file.name).write_bytes(file.read_bytes())
    assert strict(ok("info", tmp_path, "--json").out)["kind"] == "checkpoint"
    assert "--resume" in invoke("sample", tmp_path, "-n", 1, "-o", tmp_path / "out").err


def test_systems_help_and_version():
    assert "ala2" in strict(ok("systems", "--json").out)
    assert "ala2" in ok("systems").out
    for words in ((), ("--help",), ("train", "--help"), ("simulate", "--help")):
        assert "Usage" in ok(*words).out
    assert ok("--version").out.strip() == "0.1.0"


def test_the_command_itself_says_one_line_without_traceback(tmp_path):
    found = subprocess.run([COMMAND, "info", tmp_path / "nothing"], capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr == f"error: {tmp_path}/nothing is not a folder\n"


def test_a_reader_that_has_enough_is_no_error():
    found = subprocess.run(f"'{COMMAND}' --help | head -n 1", shell=True, capture_output=True, text=True)
    assert "Traceback" not in found.stderr


def test_a_terminal_that_cannot_write_a_letter_is_no_error(tmp_path):
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    found = subprocess.run([COMMAND, "info", tmp_path / "Ångström"], capture_output=True, text=True, env=environment)
    assert (found.returncode, found.stderr) == (2, f"error: {tmp_path}/?ngstr?m is not a folder\n")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_training_with_one_line_on_how_to_go_on(tmp_path, data_folder, toml, number, code):
    words = ["train", str(data_folder), "-o", "run", "--config", str(toml), "--steps", "300"]
    heard = lambda: signal.signal(number, signal.SIG_DFL)  # a job in the background may have been started deaf to it
    process = subprocess.Popen([COMMAND, *words], cwd=tmp_path, stderr=subprocess.PIPE, text=True, preexec_fn=heard)
    deadline = time.monotonic() + 120
    while not (tmp_path / "run").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    _, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (code, f"interrupted; go on with: scorefield {' '.join(words)} --resume\n")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run"]
    assert not list((tmp_path / "run").glob(".*"))
    result = invoke("train", data_folder, "-o", tmp_path / "run", "--config", toml, "--resume")
    assert result.code == 0
