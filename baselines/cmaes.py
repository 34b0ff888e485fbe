"""CMA-ES through the `cma` package: full covariance where n² fits, diagonal above.

Hansen, "The CMA Evolution Strategy: A Tutorial" (2016); diagonal: Ros and Hansen 2008; restarts: Auger and Hansen 2005.
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
    diagonal: keep variances only; by default from n > 1000. restarts: how often it begins anew from θ₀ with twice the
    population when it has come to rest and budget is left.
    """

    whole_batches = True
    ranges: ClassVar = {"sigma": Range(0.003, 3.0, log=True), "population": Range(4, 200, log=True, integer=True)}

    def __init__(
        self, sigma: float = 0.1, population: int | None = None, diagonal: bool | None = None, restarts: int = 9
    ) -> None:
        check_positive(sigma=sigma)
        check_whole(0, restarts=restarts)
        if population is not None:
            check_whole(2, population=population)
        self.sigma, self.population, self.diagonal, self.restarts = sigma, population, diagonal, restarts

    def make(self, theta: np.ndarray) -> cma.CMAEvolutionStrategy:
        self.origin, self.restarted = theta, 0
        self.lowest, self.favorite = np.inf, theta  # loss and θ that the runs before the present one ended with
        return self.begin(self.population)

    def begin(self, population: int | None) -> cma.CMAEvolutionStrategy:
        """The library's optimiser from θ₀ with that λ."""
        options: dict[str, Any] = {"seed": np.nan, "verbose": -9, "maxiter": np.inf, "maxfevals": np.inf}
        if population is not None:
            options["popsize"] = population
        diagonal = self.space.n > MAX_FULL if self.diagonal is None else self.diagonal
        options["CMA_diagonal"] = diagonal
        self.resolved = "diagonal" if diagonal else "full covariance"
        if self.space.bounded:
            options["bounds"] = [self.space.low.tolist(), self.space.high.tolist()]
        if self.space.n == 1:
            options["maxstd"] = np.inf  # cma raises where it would narrow the only coordinate
        return cma.CMAEvolutionStrategy(self.origin, self.sigma, options)

    def ask_library(self) -> np.ndarray:
        self.asked = self.library.ask()
        return np.stack(self.asked)

    def tell_library(self, losses: np.ndarray) -> None:
        self.library.tell(self.asked, losses.tolist())
        if self.restarted < self.restarts and self.library.stop():
            self.lowest, self.favorite = self.best()
            self.restarted += 1
            self.library = self.begin(2 * self.library.popsize)

    def best(self) -> tuple[float, np.ndarray]:
        """The lowest loss of any run, and what that run recommends: its mean or its best sample."""
        result = self.library.result
        found = result.fbest is not None and result.fbest < self.lowest
        return (result.fbest, result.xfavorite) if found else (self.lowest, self.favorite)

    def recommend(self) -> Tensor:
        favorite = self.best()[1] if self.restarted else self.library.result.xfavorite
        return self.space.project(torch.as_tensor(favorite).to(self.space.init))

    def status(self) -> dict[str, float]:
        return {"sigma": float(self.library.sigma)}

    def finished(self) -> str | None:
        stop = self.library.stop()
        return f"cma: {next(iter(stop))}" if stop else None
