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
from zg.method import Method, Sample

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
    Asynchronously it also holds how many θ had been asked for before each loss.
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

    def ask_library_one(self) -> tuple[np.ndarray, Any]:
        """The next θ [n] of the optimiser, and what `tell_library_one` needs of it; for asynchronous methods."""
        raise NotImplementedError

    def tell_library_one(self, asked: Any, loss: float) -> None:
        """Tell the optimiser the loss of one θ; NaN if its render failed."""
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
        # Asynchronously: what was asked for and not told yet, by number; the number of all that were asked for; and
        # what was told, as (number of those before, number, loss).
        self.waiting: dict[int, Any] = {}
        self.count = 0
        self.told_one: list[tuple[int, int, float]] = []
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

    def ask_one(self) -> Sample:
        with self.inside():
            asked, self.waiting[self.count] = self.ask_library_one()
        self.count += 1
        theta = self.space.project(torch.as_tensor(asked).to(self.space.init))
        return Sample(theta, {"number": self.count - 1})

    def tell_one(self, sample: Sample, evaluation: Evaluation) -> None:
        self._tell_number(sample.origin["number"], float(evaluation.losses[0]))

    def _tell_number(self, number: int, loss: float) -> None:
        self.told_one.append((self.count, number, loss))
        with self.inside():
            self.tell_library_one(self.waiting.pop(number), loss)

    def state(self) -> dict[str, Any]:
        if self.problem.asynchronous:
            return {"told_one": torch.tensor(self.told_one, dtype=torch.float64).reshape(-1, 3), "count": self.count}
        batches = [len(losses) for losses in self.told]
        return {"told": torch.cat(self.told) if self.told else torch.empty(0), "batches": batches}

    def load_state(self, state: dict[str, Any]) -> None:
        if self.problem.asynchronous:
            return self._replay(state["told_one"].tolist(), state["count"])
        for heard in state["told"].split(state["batches"]) if state["batches"] else ():
            self.ask()
            self._pass_on(heard.cpu())
        return None

    def _replay(self, told: list[list[float]], count: int) -> None:
        """Ask and tell in the order of the saved run."""
        for asked, number, loss in [*told, [count, -1, 0.0]]:
            while self.count < asked:
                self.ask_one()
            if number >= 0:
                self._tell_number(int(number), loss)
