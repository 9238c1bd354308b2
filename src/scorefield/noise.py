"""Noise levels in nm: the paper's cosine schedule (arXiv 2302.00600), the grid of Karras et al. (2022), and the levels that
training draws.

sigma   noise standard deviation, nm: x = x0 + sigma n
t       diffusion index of a discrete schedule, 0 (least noise) ... T - 1
abar_t  product of 1 - beta over 0 ... t; a variance-preserving diffusion of data divided by their standard deviation
        std has x_vp = sqrt(abar_t) x / std, hence sigma_t = std sqrt((1 - abar_t) / abar_t)
"""

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray


@dataclass(frozen=True)
class CosineSchedule:
    """The noise levels of arXiv 2302.00600: cosine abar of Nichol and Dhariwal (2021, eq. 17), each beta at most 0.999.

    Attributes: `std` of the data in nm (over all centred coordinates) and the number of levels, `steps`.
    """

    std: float
    steps: int = 1000

    @cached_property
    def sigmas(self) -> Float[np.ndarray, " steps"]:
        """sigma_t in nm for t = 0 ... steps - 1, increasing."""
        offset = 0.008
        angle = (np.arange(self.steps + 1) / self.steps + offset) / (1 + offset) * np.pi / 2
        ideal = np.cos(angle) ** 2
        beta = np.clip(1 - ideal[1:] / ideal[:-1], 0, 0.999)
        # Log space: near t = 0 the difference 1 - abar would cancel.
        log_abar = np.cumsum(np.log1p(-beta))
        return self.std * np.sqrt(np.expm1(-log_abar))

    def sigma(self, t: Float[Array, ""]) -> Float[Array, ""]:
        """Noise in nm at index `t`: exact at integers, interpolated in log sigma, constant outside 0 ... steps - 1."""
        return jnp.exp(jnp.interp(t, np.arange(self.steps), np.log(self.sigmas)))

    def index(self, sigma: Float[Array, ""]) -> Float[Array, ""]:
        """The real index of `sigma` in nm, inverse of `sigma`; 0 below the first level and steps - 1 above the last."""
        smallest = jnp.maximum(sigma, self.sigmas[0])  # log of a denormal number is not worth having
        return jnp.interp(jnp.log(smallest), np.log(self.sigmas), np.arange(self.steps, dtype=float))

    def sampling_levels(self) -> Float[np.ndarray, " steps"]:
        """All levels in nm, decreasing: what the ancestral sampler walks down."""
        return self.sigmas[::-1]


def karras_levels(sigma_max: float, sigma_min: float, n: int, rho: float = 7.0) -> Float[np.ndarray, " n"]:
    """`n` levels in nm from `sigma_max` down to `sigma_min` (Karras et al. 2022, eq. 5, without the final 0)."""
    ramp = np.linspace(0, 1, n)
    return (sigma_max ** (1 / rho) + ramp * (sigma_min ** (1 / rho) - sigma_max ** (1 / rho))) ** rho


class AbstractLevels(eqx.Module):
    """A distribution of noise levels to train at. Final subclasses only."""

    @abstractmethod
    def sample(self, key: PRNGKeyArray) -> Float[Array, ""]:
        """One level in nm (`jax.vmap` over keys for more)."""

    @property
    @abstractmethod
    def small(self) -> tuple[float, float]:
        """The range of small levels in nm that draws favour: those a force may be read off at."""


class CosineLevels(AbstractLevels):
    """Levels of a cosine schedule: half of the draws uniform over t < `threshold`, half over the rest.

    The published models' loss weights "higheruntil_100": each side gets the same total weight.
    """

    schedule: CosineSchedule = eqx.field(static=True)
    threshold: int = eqx.field(static=True, default=100)

    def sample(self, key: PRNGKeyArray) -> Float[Array, ""]:
        """One sigma_t in nm."""
        side, low, high = jax.random.split(key, 3)
        t_low = jax.random.randint(low, (), 0, self.threshold)
        t_high = jax.random.randint(high, (), self.threshold, self.schedule.steps)
        return jnp.asarray(self.schedule.sigmas)[jnp.where(jax.random.bernoulli(side), t_low, t_high)]

    @property
    def small(self) -> tuple[float, float]:
        """The first level and that at `threshold`, nm."""
        return float(self.schedule.sigmas[0]), float(self.schedule.sigmas[self.threshold])


class LogUniformMixture(AbstractLevels):
    """Log-uniform between neighbouring `edges` (nm, increasing), with the `shares` of the draws (their sum is 1)."""

    edges: tuple[float, ...] = eqx.field(static=True)
    shares: tuple[float, ...] = eqx.field(static=True)

    def sample(self, key: PRNGKeyArray) -> Float[Array, ""]:
        """One level in nm."""
        side, where = jax.random.split(key)
        edges = jnp.asarray(np.log(self.edges), jnp.float32)
        k = jnp.sum(jax.random.uniform(side) >= jnp.cumsum(jnp.asarray(self.shares[:-1], jnp.float32)))
        return jnp.exp(edges[k] + jax.random.uniform(where) * (edges[k + 1] - edges[k]))

    @property
    def small(self) -> tuple[float, float]:
        """The first two edges."""
        return self.edges[0], self.edges[1]

    def log_density(self, sigma: Float[Array, ""]) -> Float[Array, ""]:
        """Log of the density of log sigma; -inf outside the range."""
        densities = np.log(self.shares / np.diff(np.log(self.edges)))
        above = jnp.sum(sigma >= jnp.asarray(self.edges[1:-1], jnp.float32))
        inside = (sigma >= self.edges[0]) & (sigma <= self.edges[-1])
        return jnp.where(inside, jnp.asarray(densities, jnp.float32)[above], -jnp.inf)
