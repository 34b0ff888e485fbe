"""The loop of a run: ask → objective → tell in each iteration, until a limit of the budget is reached.

Asynchronously, an iteration is one render: results are told as they come, and each worker gets the next θ at once.

Lightning's Trainer (`zg.run.module`) and the bare loop (`zg.run.observer.drive`) call the same `iterate`. In
ask-and-tell (`zg.ask_and_tell.Optimizer`), the user renders in place of the objective.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from zg.budget import Budget, StopReason
from zg.errors import SettingError
from zg.ledger import Evaluation, Ledger
from zg.method import Method, Sample
from zg.objective import Objective
from zg.problem import ImageLoss, Problem
from zg.repeats import Repeats
from zg.space import ParameterSpace


@dataclass
class UnderWay:
    """The samples of an asynchronous run that are being rendered, by number, and how many were asked for in all."""

    samples: dict[int, Sample] = field(default_factory=dict)
    asked: int = 0

    def add(self, sample: Sample) -> None:
        """Enter the next sample."""
        self.samples[self.asked] = sample
        self.asked += 1


class Loop:
    """A method that runs under a budget. Call `start` or `start_without_renderer` first.

    Between two iterations, `state` is the complete state of the run: a new loop that loads it goes on with the same
    bits. While a batch is being rendered, `state` is the state at the start of that iteration.
    """

    #: The access to the task; not set in ask-and-tell.
    objective: Objective

    def __init__(
        self,
        method: Method,
        budget: Budget,
        seed: int = 0,
        settings: Mapping[str, Any] | None = None,
        asynchronous: bool = False,
    ) -> None:
        self.method, self.budget, self.seed = method, budget, seed
        #: Whether results are told as they come, and the samples of such a run.
        self.asynchronous = asynchronous
        self.under_way = UnderWay()
        #: The settings of the method, where they are known: a state is loaded only into a method with the same ones.
        self.settings = {name: repr(value) for name, value in (settings or {}).items()}
        self.iteration = 0
        self.seconds_method = 0.0
        #: Wall seconds of the parts of the run before this one.
        self.seconds_before = 0.0
        self._began = perf_counter()
        #: The reason, set by an observer, to end the run after the present iteration.
        self.asked_to_stop: str | None = None
        #: Whether a run can go on from `state`. It cannot while the method is being told losses.
        self.resumable = True
        #: θ [B, n] of the last batch in scaled units, and its losses [B]; for observers.
        self.batch: tuple[Tensor, Tensor] | None = None
        # State of the generator before `ask`, until the method is told the losses.
        self._generator_before: Tensor | None = None

    @property
    def ledger(self) -> Ledger:
        """Counts the renders and keeps the best one."""
        return self.method.ledger

    @property
    def renders(self) -> int:
        """Number of counted renders; 0 before `start`."""
        return self.ledger.renders if self.method.started else 0

    @property
    def seconds(self) -> float:
        """Wall seconds since the loop was made, and of the parts of the run before it was resumed."""
        return self.seconds_before + perf_counter() - self._began

    def start(self, objective: Objective) -> None:
        """Start the method on the task of an objective."""
        self.objective = objective
        problem = Problem.of_space(
            objective.space,
            self.seed,
            noisy=objective.task.noisy,
            max_renders=self.budget.max_renders,
            parallel=objective.task.parallel,
            asynchronous=self.asynchronous,
            image_loss=objective.image_loss if self.method.feedback == "image" else None,
        )
        self.method.start(problem, objective.ledger)
        if self.asynchronous:
            self._check_asynchronous()

    def _check_asynchronous(self) -> None:
        """Raise SettingError where results cannot be told as they come."""
        if not self.method.asynchronous:
            raise SettingError(
                f"asynchronous must be false for {type(self.method).__name__}, which needs all results of a batch here "
                "before it goes on (docs/scale.md names the methods that do not)"
            )
        if self.method.problem.parallel == 1:
            raise SettingError("asynchronous needs workers of 2 or more, got 1: there is nothing to wait for")

    def start_without_renderer(self, space: ParameterSpace, image_loss: ImageLoss | None = None) -> None:
        """Start the method on a space, for ask-and-tell, where the caller renders. image_loss: if images are told."""
        image_loss = image_loss if self.method.feedback == "image" else None
        problem = Problem.of_space(space, self.seed, max_renders=self.budget.max_renders, image_loss=image_loss)
        self.method.start(problem, Ledger(self.budget.max_renders, space.init.clone()))

    def iterate(self) -> None:
        """One iteration: ask, render, tell."""
        if self.asynchronous:
            return self._iterate_one()
        theta = self.ask()
        wants_images = self.method.feedback == "image"
        self.tell(theta, self.objective.evaluate(theta, self.iteration, images=wants_images))
        return None

    def _iterate_one(self) -> None:
        """Give every free worker a θ, wait for the next render that ends, and tell it."""
        self._fill()
        assert self.under_way.samples, "a method must ask for a sample where nothing is under way"
        number, evaluation = self.objective.take(images=self.method.feedback == "image")
        self.resumable = False
        with self._method_timed():
            self.method.tell_one(self.under_way.samples.pop(number), evaluation)
        self.iteration += 1
        self.resumable = True

    def _fill(self) -> None:
        """Ask for samples until no worker is free, the budget is given out, or the method waits for a loss."""
        while len(self.under_way.samples) < min(self.method.problem.parallel, self.ledger.left):
            self.resumable = False
            with self._method_timed():
                sample = self.method.ask_one()
            if sample is not None:
                self.under_way.add(sample)
            self.resumable = True
            if sample is None:
                return
            self.objective.submit(sample.theta, self.under_way.asked - 1)

    @contextmanager
    def _method_timed(self) -> Iterator[None]:
        """What is done within counts as time of the method."""
        start = perf_counter()
        yield
        device = self.method.space.init.device
        if device.type == "cuda":  # its work is only queued so far
            torch.cuda.synchronize(device)
        self.seconds_method += perf_counter() - start

    def ask(self) -> Tensor:
        """The next θ [B, n] to render, in scaled units."""
        self._generator_before = self.method.generator.get_state()
        with self._method_timed():
            theta = self.method.ask()
        return theta

    def tell(self, theta: Tensor, evaluation: Evaluation) -> None:
        """Tell the method the evaluation of the θ [B, n] that `ask` returned. This ends the iteration."""
        self._generator_before = None
        self.resumable = False
        count = len(evaluation.losses)
        self.batch = theta[:count], evaluation.losses
        with self._method_timed():
            if count == len(theta) or not self.method.whole_batches:
                self.method.tell(theta[:count], evaluation)
        self.iteration += 1
        self.resumable = True

    def stop_reason(self) -> str | None:
        """The reason for which the run has to end now, or None if it goes on."""
        seconds = self.seconds_method + self.ledger.seconds_render
        limit = self.asked_to_stop or self.budget.stop_reason(self.ledger, seconds)
        least = self.objective.task.least_loss if hasattr(self, "objective") else -math.inf
        cannot_fall = self.ledger.best_loss <= least
        return limit or (StopReason.LOWEST if cannot_fall else self.method.finished())

    @property
    def _repeats(self) -> Repeats | None:
        """The losses that are known without a render; None where there are none, and in ask-and-tell."""
        return self.objective.repeats if hasattr(self, "objective") else None

    def _identity(self) -> dict[str, Any]:
        """What a state is a state of."""
        method = type(self.method.core)
        name = f"{method.__module__}.{method.__qualname__}"
        return {
            "method": name,
            "settings": self.settings,
            "seed": self.seed,
            "workers": self.method.problem.parallel,
            "asynchronous": self.asynchronous,
            "start": self.method.space.init.cpu(),
        }

    def _check_identity(self, other: dict[str, Any]) -> None:
        """Raise SettingError unless a state is of the same method, settings, seed, workers, and parameters."""
        own = self._identity()
        for name in ("method", "seed", "workers", "asynchronous"):
            # Older checkpoints do not say how many workers there were, and are never asynchronous.
            saved = other.get(name, False if name == "asynchronous" else own[name])
            if own[name] != saved:
                raise SettingError(f"resume must keep the {name}: the saved run has {saved}, got {own[name]}")
        for name in own["settings"].keys() & other["settings"].keys():
            saved, given = other["settings"][name], own["settings"][name]
            if saved != given:
                raise SettingError(f"resume must keep {name} of the method: the saved run has {saved}, got {given}")
        sizes = len(other["start"]), len(own["start"])
        if sizes[0] != sizes[1]:
            raise SettingError(f"resume must keep the parameters: the saved run has {sizes[0]}, got {sizes[1]}")
        if not torch.equal(other["start"], own["start"]):
            raise SettingError("resume must keep the start of the saved run, got another one")

    def state(self) -> dict[str, Any]:
        """The state of the run for a checkpoint, as tensors and plain values."""
        before = self._generator_before
        return {
            "identity": self._identity(),
            "iteration": self.iteration,
            "seconds_method": self.seconds_method,
            "seconds": self.seconds,
            "ledger": self.ledger.state(),
            "path": list(self.objective.path) if hasattr(self, "objective") else [],
            "repeats": self._repeats.state() if self._repeats else None,
            "generator": self.method.generator.get_state() if before is None else before,
            "method": self.method.state(),
            "asked": self.under_way.asked,
            "pending": {number: (sample.theta, sample.origin) for number, sample in self.under_way.samples.items()},
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned. The loop must be started, with the same method and seed.

        Raises SettingError, and changes nothing, for another value or the state of another run.
        """
        if not isinstance(state, Mapping) or "identity" not in state:
            raise SettingError(f"the state of a run must be one that was saved before, got {type(state).__name__}")
        self._check_identity(state["identity"])
        device = self.method.space.init.device
        self.iteration, self.seconds_method = state["iteration"], state["seconds_method"]
        self.seconds_before = state.get("seconds", 0.0)  # older checkpoints have none
        self.ledger.load_state(on_device(state["ledger"], device))
        if hasattr(self, "objective"):
            self.objective.path = list(state["path"])
        if self._repeats and state.get("repeats"):  # older checkpoints have none
            self._repeats.load_state(state["repeats"])
        self.method.load_state(on_device(state["method"], device))
        self.method.generator.set_state(state["generator"].cpu())
        pending = on_device(state.get("pending", {}), device)
        samples = {number: Sample(*sample) for number, sample in pending.items()}
        self.under_way = UnderWay(samples, state.get("asked", 0))
        for number, sample in samples.items():
            self.objective.submit(sample.theta, number)


def on_device(value: Any, device: torch.device) -> Any:
    """A copy of nested plain values, with every tensor on this device."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return {key: on_device(item, device) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(on_device(item, device) for item in value)
    return value
