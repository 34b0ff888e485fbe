"""A method in thirty lines: step at random, keep what is better (a (1+1) evolution strategy with the 1/5 rule)."""

import torch
from torch import Tensor

from zg import Evaluation, Method


class CoinFlip(Method):
    """One random step an iteration; σ grows on success and shrinks on failure."""

    def __init__(self, sigma: float = 0.1) -> None:
        super().__init__()
        self.initial_sigma = sigma

    def build(self, theta: Tensor) -> None:
        self.theta: Tensor
        self.sigma: Tensor
        self.loss: Tensor
        self.register_buffer("theta", theta)
        self.register_buffer("sigma", torch.tensor(self.initial_sigma))
        self.register_buffer("loss", torch.tensor(torch.inf, dtype=torch.float64))

    def ask(self) -> Tensor:
        step = torch.randn(1, self.space.n, generator=self.random, dtype=self.theta.dtype)
        return self.space.project(self.theta + self.sigma * step)

    def tell(self, theta: Tensor, evaluation: Evaluation) -> None:
        better = bool(evaluation.losses[0] < self.loss)
        if better:
            self.theta, self.loss = theta[0], evaluation.losses[0]
        self.sigma = self.sigma * (1.5 if better else 1.5**-0.25)

    def recommend(self) -> Tensor:
        return self.theta

    def status(self) -> dict[str, float]:
        return {"sigma": float(self.sigma)}
