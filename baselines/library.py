"""What methods need that live in somebody else's library."""

import contextlib
import warnings
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zg.ledger import Evaluation
from zg.method import Method


class NumpyRandom:
    """A private state for a library that draws from NumPy's global generator: swapped in and out around each call.

    Inside `with`, the global generator is the one that `np.random.seed(seed)` starts; outside nobody notices.
    """

    def __init__(self, seed: int) -> None:
        self._state = np.random.RandomState(seed % 2**32).get_state()

    def __enter__(self) -> "NumpyRandom":
        self._outside = np.random.get_state()  # noqa: NPY002
        np.random.set_state(self._state)  # noqa: NPY002
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._state = np.random.get_state()  # noqa: NPY002
        np.random.set_state(self._outside)  # noqa: NPY002


class Replayed(Method):
    """A method that lives in a library. Nothing of it is pickled: a checkpoint holds the recorded losses, and a
    resumed run asks again without rendering.
    """

    def make(self, theta: np.ndarray) -> Any:
        """The library's optimiser, from θ₀ [n]."""
        raise NotImplementedError

    def ask_library(self) -> np.ndarray:
        """The θ [B, n] that the optimiser wants to know of."""
        raise NotImplementedError

    def tell_library(self, losses: np.ndarray) -> None:
        """Tell it the losses [≤ B] of what it asked for; the infinite ones are of renders that all failed."""
        raise NotImplementedError

    # What it inherits

    @contextlib.contextmanager
    def inside(self, random: NumpyRandom | None = None) -> Iterator[None]:
        """Around every call of the library: its own random state (or that one), and its warnings kept to itself."""
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

    def tell(self, theta: Tensor, evaluation: Evaluation) -> None:
        losses = evaluation.ranked().cpu()
        self.told.append(losses)
        with self.inside():
            self.tell_library(losses.numpy())

    def state(self) -> dict[str, Any]:
        batches = [len(losses) for losses in self.told]
        return {"told": torch.cat(self.told) if self.told else torch.empty(0), "batches": batches}

    def load_state(self, state: dict[str, Any]) -> None:
        for losses in state["told"].split(state["batches"]) if state["batches"] else ():
            self.tell(self.ask(), Evaluation(losses, losses.isfinite()))
