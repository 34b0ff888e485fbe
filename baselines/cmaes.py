"""CMA-ES through the `cma` package: full covariance where n² fits, diagonal above.

Hansen, "The CMA Evolution Strategy: A Tutorial" (2016); diagonal: Ros and Hansen 2008.
"""

from typing import Any, ClassVar

import cma
import numpy as np
import torch
from torch import Tensor

from baselines.library import Replayed
from zg.errors import check_positive, check_whole
from zg.method import Range

# Above, one n × n matrix of doubles and its decomposition cost more than 8 MB and a second an update.
MAX_FULL = 1000


class CMAES(Replayed):
    """CMA-ES.

    sigma: initial step size, scaled units. population: λ, by default cma's 4 + ⌊3 ln n⌋.
    diagonal: keep variances only; by default from n > 1000.
    """

    whole_batches = True
    ranges: ClassVar = {"sigma": Range(0.003, 3.0, log=True), "population": Range(4, 200, log=True, integer=True)}

    def __init__(self, sigma: float = 0.1, population: int | None = None, diagonal: bool | None = None) -> None:
        super().__init__()
        check_positive(sigma=sigma)
        if population is not None:
            check_whole(2, population=population)
        self.sigma, self.population, self.diagonal = sigma, population, diagonal

    def make(self, theta: np.ndarray) -> cma.CMAEvolutionStrategy:
        options: dict[str, Any] = {"seed": np.nan, "verbose": -9, "maxiter": np.inf, "maxfevals": np.inf}
        if self.population is not None:
            options["popsize"] = self.population
        diagonal = self.space.n > MAX_FULL if self.diagonal is None else self.diagonal
        options["CMA_diagonal"] = diagonal
        self.resolved = "diagonal" if diagonal else "full covariance"
        if self.space.bounded:
            options["bounds"] = [self.space.low.tolist(), self.space.high.tolist()]
        return cma.CMAEvolutionStrategy(theta, self.sigma, options)

    def ask_library(self) -> np.ndarray:
        self.asked = self.library.ask()
        return np.stack(self.asked)

    def tell_library(self, losses: np.ndarray) -> None:
        self.library.tell(self.asked, losses.tolist())

    def recommend(self) -> Tensor:
        return self.space.project(torch.as_tensor(self.library.result.xfavorite).to(self.space.init))

    def status(self) -> dict[str, float]:
        return {"sigma": float(self.library.sigma)}

    def finished(self) -> str | None:
        stop = self.library.stop()
        return f"cma: {next(iter(stop))}" if stop else None
