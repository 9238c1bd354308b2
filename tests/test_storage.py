import errno
import json
import os
import pickle
import shutil
import subprocess

import jax
import numpy as np
import pytest
import tiny

from scorefield import storage
from scorefield.dataset import write_dataset
from scorefield.errors import InputError
from scorefield.extras import versions
from scorefield.frames import Frames, write_frames
from scorefield.storage import (
    VERSION,
    describe,
    new_folder,
    read_array,
    read_json,
    refuse_existing,
    write_array,
    write_json,
    write_text,
)
from scorefield.tensors import load_tree, save_tree

X = np.arange(24, dtype=np.float32).reshape(4, 2, 3)


def names(path):
    return sorted(p.name for p in path.iterdir())


def test_a_folder_appears_whole(tmp_path):
    with new_folder(tmp_path / "a/b/out") as draft:
        (draft / "file").write_text("content")
        assert not (tmp_path / "a/b/out").exists()
    assert (tmp_path / "a/b/out/file").read_text() == "content"
    assert names(tmp_path / "a/b") == ["out"]
    assert (tmp_path / "a/b/out").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("error", [ValueError, InputError, KeyboardInterrupt, SystemExit, MemoryError])
def test_a_folder_that_fails_leaves_nothing(tmp_path, error):
    def fail():
        with new_folder(tmp_path / "out") as draft:
            (draft / "file").write_text("content")
            raise error("no")

    with pytest.raises(error):
        fail()
    assert names(tmp_path) == []


def test_a_folder_made_meanwhile_is_not_replaced(tmp_path):
    def race():
        with new_folder(tmp_path / "out"):
            (tmp_path / "out").mkdir()

    with pytest.raises(InputError, match="exists already"):
        race()
    assert names(tmp_path) == ["out"]


def test_what_exists_or_cannot_be_made_is_refused_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for path, says in (
        (tmp_path, "exists already"),
        (tmp_path / "file", "exists already"),
        (tmp_path / "link", "exists already"),
        (tmp_path / "file/out", "is not a folder"),
        (tmp_path / "file/a/b/out", "is not a folder"),
        (tmp_path / ("x" * 300), "name too long"),
    ):
        with pytest.raises(InputError, match=says):
            refuse_existing(path)
    assert refuse_existing(tmp_path / "new/out") == tmp_path / "new/out"
    assert names(tmp_path) == ["file", "link"]


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind root")
def test_a_folder_without_permission_is_refused_at_once(tmp_path):
    (tmp_path / "closed").mkdir(mode=0o555)
    with pytest.raises(InputError, match="no permission to write"):
        refuse_existing(tmp_path / "closed/out")


def test_a_failed_replacement_keeps_what_was_there(tmp_path, monkeypatch):
    write_json(tmp_path / "a.json", {"a": 1})

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(storage.os, "replace", full)
    with pytest.raises(InputError, match=r"a\.json: the disk is full; nothing was overwritten"):
        write_json(tmp_path / "a.json", {"a": 2})
    with pytest.raises(InputError, match="the disk is full"):
        save_tree(tmp_path / "b", {"a": X})
    assert names(tmp_path) == ["a.json"]
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": 1}


