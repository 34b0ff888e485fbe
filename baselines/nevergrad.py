"""Any optimiser of Nevergrad by its name in the registry: NGOpt, TwoPointsDE, OnePlusOne, PSO, TBPSA, CMA, …

Rapin and Teytaud 2018, "Nevergrad: a gradient-free optimization platform". NGOpt and similar optimisers choose another
one by dimension, budget and number of workers; `resolved` is the name of the chosen one. On the command line:
`nevergrad:TwoPointsDE`.
"""

import math
from typing import Any, ClassVar

import nevergrad
import numpy as np
import torch
from nevergrad.optimization import recaster
from nevergrad.optimization.base import Optimizer
from torch import Tensor

from baselines.library import NumpyRandom, Replayed
from zg.errors import SettingError, check_positive, check_whole, nearest
from zg.method import Range


class DaemonThread(recaster._MessagingThread):
    """Nevergrad's thread for optimisers such as those of SciPy, as a daemon thread.

    The thread waits for the next loss. After the last loss it waits without end, and a thread that is no daemon then
    prevents the exit of the process.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.daemon = True


recaster._MessagingThread = DaemonThread


class Nevergrad(Replayed):
    """An optimiser of Nevergrad.

    optimizer: its name in the registry.
    sigma: standard deviation of its mutations, scaled units; some optimisers ignore it.
    num_workers: number of θ per iteration; more, where renders that run side by side leave room, up to twice the
        4 + ⌊3 ln n⌋ of CMA-ES, which is what NGOpt then chooses. Asynchronously it is told each θ as it comes.
    Raises SettingError for an unknown name, or if the optimiser needs a package that is not installed.
    """

    batch_settings = ("num_workers",)
    ranges: ClassVar = {"sigma": Range(0.003, 0.5, log=True)}

    def __init__(self, optimizer: str = "NGOpt", sigma: float = 0.1, num_workers: int = 1) -> None:
        check_positive(sigma=sigma)
        check_whole(num_workers=num_workers)
        if optimizer not in nevergrad.optimizers.registry:
            raise SettingError(f"optimizer '{optimizer}' is unknown{nearest(optimizer, nevergrad.optimizers.registry)}")
        self.optimizer, self.sigma, self.num_workers = optimizer, sigma, num_workers

    def make(self, theta: np.ndarray) -> Optimizer:
        parametrization = nevergrad.p.Array(init=theta)
        low, high = (bound.double().cpu().numpy() for bound in (self.space.low, self.space.high))
        if np.isfinite(low).all() and np.isfinite(high).all():
            parametrization.set_bounds(low, high)
        parametrization.set_mutation(sigma=self.sigma)
        parametrization.function.deterministic = not self.problem.noisy
        parametrization.random_state = np.random.RandomState(self.problem.seed % 2**32)
        population = 4 + int(3 * math.log(self.space.n))
        self.batch = min(self.problem.filled(self.num_workers), max(self.num_workers, 2 * population))
        side_by_side = self.problem.parallel if self.problem.asynchronous else self.batch
        make = nevergrad.optimizers.registry[self.optimizer]
        try:
            library = make(
                parametrization, budget=self.problem.max_renders, num_workers=max(self.num_workers, side_by_side)
            )
        except ImportError as error:
            raise SettingError(f"optimizer '{self.optimizer}' needs a package that is not installed: {error}") from None
        self.resolved = resolve(library)
        self.worst = -np.inf  # the highest loss so far; it is told for a batch in which all renders failed
        return library

    def ask_library(self) -> np.ndarray:
        self.asked = [self.library.ask() for _ in range(self.batch)]
        return np.stack([candidate.value for candidate in self.asked])

    def tell_library(self, losses: np.ndarray) -> None:
        self.worst = max([self.worst, *losses[np.isfinite(losses)].tolist()])
        for candidate, loss in zip(self.asked, losses.tolist(), strict=False):
            self.library.tell(candidate, loss if np.isfinite(loss) else self.worst)

    @property
    def asynchronous(self) -> bool:
        return True

    def ask_library_one(self) -> tuple[np.ndarray, Any]:
        candidate = self.library.ask()
        return candidate.value, candidate

    def tell_library_one(self, asked: Any, loss: float) -> None:
        if np.isfinite(loss):
            self.worst = max(self.worst, loss)
        self.library.tell(asked, loss if np.isfinite(loss) else self.worst)

    def recommend(self) -> Tensor:
        """The best θ told; for a noisy task, where the best loss may be an outlier, the recommendation of Nevergrad.

        The latter is not used without noise: that of CMA depends only on the losses since its last restart.
        """
        if self.problem.noisy:
            value = self.library_recommendation()
        else:
            value = self.library.current_bests["minimum"].parameter.value
        return self.space.project(torch.as_tensor(value).to(self.space.init))

    def library_recommendation(self) -> np.ndarray:
        """Nevergrad's recommendation [n]. Some optimisers draw random numbers for it; random states are restored."""
        random = self.library.parametrization.random_state
        before = random.get_state()
        with self.inside(NumpyRandom(self.problem.seed)):
            value = self.library.provide_recommendation().value
        random.set_state(before)
        return value


def resolve(library: Optimizer) -> str:
    """The name of the optimiser that `library` has chosen; its own name if it chooses none."""
    while isinstance(chosen := getattr(library, "optim", None), Optimizer):
        library = chosen
    return str(library.name)
