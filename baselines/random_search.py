"""Random search: independent points, the best one kept. What does not beat it does not search.

Uniform between the bounds where a coordinate has two, Gaussian around the start where not (Bergstra and Bengio
2012, "Random search for hyper-parameter optimization"; Rastrigin 1963). The start is the first point.
"""

from typing import ClassVar

import torch
from torch import Tensor

from zg.errors import check_positive, check_whole
from zg.ledger import Evaluation
from zg.method import Method, Range
from zg.sampling import gaussian


class RandomSearch(Method):
    """Independent samples.

    sigma: width of the Gaussian for coordinates without two bounds, scaled units. batch: renders an iteration.
    """

    ranges: ClassVar = {"sigma": Range(0.01, 1.0, log=True)}

    def __init__(self, sigma: float = 0.3, batch: int = 10) -> None:
        check_positive(sigma=sigma)
        check_whole(batch=batch)
        self.sigma, self.batch = sigma, batch

    def build(self, theta: Tensor) -> None:
        self.theta = theta

    def ask(self) -> Tensor:
        low, high, n = self.space.low, self.space.high, self.space.n
        around = self.theta + self.sigma * gaussian(self.batch, n, self.generator, self.theta.dtype)
        share = torch.rand(self.batch, n, generator=self.generator, dtype=self.theta.dtype, device=self.theta.device)
        points = torch.where((high - low).isfinite(), low + share * (high - low), self.space.project(around))
        if self.ledger.renders == 0:
            points[0] = self.theta
        return points

    def tell(self, theta: Tensor, evaluation: Evaluation) -> None:
        """Nothing to learn: the objective remembers the best."""

    def recommend(self) -> Tensor:
        return self.space.project(self.ledger.best_theta)
