"""Random search: independent samples; the best one is recommended. A method that is not better is of no use.

A coordinate with two bounds is uniform between them; other coordinates are Gaussian around θ₀ (Bergstra and Bengio
2012, "Random search for hyper-parameter optimization"; Rastrigin 1963). The first sample is θ₀.
"""

import math
from typing import ClassVar

import torch
from torch import Tensor

from zg.errors import check_positive, check_whole
from zg.ledger import Evaluation
from zg.method import Method, Range
from zg.sampling import gaussian


class RandomSearch(Method):
    """Independent samples.

    sigma: standard deviation of coordinates without two bounds, scaled units. batch: renders per iteration;
        more, where renders that run side by side leave room.
    """

    ranks = True
    batch_settings = ("batch",)
    ranges: ClassVar = {"sigma": Range(0.01, 1.0, log=True)}

    def __init__(self, sigma: float = 0.3, batch: int = 10) -> None:
        check_positive(sigma=sigma)
        check_whole(batch=batch)
        self.sigma, self.batch = sigma, batch

    def build(self, theta: Tensor) -> None:
        self.theta = theta
        self.count = self.problem.filled(self.batch)

    def ask(self) -> Tensor:
        low, high, n = self.space.low, self.space.high, self.space.n
        normal = self.theta + self.sigma * gaussian(self.count, n, self.generator, self.theta.dtype)
        u = torch.rand(self.count, n, generator=self.generator, dtype=self.theta.dtype, device=self.theta.device)
        points = torch.where((high - low).isfinite(), low + u * (high - low), self.space.project(normal))
        if self.ledger.renders == 0 and math.isinf(self.ledger.best_loss):
            points[0] = self.theta
        return points

    def tell(self, theta: Tensor, evaluation: Evaluation) -> None:
        """Does nothing: the ledger keeps the best sample."""

    def take_known(self, theta: Tensor, losses: Tensor) -> str:
        return "it is not rendered again"

    def recommend(self) -> Tensor:
        return self.space.project(self.ledger.best_theta)
