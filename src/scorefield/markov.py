"""Markov models of discrete trajectories: transition matrices, timescales, passage times, and tests of them.

C_ij(tau)   frames in i followed by j a lag tau later within one chain (sliding window); a chain's end is never crossed
T(tau)      the reversible transition matrix of largest likelihood on the largest connected set of states
            (Trendelkamp-Schroer et al., J. Chem. Phys. 143, 174101, 2015), pi its stationary distribution
t_k         -tau / ln lambda_k, the implied timescales, slowest first
T_AB        sum_{i in A, j in B} pi_i T_ij / pi_A: the chance to be in set B a lag after being in set A at equilibrium
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from deeptime.markov import TransitionCountModel
from deeptime.markov.msm import MarkovStateModel, MaximumLikelihoodMSM
from jaxtyping import Float, Int

Discrete = Sequence[Int[np.ndarray, " f"]]
"""One array of state numbers a chain."""


@dataclass(frozen=True, eq=False)
class MarkovModel:
    """A reversible Markov chain: `transition` (k, k) at `lag` frames, `stationary` (k,), on the `states` of `n_states`."""

    transition: Float[np.ndarray, "k k"]
    stationary: Float[np.ndarray, " k"]
    lag: float
    states: Int[np.ndarray, " k"]
    n_states: int

    def spectrum(self) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, "k k"]]:
        """Eigenvalues, largest first, and eigenvectors of D^1/2 T D^-1/2, D = diag(pi), which is symmetric."""
        root = np.sqrt(self.stationary)
        symmetric = self.transition * root[:, None] / root
        values, vectors = np.linalg.eigh((symmetric + symmetric.T) / 2)
        return values[::-1], vectors[:, ::-1]

    def timescales(self, k: int) -> Float[np.ndarray, " k"]:
        """The `k` slowest implied timescales in frames; 0 where an eigenvalue is not positive or there is none."""
        values = np.zeros(k)
        found = self.spectrum()[0][1 : k + 1]
        values[: len(found)] = np.clip(found, 0, 1 - 1e-12)
        with np.errstate(divide="ignore"):
            return np.where(values > 0, -self.lag / np.log(np.maximum(values, 1e-300)), 0.0)

    def at(self, lag: float) -> "MarkovModel":
        """The same process seen at another lag in frames, T^(lag / own lag); eigenvalues below 0 are noise and become 0."""
        values, vectors = self.spectrum()
        root = np.sqrt(self.stationary)
        power = (vectors * np.clip(values, 0, 1) ** (lag / self.lag)) @ vectors.T
        return MarkovModel(power / root[:, None] * root, self.stationary, lag, self.states, self.n_states)

    def coarse(self, sets: Int[np.ndarray, " n"], n_sets: int) -> Float[np.ndarray, "s s"]:
        """T_AB of `sets`, the set of every state; a set that was never visited stays where it is."""
        member = np.eye(n_sets)[sets[self.states]]
        flux = member.T @ (self.stationary[:, None] * self.transition) @ member
        total = flux.sum(axis=1, keepdims=True)
        return np.where(total > 0, flux / np.where(total > 0, total, 1), np.eye(n_sets))

    def passage_times(self, sets: Int[np.ndarray, " n"], n_sets: int) -> Float[np.ndarray, "s s"]:
        """Mean first-passage times in frames from set (row) to set (column), starts drawn from equilibrium in the set.

        0 on the diagonal, NaN from or to a set that was never visited.
        """
        times, of = np.full((n_sets, n_sets), np.nan), sets[self.states]
        for target in range(n_sets):
            outside = of != target
            if outside.all():
                continue
            passage = np.zeros(len(of))
            inner = np.eye(outside.sum()) - self.transition[np.ix_(outside, outside)]
            passage[outside] = np.linalg.solve(inner, np.full(outside.sum(), float(self.lag)))
            for start in set(of):
                times[start, target] = np.average(passage[of == start], weights=self.stationary[of == start])
        return times


def count_matrix(chains: Discrete, lag: int, n_states: int) -> Float[np.ndarray, "n n"]:
    """C(lag), lag in frames; chains no longer than the lag count nothing, nor do frames in a state below 0."""
    counts = np.zeros(n_states * n_states)
    for chain in chains:
        if len(chain) > lag:
            start, end = chain[:-lag].astype(np.int64), chain[lag:]
            counts += np.bincount((start * n_states + end)[(start >= 0) & (end >= 0)], minlength=n_states * n_states)
    return counts.reshape(n_states, n_states)


def markov_model(counts: Float[np.ndarray, "n n"], lag: int) -> MarkovModel | None:
    """The reversible model of largest likelihood; None where no two states are connected both ways."""
    if not counts.any():
        return None
    model = TransitionCountModel(counts, lagtime=lag).submodel_largest()
    if model.n_states < 2:
        return None
    found = MaximumLikelihoodMSM(reversible=True).fit_fetch(model)
    assert isinstance(found, MarkovStateModel)
    pi = np.asarray(found.stationary_distribution)
    return MarkovModel(np.asarray(found.transition_matrix), pi, lag, np.asarray(model.state_symbols), len(counts))


def metastable_sets(model: MarkovModel, n_sets: int) -> Int[np.ndarray, " k"]:
    """The metastable set of each of the model's states (PCCA+), `n_sets` at most, numbered by falling population."""
    found = MarkovStateModel(model.transition, model.stationary, reversible=True).pcca(n_sets)
    assigned = np.unique(found.assignments, return_inverse=True)[1]  # no state need belong mostly to a set
    population = np.bincount(assigned, weights=model.stationary)
    rank = np.argsort(np.argsort(-population))
    return rank[assigned]


def chapman_kolmogorov(
    chains: Discrete, model: MarkovModel, sets: Int[np.ndarray, " n"], n_sets: int, multiples: Sequence[int]
) -> tuple[Float[np.ndarray, "m s s"], Float[np.ndarray, "m s s"]]:
    """T_AB at multiples of the model's lag: predicted, T(tau)^k, and estimated anew, T(k tau); NaN where that cannot be."""
    predicted = np.stack([model.at(k * model.lag).coarse(sets, n_sets) for k in multiples])
    estimated = np.full_like(predicted, np.nan)
    for row, k in enumerate(multiples):
        lag = round(k * model.lag)
        again = markov_model(count_matrix(chains, lag, model.n_states), lag)
        if again is not None:
            estimated[row] = again.coarse(sets, n_sets)
    return predicted, estimated


def crossings(values: Float[np.ndarray, " f"], low: float, high: float) -> tuple[int, int]:
    """How often one chain goes from above `high` to below `low`, and back: wavering in between does not count."""
    side = np.where(values < low, -1, np.where(values > high, 1, 0))
    steps = np.diff(side[side != 0])
    return int(np.sum(steps < 0)), int(np.sum(steps > 0))
