"""A method in thirty lines: step at random, keep what is better. (A (1+1)-ES with the 1/5 rule.)"""

import math

import torch
from torch import Tensor

from zg import Evaluation, Method


class CoinFlip(Method):
    """One random step an iteration; σ grows on success and shrinks on failure."""

    saved = ("theta", "sigma", "loss")

    def __init__(self, sigma: float = 0.1) -> None:
        self.initial_sigma = sigma

    def build(self, theta: Tensor) -> None:
        self.theta, self.sigma, self.loss = theta, self.initial_sigma, math.inf

    def ask(self) -> Tensor:
        step = torch.randn(1, self.space.n, generator=self.generator, dtype=self.theta.dtype)
        return self.space.project(self.theta + self.sigma * step)

    def tell(self, theta: Tensor, evaluation: Evaluation) -> None:
        better = float(evaluation.losses[0]) < self.loss
        if better:
            self.theta, self.loss = theta[0], float(evaluation.losses[0])
        self.sigma *= 1.5 if better else 1.5**-0.25

    def recommend(self) -> Tensor:
        return self.theta

    def status(self) -> dict[str, float]:
        return {"sigma": self.sigma}
