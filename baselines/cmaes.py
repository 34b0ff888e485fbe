"""CMA-ES through the `cma` package: full covariance where n² fits, diagonal above.

Hansen, "The CMA Evolution Strategy: A Tutorial" (2016); diagonal: Ros and Hansen 2008. Nothing of it is
pickled: a checkpoint holds the recorded losses, and a resumed run asks again without rendering.
"""

from typing import Any

import cma
import numpy as np
import torch
from torch import Tensor

from baselines.library import NumpyRandom
from zg.errors import check_positive
from zg.method import Method
from zg.objective import Evaluation

# Above, one n × n matrix of doubles and its decomposition cost more than 8 MB and a second an update.
MAX_FULL = 1000


class CMAES(Method):
    """CMA-ES.

    sigma: initial step size, scaled units. population: λ, by default cma's 4 + ⌊3 ln n⌋.
    diagonal: keep variances only; by default from n > 1000.
    """

    whole_batches = True

    def __init__(self, sigma: float = 0.1, population: int | None = None, diagonal: bool | None = None) -> None:
        super().__init__()
        check_positive(sigma=sigma)
        if population is not None:
            check_positive(population=population)
        self.sigma, self.population, self.diagonal = sigma, population, diagonal

    def build(self, theta: Tensor) -> None:
        options: dict[str, Any] = {"seed": np.nan, "verbose": -9, "maxiter": np.inf, "maxfevals": np.inf}
        if self.population is not None:
            options["popsize"] = self.population
        if self.space.n > MAX_FULL if self.diagonal is None else self.diagonal:
            options["CMA_diagonal"] = True
        if self.space.bounded:
            options["bounds"] = [self.space.low.tolist(), self.space.high.tolist()]
        self.numpy_random = NumpyRandom(self.seed)
        with self.numpy_random:
            self.library = cma.CMAEvolutionStrategy(theta.double().cpu().numpy(), self.sigma, options)
        self.told: list[Tensor] = []

    def ask(self) -> Tensor:
        with self.numpy_random:
            self.asked = self.library.ask()
        return torch.as_tensor(np.stack(self.asked)).to(self.space.init)

    def tell(self, theta: Tensor, evaluation: Evaluation) -> None:
        losses = evaluation.ranked().cpu()
        self.told.append(losses)
        with self.numpy_random:
            self.library.tell(self.asked, losses.tolist())

    def recommend(self) -> Tensor:
        return self.space.project(torch.as_tensor(self.library.result.xfavorite).to(self.space.init))

    def status(self) -> dict[str, float]:
        return {"sigma": float(self.library.sigma)}

    def finished(self) -> str | None:
        stop = self.library.stop()
        return f"cma: {next(iter(stop))}" if stop else None

    def extra_state(self) -> dict[str, Any]:
        return {"told": torch.stack(self.told) if self.told else None}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        for losses in [] if state["told"] is None else state["told"]:
            self.tell(self.ask(), Evaluation(losses, losses.isfinite()))
