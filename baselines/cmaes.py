"""CMA-ES of the `cma` package, with a full covariance matrix, or a diagonal one for many parameters.

Hansen 2016, "The CMA Evolution Strategy: A Tutorial". Diagonal covariance (sep-CMA-ES): Ros and Hansen 2008. Restarts
with a doubled population (IPOP-CMA-ES): Auger and Hansen 2005.

Asynchronously, an update is made of the next λ losses, of whichever generations. A sample of a former one is an
external solution (Hansen 2011, "Injecting external solutions into CMA-ES"), which must not be longer than a sample is:

    y ← min(1, (√n + 2n / (n + 2)) / |C^(−1/2) y|) y,   y = (θ − m) / σ with the present m, σ and C

One that is more than `MAX_AGE` generations old says nothing of the present Gaussian, and is left out.
"""

import math
from typing import Any, ClassVar

import cma
import numpy as np
import torch
from torch import Tensor

from baselines.library import Replayed
from zg.errors import check_positive, check_whole
from zg.ledger import Evaluation
from zg.memory import check_memory
from zg.method import Range

# Largest n with a full covariance matrix. For larger n it takes more than 8 MB, and its update more than 1 s.
MAX_FULL = 1000
# Generations after which a sample is left out. At 3 and more, with many more workers than λ, σ was seen to diverge.
MAX_AGE = 2


class CMAES(Replayed):
    """CMA-ES with restarts. The θ that the library recommends is recommended: its best sample or its mean.

    sigma: initial step size σ, scaled units.
    population: λ; by default 4 + ⌊3 ln n⌋, the default of the library, filled to the renders that run side by side, at
        most doubled. Asynchronously at least half of these renders, so that few samples are too old.
    diagonal: a diagonal covariance matrix; by default if n > 1000.
    restarts: largest number of restarts from θ₀, each with twice the population. It restarts when the library reports
        convergence and the budget is not spent.
    """

    whole_batches = True
    ranks = True
    batch_settings = ("population",)
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
        self.lowest, self.favorite = (
            np.inf,
            theta,
        )  # the lowest loss before the last restart, and the θ recommended then
        self.buffer: list[tuple[np.ndarray, float]] = []  # asynchronously, θ [n] and losses since the last update
        return self.make_optimizer(self.population or self._filled())

    def _filled(self) -> int | None:
        """λ for renders side by side; None is that of the library."""
        usual, parallel = 4 + int(3 * math.log(self.space.n)), self.problem.parallel
        if parallel == 1:
            return None
        return max(usual, parallel // 2) if self.problem.asynchronous else self.problem.filled_population(usual)

    def make_optimizer(self, population: int | None) -> cma.CMAEvolutionStrategy:
        """A new optimiser of the library that starts at θ₀, with this λ."""
        options: dict[str, Any] = {"seed": np.nan, "verbose": -9, "maxiter": np.inf, "maxfevals": np.inf}
        if population is not None:
            options["popsize"] = population
        diagonal = self.space.n > MAX_FULL if self.diagonal is None else self.diagonal
        options["CMA_diagonal"] = diagonal
        self.resolved = "diagonal" if diagonal else "full covariance"
        if not diagonal:
            check_memory(8.0 * self.space.n**2, **{"a full covariance matrix": f"{self.space.n} parameters"})
        if self.space.bounded:
            options["bounds"] = [self.space.low.tolist(), self.space.high.tolist()]
        if self.space.n == 1:
            options["maxstd"] = np.inf  # for n = 1, cma raises an error when it limits σ to the bounds
        return cma.CMAEvolutionStrategy(self.origin, self.sigma, options)

    def ask_library(self) -> np.ndarray:
        self.asked = self.library.ask()
        return np.stack(self.asked)

    def tell_library(self, losses: np.ndarray) -> None:
        self.library.tell(self.asked, losses.tolist())
        self._restart_if_due()

    @property
    def asynchronous(self) -> bool:
        return True

    def ask_library_one(self) -> tuple[np.ndarray, Any]:
        asked = self.library.ask(1)[0]
        return asked, (asked, self.restarted, self.library.countiter)

    def tell_library_one(self, asked: Any, loss: float) -> None:
        theta, start, generation = asked
        if start != self.restarted or self.library.countiter - generation > MAX_AGE:
            return
        self.buffer.append((theta, loss))
        if len(self.buffer) < self.library.popsize:
            return
        losses = torch.tensor([told for _, told in self.buffer], dtype=torch.float64)
        ranked = Evaluation(losses, losses.isfinite()).ranked().tolist()
        samples, self.buffer = [sample for sample, _ in self.buffer], []
        self.library.tell(samples, ranked, check_points=True)
        self._restart_if_due()

    def _restart_if_due(self) -> None:
        if self.restarted < self.restarts and self.library.stop():
            self.lowest, self.favorite = self.best()
            self.restarted += 1
            self.library = self.make_optimizer(2 * self.library.popsize)

    def best(self) -> tuple[float, np.ndarray]:
        """The lowest loss of all starts, and the θ [n] that the library recommends for the start with this loss."""
        result = self.library.result
        improved = result.fbest is not None and result.fbest < self.lowest
        return (result.fbest, result.xfavorite) if improved else (self.lowest, self.favorite)

    def recommend(self) -> Tensor:
        favorite = self.best()[1] if self.restarted else self.library.result.xfavorite
        return self.space.project(torch.as_tensor(favorite).to(self.space.init))

    def status(self) -> dict[str, float]:
        return {"sigma": float(self.library.sigma)}

    def finished(self) -> str | None:
        stop = self.library.stop()
        return f"cma: {next(iter(stop))}" if stop else None
