"""Where the time goes: what each part of a Langevin step and of a training step must compute and move, and how long it takes.

    python benchmarks/roofline.py [--systems alanine bba] [--batches 100] [--seconds 240] [--threads 1]

One device, the GPU if JAX has one, else `--threads` cores (0: all); the entries of other devices in
benchmarks/results/roofline.json stay. For every part of our default energy, untrained, on so many replicas at once:

flops     of the program as written (XLA's count; what calls LAPACK is counted in closed form, `roofline_parts`), with
          exponentials, logarithms and roots as one each
bytes     what has to be moved at least: arguments, weights, results
s         the least time of a call among repeats of 20 in one compiled loop
limit     max(flops / the rate of a large product of matrices, bytes / the rate of a copy), both measured here; of a copy
          in cache where the bytes fit into it
fraction  limit / s

`product` is the network's largest product of matrices and the rate of one of that shape alone. The whole step is that of the
package: its own loop, blocks and training call.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--systems", nargs="+", default=["alanine", "bba", "protein_g", "chignolin", "chain400"])
parser.add_argument("--batches", type=int, nargs="+", default=None, help="100; on a GPU also 1000 and 10000")
parser.add_argument("--seconds", type=float, default=None, help="after so long nothing new is begun: 240; on a GPU 70")
parser.add_argument("--threads", type=int, default=1, help="cores; 0: all")
ARGUMENTS = parser.parse_args() if __name__ == "__main__" else parser.parse_args([])
if ARGUMENTS.threads:
    os.environ["OMP_NUM_THREADS"] = str(ARGUMENTS.threads)
if ARGUMENTS.threads == 1:
    os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false"

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from record import RESULTS, bar, record  # noqa: E402
from roofline_parts import Part, langevin_parts, training_parts  # noqa: E402
from speed_sides import Ours  # noqa: E402

from scorefield.config import Config  # noqa: E402

COMMAND = "python benchmarks/roofline.py --systems {}"
LOOP, REPEATS = 20, 5
CACHE = {"cpu": 2**20, "gpu": 2**25}  # bytes that count as held there
LARGE = {"cpu": (1024, 2**25), "gpu": (8192, 2**28)}  # rows of the matrices, numbers that are copied
PLATFORM = jax.default_backend()


def main() -> None:
    """Measure the device, then system after system until the time is up; write after each."""
    begun, gpu = time.perf_counter(), PLATFORM == "gpu"
    budget = ARGUMENTS.seconds or (70.0 if gpu else 240.0)
    found: dict[str, Any] = {"threads": None if gpu else ARGUMENTS.threads or os.cpu_count(), "rates": machine_rates()}
    print(found, flush=True)
    found["cells"] = {}
    for batch in ARGUMENTS.batches or ((100, 1000, 10_000) if gpu else (100,)):
        for system in ARGUMENTS.systems:
            if time.perf_counter() - begun > budget:
                break
            try:
                found["cells"][f"{system}/{batch}"] = cell(system, batch, found["rates"])
            except Exception as error:  # memory, mostly
                found["cells"][f"{system}/{batch}"] = {"error": f"{type(error).__name__}: {str(error)[:200]}"}
            print(write(found), system, batch, round(time.perf_counter() - begun), "s", flush=True)


def machine_rates() -> dict[str, float]:
    """Measured: `flops` a second of a large product of float32 matrices, bytes a second of a `copy`, and of one in `cache`.

    On a GPU products are TF32 unless told otherwise, as in the package; `exact_flops` is the rate in full float32.
    """
    rows, numbers = LARGE[PLATFORM]
    found = {"flops": product_rate(rows, rows, rows)}
    if PLATFORM == "gpu":
        found["exact_flops"] = product_rate(rows, rows, rows, precision="highest")
    found |= {"copy": copy_rate(numbers), "cache": copy_rate(CACHE[PLATFORM] // 16)}
    return {name: figures(value) for name, value in found.items()}


def copy_rate(n: int) -> float:
    """Bytes a second, read and written, of a copy of `n` float32 numbers; on a processor by one of its cores."""
    if PLATFORM == "gpu":
        return 8 * n / seconds(lambda _, i, x: x * 1.5, (), (jnp.ones(n),))
    source, target = np.ones(n, np.float32), np.empty(n, np.float32)
    times = max(1, 2**24 // n)

    def copies() -> None:
        for _ in range(times):
            target[:] = source

    copies()
    return 8 * n * times / least(copies)


def product_rate(m: int, k: int, n: int, precision: str | None = None) -> float:
    """Flops a second of a product of matrices (m, k) and (k, n)."""
    matrices = jnp.ones((m, k)), jnp.ones((k, n))
    return 2 * m * k * n / seconds(lambda _, i, a, b: jnp.matmul(a, b, precision=precision), (), matrices)


def cell(system: str, batch: int, rates: dict[str, float]) -> dict[str, Any]:
    """All parts of both steps of a system, and the network's largest product alone."""
    side = Ours(Config(), system)
    found: dict[str, Any] = {}
    parts = {"langevin": langevin_parts(side.model, side.frames, batch)}
    parts["training"] = training_parts(side.model, side.config, side.frames, batch)
    flat = [(what, part) for what, several in parts.items() for part in several]
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:  # the compiler's time is most of it
        loops = list(threads.map(lambda entry: looped(entry[1].function, entry[1].tree, entry[1].inputs), flat))
    for (what, part), loop in zip(flat, loops, strict=True):
        found.setdefault(what, {})[part.name] = entry_of(part, least(loop) / LOOP, rates)
    for what, steps in (("langevin", 200), ("training", side.training_steps)):
        call, _ = side.work(what, batch)
        call()
        whole = least(call) / steps
        found[what]["whole step"] = whole_step(found[what], whole)
    network = next(part for part in parts["langevin"] if part.name == "network")
    m, k, n = max(network.products(), key=lambda shape: shape[0] * shape[1] * shape[2])
    return found | {"product": {"shape": [m, k, n], "flops": figures(product_rate(m, k, n))}}


