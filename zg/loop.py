"""One run: ask → objective → tell, once an iteration, until a budget ends it.

The same `iterate` serves Lightning's Trainer (`zg.run.module`), calls that need no Trainer (`zg.run.run`) and
ask-and-tell (`zg.api.Optimizer`), where the user stands in for the objective.
"""

from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from zg.budget import Budget
from zg.ledger import Evaluation, Ledger
from zg.method import Method
from zg.objective import Objective
from zg.problem import Problem
from zg.space import ParameterSpace


class Loop:
    """A method at work under a budget.

    `start` comes first. Between two iterations `state` is complete: with it, `load_state` goes on with the same bits.
    While a batch is being rendered, it is the state at the start of that iteration.
    """

    objective: Objective

    def __init__(self, method: Method, budget: Budget, seed: int = 0) -> None:
        self.method, self.budget, self.seed = method, budget, seed
        self.iteration = 0
        self.seconds_method = 0.0
        #: Set by whoever wants the run to end after this iteration: the reason.
        self.asked_to_stop: str | None = None
        #: Whether `state` is complete. It is not while the method learns.
        self.resumable = True
        self._generator_before: Tensor | None = None

    @property
    def ledger(self) -> Ledger:
        """The counted renders and the best of them."""
        return self.method.ledger

    @property
    def renders(self) -> int:
        """How many renders were counted; 0 before `start`."""
        return self.ledger.renders if self.method.started else 0

    def start(self, objective: Objective) -> None:
        """Build the method for a task's objective."""
        self.objective = objective
        task = objective.task
        known: dict[str, Any] = {"noisy": task.noisy, "max_renders": self.budget.max_renders}
        if self.method.feedback == "image":
            known["image_loss"] = objective.image_loss
        self.method.start(Problem.of_space(task.space, self.seed, **known), objective.ledger)

    def start_without_renderer(self, space: ParameterSpace) -> None:
        """Build the method for ask-and-tell: somebody else renders."""
        problem = Problem.of_space(space, self.seed, max_renders=self.budget.max_renders)
        self.method.start(problem, Ledger(self.budget.max_renders, space.init.clone()))

    def iterate(self) -> None:
        """Ask, render, tell."""
        theta = self.ask()
        wants_images = self.method.feedback == "image"
        self.tell(theta, self.objective.evaluate(theta, self.iteration, images=wants_images))

    def ask(self) -> Tensor:
        """The θ [B, n] scaled that the method wants rendered."""
        self._generator_before = self.method.generator.get_state()
        start = perf_counter()
        theta = self.method.ask()
        self.seconds_method += perf_counter() - start
        return theta

    def tell(self, theta: Tensor, evaluation: Evaluation) -> None:
        """Hand over the evaluation of what `ask` returned; ends the iteration."""
        self._generator_before = None
        self.resumable = False
        count = len(evaluation.losses)
        start = perf_counter()
        if count == len(theta) or not self.method.whole_batches:
            self.method.tell(theta[:count], evaluation)
        self.seconds_method += perf_counter() - start
        self.iteration += 1
        self.resumable = True

    def stop_reason(self) -> str | None:
        """Why the run has to end now, or None."""
        seconds = self.seconds_method + self.ledger.seconds_render
        return self.asked_to_stop or self.budget.stop_reason(self.ledger, seconds) or self.method.finished()

    def state(self) -> dict[str, Any]:
        """Everything that a checkpoint holds, as tensors and plain values."""
        before = self._generator_before
        return {
            "iteration": self.iteration,
            "seconds_method": self.seconds_method,
            "ledger": self.ledger.state(),
            "path": list(self.objective.path) if hasattr(self, "objective") else [],
            "generator": self.method.generator.get_state() if before is None else before,
            "method": self.method.state(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned, on a started loop."""
        device = self.method.space.init.device
        self.iteration, self.seconds_method = state["iteration"], state["seconds_method"]
        self.ledger.load_state(on_device(state["ledger"], device))
        if hasattr(self, "objective"):
            self.objective.path = list(state["path"])
        self.method.load_state(on_device(state["method"], device))
        self.method.generator.set_state(state["generator"].cpu())


def on_device(value: Any, device: torch.device) -> Any:
    """Nested plain values with every tensor moved to a device."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return {key: on_device(item, device) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(on_device(item, device) for item in value)
    return value
