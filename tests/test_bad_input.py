"""Every command, given what it cannot use: exit code 2, one line that says why, nothing written, nothing changed."""

import re
import shutil

import numpy as np
import pytest
import tiny
from backbones import chain_molecule
from commands import assert_refused, contents, invoke
from hypothesis import given, settings
from hypothesis import strategies as st
from peptides import peptide, saved

from scorefield.dataset import Dataset, write_dataset
from scorefield.frames import Frames, write_frames
from scorefield.structure import write_pdb
from scorefield.trajectory import Trajectory


@pytest.fixture(scope="module")
def place(tmp_path_factory, data_folder, run_folder):
    """A folder with one of everything."""
    here = tmp_path_factory.mktemp("place")
    shutil.copytree(data_folder, here / "data")
    shutil.copytree(run_folder, here / "run")
    shutil.copytree(run_folder, here / "unfinished", ignore=shutil.ignore_patterns("model*"))
    frames = Frames(Trajectory(tiny.MOLECULE, tiny.positions(8, 1), (8,), 300.0), "samples", 8, 0, {})
    write_frames(frames, here / "samples")
    other = chain_molecule(("CA",) * 5)
    write_frames(Frames(tiny.dataset(0, other).trajectory, "samples", 2000, 0, {}), here / "others")
    write_dataset(tiny.dataset(0, other), here / "otherdata")
    alone = tiny.dataset()
    write_dataset(Dataset(alone.trajectory, ("train",) * 4, alone.sources, "ca"), here / "trainonly")
    write_pdb(here / "beads5.pdb", other, tiny.positions(1, 0, other)[0])
    write_pdb(here / "angstrom.pdb", tiny.MOLECULE, 10 * tiny.positions(1, 0)[0])
    saved(peptide(3, 1), here / "top.pdb")
    saved(peptide(3, 20), here / "t.xtc")
    saved(peptide(2, 20), here / "small.xtc")
    nan = peptide(3, 20)
    nan.xyz[3, nan.topology.select("name CA")[1], 1] = np.nan
    saved(nan, here / "nan.dcd")
    (here / "cut.xtc").write_bytes((here / "t.xtc").read_bytes()[:-50])
    (here / "file").write_text("hello\n")
    (here / "garbage").write_bytes(np.random.default_rng(0).bytes(500))
    (here / "bad.toml").write_text("[training]\nbatches = 3\n")
    (here / "empty").mkdir()
    shutil.copytree(run_folder, here / "cutmodel")
    (here / "cutmodel/model.safetensors").write_bytes(b"cut")
    shutil.copytree(run_folder, here / "newer")
    text = (here / "newer/model.json").read_text()
    (here / "newer/model.json").write_text(re.sub('"version": [0-9]+,', '"version": 999,', text, count=1))
    return here


