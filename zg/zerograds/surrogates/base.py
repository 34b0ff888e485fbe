"""What surrogates h(θ) of the loss promise."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

ROUNDING = 1e-6  # relative: two renders of one θ that are nearer differ by the order of a sum, not by noise


class Regression(nn.Module):
    """A network that is fitted to samples: h(θ, φ). Its state is in parameters, buffers and `optimizer`."""

    optimizer: Optimizer

    def fit(self, samples: Tensor, losses: Tensor, weights: Tensor, steps: int) -> float:
        """`steps` on φ for samples [B, n], their losses [B] and weights [B]; returns the root mean square misfit."""
        raise NotImplementedError

    def forward(self, theta: Tensor) -> Tensor:
        """The modelled loss [B] at θ [B, n], differentiable in θ."""
        raise NotImplementedError

    def gradient(self, theta: Tensor) -> Tensor:
        """The gradient [n] of the modelled loss at θ [n]."""
        with torch.enable_grad():
            point = theta.detach().requires_grad_()
            return torch.autograd.grad(self(point[None]).sum(), point)[0]


class Surrogate(ABC):
    """A surrogate that stands somewhere: it says where it wants the loss next, learns from it, and moves downhill.

    theta: where it starts, [n] scaled. sigma: a guess at how far to look, a coordinate; measured from then on.
    project: brings a θ [n] inside the bounds. State is tensors and plain values, `state()`.
    """

    #: Attributes that are not state: they are made anew, or shared.
    FIXED: tuple[str, ...] = ("project", "generator")

    theta: Tensor

    def __init__(self, project: Callable[[Tensor], Tensor], generator: torch.Generator) -> None:
        self.project = project
        self.generator = generator

    @abstractmethod
    def ask(self) -> Tensor:
        """Where it wants the loss next: θ [B, n]."""

    @abstractmethod
    def tell(self, theta: Tensor, losses: Tensor, valid: Tensor) -> None:
        """Learn from the losses [B] of what `ask` returned, and move. A cut batch has fewer rows."""

    @abstractmethod
    def recommend(self) -> Tensor:
        """The θ [n] it would hand over now."""

    @abstractmethod
    def predict(self, theta: Tensor) -> Tensor:
        """The modelled loss [B] at θ [B, n]."""

    @abstractmethod
    def gradient(self, theta: Tensor) -> Tensor:
        """The gradient [n] of the modelled loss at θ [n]."""

    @abstractmethod
    def status(self) -> dict[str, float]:
        """Numbers worth logging; `sigma` is the width of sampling, a coordinate."""

    @property
    def failed(self) -> bool:
        """Whether what it assumes of the loss has turned out wrong."""
        return False

    @property
    def converged(self) -> bool:
        """Whether θ ± σ and θ are the same numbers, or nearly: there is nothing left to see."""
        return self.status()["sigma"] < 4 * self.resolution(1.0)

    def resolution(self, power: float) -> float:
        """The relative precision of θ's numbers to a power, at the size of θ."""
        return torch.finfo(self.theta.dtype).eps ** power * float(self.theta.abs().max().clamp_min(1e-3))

    def state(self) -> dict[str, Any]:
        """Everything that is needed to go on with the same bits."""
        return {name: value for name, value in vars(self).items() if name not in self.FIXED}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        vars(self).update(state)


def differ(first: Tensor, second: Tensor) -> bool:
    """Whether two losses [] of one θ differ by more than the rounding of batched or single-precision sums: noise."""
    return not torch.isclose(first, second, rtol=ROUNDING, atol=0.0)
