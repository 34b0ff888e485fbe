"""Strategy parameters of CMA-ES with coordinate widths, for n parameters and λ samples an iteration.

Weights by rank, learning rates and damping as in Akimoto and Hansen, "Diagonal Acceleration for Covariance Matrix
Adaptation Evolution Strategies" (Evolutionary Computation, 2020), which for σ and C are those of Hansen, "The CMA
Evolution Strategy: A Tutorial" (2016), with a smaller exponent of n. Their numbers are part of the published formulas,
and no settings of ours.
"""

import math
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

#: Updates of C are decomposed together until their learning rates sum to 1 / (10 n): an eigendecomposition is O(n³).
DECOMPOSITIONS_PER_PARAMETER = 10


@dataclass(frozen=True)
class LearningRates:
    """How fast D, or C, is learned.

    rank_one: c₁, from the evolution path. rank_mu: c_μ, from the samples. path: c_c, how fast the path forgets.
    negative: α⁻, the factor of the negative weights.
    """

    rank_one: float
    rank_mu: float
    path: float
    negative: float

    def signed(self, weights: Tensor) -> Tensor:
        """Weights [λ] by rank, the negative ones times α⁻."""
        return torch.where(weights < 0, self.negative * weights, weights)


@dataclass(frozen=True)
class StrategyParameters:
    """All that depends on n and λ alone.

    weights: w [λ] (float64) by rank, best first; the positive ones sum to 1, the negative ones to −1.
    mu_eff: μ_w = 1 / Σ w² over the positive ones, samples that count. sigma_rate: c_σ. sigma_damping: d_σ.
    expected_length: χ, mean length of a sample of N(0, I). long_path: length of p_σ from which σ lags behind.
    """

    n: int
    weights: Tensor
    mu_eff: float
    sigma_rate: float
    sigma_damping: float
    expected_length: float
    long_path: float
    D: LearningRates
    C: LearningRates

    def extend(self, path: Tensor, rate: float, step: Tensor) -> Tensor:
        """p ← (1 − c) p + √(c (2 − c) μ_w) step, for paths [n]; under random ranks p is as long as a sample."""
        return (1 - rate) * path + math.sqrt(rate * (2 - rate) * self.mu_eff) * step

    def is_decomposition_due(self, updates: int) -> bool:
        """Whether that number of updates since the last decomposition has changed C enough."""
        return updates * DECOMPOSITIONS_PER_PARAMETER * self.n * (self.C.rank_one + self.C.rank_mu) > 1


def default_population(n: int) -> int:
    """λ = 4 + ⌊3 ln n⌋ (Hansen 2016)."""
    return 4 + int(3 * math.log(n))


@cache
def strategy_parameters(n: int, population: int) -> StrategyParameters:
    """The published values for n parameters and λ = population samples."""
    weights = math.log((population + 1) / 2) - torch.arange(1, population + 1, dtype=torch.float64).log()
    positive, negative = weights.clamp_min(0), -weights.clamp_max(0)
    mu_eff, mu_eff_negative = (float(half.sum().square() / half.square().sum()) for half in (positive, negative))
    sigma_rate = (mu_eff + 2) / (n + mu_eff + 5)
    expected_length = math.sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n * n))

    def rates(freedom: int) -> LearningRates:
        """Learning rates for `freedom` free parameters."""
        rank_one = 1 / (2 * (freedom / n + 1) * (n + 1) ** 0.75 + mu_eff / 2)
        rank_mu = min(1 - rank_one, rank_one * (mu_eff + 1 / mu_eff - 2 + population / (2 * (population + 5))))
        factor = min(1 + rank_one / rank_mu, 1 + 2 * mu_eff_negative / (mu_eff_negative + 2))
        is_matrix = freedom > n
        if is_matrix:  # C stays positive definite (Hansen 2016); D is multiplied, and stays positive in any case
            factor = min(factor, (1 - rank_one - rank_mu) / (n * rank_mu))
        return LearningRates(rank_one, rank_mu, math.sqrt(mu_eff * rank_one) / 2, factor)

    return StrategyParameters(
        n=n,
        weights=positive / positive.sum() - negative / negative.sum(),
        mu_eff=mu_eff,
        sigma_rate=sigma_rate,
        sigma_damping=1 + 2 * max(0.0, math.sqrt((mu_eff - 1) / (n + 1)) - 1) + sigma_rate,
        expected_length=expected_length,
        long_path=(1.4 + 2 / (n + 1)) * expected_length,
        D=rates(n),
        C=rates(n * (n + 1) // 2),
    )