PREPARE = "prepare t.xtc --top top.pdb --map ca --temperature 300 -o out"
SIMULATE = "simulate run -o out --time-ns 0.002"
RUN = "run data -o out"
BAD = {
    # command line
    "prepares t.xtc": "prepares",
    "--nothing": "nothing",
    "systems --nothing": "nothing",
    "systems ala2": "ala2",
    "train": "DATASET",
    "train data": "run exists already",
    "train data -o": "-o",
    "sample run": "samples exists already",
    "simulate run -o samples": "exists already",
    "sample run -n few -o out": "few",
    "sample run -n 1.5 -o out": "1.5 is not a whole number",
    "sample run -n 1e30 -o out": "1e30 is not a whole number",
    "prepare -o out --map ca --temperature 300": "TRAJECTORIES",
    # prepare
    PREPARE.replace("t.xtc", "missing.xtc"): "missing.xtc does not exist",
    PREPARE.replace("t.xtc", "empty"): "holds no trajectories",
    PREPARE.replace("t.xtc", "file"): "file",
    PREPARE.replace("t.xtc", "cut.xtc"): "cut.xtc",
    PREPARE.replace("t.xtc", "nan.dcd"): "nan.dcd",
    PREPARE.replace("t.xtc", "small.xtc"): "small.xtc",
    PREPARE.replace("top.pdb", "missing.pdb"): "missing.pdb",
    PREPARE.replace("top.pdb", "garbage"): "garbage",
    PREPARE.replace(" --map ca", ""): "--map",
    PREPARE.replace("--map ca", "--map resname=LYS"): "LYS",
    PREPARE.replace("--map ca", "--map name(CA"): "CA",
    PREPARE.replace("--map ca", "--map missing.json"): "missing.json",
    PREPARE.replace(" --temperature 300", ""): "--temperature",
    PREPARE.replace("300", "nan"): "temperature",
    PREPARE.replace("300", "-1"): "temperature",
    PREPARE.replace("300", "warm"): "warm",
    PREPARE + " --system ubiquitin": "there are: chignolin",
    PREPARE + " --system chignolin": "residues are missing, or it is another protein",
    PREPARE + " --native missing.pdb": "missing.pdb",
    PREPARE + " --native t.xtc": "not a structure",
    PREPARE + " --stride 0": "stride",
    PREPARE + " --interval nan": "interval",
    PREPARE + " --interval -1": "interval",
    PREPARE + " --split 0.5 0.5 0.5": "split",
    PREPARE + " --split nan 0 1": "split",
    PREPARE + " --split 1 0": "split",
    PREPARE + " --weights missing.npy": "missing.npy",
    PREPARE + " --weights garbage": "garbage",
    PREPARE.replace("-o out", "-o data"): "exists already",
    PREPARE.replace("-o out", "-o file/out"): "not a folder",
    # train
    "train missing -o out": "missing",
    "train file -o out": "file",
    "train samples -o out": "dataset",
    "train trainonly -o out": "validation",
    "train data -o out --config nothing": "paper/alanine",
    "train data -o out --config bad.toml": "training.batches",
    "train data -o out --config garbage": "garbage",
    "train data -o out --config empty": "empty",
    "train data -o out --steps 0": "--steps",
    "train data -o out --steps many": "many",
    "train data -o out --seed -1": "--seed",
    "train data -o out --seed 99999999999": "--seed",
    "train data -o run": "exists already",
    "train data -o file": "exists already",
    "train data -o file/out": "not a folder",
    "train data -o out --resume": "no checkpoint",
    "train data -o samples --resume": "no checkpoint",
    "train data -o run --resume": "energy.width = 16, not 128",
    "train otherdata -o run --resume": "other data",
    "train data -o out --from missing": "missing",
    "train data -o out --from samples": "run folder",
    "train otherdata -o out --from run": "another molecule",
    "train data -o run --from run --resume": "give the same --from",
    # sample
    "sample missing -n 5 -o out": "missing",
    "sample data -n 5 -o out": "model.json",
    "sample file -n 5 -o out": "file",
    "sample unfinished -n 5 -o out": "--resume",
    "sample cutmodel -n 5 -o out": "sha256",
    "sample newer -n 5 -o out": "version 999",
    "sample run -n 0 -o out": "--number is 0",
    "sample run -n -5 -o out": "--number is -5",
    "sample run -n 5 -o out --steps 0": "--steps",
    "sample run -n 5 -o out --seed -1": "--seed",
    "sample run -n 5 -o samples": "exists already",
    "sample run -n 5 -o file/a/b": "not a folder",
    "sample run -n 5 -o " + 300 * "x": "name too long",
    # simulate
    SIMULATE.replace("run", "missing", 1): "missing",
    SIMULATE.replace("0.002", "nan"): "--time-ns",
    SIMULATE.replace("0.002", "inf"): "--time-ns",
    SIMULATE.replace("0.002", "-1"): "--time-ns",
    SIMULATE.replace("0.002", "0"): "--time-ns",
    SIMULATE.replace("0.002", "1e30"): "more than 2e+09 steps",
    SIMULATE.replace("-o out", "-o data"): "exists already",
    SIMULATE.replace("-o out", "-o file/out"): "not a folder",
    SIMULATE + " --replicas 0": "--replicas",
    SIMULATE + " --save-ps 1e9": "--save-ps",
    SIMULATE + " --save-ps nan": "--save-ps",
    SIMULATE + " --dt-fs 0": "--dt-fs",
    SIMULATE + " --dt-fs 1e9": "step of 1e+09 fs",
    SIMULATE + " --dt-fs 1e-300": "more than 2e+09 steps",
    SIMULATE + " --friction -1": "--friction",
    SIMULATE + " --friction nan": "--friction",
    SIMULATE + " --level 0": "--level",
    SIMULATE + " --level inf": "--level",
    SIMULATE + " --mass 0": "--mass",
    SIMULATE + " --temperature nan": "--temperature",
    SIMULATE + " --temperature -300": "--temperature",
    SIMULATE + " --start missing": "--start missing",
    SIMULATE + " --start file": "--start file",
    SIMULATE + " --start garbage": "--start garbage",
    SIMULATE + " --start t.xtc": "--start t.xtc",
    SIMULATE + " --start empty": "empty",
    SIMULATE + " --start beads5.pdb": "has 5 beads, the model 4",
    SIMULATE + " --start angstrom.pdb": "Ångström",
    SIMULATE + " --start others": "another molecule",
    SIMULATE + " --start otherdata": "another molecule",
    # evaluate
    "evaluate --reference data -o out": "CANDIDATES",
    "evaluate samples --reference data -o out": "NAME=FOLDER",
    "evaluate =samples --reference data -o out": "NAME=FOLDER",
    "evaluate a= --reference data -o out": "NAME=FOLDER",
    "evaluate a=samples a=samples --reference data -o out": "once",
    "evaluate a=missing --reference data -o out": "missing",
    "evaluate a=data --reference data -o out": "frames folder",
    "evaluate a=others --reference data -o out": "another molecule",
    "evaluate a=samples --reference missing -o out": "missing",
    "evaluate a=samples --reference samples -o out": "dataset folder",
    "evaluate a=samples --reference trainonly -o out": "test",
    "evaluate a=samples --reference data -o data": "exists already",
    "evaluate a=samples --reference data -o file/out": "not a folder",
    # verify
    "verify missing -o out": "missing",
    "verify run -o data": "exists already",
    "verify run -o out --reference missing": "missing",
    "verify run -o out --reference otherdata": "molecule",
    "verify run -o out --samples 0": "samples",
    "verify run -o out --replicas -1": "replicas",
    "verify run -o out --time-ps nan": "time",
    # run
    "run missing -o out": "ala2",
    "run samples -o out": "ala2",
    "run trainonly -o out": "validation",
    RUN.replace("-o out", "-o data"): "exists already",
    RUN.replace("-o out", "-o file/out"): "not a folder",
    RUN.replace("-o out", "-o run") + " --resume": "plan.json",
    RUN + " --config nothing": "paper/alanine",
    RUN + " --steps -1": "--steps",
    RUN + " --samples 0": "--samples",
    RUN + " --replicas 0": "--replicas",
    RUN + " --time-ps nan": "--time-ps",
    RUN + " --time-ps 0.1": "--save-ps",
    RUN + " --save-ps 1e9": "--save-ps",
    RUN + " --seed -1": "--seed",
    # info
    "info missing": "not a folder",
    "info file": "not a folder",
    "info empty": "not a folder that scorefield wrote",
    "info newer": "version 999",
}


