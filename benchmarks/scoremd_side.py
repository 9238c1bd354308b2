"""ScoreMD's network (https://github.com/noegroup/ScoreMD, `src/scoremd`), to run beside ours.

Needs a checkout and flax and einops beside scorefield (`pip install flax einops`); neither is a dependency of scorefield. Its
own jax 0.5.2 and flax 0.10.4 do as well as current ones. Only its graph transformer and its integrator are imported: its
data sets, which need bgmol and OpenMM, are left out.
"""

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

WHERE = "https://github.com/noegroup/ScoreMD"
SMALL: dict[str, int] = {}
"""`config/model/transformer_potential.yaml`, of its alanine dipeptide: 2 layers of 96, as its code has by default."""
LARGE = {"hidden_nf": 128, "n_layers": 3}
"""`config/model/transformer_large_potential.yaml`, of its proteins."""

EVALUATION_TIME = 1e-5  # its `evaluation.eval_t`
_KT, _MASS, _FRICTION, _DT = 2.494, 12.0, 1.0, 0.002


class ScoreMD:
    """Its potential for `n_beads` beads of standard deviation `std` (nm), untrained: what `speed_sides.Side` asks for."""

    steps = 10

    def __init__(self, checkout: Path, x: np.ndarray, large: bool) -> None:
        modules = imported(checkout)
        info = modules["models.graph_transformer"].GraphTransformerModelInfo(dropout=0.0, **(LARGE if large else SMALL))
        self._network = info.build(SimpleNamespace(), 0.0, 1.0, True, True, 1.0)
        self._langevin_step = modules["simulation"].create_langevin_step_function
        self._simulate = modules["simulation"].simulate
        self._x, self._scale = x.reshape(len(x), -1), 1 / float(x.std())
        few = jnp.asarray(self._x[:2])
        self._weights = self._network.init(jax.random.key(0), few, None, jnp.full((2, 1), 0.5), training=False)

    def work(self, what: str, batch: int) -> tuple[Callable[[], Any], int]:
        """(call, count): `langevin` replica-steps, `training` frames, `samples` samples, a call."""
        rng = np.random.default_rng(0)
        x = jnp.asarray(self._x[rng.integers(len(self._x), size=batch)])
        if what == "training":
            return self._training(x), batch
        score = lambda weights, x: self._network.apply(
            weights, x * self._scale, None, jnp.full((batch, 1), EVALUATION_TIME), training=False
        )
        if what == "langevin":
            return self._langevin(score, x), self.steps * batch
        evaluate = jax.jit(score)  # one of the 1000 equal evaluations that a sample takes
        return lambda: jax.block_until_ready(evaluate(self._weights, x)), batch / 1000  # type: ignore[return-value]

    def _langevin(self, score: Callable[..., jax.Array], x: jax.Array) -> Callable[[], Any]:
        @jax.jit
        def run(weights: Any, x: jax.Array, key: jax.Array) -> Any:
            force = lambda x: _KT * self._scale * score(weights, x)
            step = self._langevin_step(force, _MASS, _FRICTION, 1, _DT, _KT)
            return self._simulate(x, jnp.zeros_like(x), step, self.steps, key)[0][-1]

        return lambda: jax.block_until_ready(run(self._weights, x, jax.random.key(0)))

    def _training(self, x: jax.Array) -> Callable[[], Any]:
        """A step of AdamW on the denoising loss (its baseline: no Fokker-Planck term), noise drawn once."""
        time_key, noise_key = jax.random.split(jax.random.key(1))
        t = jax.random.uniform(time_key, (len(x), 1), minval=1e-3)
        noise, sigma = jax.random.normal(noise_key, x.shape), jnp.sqrt(1 - jnp.exp(-t))
        noised = jnp.sqrt(1 - sigma**2) * x * self._scale + sigma * noise
        optimiser = optax.adamw(3e-4)

        @jax.jit
        def step(weights: Any, state: Any, noised: jax.Array) -> Any:
            estimate = lambda w: sigma * self._network.apply(w, noised, None, t, training=True) + noise
            gradient = jax.grad(lambda w: jnp.mean(estimate(w) ** 2))(weights)
            updates, state = optimiser.update(gradient, state, weights)
            return optax.apply_updates(weights, updates), state

        state = optimiser.init(self._weights)
        return lambda: jax.block_until_ready(step(self._weights, state, noised))


def imported(checkout: Path) -> dict[str, ModuleType]:
    """The network's module and the integrator's, by their names in `scoremd`."""
    source = str(checkout / "src")
    if source not in sys.path:
        sys.path.insert(0, source)
    data = ModuleType("scoremd.data.dataset")
    data.__dict__["Dataset"] = object  # an annotation, all that the network's module wants of it
    sys.modules.setdefault(data.__name__, data)
    return {name: import_module(f"scoremd.{name}") for name in ("models.graph_transformer", "simulation")}
