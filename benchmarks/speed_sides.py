"""The sides of `speed.py`: the same work by the published network, by ScoreMD's and by ours, for one system each."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from dff import Batch, langevin, published_inputs, published_network, published_step
from scoremd_side import ScoreMD
from toys import TOYS, placed

from scorefield.config import Config, GraphTransformerSettings, load_config
from scorefield.data_parallel import DataParallel
from scorefield.energy.base import AbstractScore
from scorefield.energy.build import fit_model, resolve, training_levels
from scorefield.energy.graph_transformer import GraphTransformerEnergy
from scorefield.level import LevelCurve
from scorefield.model import Model, Physical
from scorefield.molecule import Molecule
from scorefield.optimise import Batch as Frames
from scorefield.optimise import start, training_block
from scorefield.simulate import sample, simulate
from scorefield.trajectory import Trajectory

LEVEL = 0.005  # nm
FRAMES = 4000
TEMPERATURE = 300.0
_STRIDE = 20


@dataclass(frozen=True)
class System:
    """So many beads, and the published network's configuration for them (for other chains that of protein G)."""

    n_beads: int
    paper: str

    def frames(self) -> Trajectory:
        """Frames of a chain of this size: stiff bonds, angles and torsions about those of a C-alpha chain."""
        if self.n_beads == 5:
            toy = TOYS["torsion-chain"]()
            return Trajectory(toy.molecule, toy.frames(FRAMES, 0), (FRAMES,), TEMPERATURE)
        rng, n = np.random.default_rng(0), self.n_beads
        bonds = 0.38 + 0.004 * rng.normal(size=(FRAMES, n - 1))
        angles = np.radians(110 + 15 * rng.normal(size=(FRAMES, n - 2)))
        x = placed(bonds, angles, np.radians(50 + 60 * rng.normal(size=(FRAMES, n - 3))))
        x -= x.mean(axis=1, keepdims=True)
        row = tuple((i, i + 1) for i in range(n - 1))
        molecule = Molecule("chain", ("CA",) * n, ("ALA",) * n, tuple(range(1, n + 1)), (12.0,) * n, row)
        return Trajectory(molecule, x.astype(np.float32), (FRAMES,), TEMPERATURE)


SYSTEMS = {
    "alanine": System(5, "paper/alanine"),
    "chignolin": System(10, "paper/chignolin"),
    "trp_cage": System(20, "paper/trp_cage"),
    "bba": System(28, "paper/bba"),
    "villin": System(35, "paper/villin"),
    "protein_g": System(56, "paper/protein_g"),
    "chain100": System(100, "paper/protein_g"),
    "chain200": System(200, "paper/protein_g"),
    "chain400": System(400, "paper/protein_g"),
}


class Side(Protocol):
    """One side: what it does, as a function without arguments, and how much of it a call is."""

    def work(self, what: str, batch: int) -> tuple[Callable[[], Any], int]:
        """(call, count): `langevin` replica-steps, `training` frames, `samples` samples, a call."""
        ...


class Published:
    """The published network: a force evaluation a step, a training step of AdamW, 1000 evaluations a sample."""

    steps = 2

    def __init__(self, system: str, checkout: Path) -> None:
        settings = load_config(SYSTEMS[system].paper).energy
        assert isinstance(settings, GraphTransformerSettings)
        assert settings.std is not None
        n = SYSTEMS[system].n_beads
        self._theirs = published_network(checkout, settings, n)
        shape = (n, settings.std, settings.hidden, settings.layers, jax.random.key(0))
        self._ours = GraphTransformerEnergy.create(*shape)  # for its schedule alone
        self._x = SYSTEMS[system].frames().positions

    def work(self, what: str, batch: int) -> tuple[Callable[[], Any], int]:
        """See `Side`."""
        rng, schedule = np.random.default_rng(0), self._ours.schedule
        x = self._x[rng.integers(len(self._x), size=batch)].astype(np.float64)
        import_module("torch").manual_seed(0)
        if what == "training":
            self._theirs.train()
            t, noise = rng.integers(0, schedule.steps - 1, batch), rng.normal(size=x.shape)
            noised = x + schedule.sigmas[t][:, None, None] * noise
            return finished(published_step(self._theirs, self._ours, Batch(noised, noise, t))), batch
        self._theirs.eval()
        if what == "langevin":
            return finished(langevin(self._theirs, self._ours, x, self.steps - 1)), self.steps * batch
        # one of the 1000 equal evaluations that a sample takes
        evaluate = published_inputs(self._theirs, self._ours, Batch(x, x, np.full(batch, 14)))
        return finished(evaluate), batch / 1000  # type: ignore[return-value]


def finished(call: Callable[[], Any]) -> Callable[[], Any]:
    """`call` of the published code, and where it runs on a GPU the wait until it is done there."""
    torch = import_module("torch")
    if torch.get_default_device().type != "cuda":
        return call

    def waiting() -> None:
        call()
        torch.cuda.synchronize()

    return waiting


class Ours:
    """A configuration of ours, through the package's own simulation, training block and sampler."""

    training_steps = 4  # a call

    def __init__(self, config: Config, system: str) -> None:
        frames = SYSTEMS[system].frames()
        self.frames = frames.positions
        self.config = resolve(config, frames.molecule, self.frames)
        score: AbstractScore = fit_model(self.config, frames.molecule, self.frames, jax.random.key(0))
        curve = LevelCurve((LEVEL,), (None,), (None,), LEVEL)
        physical = Physical(float(self.frames.std()), np.full(frames.molecule.n_beads - 1, 0.3), np.full(1, 1e3))
        self.model = Model(score, frames.molecule, TEMPERATURE, self.config, physical, {}, curve)

    def work(self, what: str, batch: int) -> tuple[Callable[[], Any], int]:
        """See `Side`."""
        return {"langevin": self._langevin, "training": self._training, "samples": self._samples}[what](batch)

    def _langevin(self, batch: int) -> tuple[Callable[[], Any], int]:
        n_frames = 10
        starts = self.frames[np.random.default_rng(0).integers(len(self.frames), size=batch)]
        save = _STRIDE * 0.002
        run = lambda: simulate(self.model, starts, n_frames * save, save_ps=save, level=LEVEL, dt_fs=2.0)
        return run, n_frames * _STRIDE * batch

    def _training(self, batch: int) -> tuple[Callable[[], Any], int]:
        steps = self.training_steps
        levels = training_levels(self.config, self.model.physical.spread)
        fit, fixed, optimiser = start(self.model.score, self.config.training)
        advance = training_block(fixed, levels, optimiser, self.config.training, DataParallel(batch, 1))
        x = jnp.asarray(self.frames[np.random.default_rng(0).integers(len(self.frames), size=steps * batch)])
        x = x.reshape(steps, batch, *x.shape[1:])
        copy = lambda: jax.tree.map(lambda a: a.copy() if eqx.is_array(a) else a, fit)  # the block takes its buffers
        return lambda: jax.block_until_ready(advance(Frames(x, None), copy(), jax.random.key(0))), steps * batch

    def _samples(self, batch: int) -> tuple[Callable[[], Any], int]:
        return lambda: sample(self.model, batch), batch


SIDES: dict[str, Callable[[str, Path], Side]] = {
    "dff": Published,
    "scoremd": lambda system, checkout: ScoreMD(checkout, SYSTEMS[system].frames().positions, system != "alanine"),
    "paper": lambda system, checkout: Ours(load_config(SYSTEMS[system].paper), system),
    "default": lambda system, checkout: Ours(Config(), system),
}
"""Each from a system and the checkout of the code it is measured with (ours need none)."""
