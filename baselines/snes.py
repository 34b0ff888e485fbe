"""SNES: natural gradient of a Gaussian with one width a coordinate, on ranks.

With s_k ~ N(0, I), z_k = μ + σ s_k and the utility u_k of the rank of f(z_k), Σ u_k = 0,

    μ ← μ + η_μ σ Σ u_k s_k        σ ← σ exp(η_σ/2 · Σ u_k (s_k² − 1))

(Schaul, Glasmachers and Schmidhuber 2011, "High dimensions and heavy tails for natural evolution strategies";
utilities, λ and η_σ as in Wierstra et al. 2014, "Natural evolution strategies", table 1). Ranks do not see the
scale of the loss; equal losses, as on a plateau, share their utilities.
"""

import math
from typing import ClassVar

import torch
from torch import Tensor

from zg.errors import check_positive, check_whole
from zg.ledger import Evaluation
from zg.method import Method, Range
from zg.sampling import gaussian


class SNES(Method):
    """Separable natural evolution strategies.

    sigma: initial width, scaled units. population: λ, by default 4 + ⌊3 ln n⌋. lr_mean: η_μ. lr_sigma: η_σ, by
    default (3 + ln n) / (5 √n).
    """

    whole_batches = True
    saved = ("theta", "sigma")
    ranges: ClassVar = {
        "sigma": Range(0.003, 0.5, log=True),
        "population": Range(4, 200, log=True, integer=True),
        "lr_mean": Range(0.1, 10.0, log=True),
    }

    def __init__(
        self,
        sigma: float = 0.1,
        population: int | None = None,
        lr_mean: float = 1.0,
        lr_sigma: float | None = None,
    ) -> None:
        check_positive(sigma=sigma, lr_mean=lr_mean)
        if lr_sigma is not None:
            check_positive(lr_sigma=lr_sigma)
        if population is not None:
            check_whole(2, population=population)
        self.initial_sigma, self.population, self.lr_mean, self.lr_sigma = sigma, population, lr_mean, lr_sigma

    def build(self, theta: Tensor) -> None:
        n = self.space.n
        self.size = self.population or 4 + int(3 * math.log(n))
        self.rate = self.lr_sigma or (3 + math.log(n)) / (5 * math.sqrt(n))
        self.theta = theta
        self.sigma = torch.full_like(theta, self.initial_sigma)

    def ask(self) -> Tensor:
        self.offsets = gaussian(self.size, self.space.n, self.generator, self.theta.dtype)
        return self.theta + self.sigma * self.offsets

    def tell(self, theta: Tensor, evaluation: Evaluation) -> None:
        weights = utilities(evaluation.ranked()).to(self.theta)
        self.theta = self.space.project(self.theta + self.lr_mean * self.sigma * (weights @ self.offsets))
        self.sigma = self.sigma * (self.rate / 2 * (weights @ (self.offsets.square() - 1))).exp()

    def recommend(self) -> Tensor:
        return self.theta

    def status(self) -> dict[str, float]:
        return {"sigma": float(self.sigma.mean())}


def utilities(losses: Tensor) -> Tensor:
    """Losses [B], lower is better -> utilities [B] that sum to zero, equal for equal losses."""
    count = len(losses)
    rank = torch.arange(1, count + 1, dtype=torch.float64, device=losses.device)
    table = (math.log(count / 2 + 1) - rank.log()).clamp_min(0)
    table = table / table.sum() - 1 / count
    _, place, ties = losses.unique(return_inverse=True, return_counts=True)
    level = torch.arange(len(ties), device=losses.device).repeat_interleave(ties)
    return (torch.zeros(len(ties)).to(table).index_add(0, level, table) / ties)[place]
