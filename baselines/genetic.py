"""A real-coded genetic algorithm of the `pymoo` package.

Binary tournaments select the parents. Simulated binary crossover (Deb and Agrawal 1995) and Gaussian mutation of one
coordinate in n, on average, make the children. The best of parents and children survive, so the best θ is kept. The
algorithm uses only the order of the losses.
"""

from typing import Any, ClassVar

import numpy as np
from pymoo.algorithms.soo.nonconvex.ga import GA
from pymoo.core.evaluator import Evaluator
from pymoo.core.mutation import Mutation
from pymoo.core.problem import Problem
from pymoo.core.termination import NoTermination
from pymoo.problems.static import StaticProblem
from torch import Tensor

from baselines.library import Replayed
from zg.errors import check_positive, check_whole
from zg.method import Range


class Genetic(Replayed):
    """A genetic algorithm. The best θ seen is recommended.

    sigma: standard deviation of the first population around θ₀ and of the mutations, scaled units. θ₀ is one member of
        the first population.
    population: number of survivors, and number of children per iteration.
    """

    whole_batches = True
    ranks = True
    batch_settings = ("population",)
    ranges: ClassVar = {"sigma": Range(0.01, 0.5, log=True), "population": Range(10, 200, log=True, integer=True)}

    def __init__(self, sigma: float = 0.1, population: int = 20) -> None:
        check_positive(sigma=sigma)
        check_whole(2, population=population)
        self.sigma, self.population = sigma, population

    def make(self, theta: np.ndarray) -> GA:
        generator = np.random.default_rng(self.problem.seed)
        offsets = self.sigma * generator.standard_normal((self.population, self.space.n))
        offsets[0] = 0
        low, high = self.space.low.double().cpu().numpy(), self.space.high.double().cpu().numpy()
        self.static = Problem(n_var=self.space.n, n_obj=1, xl=low, xu=high)
        first = (theta + offsets).clip(low, high)
        library = GA(pop_size=self.population, sampling=first, mutation=GaussianMutation(self.sigma))
        return library.setup(self.static, termination=NoTermination(), seed=self.problem.seed % 2**32)

    def ask_library(self) -> np.ndarray:
        self.asked = self.library.ask()
        return self.asked.get("X")

    def tell_library(self, losses: np.ndarray) -> None:
        Evaluator().eval(StaticProblem(self.static, F=losses[:, None]), self.asked)
        self.library.tell(infills=self.asked)

    def recommend(self) -> Tensor:
        return self.space.project(self.ledger.best_theta)


class GaussianMutation(Mutation):
    """Adds N(0, σ²) to each coordinate with probability 1/n, and clips to the bounds. Pymoo's needs finite bounds."""

    def __init__(self, sigma: float) -> None:
        super().__init__()
        self.sigma = sigma

    def _do(self, problem: Problem, X: np.ndarray, *args: Any, random_state: Any = None, **kwargs: Any) -> np.ndarray:
        chosen = random_state.random(X.shape) < 1 / problem.n_var
        moved = X.copy()
        moved[chosen] += self.sigma * random_state.standard_normal(chosen.sum())
        return moved.clip(problem.xl, problem.xu)
