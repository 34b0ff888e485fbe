"""The surrogate: a network g(x) → image, learned from past pairs, and the sampled estimate as its correction.

    vᵀ ∂(I ∗ κ)/∂x ≈ β · vᵀ ∂(g ∗ κ)/∂x  +  mean over pairs of  v · (ΔI − β Δg) / σ · w        Δ: half difference

g and β are those that were learned before this step's renders. So both terms are independent of these renders, and the
sum is unbiased for the smoothed gradient, however wrong g is: g is a control variate. A `correction` below 1 gives up
some of that for less noise. β is the regression of v · ΔI on v · Δg over past steps: a useless g has β = 0, and the
estimate is the sampled one. The surrogate of the picture, not of the loss, serves every upstream gradient v. After
Fischer and Ritschel 2024, amortised over inputs.
"""

from typing import Any

import torch
from torch import Tensor

from zg.layer.draws import weighted_mean
from zg.layer.estimator import Estimator, Probe, Sampling
from zg.layer.model import Model

# Rate of the running moments that β comes from, and the least denominator.
RATE, TINY = 0.1, 1e-30


class Surrogate(Estimator):
    """Renders 2 · pairs a row. correction: its weight where β = 1. predictions: samples of ∂g/∂x a row."""

    def __init__(self, sampling: Sampling, seed: int, learner: Model, correction: float, predictions: int) -> None:
        super().__init__(sampling, seed)
        self.learner, self.correction, self.predictions = learner, correction, predictions
        self.moments = torch.zeros(3, dtype=torch.float64)  # of v · ΔI and v · Δg: cross, of g, of I

    @property
    def share(self) -> float:
        """β in 0 … 1."""
        return float((self.moments[0] / self.moments[1].clamp_min(TINY)).clamp(0, 1))

    def estimate(self, x: Tensor, v: Tensor, probe: Probe) -> Tensor:
        sigma, share = self.sigma, self.share
        pairs = self.render_pairs(x, probe)
        steps = sigma * pairs.draws.offsets
        changes = torch.einsum("mbd,bd->mb", pairs.half, v)
        if self.learner.memory:
            predicted = self.learner.changes(x, steps, v)
            noise = torch.randn(self.predictions, *x.shape, generator=self.generator, dtype=x.dtype)
            smooth = self.learner.gradient(x, sigma * noise.to(x.device), v)
            weight = 1 - share * (1 - self.correction)  # without a surrogate, the sampled estimate is whole
            residual = changes - share * predicted
            found = share * smooth + weight * weighted_mean(residual, pairs.valid, pairs.draws, sigma)
            self.judge(changes[pairs.valid], predicted[pairs.valid])
        else:
            found = weighted_mean(changes, pairs.valid, pairs.draws, sigma)
        self.learner.learn(x, steps, pairs)
        return found

    def judge(self, changes: Tensor, predicted: Tensor) -> None:
        """Renew the running moments from v · ΔI and v · Δg [K]; steps count alike, whatever the size of v."""
        a, b = changes.double(), predicted.double()
        total = a @ a
        if total > 0:
            new = torch.stack([a @ b, b @ b, total]) / total
            self.moments = torch.lerp(self.moments, new.cpu(), RATE)

    @property
    def explained(self) -> float:
        cross, of_g, of_image = self.moments.tolist()
        return (2 * self.share * cross - self.share**2 * of_g) / of_image if of_image else 0.0

    def status(self) -> dict[str, float]:
        learned = {"share": self.share, "explained": self.explained, "memory": self.learner.memory}
        return {**super().status(), **learned}

    def state(self) -> dict[str, Any]:
        return {**super().state(), "moments": self.moments.clone(), "learner": self.learner.state()}

    def load(self, state: dict[str, Any]) -> None:
        super().load(state)
        self.moments = state["moments"].clone().cpu()
        self.learner.load(state["learner"])