def entry_of(part: Part, took: float, rates: dict[str, float]) -> dict[str, Any]:
    """One part's figures."""
    flops, moved = part.flops(), part.bytes()
    rate = rates["cache"] if moved <= CACHE[PLATFORM] else rates["copy"]
    limit = max(flops / rates["flops"], moved / rate)
    bound = "flops" if flops / rates["flops"] > moved / rate else "bytes"
    return {
        "flops": figures(flops),
        "bytes": figures(moved),
        "s": figures(took),
        "bound": bound,
        "fraction": figures(limit / took),
        "limit_s": figures(limit),
        "in_sum": part.in_sum,
    }


def whole_step(parts: dict[str, Any], took: float) -> dict[str, Any]:
    """The package's own step beside the sum of its parts."""
    of = [entry for entry in parts.values() if entry["in_sum"]]
    limit = sum(entry["limit_s"] for entry in of)
    return {
        "flops": figures(sum(entry["flops"] for entry in of)),
        "s": figures(took),
        "limit_s": figures(limit),
        "fraction": figures(limit / took),
        "parts_over_whole": figures(sum(entry["s"] for entry in of) / took),
    }


def looped(function: Callable[..., Any], tree: Any, inputs: tuple[Any, ...]) -> Callable[[], Any]:
    """A call of `LOOP` evaluations in one compiled loop, each waiting for the one before; compiled and run once.

    All of what is computed goes from round to round, or the compiler would leave out what is not looked at.
    """

    def evaluated(i: jax.Array, last: jax.Array, tree: Any, x: jax.Array, *rest: jax.Array) -> tuple[jax.Array, Any]:
        out = function(tree, i, x + last, *rest)
        some = sum(jnp.ravel(leaf)[0].astype(jnp.float32) for leaf in jax.tree.leaves(out) if leaf.size)
        return 1e-30 * jnp.nan_to_num(some, posinf=0.0, neginf=0.0), out

    @jax.jit
    def run(tree: Any, *inputs: jax.Array) -> tuple[jax.Array, Any]:
        like = jax.eval_shape(evaluated, jnp.int32(0), jnp.zeros(()), tree, *inputs)
        first = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), like)
        return jax.lax.fori_loop(0, LOOP, lambda i, carried: evaluated(i, carried[0], tree, *inputs), first)

    call = lambda: jax.block_until_ready(run(tree, *inputs))
    call()
    return call


def seconds(function: Callable[..., Any], tree: Any, inputs: tuple[Any, ...]) -> float:
    """Of one evaluation, in a loop."""
    return least(looped(function, tree, inputs)) / LOOP


def least(call: Callable[[], Any]) -> float:
    """The least seconds of a call among some; on one core of the processor, so that other work on it counts less."""
    clock = time.process_time if PLATFORM == "cpu" and ARGUMENTS.threads == 1 else time.perf_counter
    times = []
    for _ in range(REPEATS):
        start = clock()
        call()
        times.append(clock() - start)
    return min(times)


def write(found: dict[str, Any]) -> str:
    """Put this device's entries beside those of others."""
    path = RESULTS / "roofline.json"
    devices = json.loads(path.read_text())["devices"] if path.exists() else {}
    kind = jax.devices()[0].device_kind if PLATFORM == "gpu" else f"cpu, {found['threads']} threads"
    devices[kind] = found
    return str(record("roofline", bars(devices), seed=0, devices=devices))


def bars(devices: dict[str, Any]) -> list[dict[str, Any]]:
    """The fraction of the limit that whole steps and the force reach; nothing is demanded."""
    return [
        bar(
            f"{device}, {cell}: {part} of {what}, fraction of the device's limit",
            entry["fraction"],
            None,
            None,
            COMMAND.format(cell.split("/")[0]),
        )
        for device, found in devices.items()
        for cell, steps in found["cells"].items()
        for what in ("langevin", "training")
        for part, entry in steps.get(what, {}).items()
        if part in ("whole step", "force")
    ]


def figures(value: float) -> float:
    """Rounded to four figures."""
    return float(f"{value:.4g}")


if __name__ == "__main__":
    main()
