"""FR22: smooth the loss with a Gaussian, and sample the Gaussian's derivative.

    ∂/∂θ_j (f ∗ κ)(θ) = E[ f(θ + τ) · sign(τ_j) ] · √(2/π)/σ,   τ_j = ±σ √(−2 ln u)

where each offset has the density proportional to |κ′|, sign fair, and is mirrored (Fischer and Ritschel,
"Plateau-reduced Differentiable Path Tracing", 2022). σ is held for half of the budget, then
annealed linearly, so that the plateaus are gone first and the blur later.
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
    """The smoothed-derivative estimator on the loss, with Adam.

    sigma, final_sigma: width of the smoothing Gaussian, first and last, scaled units. hold: the share of the
    budget with the first. lr: Adam's learning rate, scaled units. pairs: mirrored samples an iteration
    (2 · pairs renders). The defaults are the published 0.5, 0.01 and 2e-2, a fifth of each.
    """

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
        """σ at the present share of the budget."""
        left = min(1.0, (1 - self.progress) / (1 - self.hold)) if self.hold < 1 else 1.0
        return self.final_sigma + left * (self.sigma - self.final_sigma)

    def ask(self) -> Tensor:
        self.width = self.annealed()
        self.offsets = derivative_of_gaussian(self.pairs, self.space.n, self.generator, self.theta.dtype)
        return self.theta.detach() + self.width * torch.cat([self.offsets, -self.offsets])

    def tell(self, theta: Tensor, evaluation: Evaluation) -> None:
        self.follow(evaluation.losses)

    def follow(self, values: Tensor) -> None:
        """Descend the smoothed derivative of what was valued [B] as asked: ups, then downs."""
        rises = differences(values, self.pairs)
        if len(rises):
            self.descend(smoothed_derivative(rises, self.offsets[: len(rises)], self.width))

    def status(self) -> dict[str, float]:
        return {"sigma": self.annealed(), **super().status()}


def derivative_of_gaussian(count: int, n: int, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
    """Offsets [count, n] with density proportional to |κ′|, in units of σ: a fair sign and a Rayleigh radius."""
    u = torch.rand(2, count, n, generator=generator, dtype=dtype, device=generator.device)
    return torch.where(u[0] < 0.5, -1.0, 1.0) * (-2 * torch.log1p(-u[1])).sqrt()


def smoothed_derivative(rises: Tensor, offsets: Tensor, sigma: float) -> Tensor:
    """f(θ + τ) − f(θ − τ) [B] for τ = σ · offsets [B, n] -> the estimate [n]."""
    return rises.to(offsets) @ offsets.sign() * (math.sqrt(2 / math.pi) / (2 * sigma * len(rises)))
