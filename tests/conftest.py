"""Settings of every test run, and what is made once for many tests.

Arrays of different rank are never broadcast silently; what is compiled is compiled once, for subprocesses too. The processor
is eight devices, of which most tests use the first.
"""

import os
import tempfile
from pathlib import Path

import jax
import pytest
import tiny

from scorefield.dataset import write_dataset
from scorefield.train import train

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_num_cpu_devices", 8)

if "PYTEST_XDIST_WORKER" not in os.environ:  # workers have that of the process that started them
    _CACHE = tempfile.TemporaryDirectory(prefix="scorefield-tests-", ignore_cleanup_errors=True)
    os.environ |= {"JAX_COMPILATION_CACHE_DIR": _CACHE.name, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.2"}
jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory) -> Path:
    """The DATASET folder of `tiny.dataset()`; to be read only."""
    folder = tmp_path_factory.mktemp("tiny") / "data"
    write_dataset(tiny.dataset(), folder)
    return folder


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory) -> Path:
    """The RUN folder of an uninterrupted training of `tiny.config()` on `tiny.dataset()`; to be read only."""
    folder = tmp_path_factory.mktemp("tiny") / "run"
    train(tiny.dataset(), tiny.config(), folder)
    return folder
