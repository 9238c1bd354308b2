"""Toy systems whose energy is known, with frames drawn exactly from it: what a learned force can be judged by.

U(x)          energy of ONE frame (n_beads, 3) nm, in kT; frames are drawn from exp(-U(x)) dx
b, theta, phi bond lengths (nm), angles and dihedrals (rad) of a chain: dx ~ prod b^2 prod sin(theta) db dtheta dphi
r             the 1-3 distance of three beads (nm), in place of their angle: dx ~ b1 b2 r db1 db2 dr

Internal coordinates are drawn by rejection from boxes that hold all but 1e-8 of the probability.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from scorefield.dataset import Dataset, Split
from scorefield.energy.gaussian import GaussianEnergy
from scorefield.geometry import angles, dihedrals, distances, random_rotation
from scorefield.molecule import Molecule
from scorefield.observables import in_chunks
from scorefield.trajectory import Trajectory

TEMPERATURE = 300.0
CHAIN_FRAMES = 5000
SPLITS: tuple[Split, ...] = ("train",) * 10 + ("validation",) + ("test",) * 3


@dataclass(frozen=True, eq=False)
class Box:
    """A density exp(`log_weight`) of one or two coordinates (f, d) between `low` and `high`."""

    log_weight: Callable[[Float[np.ndarray, "f d"]], Float[np.ndarray, " f"]]
    low: tuple[float, ...]
    high: tuple[float, ...]

    def draw(self, rng: np.random.Generator, n: int) -> Float[np.ndarray, "n d"]:
        """`n` exact draws: uniform proposals, each kept with its share of the largest density."""
        top = self.log_weight(self._grid(400)).max() + 0.05  # no density between grid points is larger
        found: list[np.ndarray] = []
        while sum(map(len, found)) < n:
            y = rng.uniform(self.low, self.high, (4 * n, len(self.low)))
            found.append(y[self.log_weight(y) > top + np.log(rng.random(len(y)))])
        return np.concatenate(found)[:n]

    def share(self, inside: Callable[[Float[np.ndarray, "f d"]], np.ndarray]) -> float:
        """The probability of where `inside` holds, by quadrature (midpoints of 1200 cells a side)."""
        y = self._grid(1200)
        log = self.log_weight(y)
        weight = np.exp(log - log.max())
        return float(weight[inside(y)].sum() / weight.sum())

    def _grid(self, n: int) -> Float[np.ndarray, "f d"]:
        low, high = np.array(self.low), np.array(self.high)
        axes = (low + (high - low) * ((np.arange(n) + 0.5) / n)[:, None]).T
        return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(low))


@dataclass(frozen=True, eq=False)
class Basin:
    """One of two basins: where `inside` holds for frames (f, n_beads, 3), and its exact `population`."""

    inside: Callable[[Float[np.ndarray, "f n 3"]], np.ndarray]
    population: float


@dataclass(frozen=True, eq=False)
class Toy:
    """A molecule of beads with a known energy.

    Attributes: `energy` U(x) in kT of one frame; `draw(rng, n)`, exact frames in nm; `stiff`, bead pairs whose distances
    are stiff; `basin`, if there are two; `noised`, U(x, sigma) where it is known at every sigma; `dt_fs`, a safe time step.
    """

    molecule: Molecule
    energy: Callable[[Float[Array, "n 3"]], Float[Array, ""]]
    draw: Callable[[np.random.Generator, int], Float[np.ndarray, "n_frames n 3"]]
    stiff: Int[np.ndarray, "k 2"] = field(default_factory=lambda: np.zeros((0, 2), np.int64))
    basin: Basin | None = None
    noised: GaussianEnergy | None = None
    dt_fs: float = 2.0

    def frames(self, n: int, seed: int) -> Float[np.ndarray, "n_frames n 3"]:
        """`n` independent frames in nm, float32, centred, in random orientations."""
        x = self.draw(np.random.default_rng(seed), n)
        x = x - x.mean(axis=1, keepdims=True)
        turns = jax.jit(jax.vmap(random_rotation))(jax.random.split(jax.random.key(seed), n))
        return np.einsum("fni,fji->fnj", x, np.asarray(turns, np.float64)).astype(np.float32)

    def dataset(self, seed: int, times: int = 1) -> Dataset:
        """50,000 frames to train on, 5,000 to validate, 15,000 to test, in chains of 5,000; or so many `times` as many."""
        n = len(SPLITS)
        x = self.frames(n * CHAIN_FRAMES * times, seed)
        trajectory = Trajectory(self.molecule, x, (CHAIN_FRAMES * times,) * n, TEMPERATURE)
        return Dataset(trajectory, SPLITS, tuple(f"draw {k}" for k in range(n)), "toy", {"text": "exact draws"})


def double_well() -> Toy:
    """Three beads: two stiff bonds (width .003 nm), and a double well of 4 kT, tilted by 1 kT, in the 1-3 distance."""
    length, width, middle, half = 0.25, 0.003, 0.33, 0.08
    well = lambda r: 4 * (((r - middle) / half) ** 2 - 1) ** 2 + 0.5 * (r - middle) / half
    bonds, ends = np.array([[0, 1], [1, 2]]), np.array([[0, 2]])
    bond = _stiff(length, width, np.log)
    across = Box(lambda y: np.log(y[:, 0]) - well(y[:, 0]), (middle - 0.15,), (middle + 0.15,))

    def energy(x: Array) -> Array:
        return 0.5 * jnp.sum(((distances(x, bonds) - length) / width) ** 2) + well(distances(x, ends)[0])

    def draw(rng: np.random.Generator, n: int) -> np.ndarray:
        b1, b2, r = (box.draw(rng, n)[:, 0] for box in (bond, bond, across))
        # Of 0.25 nm bonds that reach 0.48 nm: no draw breaks the triangle inequality.
        theta = np.arccos((b1**2 + b2**2 - r**2) / (2 * b1 * b2))
        return placed(np.stack([b1, b2], axis=1), theta[:, None], np.zeros((n, 0)))

    basin = Basin(lambda x: _internal(distances, x, ends)[:, 0] > middle, across.share(lambda y: y[:, 0] > middle))
    return Toy(_row("double-well", 3), energy, draw, bonds, basin)


_TERMS = (
    (-200.0, -1.0, 0.0, -10.0, 1.0, 0.0),
    (-100.0, -1.0, 0.0, -10.0, 0.0, 0.5),
    (-170.0, -6.5, 11.0, -6.5, -0.5, 1.5),
    (15.0, 0.7, 0.6, 0.7, -1.0, 1.0),
)
"""A, a, b, c, x0, y0 of the surface of Mueller and Brown (1979)."""


def mueller_brown() -> Toy:
    """Three beads: the Mueller-Brown surface times .04 kT in the bond lengths, and a soft angle about 100 degrees.

    b1 = (.7 + .2 x) nm, b2 = (.5 + .2 y) nm. The second minimum lies 1.5 kT above the first, the way to it 4.2 kT.
    """
    bonds, triple = np.array([[0, 1], [1, 2]]), np.array([[0, 1, 2]])

    def surface(b1, b2, exp):
        x, y = (b1 - 0.7) / 0.2, (b2 - 0.5) / 0.2
        form = lambda a, b, c, x0, y0: a * (x - x0) ** 2 + b * (x - x0) * (y - y0) + c * (y - y0) ** 2
        return 0.04 * sum(A * exp(form(*rest)) for A, *rest in _TERMS)

    bend = lambda cosine: 5 * (cosine + 0.17) ** 2
    lengths = Box(lambda y: 2 * np.log(y[:, 0] * y[:, 1]) - surface(y[:, 0], y[:, 1], np.exp), (0.3, 0.25), (1.0, 1.05))
    cosines = Box(lambda y: -bend(y[:, 0]), (-1.0,), (1.0,))
    # The ridge through the higher saddle, (x, y) = (-.82, .62).
    deep = lambda y: (y[:, 1] - 0.5) / 0.2 > 0.62 + 0.3 * ((y[:, 0] - 0.7) / 0.2 + 0.82)

    def energy(x: Array) -> Array:
        b1, b2 = distances(x, bonds)
        return surface(b1, b2, jnp.exp) + bend(jnp.cos(angles(x, triple)[0]))

    def draw(rng: np.random.Generator, n: int) -> np.ndarray:
        return placed(lengths.draw(rng, n), np.arccos(cosines.draw(rng, n)), np.zeros((n, 0)))

    basin = Basin(lambda x: deep(_internal(distances, x, bonds)), lengths.share(deep))
    return Toy(_row("mueller-brown", 3), energy, draw, basin=basin, dt_fs=5.0)


def harmonic_chain() -> Toy:
    """Six beads on springs of zero length, .1 nm in each component: a Gaussian, known at every sigma."""
    n, width = 6, 0.1
    steps = np.tril(np.ones((n, n)), -1)[:, : n - 1] * width  # positions from bond vectors

    def energy(x: Array) -> Array:
        return 0.5 * jnp.sum((x[1:] - x[:-1]) ** 2) / width**2

    draw = lambda rng, count: np.einsum("nb,fbi->fni", steps, rng.normal(size=(count, n - 1, 3)))
    noised = GaussianEnergy.from_covariance(steps @ steps.T)
    return Toy(_row("harmonic-chain", n), energy, draw, noised=noised, dt_fs=5.0)


def torsion_chain() -> Toy:
    """Five beads as stiff as alanine dipeptide's (bonds .003 nm, angles 3 degrees), two coupled dihedrals with minima."""
    length, width, angle, bending = 0.15, 0.003, float(np.radians(112)), 0.05
    paths = [np.arange(5 - k)[:, None] + np.arange(k + 1) for k in (1, 2, 3)]  # bonds, angles, dihedrals
    stiff = np.concatenate([paths[0], paths[1][:, [0, 2]]])

    def torsion(phi, psi, cos):
        first = 2.0 * cos(3 * phi) + 0.6 * cos(phi - 2.0) + 0.5 * cos(2 * phi + 0.5)
        return first + 1.5 * cos(2 * psi - 0.7) + 0.5 * cos(psi + 1.0) + 0.8 * cos(phi - psi + 0.5)

    bond = _stiff(length, width, lambda b: 2 * np.log(b))
    bent = _stiff(angle, bending, lambda theta: np.log(np.sin(theta)))
    turned = Box(lambda y: -torsion(y[:, 0], y[:, 1], np.cos), (-np.pi, -np.pi), (np.pi, np.pi))
    gauche = lambda y: (y[:, 0] > 0) & (y[:, 0] < np.pi * 2 / 3)

    def energy(x: Array) -> Array:
        stretch = (distances(x, paths[0]) - length) / width
        bend = (angles(x, paths[1]) - angle) / bending
        phi, psi = dihedrals(x, paths[2])
        return 0.5 * (jnp.sum(stretch**2) + jnp.sum(bend**2)) + torsion(phi, psi, jnp.cos)

    def draw(rng: np.random.Generator, n: int) -> np.ndarray:
        b, theta = bond.draw(rng, 4 * n).reshape(n, 4), bent.draw(rng, 3 * n).reshape(n, 3)
        return placed(b, theta, turned.draw(rng, n))

    basin = Basin(lambda x: gauche(_internal(dihedrals, x, paths[2])), turned.share(gauche))
    return Toy(_row("torsion-chain", 5), energy, draw, stiff, basin)


