"""The contract of a model h(θ, φ) of the loss whose φ is fitted to samples by an optimiser of PyTorch."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


class Regression(nn.Module, ABC):
    """A differentiable model of the loss. Its state is `state_dict()` and that of its `optimizer`."""

    optimizer: Optimizer

    @abstractmethod
    def fit(self, samples: Tensor, losses: Tensor, weights: Tensor, steps: int) -> float:
        """Take `steps` ≥ 1 on φ for samples [B, n] with losses [B] and weights [B]; returns the fit error."""

    @abstractmethod
    def forward(self, theta: Tensor) -> Tensor:
        """The modelled loss [B] at θ [B, n], differentiable in θ."""

    def gradient(self, theta: Tensor) -> Tensor:
        """The gradient [n] of the modelled loss at θ [n]."""
        with torch.enable_grad():
            point = theta.detach().requires_grad_()
            return torch.autograd.grad(self(point[None]).sum(), point)[0]
