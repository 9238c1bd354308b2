"""What is fitted to data once, by types of beads: of several molecules, then put together for any molecule of such types.

A path is a stretch of the chain, named by its beads ("C N CA"). What it measures is the mean over all places, in all
molecules of the training, that bear its name: distances of its ends and their spreads under noise (the standardisation),
their mean squares (the Gaussian baseline: D_ij = <r_ij^2> gives the covariance -J D J / 6, J = 1 - 1/n), and of bonds and 1-3
distances what the noise-aware prior (`stiff`) is made of: means, covariances, metric. For those the label of a bead says its
residue's kind too ("N:PRO", `residues.labels`), where a training has seen it; else its name counts alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ..errors import InputError
from ..geometry import centred
from ..molecule import Molecule
from .gaussian import GaussianEnergy
from .invariants import N_LEVELS, Invariants, Standardiser
from .paths import Gathered, Table, couple_key, couples, invariant_places, path, stiff_places
from .prior import Prior
from .residues import features, labels
from .stiff import MIN_WIDTH, StiffDistances, floored, mean_metric, stiff_pairs
from .term import FADE, frame_distances, thinned

_LEAST_VARIANCE = 1e-3  # of the mean one: pooled distances need not be those of any points in space
_LEAST_METRIC = 1e-2
_FRAMES = 8192


class Parts(eqx.Module):
    """What an energy of one molecule has beside its network; not trained."""

    baseline: GaussianEnergy
    prior: Prior
    standardiser: Standardiser
    spread: Float[Array, ""]
    fade: Float[Array, ""]
    features: Float[Array, "n k"]


class Frames(NamedTuple):
    """A molecule of the training and centred frames of it (nm)."""

    molecule: Molecule
    x: Float[np.ndarray, "f n 3"]


@dataclass(frozen=True)
class Types:
    """The tables; keys are paths. Lengths in nm.

    `square`: mean square distance of the ends; `distance` and `volume`: mean and spread at every noise level of `log_levels`,
    one after the other; `bond`: mean and standard deviation; `stiff`: mean, divergence, and the two numbers of the
    correction (`StiffDistances.corrected`); `pairs`: covariance and metric of two stiff distances, "path|path|offset";
    `stiff_names`: the paths that are stiff, by names alone; `longest`: beads of the longest molecule.
    """

    log_levels: list[float]
    longest: int
    stiff_names: list[str]
    square: Table = field(default_factory=dict)
    distance: Table = field(default_factory=dict)
    volume: Table = field(default_factory=dict)
    bond: Table = field(default_factory=dict)
    stiff: Table = field(default_factory=dict)
    pairs: Table = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As plain types."""
        return asdict(self)

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> "Types":
        """Inverse of `to_json`. Raises KeyError, TypeError or ValueError if it is not of this form."""
        tables = {
            name: {str(k): [float(v) for v in row] for k, row in dict(data[name]).items()}
            for name in ("square", "distance", "volume", "bond", "stiff", "pairs")
        }
        if not all(np.isfinite(row).all() for table in tables.values() for row in table.values()):
            raise ValueError("a table holds numbers that are not finite")
        levels = [float(v) for v in data["log_levels"]]
        if len(levels) != N_LEVELS:
            raise ValueError(f"{len(levels)} noise levels")
        return Types(levels, int(data["longest"]), [str(n) for n in data["stiff_names"]], **tables)

    def parts(self, molecule: Molecule) -> Parts:
        """What they make of `molecule`.

        Raises InputError if that is no chain, longer than those of the training, or of beads or residues unknown there.
        """
        check_chain(molecule)
        if molecule.n_beads > self.longest:
            raise InputError(
                f"{molecule.name} has {molecule.n_beads} beads, the longest molecule of the training {self.longest}"
            )
        baseline = self._baseline(molecule)
        spread = float(np.sqrt(np.asarray(baseline.variances).sum() / molecule.n_beads))
        stiff = self._stiff(molecule)
        return Parts(
            baseline,
            Prior({"stiff": stiff} if stiff.size else {}),
            self._standardiser(molecule),
            jnp.float32(spread),
            jnp.float32(FADE * self.bonds(molecule)[0].mean()),
            jnp.asarray(features(molecule), jnp.float32),
        )

    def bonds(self, molecule: Molecule) -> tuple[Float[np.ndarray, " b"], Float[np.ndarray, " b"]]:
        """Means and standard deviations (nm) of the bonds of a chain, in the order of `bond_pairs`."""
        rows = [self._find(self.bond, molecule, slice(i, i + 2)) for i in range(molecule.n_beads - 1)]
        mean, sd = np.array(rows).T
        return mean, sd

    def _find(self, table: Table, molecule: Molecule, place: slice) -> list[float]:
        """The row of a path, by its labels or else by its names. Raises InputError if there is none."""
        labelled, named = (path(words[place]) for words in (labels(molecule), molecule.bead_names))
        row = table.get(labelled, table.get(named))
        if row is None:
            raise InputError(f"{molecule.name}: no molecule of the training has the beads {named} in a row")
        return row

    def _baseline(self, molecule: Molecule) -> GaussianEnergy:
        n = molecule.n_beads
        square = np.zeros((n, n))
        for i, j in zip(*np.triu_indices(n, 1), strict=True):
            square[i, j] = square[j, i] = self._find(self.square, molecule, slice(i, j + 1))[0]
        centring = np.eye(n) - 1 / n
        values, vectors = np.linalg.eigh(-centring @ square @ centring / 6)
        values = np.maximum(values, _LEAST_VARIANCE * values.mean())
        covariance = centring @ ((vectors * values) @ vectors.T) @ centring
        return jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), GaussianEnergy.from_covariance(covariance))

    def _standardiser(self, molecule: Molecule) -> Standardiser:
        places = invariant_places(molecule.n_beads)
        rows = np.array([self._find(getattr(self, table), molecule, place) for table, place in places])
        rows = rows.reshape(len(places), 2, N_LEVELS)
        mean, spread = (jnp.asarray(rows[:, k].T, jnp.float32) for k in (0, 1))
        return Standardiser(jnp.asarray(self.log_levels, jnp.float32), mean, spread)

    def _stiff(self, molecule: Molecule) -> StiffDistances:
        places = stiff_places(molecule, self.stiff_names)
        if not places:
            return StiffDistances.zeros(0)
        mean, divergence, *correction = np.array([self._find(self.stiff, molecule, p) for p in places]).T
        covariance, metric = np.zeros((2, len(places), len(places)))
        for (a, p), (b, q) in couples(places):
            row = self._couple(molecule, p, q)
            covariance[a, b], metric[a, b] = covariance[b, a], metric[b, a] = row
        covariance, metric = floored(covariance, MIN_WIDTH**2), floored(metric, _LEAST_METRIC)
        f32 = lambda a: jnp.asarray(np.array(a), jnp.float32)
        return StiffDistances(
            jnp.asarray([(p.start, p.stop - 1) for p in places], jnp.int32),
            f32(mean),
            f32(covariance),
            f32(np.linalg.inv(covariance)),
            f32(mean - covariance @ np.linalg.solve(metric, 4 / mean - divergence)),
            f32(FADE * self.bonds(molecule)[0].mean()),
            f32(correction),
        )

    def _couple(self, molecule: Molecule, p: slice, q: slice) -> list[float]:
        """Covariance and metric of the distances of two paths; what the training never saw is 0."""
        for words in (labels(molecule), molecule.bead_names):
            row = self.pairs.get(couple_key(words, p, q))
            if row is not None:
                return row
        return [0.0, 0.0]

    def corrected(self, corrections: Iterable[tuple[Molecule, Float[np.ndarray, "2 m"]]]) -> "Types":
        """With the means, by type, of the corrections of the stiff distances that molecules of the training ask for."""
        found = Gathered()
        for molecule, rows in corrections:
            for place, row in zip(stiff_places(molecule, self.stiff_names), np.asarray(rows).T, strict=True):
                found.add("stiff", molecule, place, row)
        means = found.means("stiff")
        return replace(self, stiff={k: [*row[:2], *means.get(k, row[2:])] for k, row in self.stiff.items()})


