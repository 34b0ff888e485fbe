"""The contract of a surrogate h(θ) of the loss around the present θ."""

from abc import ABC, abstractmethod
from dataclasses import fields
from typing import Any, ClassVar

import torch
from torch import Tensor

from zg.problem import Problem


class Surrogate(ABC):
    """A model of the loss with a place of its own: it asks for losses, learns from them, and moves θ downhill.

    A subclass has two dataclasses. `Settings` is frozen: one field, one line, with its meaning, unit and source.
    `State` holds everything that changes, and at least `theta`, the present θ [n] scaled: tensors, plain values, and
    parts that have a `state_dict`. The constructor takes the problem, the start θ [n] scaled, a guess at σ (how far to
    sample, scaled units a coordinate), and the settings.
    """

    Settings: ClassVar[type]
    #: Whether it has to know if two renders of one θ differ (`Problem.noisy`) before it starts.
    needs_noise: ClassVar[bool] = False
    #: Whether it can go on before the last rows of a batch are there, and has a use for them later.
    takes_late: ClassVar[bool] = False
    #: Number of n × n matrices in its state.
    matrices: ClassVar[int] = 0

    settings: Any
    state: Any

    def __init__(self, problem: Problem, settings: Any = None) -> None:
        self.problem, self.n = problem, problem.n
        self.settings = settings or self.Settings()

    @property
    def theta(self) -> Tensor:
        """The present θ [n] scaled."""
        theta: Tensor = self.state.theta
        return theta

    @abstractmethod
    def ask(self) -> Tensor:
        """Where it wants the loss next: θ [B, n].

        A checkpoint may be written while these are rendered, and the resumed run asks again. So `ask` must return the
        same rows from the same state and generator: changes of the state wait for `tell`.
        """

    @abstractmethod
    def tell(self, theta: Tensor, losses: Tensor, valid: Tensor) -> None:
        """Learn from the losses [B] of what `ask` returned, and move. A batch that the budget cut has fewer rows."""

    def waits_for(self, count: int) -> tuple[int, float]:
        """Of a batch of that many rows that are told one by one: the first ones needed, and the share that may miss."""
        return count, 0.0

    def origin(self) -> dict[str, Any]:
        """What `tell_late` will need to know of a row that is asked for now: tensors and plain values."""
        return {}

    def tell_late(self, theta: Tensor, loss: float, origin: dict[str, Any]) -> None:  # noqa: B027
        """Learn from the loss of a row θ [n] of an earlier batch, which was told without it."""

    @abstractmethod
    def recommend(self) -> Tensor:
        """The θ [n] that it would hand over now."""

    @abstractmethod
    def predict(self, theta: Tensor) -> Tensor:
        """The modelled loss [B] at θ [B, n]."""

    @abstractmethod
    def gradient(self, theta: Tensor) -> Tensor:
        """The gradient [n] of the modelled loss at θ [n]."""

    @abstractmethod
    def status(self) -> dict[str, float]:
        """Numbers worth logging."""

    @property
    def has_found_minimum(self) -> bool:
        """Whether it has been at a minimum of a loss that it explains, and now looks for another one."""
        return False

    @property
    def has_searched_widely(self) -> bool:
        """Whether it has looked for another minimum as far away as it ever will."""
        return False

    @property
    def hessian(self) -> Tensor | None:
        """The curvature [n, n] of the modelled loss, for surrogates that learn it; None before they have."""
        return None

    def take_shape(self, sigma: float, H: Tensor) -> None:  # noqa: B027
        """Start with this σ and curvature [n, n] of the loss, for surrogates that have use for them."""

    def take_known(self, theta: Tensor, losses: Tensor) -> bool:
        """Learn from losses [K] at θ [K, n] that nobody asked for, the lowest one last; False if there is no use."""
        return False

    @property
    @abstractmethod
    def sigma(self) -> float:
        """The width of sampling, scaled units a coordinate."""

    @property
    def noisy(self) -> bool:
        """Whether it has found the loss noisy, for surrogates that look for noise without being told of it."""
        return False

    @property
    def failed(self) -> bool:
        """Whether its assumptions about the loss have turned out wrong."""
        return False

    @property
    def converged(self) -> bool:
        """Whether θ ± σ and θ are nearly the same numbers: no difference is left to be seen."""
        return self.sigma < 4 * resolution(self.theta)

    def state_dict(self) -> dict[str, Any]:
        """All that is needed to go on with the same bits, as tensors and plain values."""
        values = {field.name: getattr(self.state, field.name) for field in fields(self.state)}
        return {name: value.state_dict() if hasattr(value, "state_dict") else value for name, value in values.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned, on a surrogate made with the same arguments."""
        for name, value in state.items():
            part = getattr(self.state, name)
            if hasattr(part, "load_state_dict"):
                part.load_state_dict(value)
            else:
                setattr(self.state, name, value)


def resolution(theta: Tensor, power: float = 1.0) -> float:
    """The relative precision of θ's numbers to a power, times the size of θ: differences below it are rounding."""
    precision: float = torch.finfo(theta.dtype).eps ** power
    return precision * float(theta.abs().max().clamp_min(1e-3))