@pytest.mark.parametrize(("line", "says"), BAD.items(), ids=[line[:70] for line in BAD])
def test_bad_input_is_one_line_and_changes_nothing(place, monkeypatch, line, says):
    monkeypatch.chdir(place)
    before = contents(place)
    result = invoke(*(word.replace("=LYS", " LYS") for word in line.split(" ")))
    after = contents(place)
    shutil.rmtree(place / "out", ignore_errors=True)  # one failure must not be many
    assert_refused(result)
    assert says in result.err
    assert after == before


WORDS = st.sampled_from(
    [
        *(
            "prepare",
            "train",
            "sample",
            "simulate",
            "evaluate",
            "verify",
            "run",
            "systems",
            "info",
            "--help",
            "--version",
        ),
        *(
            "-o",
            "out",
            "--out=x",
            "-n",
            "--json",
            "--resume",
            "--map",
            "ca",
            "--temperature",
            "--split",
            "--steps",
            "--",
        ),
        *("--time-ns", "--start", "--reference", "a=b", "--config", "missing", ".", "/", "0", "-1", "nan", "1e400", ""),
        *(
            "-",
            "---",
            "--seed",
            "--no-json",
            "--json=maybe",
            "\x00",
            "Å",
            "*",
            "$HOME",
            "[red]",
            "'",
            '"',
            "{}",
            "a\nb",
        ),
    ]
)


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.lists(WORDS | st.text(max_size=6), max_size=7))
def test_any_words_are_understood_or_refused(tmp_path_factory, words):
    empty = tmp_path_factory.getbasetemp() / "nothing-here"
    empty.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(empty)
        result = invoke(*words)
    assert result.code in (0, 2)
    if result.code == 2:
        assert_refused(result)
    assert not list(empty.iterdir())
