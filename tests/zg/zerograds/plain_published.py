"""The published algorithm written down line by line, without regard to time: what `zg.zerograds.published` must do.

Adam is PyTorch's loop over tensors, the network is built of library layers, samples are encoded in every step, and
gradients are made by backpropagation and freed again.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

# A loss [B] of θ [B, n], in the user's units.
Function = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Plain:
    """Settings as those of `PaperZeroGrads`, with a neural surrogate and θ in single precision."""

    sigma: float
    batch: int
    inner_sigma: float
    lr_theta: float
    lr_phi: float
    k_theta: int
    k_phi: int
    hidden: int
    layers: int
    frequencies: int
    criterion: str = "mse"

    def steps(self, function: Function, start: Tensor, generator: torch.Generator) -> Iterator[Tensor]:
        """θ [n] after each iteration from `start` [n]. `generator` draws the weights, then the samples."""
        theta = start.float().clone().requires_grad_()
        network = self.network(len(start), generator)
        of_theta = torch.optim.Adam([theta], lr=self.lr_theta, foreach=False)
        of_phi = torch.optim.Adam(network.parameters(), lr=self.lr_phi, foreach=False)
        while True:
            samples, losses = self.samples(function, theta.detach(), generator)
            for _ in range(self.k_theta):
                theta.grad = torch.autograd.grad(network(self.encode(theta[None])).sum(), theta)[0]
                of_theta.step()
            for _ in range(self.k_phi):
                of_phi.zero_grad()
                self.misfit(network(self.encode(samples))[:, 0], losses).backward()
                of_phi.step()
            yield theta.detach().clone()

    def samples(self, function: Function, theta: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The unperturbed samples [2 · batch, n], and the losses [2 · batch] of the perturbed ones."""
        offsets = self.sigma * torch.randn(self.batch, len(theta), generator=generator)
        samples = theta - torch.cat([offsets, -offsets])
        if not self.inner_sigma:
            return samples, function(samples).float()
        blur = torch.randn(2 * self.batch, len(theta), generator=generator)
        return samples, function(samples - self.inner_sigma * self.sigma * blur).float()

    def encode(self, x: Tensor) -> Tensor:
        """The positional encoding of x [B, n]."""
        parts = [x]
        for k in range(self.frequencies):
            parts += [torch.sin(2.0**k * x), torch.cos(2.0**k * x)]
        return torch.cat(parts, 1)

    def network(self, n: int, generator: torch.Generator) -> nn.Sequential:
        """The surrogate, with a leaky ReLU after every layer."""
        widths = [n * (1 + 2 * self.frequencies), *[self.hidden] * self.layers, 1]
        modules: list[nn.Module] = []
        for before, after in pairwise(widths):
            layer = nn.utils.skip_init(nn.Linear, before, after)
            bound = 1 / math.sqrt(before)
            for parameter in layer.parameters():
                nn.init.uniform_(parameter, -bound, bound, generator=generator)
            modules += [layer, nn.LeakyReLU()]
        return nn.Sequential(*modules)

    def misfit(self, modelled: Tensor, losses: Tensor) -> Tensor:
        """The criterion [] of the surrogate."""
        if self.criterion == "scale_independent":
            return (modelled / modelled.mean() - losses / losses.mean()).square().mean()
        return (modelled - losses).square().mean()