TOYS: dict[str, Callable[[], Toy]] = {
    "double-well": double_well,
    "mueller-brown": mueller_brown,
    "harmonic-chain": harmonic_chain,
    "torsion-chain": torsion_chain,
}


def placed(
    b: Float[np.ndarray, "f n1"], theta: Float[np.ndarray, "f n2"], phi: Float[np.ndarray, "f n3"]
) -> Float[np.ndarray, "f n 3"]:
    """Frames of a chain from its internal coordinates (nm, rad)."""
    x = np.zeros((len(b), b.shape[1] + 1, 3))
    x[:, 1, 0] = b[:, 0]
    x[:, 2] = x[:, 1] + b[:, 1, None] * np.stack([-np.cos(theta[:, 0]), np.sin(theta[:, 0]), 0 * b[:, 0]], axis=1)
    for k in range(3, x.shape[1]):
        along = (x[:, k - 1] - x[:, k - 2]) / b[:, k - 2, None]
        back = x[:, k - 3] - x[:, k - 2]
        cis = back - np.sum(back * along, axis=1, keepdims=True) * along
        cis /= np.linalg.norm(cis, axis=1, keepdims=True)
        turn, bend = phi[:, k - 3, None], theta[:, k - 2, None]
        across = np.cos(turn) * cis + np.sin(turn) * np.cross(along, cis)
        x[:, k] = x[:, k - 1] + b[:, k - 1, None] * (np.sin(bend) * across - np.cos(bend) * along)
    return x


def _stiff(mean: float, width: float, log_volume: Callable[[np.ndarray], np.ndarray]) -> Box:
    """A Gaussian of one coordinate times its volume element, out to 6.5 widths."""
    weight = lambda y: log_volume(y[:, 0]) - 0.5 * ((y[:, 0] - mean) / width) ** 2
    return Box(weight, (mean - 6.5 * width,), (mean + 6.5 * width,))


def _row(name: str, n: int) -> Molecule:
    """`n` beads of 12 Da in a row."""
    bonds = tuple((i, i + 1) for i in range(n - 1))
    return Molecule(name, ("B",) * n, ("TOY",) * n, tuple(range(1, n + 1)), (12.0,) * n, bonds)


def _internal(function: Callable, x: Float[np.ndarray, "f n 3"], index: Int[np.ndarray, "k m"]) -> np.ndarray:
    return np.concatenate([values for _, values in in_chunks(function, x, index)])
