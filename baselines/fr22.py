"""FR22: the gradient of the loss, smoothed with a Gaussian κ, by importance sampling of the derivative of κ.

    ∂/∂θ_j (f ∗ κ)(θ) = E[ f(θ + τ) · sign(τ_j) ] · √(2/π)/σ,   τ_j = ±σ √(−2 ln u),   u ~ U(0, 1]

The density of τ_j is proportional to |κ′|; both signs have probability 1/2. Each τ is used with −τ (Fischer and
Ritschel 2022, "Plateau-reduced Differentiable Path Tracing"). σ is constant for a part of the budget and then decreases
linearly: a large σ removes plateaus of the loss, and a small σ reduces the bias at the end.
"""

import math
from typing import ClassVar

import torch
from torch import Tensor

from baselines.descent import Descent, differences
from zg.errors import SettingError, check_positive, check_whole
from zg.ledger import Evaluation
from zg.method import Range


class FR22(Descent):
    """The FR22 estimator on the loss, with Adam.

    sigma, final_sigma: initial and final σ of the smoothing Gaussian, scaled units.
    hold: fraction of the budget with the initial σ.
    lr: Adam's learning rate, scaled units.
    pairs: mirrored pairs per iteration; each is 2 renders.
    The defaults of sigma, final_sigma and lr are one fifth of the published 0.5, 0.01 and 0.02.
    """

    batch_settings = ("pairs",)
    ranges: ClassVar = {
        "sigma": Range(0.01, 0.5, log=True),
        "lr": Range(0.0003, 0.1, log=True),
        "pairs": Range(1, 20, log=True, integer=True),
    }

    def __init__(
        self, sigma: float = 0.1, final_sigma: float = 0.002, hold: float = 0.5, lr: float = 0.004, pairs: int = 1
    ) -> None:
        check_positive(sigma=sigma, final_sigma=final_sigma, lr=lr)
        check_whole(pairs=pairs)
        if not 0 <= hold <= 1:
            raise SettingError(f"hold must be between 0 and 1, got {hold}")
        self.sigma, self.final_sigma, self.hold, self.lr, self.pairs = sigma, final_sigma, hold, lr, pairs

    def annealed(self) -> float:
        """σ at the present fraction of the budget, in scaled units."""
        remaining = min(1.0, (1 - self.progress) / (1 - self.hold)) if self.hold < 1 else 1.0
        return self.final_sigma + remaining * (self.sigma - self.final_sigma)

    def ask(self) -> Tensor:
        self.width = self.annealed()
        self.offsets = derivative_of_gaussian(self.pairs, self.space.n, self.generator, self.theta.dtype)
        return self.theta.detach() + self.width * torch.cat([self.offsets, -self.offsets])

    def tell(self, theta: Tensor, evaluation: Evaluation) -> None:
        self.follow(evaluation.losses)

    def follow(self, values: Tensor) -> None:
        """One step of Adam on the smoothed function with these values [B] at θ + τ_k and then at θ − τ_k."""
        changes = differences(values, self.pairs)
        if len(changes):
            self.descend(smoothed_derivative(changes, self.offsets[: len(changes)], self.width))

    def status(self) -> dict[str, float]:
        return {"sigma": self.annealed(), **super().status()}


def derivative_of_gaussian(count: int, n: int, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
    """Offsets τ/σ [count, n] with density proportional to |κ′|: a random sign and a Rayleigh-distributed magnitude."""
    u = torch.rand(2, count, n, generator=generator, dtype=dtype, device=generator.device)
    return torch.where(u[0] < 0.5, -1.0, 1.0) * (-2 * torch.log1p(-u[1])).sqrt()


def smoothed_derivative(changes: Tensor, offsets: Tensor, sigma: float) -> Tensor:
    """f(θ + τ) − f(θ − τ) [B] for τ = σ · offsets [B, n] -> the gradient estimate [n]."""
    return changes.to(offsets) @ offsets.sign() * (math.sqrt(2 / math.pi) / (2 * sigma * len(changes)))
