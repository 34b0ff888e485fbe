"""Base class of methods whose optimiser is that of a library."""

import contextlib
import threading
import warnings
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zg.ledger import Evaluation
from zg.method import Method

# Held while a library runs inside: NumPy's global generator and Python's list of warnings belong to all threads.
_GLOBALS = threading.RLock()


class NumpyRandom:
    """A private random state for a library that draws from NumPy's global generator.

    Inside `with`, the global generator has this state, which starts as after `np.random.seed(seed)`. At the end of the
    block, the former state is restored. Another thread that enters a block waits for the end of this one.
    """

    def __init__(self, seed: int) -> None:
        self._state = np.random.RandomState(seed % 2**32).get_state()

    def __enter__(self) -> "NumpyRandom":
        _GLOBALS.acquire()
        self._outside = np.random.get_state()  # noqa: NPY002
        np.random.set_state(self._state)  # noqa: NPY002
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._state = np.random.get_state()  # noqa: NPY002
        np.random.set_state(self._outside)  # noqa: NPY002
        _GLOBALS.release()


class Replayed(Method):
    """A method whose optimiser is that of a library, and which resumes by replay.

    The optimiser is not pickled. A checkpoint holds all losses that it was told. A resumed run makes a new optimiser,
    asks it and tells it these losses, without rendering. `heard` may be more than losses, such as pictures.
    """

    def make(self, theta: np.ndarray) -> Any:
        """Make the optimiser of the library, from θ₀ [n] in scaled units."""
        raise NotImplementedError

    def ask_library(self) -> np.ndarray:
        """The next θ [B, n] of the optimiser, in scaled units."""
        raise NotImplementedError

    def tell_library(self, losses: np.ndarray) -> None:
        """Tell the optimiser the losses of its θ: [B], fewer if the budget cut the batch; ∞ if all renders failed."""
        raise NotImplementedError

    # Inherited by a method

    @contextlib.contextmanager
    def inside(self, random: NumpyRandom | None = None) -> Iterator[None]:
        """A context for each call of the library: sets its random state (or `random`) and hides its warnings."""
        with random or self.numpy_random, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield

    def build(self, theta: Tensor) -> None:
        self.numpy_random = NumpyRandom(self.problem.seed)
        self.told: list[Tensor] = []
        with self.inside():
            self.library = self.make(theta.double().cpu().numpy())

    def ask(self) -> Tensor:
        with self.inside():
            asked = self.ask_library()
        return self.space.project(torch.as_tensor(asked).to(self.space.init))

    def heard(self, evaluation: Evaluation) -> Tensor:
        """What the optimiser is told of a batch, and what a checkpoint holds of it: [B, ...], here the losses."""
        return evaluation.ranked()

    def tell(self, theta: Tensor, evaluation: Evaluation) -> None:
        self._pass_on(self.heard(evaluation).cpu())

    def _pass_on(self, heard: Tensor) -> None:
        self.told.append(heard)
        with self.inside():
            self.tell_library(heard.numpy())

    def state(self) -> dict[str, Any]:
        batches = [len(losses) for losses in self.told]
        return {"told": torch.cat(self.told) if self.told else torch.empty(0), "batches": batches}

    def load_state(self, state: dict[str, Any]) -> None:
        for heard in state["told"].split(state["batches"]) if state["batches"] else ():
            self.ask()
            self._pass_on(heard)
