"""SNES: natural gradient of a Gaussian search distribution with one width σ_j for each coordinate.

With s_k ~ N(0, I), z_k = μ + σ s_k and utilities u_k of the ranks of f(z_k), where Σ u_k = 0,

    μ ← μ + η_μ σ Σ u_k s_k        σ ← σ exp(η_σ/2 · Σ u_k (s_k² − 1))

(Schaul, Glasmachers and Schmidhuber 2011, "High dimensions and heavy tails for natural evolution strategies"). The
utilities, λ and η_σ are those of Wierstra et al. 2014, "Natural evolution strategies", table 1. Ranks do not depend on
the scale of the loss. Equal losses, as on a plateau, have equal utilities.

Asynchronously, a sample keeps the μ_k and σ_k that it was drawn with, and s_k = (z_k − μ_k) / σ_k. An update is made of
the next λ losses, of whichever distributions:

    μ ← μ + η_μ Σ u_k σ_k s_k        σ ← σ exp(η_σ/2 · Σ u_k (s_k² − 1))

Each term is the natural gradient of its own distribution. (Weights N(z_k; μ, σ²) / N(z_k; μ_k, σ_k²) in place of that
lose most samples after a few updates: with 32 workers they did not reach the target of `benchmarks.side_by_side`.)
"""

import math
from typing import ClassVar

import torch
from torch import Tensor

from zg.errors import check_positive, check_whole
from zg.ledger import Evaluation
from zg.method import Method, Range, Sample
from zg.sampling import gaussian


class SNES(Method):
    """Separable natural evolution strategies.

    sigma: initial σ of all coordinates, scaled units.
    population: λ, by default 4 + ⌊3 ln n⌋, filled to the renders that run side by side, at most doubled.
    lr_mean: η_μ. lr_sigma: η_σ, by default (3 + ln n) / (5 √n).
    """

    whole_batches = True
    ranks = True
    saved = ("theta", "sigma")
    saved_asynchronous = ("told",)
    batch_settings = ("population",)
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
        self.size = self.population or self.problem.filled_population(4 + int(3 * math.log(n)))
        self.rate = self.lr_sigma or (3 + math.log(n)) / (5 * math.sqrt(n))
        self.theta = theta
        self.sigma = torch.full_like(theta, self.initial_sigma)
        # Asynchronously, what was told since the last update: (loss, s, σ).
        self.told: list[tuple[float, Tensor, Tensor]] = []

    def ask(self) -> Tensor:
        self.offsets = gaussian(self.size, self.space.n, self.generator, self.theta.dtype)
        return self.theta + self.sigma * self.offsets

    def tell(self, theta: Tensor, evaluation: Evaluation) -> None:
        weights = utilities(evaluation.ranked()).to(self.theta)
        self.theta = self.space.project(self.theta + self.lr_mean * self.sigma * (weights @ self.offsets))
        self.sigma = self.sigma * (self.rate / 2 * (weights @ (self.offsets.square() - 1))).exp()

    # One by one

    @property
    def asynchronous(self) -> bool:
        return True

    def ask_one(self) -> Sample:
        offset = gaussian(1, self.space.n, self.generator, self.theta.dtype)[0]
        return Sample(self.theta + self.sigma * offset, {"offset": offset, "sigma": self.sigma})

    def tell_one(self, sample: Sample, evaluation: Evaluation) -> None:
        self.told.append((float(evaluation.losses[0]), sample.origin["offset"], sample.origin["sigma"]))
        if len(self.told) < self.size:
            return
        losses = torch.tensor([loss for loss, _, _ in self.told], dtype=torch.float64, device=self.theta.device)
        offsets, sigmas = torch.stack([s for _, s, _ in self.told]), torch.stack([sigma for *_, sigma in self.told])
        self.told = []
        weights = utilities(Evaluation(losses, losses.isfinite()).ranked()).to(self.theta)
        self.theta = self.space.project(self.theta + self.lr_mean * (weights @ (sigmas * offsets)))
        self.sigma = self.sigma * (self.rate / 2 * (weights @ (offsets.square() - 1))).exp()

    def recommend(self) -> Tensor:
        return self.theta

    def status(self) -> dict[str, float]:
        return {"sigma": float(self.sigma.mean())}


def utilities(losses: Tensor) -> Tensor:
    """Losses [B] -> utilities [B], with sum 0. A lower loss has a higher utility; equal losses share the mean."""
    count = len(losses)
    rank = torch.arange(1, count + 1, dtype=torch.float64, device=losses.device)
    table = (math.log(count / 2 + 1) - rank.log()).clamp_min(0)
    table = table / table.sum() - 1 / count
    _, group, sizes = losses.unique(return_inverse=True, return_counts=True)  # groups of equal losses, in order
    group_of_rank = torch.arange(len(sizes), device=losses.device).repeat_interleave(sizes)
    return (torch.zeros(len(sizes)).to(table).index_add(0, group_of_rank, table) / sizes)[group]
