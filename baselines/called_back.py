"""Base class of methods whose library calls the loss itself, such as `scipy.optimize.minimize`.

The library runs in a greenlet, a second stack of this thread. Its call of the loss switches back to the method with the
θ to render, and returns when the loss is told. When the library has converged, it starts again from a random θ.
"""

import contextlib
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import torch
from greenlet import GreenletExit, getcurrent, greenlet
from torch import Tensor

from baselines.library import NumpyRandom, Replayed
from zg.space import ParameterSpace

#: What a library calls: θ [B, n] in scaled units -> losses [B].
Losses = Callable[[np.ndarray], np.ndarray]
#: What is told for a failed render as long as no render has succeeded.
HUGE = 1e100


class Conversation:
    """A second stack on which `work` calls the losses. `asked` are the θ [B, n] for which it waits.

    When this object is deleted, the call of the losses raises GreenletExit, which unwinds the stack. `work` must
    therefore not refer to this object, nor to an object that does. Exceptions of `work` are raised by `tell`.
    """

    def __init__(self, work: Callable[[Losses], None]) -> None:
        self._stack = greenlet(converse)
        self.asked: np.ndarray = self._stack.switch(work)

    def tell(self, losses: np.ndarray) -> None:
        """Give the losses [B] to the library, and wait until it needs the next ones."""
        self._stack.parent = getcurrent()
        self.asked = self._stack.switch(losses)


def converse(work: Callable[[Losses], None]) -> None:
    """What the second stack executes."""
    deleted = False

    def losses(theta: np.ndarray) -> np.ndarray:
        nonlocal deleted
        try:
            return getcurrent().parent.switch(theta)
        except GreenletExit:
            deleted = True
            raise

    try:
        work(losses)
    except Exception:
        if not deleted:  # else the library has made it of GreenletExit
            raise


class CalledBack(Replayed):
    """A method whose library calls the loss. The best θ told is recommended.

    The first start of the library is θ₀. Further starts are uniform between the bounds, and normal around θ₀ with
    standard deviation 1 (scaled units) for coordinates that have not both bounds. A failed render is told as the
    highest loss so far.
    """

    def solver(self) -> Callable[[Losses, np.ndarray], object]:
        """A function that minimises the losses from θ [n] in scaled units and returns. It must not refer to `self`."""
        raise NotImplementedError

    # Inherited by a method

    @contextlib.contextmanager
    def inside(self, random: NumpyRandom | None = None) -> Iterator[None]:
        """Hides warnings. Sets no random state: these libraries draw no random numbers."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield

    def make(self, theta: np.ndarray) -> Conversation:
        self.worst = -np.inf  # the highest loss so far
        solve, points = self.solver(), starts(theta, self.space, self.problem.seed)

        def work(losses: Losses) -> None:
            for start in points:
                solve(losses, start)

        return Conversation(work)

    def ask_library(self) -> np.ndarray:
        return self.library.asked

    def tell_library(self, losses: np.ndarray) -> None:
        if len(losses) < len(self.library.asked):
            return  # the budget is spent
        self.worst = max([self.worst, *losses[np.isfinite(losses)].tolist()])
        failed = self.worst if np.isfinite(self.worst) else HUGE
        self.library.tell(np.where(np.isfinite(losses), losses, failed))

    def recommend(self) -> Tensor:
        return self.space.project(self.ledger.best_theta)


def starts(theta: np.ndarray, space: ParameterSpace, seed: int) -> Iterator[np.ndarray]:
    """θ₀ [n], then random θ [n] without end."""
    random = np.random.default_rng(seed)
    low, high = (bound.double().cpu().numpy() for bound in (space.low, space.high))
    boxed = np.isfinite(low) & np.isfinite(high)
    yield theta
    while True:
        around = theta + random.standard_normal(len(theta))
        inside = np.where(boxed, low, 0) + random.random(len(theta)) * np.where(boxed, high - low, 0)
        yield space.project(torch.as_tensor(np.where(boxed, inside, around))).numpy()
