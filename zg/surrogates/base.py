"""What every surrogate h(θ, φ) of the loss promises."""

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


class Surrogate(nn.Module):
    """A model of the loss near θ. Its state is in parameters, buffers and `optimizer`: checkpoints are complete."""

    #: Steps φ; None for a surrogate that is fitted in closed form.
    optimizer: Optimizer | None = None

    def fit(self, samples: Tensor, losses: Tensor, weights: Tensor, steps: int) -> float:
        """Fit to samples [B, n] and their losses [B], weights [B]; returns the root mean square misfit."""
        raise NotImplementedError

    def forward(self, theta: Tensor) -> Tensor:
        """The modelled loss [B] at θ [B, n], differentiable in θ."""
        raise NotImplementedError

    def gradient(self, theta: Tensor) -> Tensor:
        """The gradient [n] of the modelled loss at θ [n]."""
        with torch.enable_grad():
            point = theta.detach().requires_grad_()
            return torch.autograd.grad(self(point[None]).sum(), point)[0]
