"""Ways in which a description (JSON) or a file is damaged: shared by the tests of what we read back."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

VALUES = [
    None,
    True,
    -1,
    0,
    10**30,
    -1.5,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "../../etc/passwd",
    "NaN",
    "\x00",
    [],
    [[]],
    [None],
    [1, "a"],
    {},
    {"a": {}},
]

_scalars = st.sampled_from(VALUES) | st.integers() | st.floats() | st.text(max_size=5)
anything = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner), max_leaves=5
)


def paths(data: Any, start: tuple = ()) -> Iterator[tuple]:
    """Where there is something to damage: keys and indices into nested plain types (two of a long list)."""
    keys = list(data) if isinstance(data, dict) else range(min(len(data), 2)) if isinstance(data, list) else ()
    for key in keys:
        yield (*start, key)
        yield from paths(data[key], (*start, key))


def changed(data: Any, path: tuple, value: Any) -> Any:
    """A copy of `data` with `value` at `path`."""
    copied = copy.deepcopy(data)
    target = copied
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    return copied


def without(data: Any, path: tuple) -> Any:
    """A copy of `data` without what is at `path`."""
    copied = copy.deepcopy(data)
    target = copied
    for key in path[:-1]:
        target = target[key]
    del target[path[-1]]
    return copied


def damage_file(path: Path) -> Iterator[str]:
    """Damage the file in one way after another, saying how; put it right at the end."""
    whole = path.read_bytes()
    for how, content in {
        "empty": b"",
        "cut": whole[: len(whole) // 2],
        "one byte short": whole[:-1],
        "longer": whole + b"\0",
        "one bit": whole[:-3] + bytes([whole[-3] ^ 1]) + whole[-2:],
        "garbage": np.random.default_rng(0).bytes(len(whole)),
    }.items():
        path.write_bytes(content)
        yield how
    path.unlink()
    yield "missing"
    path.mkdir()
    yield "a folder"
    path.rmdir()
    path.write_bytes(whole)