def fit_types(given: Sequence[Frames], sigma_min: float, sigma_max: float, key: jax.Array) -> Types:
    """The tables of molecules with frames; standardised between noise `sigma_min` and `sigma_max` (nm).

    Raises InputError if one is not a chain, or has a residue that is not known.
    """
    pool, log_levels = Gathered(), []
    for molecule, _ in given:
        check_chain(molecule)
    given = [Frames(m, centred(x[:: max(1, len(x) // _FRAMES)])) for m, x in given]
    stiff_names = _stiff_names(given)
    for molecule, x in given:
        for i, j in zip(*np.triu_indices(molecule.n_beads, 1), strict=True):
            r = frame_distances(x, np.array([[i, j]]))
            pool.add("square", molecule, slice(i, j + 1), [float((r**2).mean())])
            if j == i + 1:
                pool.add("bond", molecule, slice(i, j + 1), [float(r.mean()), float(r.std())])
        fitted = Standardiser.fit(Invariants(molecule.n_beads, "local"), x, sigma_min, sigma_max, key)
        log_levels = np.asarray(fitted.log_levels, float).tolist()
        rows = np.concatenate([fitted.mean, fitted.spread]).T
        for (table, place), row in zip(invariant_places(molecule.n_beads), rows, strict=True):
            pool.add(table, molecule, place, row)
        _add_stiff(pool, molecule, x, stiff_names)
    return Types(
        log_levels,
        max(molecule.n_beads for molecule, _ in given),
        sorted(stiff_names),
        pool.means("square"),
        pool.moments("distance"),
        pool.moments("volume"),
        pool.moments("bond"),
        pool.means("stiff"),
        pool.means("pairs"),
    )


def check_chain(molecule: Molecule) -> None:
    """Raise InputError unless the molecule is a chain, each bead bonded to the next and to no other, residues known."""
    expected = np.arange(molecule.n_beads - 1)[:, None] + np.arange(2)
    if not np.array_equal(molecule.bond_pairs, expected):
        raise InputError(
            f"{molecule.name} is no chain of beads each bonded to the next: a model of many molecules knows chains "
            "alone (maps ca, backbone, backbone5, backbone_caps)"
        )
    labels(molecule)


def _stiff_names(given: Sequence[Frames]) -> set[str]:
    """Names of the bonds and 1-3 distances that are stiff (`stiff_pairs`) wherever they are."""
    stiff, soft = set(), set()
    for molecule, x in given:
        chosen = {tuple(pair) for pair in stiff_pairs(molecule, x).tolist()}
        for i in range(molecule.n_beads):
            for j in range(i + 1, min(i + 3, molecule.n_beads)):
                (stiff if (i, j) in chosen else soft).add(path(molecule.bead_names[i : j + 1]))
    return stiff - soft


def _add_stiff(pool: Gathered, molecule: Molecule, x: Float[np.ndarray, "f n 3"], names: set[str]) -> None:
    places = stiff_places(molecule, names)
    if not places:
        return
    pairs: Int[np.ndarray, "m 2"] = np.array([(p.start, p.stop - 1) for p in places])
    q = frame_distances(x, pairs)
    mean, off = q.mean(axis=0), thinned(q - q.mean(axis=0))
    covariance = floored(np.cov(q, rowvar=False).reshape(len(pairs), len(pairs)), MIN_WIDTH**2)
    metric, divergence = mean_metric(thinned(x), pairs, mean, np.linalg.solve(covariance, off.T).T)
    for place, m, d in zip(places, mean, divergence, strict=True):
        pool.add("stiff", molecule, place, [m, d, 0.0, 0.0])
    for (a, p), (b, r) in couples(places):
        pool.add("pairs", molecule, (p, r), [covariance[a, b], metric[a, b]])
