"""Pytrees of arrays as safetensors files: named by their place in the tree, checked on reading."""

import errno
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
from safetensors.numpy import load_file, save_file

from .errors import InputError
from .storage import replacing

Tree = TypeVar("Tree")


def save_tree(path: Path, tree: object) -> None:
    """Write every array of `tree` to `path` by atomic rename. Raises InputError if the disk does not take it."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    save_arrays(path, {jax.tree_util.keystr(k): v for k, v in leaves if _is_array(v)})


def save_arrays(path: Path, named: Mapping[str, Any]) -> None:
    """Write arrays with names to `path` by atomic rename. Raises InputError if the disk does not take them."""
    arrays = {name: np.array(value, order="C") for name, value in named.items()}
    with replacing(path) as draft:
        try:
            save_file(arrays, draft)
        except safetensors.SafetensorError as error:
            code = errno.ENOSPC if "No space" in str(error) else errno.EIO
            raise OSError(code, str(error), str(path)) from None
        draft.chmod(0o644)


def load_tree(path: Path, like: Tree) -> Tree:
    """The tree of `path`, of the structure, shapes and types of `like`. Raises InputError as `load_arrays` does."""
    leaves, structure = jax.tree_util.tree_flatten_with_path(like)
    arrays = load_arrays(path, {jax.tree_util.keystr(k): v for k, v in leaves if _is_array(v)})
    values = [jnp.asarray(arrays[jax.tree_util.keystr(k)]) if _is_array(v) else v for k, v in leaves]
    return jax.tree_util.tree_unflatten(structure, values)


def load_arrays(path: Path, wanted: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The arrays of `path`, with the names, shapes and types of `wanted`.

    Raises InputError if the file is missing or damaged, or an array is missing, left over, of another shape or type, or
    not finite.
    """
    try:
        arrays = load_file(path)
    except OSError:
        raise InputError(f"{path} is missing or unreadable") from None
    except (safetensors.SafetensorError, ValueError, KeyError):
        raise InputError(f"{path} is damaged: not a safetensors file or cut short") from None
    if arrays.keys() != wanted.keys():
        name = sorted(arrays.keys() ^ wanted.keys())[0]
        raise InputError(f"{path} does not fit its description: {name} is missing or left over")
    for name, array in arrays.items():
        if array.shape != wanted[name].shape or array.dtype != wanted[name].dtype:
            raise InputError(f"{path}: {name} is {array.dtype}{array.shape}, not as described")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise InputError(f"{path}: {name} has values that are not finite; make the folder anew")
    return arrays


def fingerprint(tree: object) -> str:
    """Hexadecimal SHA-256 of the names, shapes and values of all arrays of `tree`."""
    digest = hashlib.sha256()
    for key, value in jax.tree_util.tree_flatten_with_path(tree)[0]:
        if _is_array(value):
            array = np.asarray(value, order="C")
            digest.update(f"{jax.tree_util.keystr(key)} {array.dtype} {array.shape};".encode())
            digest.update(array.tobytes())
    return digest.hexdigest()


def _is_array(leaf: object) -> bool:
    return hasattr(leaf, "shape") and hasattr(leaf, "dtype")