def test_numbers_that_json_lacks_are_never_written(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"a": float("nan")})
    assert names(tmp_path) == []


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    if (
        not mount
        or subprocess.run([mount, "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True).returncode
    ):
        pytest.skip("needs the right to mount a small file system")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_full_disk_is_one_line_and_leaves_nothing(small_disk):
    data = tiny.dataset()
    frames = Frames(data.trajectory, "samples", 2000, 0, {})
    (small_disk / "kept").write_text("content")
    for write in (
        lambda: write_dataset(data, small_disk / "data"),
        lambda: write_frames(frames, small_disk / "frames"),
        lambda: save_tree(small_disk / "tree", {"a": np.zeros(100_000)}),
        lambda: write_text(small_disk / "kept", "x" * 100_000),
    ):
        with pytest.raises(InputError, match="the disk is full") as error:
            write()
        assert "\n" not in str(error.value)
        assert names(small_disk) == ["kept"]
    assert (small_disk / "kept").read_text() == "content"


@pytest.mark.parametrize("free", [0, 30_000, 50_000])
def test_frames_that_do_not_fit_leave_nothing_wherever_they_break(small_disk, free):
    """The disk fills up in the arrays, the PDB or the XTC."""
    trajectory = tiny.dataset().trajectory.thin(600)
    (small_disk / "ballast").write_bytes(bytes(64 * 1024 - 8192 - free))
    with pytest.raises(InputError, match="the disk is full"):
        write_frames(Frames(trajectory, "samples", 600, 0, {}), small_disk / "frames")
    assert names(small_disk) == ["ballast"]


def test_arrays_come_back(tmp_path):
    write_array(tmp_path / "x.npy", X.astype(np.float64))
    assert np.array_equal(read_array(tmp_path / "x.npy", X.shape), X)
    assert np.array_equal(np.load(tmp_path / "x.npy"), X)
    write_array(tmp_path / "w.npy", X[:, 0, 0])
    assert np.array_equal(read_array(tmp_path / "w.npy", (4,)), X[:, 0, 0])


def saved(array):
    def write(path):
        np.save(path, array, allow_pickle=True)

    return write


def header(text):
    def write(path):
        head = (text + "\n").encode()
        path.write_bytes(b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + bytes(96))

    return write


DAMAGE = {
    "missing": lambda path: None,
    "a folder": lambda path: path.mkdir(),
    "empty": lambda path: path.write_bytes(b""),
    "garbage": lambda path: path.write_bytes(np.random.default_rng(0).bytes(1000)),
    "text": lambda path: path.write_text("positions"),
    "a pickle": lambda path: path.write_bytes(pickle.dumps(X)),
    "pickled objects": saved(np.array([{"a": 1}, print], dtype=object)),
    "another shape": saved(X[:3]),
    "another type": saved(X.astype(np.float64)),
    "big endian": saved(X.astype(">f4")),
    "a zip": lambda path: np.savez(path.open("wb"), X),
    "a shape beyond the file": header("{'descr': '<f4', 'fortran_order': False, 'shape': (4, 2, 300)}"),
    "a huge shape": header(f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({10**12}, {10**12})}}"),
    "a negative shape": header("{'descr': '<f4', 'fortran_order': False, 'shape': (-4, 2, 3)}"),
    "a shape of truths": header("{'descr': '<f4', 'fortran_order': False, 'shape': (True, None, 3)}"),
    "deep brackets": header("(" * 900),
    "a call": header("{'descr': __import__('os').abort(), 'fortran_order': False, 'shape': (4, 2, 3)}"),
    "no such type": header("{'descr': 'zz', 'fortran_order': False, 'shape': (4, 2, 3)}"),
    "objects": header("{'descr': '|O', 'fortran_order': False, 'shape': (4, 2, 3)}"),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_array_is_refused(tmp_path, damage):
    damage(tmp_path / "x.npy")
    with pytest.raises(InputError, match=r"x\.npy") as error:
        read_array(tmp_path / "x.npy", X.shape)
    assert "\n" not in str(error.value)


def test_a_truncated_array_is_refused_wherever_it_is_cut(tmp_path):
    write_array(tmp_path / "x.npy", X)
    whole = (tmp_path / "x.npy").read_bytes()
    for n in range(0, len(whole), 7):
        (tmp_path / "x.npy").write_bytes(whole[:n])
        with pytest.raises(InputError):
            read_array(tmp_path / "x.npy", X.shape)


def test_descriptions_come_back_with_what_wrote_them(tmp_path):
    write_json(tmp_path / "a.json", describe("thing", value=[1, "Å"]))
    found = read_json(tmp_path / "a.json", "thing")
    assert (found["value"], found["version"]) == ([1, "Å"], VERSION)
    assert set(found["versions"]) == {"scorefield", "jax", "numpy"}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "missing or unreadable"),
        (b"", "damaged"),
        (b"{", "damaged"),
        (b"\xff\xfe", "damaged"),
        (b"[" * 100_000, "damaged"),
        (b'{"a":' * 50_000, "damaged"),
        (b"[]", "does not describe"),
        (b'"scorefield-thing"', "does not describe"),
        (b"{}", "does not describe"),
        (b'{"format": "scorefield-other", "version": 1}', "does not describe"),
        (b'{"format": ["scorefield-thing"], "version": 1}', "does not describe"),
        (b'{"format": "scorefield-thing"}', "version None"),
        (b'{"format": "scorefield-thing", "version": 2}', "version 2; this release reads 1"),
        (b'{"format": "scorefield-thing", "version": "1"}', "version '1'"),
        (b'{"format": "scorefield-thing", "version": 1' + b"0" * 5000 + b"}", "damaged"),
    ],
)
def test_a_damaged_description_is_refused(tmp_path, content, says):
    if content is not None:
        (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(InputError, match=says) as error:
        read_json(tmp_path / "a.json", "thing")
    assert "\n" not in str(error.value)


TREE = {"weights": X, "deep": [np.float32(1.5), np.arange(3)]}


def test_trees_come_back(tmp_path):
    save_tree(tmp_path / "t", TREE)
    found = load_tree(tmp_path / "t", TREE)
    assert all(np.array_equal(a, b) for a, b in ((found["weights"], X), (found["deep"][1], np.arange(3))))
    assert names(tmp_path) == ["t"]


@pytest.mark.parametrize(
    "tree",
    [
        {"weights": X},
        {**TREE, "more": X},
        {**TREE, "weights": X[:1]},
        {**TREE, "weights": X.astype(np.float64)},
        {**TREE, "weights": X * np.nan},
        {**TREE, "weights": X + np.inf},
    ],
)
def test_a_tree_of_other_arrays_is_refused(tmp_path, tree):
    save_tree(tmp_path / "t", tree)
    with pytest.raises(InputError, match="t"):
        load_tree(tmp_path / "t", TREE)


def test_a_damaged_tree_is_refused(tmp_path):
    save_tree(tmp_path / "t", TREE)
    whole = (tmp_path / "t").read_bytes()
    n = int.from_bytes(whole[:8], "little")
    for damaged in (
        b"",
        whole[:5],
        whole[: len(whole) // 2],
        whole[:-1],
        whole + b"x",
        (2**62).to_bytes(8, "little") + whole[8:],
        whole[:8] + b"{" * n + whole[8 + n :],
        np.random.default_rng(0).bytes(len(whole)),
        pickle.dumps(TREE),
    ):
        (tmp_path / "t").write_bytes(damaged)
        with pytest.raises(InputError) as error:
            load_tree(tmp_path / "t", TREE)
        assert "\n" not in str(error.value)
    (tmp_path / "t").unlink()
    with pytest.raises(InputError, match="missing"):
        load_tree(tmp_path / "t", TREE)


def test_run_from_its_sources_a_package_has_no_version():
    assert versions("scorefield-that-nobody-installed", "jax") == {
        "scorefield-that-nobody-installed": "not installed",
        "jax": jax.__version__,
    }
