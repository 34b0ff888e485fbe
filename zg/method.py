"""A method is told losses and proposes θ. It never looks inside a task.

A new method subclasses `Method` and implements `build`, `ask`, `tell` and `recommend`; the loop, the ledger, loggers,
checkpoints and the command line come with it.
"""

from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from zg.ledger import Evaluation, Ledger
from zg.problem import Problem
from zg.space import ParameterSpace


class Range(NamedTuple):
    """The values that tuning may give a setting: [low, high], both included; even in the logarithm if `log`."""

    low: float
    high: float
    log: bool = False
    integer: bool = False


class Method:
    """Plain ask and tell.

    `start` sets `problem`, `space`, `generator` (the only source of random numbers) and `ledger` (which counts renders
    and keeps the best), then calls `build`. The names in `saved` are the method's state: tensors, plain values, and
    objects with a `state_dict`, such as an optimiser of PyTorch. They are all that a checkpoint holds of it.
    """

    #: What it is told: losses only, or the images too (then tables rank it apart).
    feedback: ClassVar[Literal["loss", "image"]] = "loss"
    #: Whether a batch that the budget cut is useless to it.
    whole_batches: ClassVar[bool] = False
    #: The settings worth tuning; none means that the method is compared untuned.
    ranges: ClassVar[dict[str, Range]] = {}
    #: The attributes that are state.
    saved: ClassVar[tuple[str, ...]] = ()

    #: The name of the optimiser that does the work, for methods that choose one.
    resolved: str = ""
    problem: Problem
    space: ParameterSpace
    generator: torch.Generator
    ledger: Ledger

    # What a method implements

    def build(self, theta: Tensor) -> None:
        """Make everything that n sizes, from the start θ₀ [n] scaled."""
        raise NotImplementedError(f"{type(self).__name__} must implement build")

    def ask(self) -> Tensor:
        """The θ [B, n] scaled to be rendered next."""
        raise NotImplementedError(f"{type(self).__name__} must implement ask")

    def tell(self, theta: Tensor, evaluation: Evaluation) -> None:
        """Learn from what `ask` returned, θ [B, n]; fewer rows than asked when the budget cut the batch."""
        raise NotImplementedError(f"{type(self).__name__} must implement tell")

    def recommend(self) -> Tensor:
        """The θ [n] scaled that the method would hand over now."""
        raise NotImplementedError(f"{type(self).__name__} must implement recommend")

    def predict(self, theta: Tensor) -> Tensor | None:
        """The surrogate's loss [B] at θ [B, n] scaled, for methods that have a surrogate."""
        return None

    def surrogate_gradient(self, theta: Tensor) -> Tensor | None:
        """The surrogate's gradient [n] at θ [n] scaled, for methods that have a surrogate."""
        return None

    def status(self) -> dict[str, float]:
        """Numbers worth logging: σ, step, fit error, …"""
        return {}

    def finished(self) -> str | None:
        """The method's own reason to stop, such as a converged population."""
        return None

    # What it inherits

    def start(self, problem: Problem, ledger: Ledger) -> None:
        """Build for a problem, from its initial θ. Once only."""
        self.problem, self.space, self.generator = problem, problem.space, problem.generator
        self.ledger = ledger
        self.build(problem.project(problem.space.init.clone()))

    @property
    def started(self) -> bool:
        """Whether `start` has been called."""
        return "ledger" in vars(self)

    @property
    def progress(self) -> float:
        """The fraction of the render budget that is spent, in [0, 1]; annealing follows it."""
        return self.ledger.renders / self.ledger.max_renders

    def state(self) -> dict[str, Any]:
        """The attributes named in `saved`, as tensors and plain values."""
        return {name: plain(getattr(self, name)) for name in self.saved}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned, on a built method."""
        for name in self.saved:
            present = getattr(self, name, None)
            if present is not None and hasattr(present, "load_state_dict"):
                present.load_state_dict(state[name])
            elif isinstance(present, Tensor) and present.requires_grad:
                present.data = state[name].detach().clone()  # an optimiser holds on to this very tensor
            else:
                setattr(self, name, state[name])


def plain(value: Any) -> Any:
    """A value as a checkpoint holds it: state for what has a `state_dict`, tensors without their history."""
    if hasattr(value, "state_dict"):
        return value.state_dict()
    return value.detach() if isinstance(value, Tensor) else value
