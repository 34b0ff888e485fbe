"""PGPE: a Gaussian search distribution with mean μ and one width σ_j for each coordinate, both adapted.

With mirrored offsets ±τ_k, τ_k ~ N(0, diag σ²), and the mean loss r̄_k of pair k,

    μ: Adam with the gradient mean_k (f(μ + τ_k) − f(μ − τ_k)) / 2 · τ_k
    σ ← σ − η mean_k (r̄_k − r̄) (τ_k² − σ²) / σ

(Sehnke et al. 2010, "Parameter-exploring policy gradients", with symmetric sampling). A step changes σ by at most one
fifth (after Toklu et al. 2020, "ClipUp"). The differences are divided by their root mean square, the r̄_k − r̄ by their
standard deviation, so that the steps do not depend on the scale of the loss.
"""

from typing import ClassVar

import torch
from torch import Tensor

from baselines.descent import Descent, differences, normalised
from zg.errors import check_positive, check_whole
from zg.ledger import Evaluation
from zg.method import Range
from zg.sampling import antithetic

# Largest relative change of σ in one step.
MAX_CHANGE = 0.2


class PGPE(Descent):
    """Parameter-exploring policy gradients.

    sigma: initial σ of all coordinates, scaled units. lr: Adam's learning rate of μ, scaled units.
    lr_sigma: learning rate η of σ, relative to σ. pairs: mirrored pairs per iteration; each is 2 renders. More,
        where renders that run side by side leave room.
    """

    saved = (*Descent.saved, "sigma")
    batch_settings = ("pairs",)
    ranges: ClassVar = {
        "sigma": Range(0.003, 3.0, log=True),
        "lr": Range(0.0003, 0.1, log=True),
        "lr_sigma": Range(0.01, 0.5, log=True),
        "pairs": Range(2, 50, log=True, integer=True),
    }

    def __init__(self, sigma: float = 0.05, lr: float = 0.01, lr_sigma: float = 0.1, pairs: int = 10) -> None:
        check_positive(sigma=sigma, lr=lr, lr_sigma=lr_sigma)
        check_whole(pairs=pairs)
        self.initial_sigma, self.lr, self.lr_sigma, self.pairs = sigma, lr, lr_sigma, pairs

    def build(self, theta: Tensor) -> None:
        super().build(theta)
        self.sigma = torch.full_like(theta, self.initial_sigma)
        self.drawn = self.problem.filled(2 * self.pairs, 2) // 2

    def ask(self) -> Tensor:
        self.offsets = antithetic(self.drawn, self.space.n, self.generator, self.theta.dtype)
        return self.theta.detach() + self.sigma * self.offsets

    def tell(self, theta: Tensor, evaluation: Evaluation) -> None:
        changes = differences(evaluation.losses, self.drawn)
        count = len(changes)
        if count == 0:
            return
        offsets = self.offsets[:count]
        means = (evaluation.losses[:count] + evaluation.losses[self.drawn :]) / 2
        self.descend(normalised(changes).to(offsets) @ (self.sigma * offsets) / count)
        known = means.isfinite()
        if known.sum() > 1:
            excess = normalised(means[known] - means[known].mean()).to(offsets)
            change = self.lr_sigma * excess @ (offsets[known].square() - 1) / len(excess)
            self.sigma = self.sigma * (1 - change.clamp(-MAX_CHANGE, MAX_CHANGE))

    def status(self) -> dict[str, float]:
        return {"sigma": float(self.sigma.mean()), **super().status()}
