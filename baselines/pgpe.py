"""PGPE: a search Gaussian with one width a coordinate, both its centre and its widths following the losses.

With mirrored offsets ±τ_k, τ_k ~ N(0, diag σ²), and r̄_k the mean loss of pair k,

    μ ← Adam along mean_k (f(μ + τ_k) − f(μ − τ_k)) / 2 · τ_k        σ ← σ − η mean_k (r̄_k − r̄) (τ_k² − σ²) / σ

(Sehnke et al. 2010, "Parameter-exploring policy gradients", with symmetric sampling; σ changes by a fifth at
most, after Toklu et al. 2020, "ClipUp"). Differences are divided by their root mean square and means by their
deviation, so the steps do not depend on the scale of the loss.
"""

from typing import ClassVar

import torch
from torch import Tensor

from baselines.descent import Descent, differences, normalised
from zg.errors import check_positive, check_whole
from zg.ledger import Evaluation
from zg.method import Range
from zg.sampling import antithetic

MAX_CHANGE = 0.2


class PGPE(Descent):
    """Parameter-exploring policy gradients.

    sigma: initial width, scaled units. lr: Adam's learning rate, scaled units. lr_sigma: η, relative to σ.
    pairs: mirrored pairs an iteration (2 · pairs renders).
    """

    saved = (*Descent.saved, "sigma")
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

    def ask(self) -> Tensor:
        self.offsets = antithetic(self.pairs, self.space.n, self.generator, self.theta.dtype)
        return self.theta.detach() + self.sigma * self.offsets

    def tell(self, theta: Tensor, evaluation: Evaluation) -> None:
        slopes = differences(evaluation.losses, self.pairs)
        if not len(slopes):
            return
        offsets = self.offsets[: len(slopes)]
        means = (evaluation.losses[: len(slopes)] + evaluation.losses[self.pairs :]) / 2
        self.descend(normalised(slopes).to(offsets) @ (self.sigma * offsets) / len(slopes))
        known = means.isfinite()
        if known.sum() > 1:
            merits = normalised(means[known] - means[known].mean()).to(offsets)
            change = self.lr_sigma * merits @ (offsets[known].square() - 1) / len(merits)
            self.sigma = self.sigma * (1 - change.clamp(-MAX_CHANGE, MAX_CHANGE))

    def status(self) -> dict[str, float]:
        return {"sigma": float(self.sigma.mean()), **super().status()}
