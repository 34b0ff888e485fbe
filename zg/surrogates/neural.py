"""The neural surrogate (NP) in local coordinates.

The network never sees θ or losses as they come. It sees u = (θ − centre)/σ and losses standardised over the
samples at hand, so one learning rate suits every problem, and it does not care where θ is, how wide σ is, or what
a loss is worth.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from zg.surrogates.base import Surrogate


class NeuralSurrogate(Surrogate):
    """h(θ, φ) = mean + spread · MLP((θ − centre)/σ).

    n: coordinates. hidden: width of each of the `layers` hidden layers. lr: Adam's learning rate for φ.
    `centre` [n] and `sigma` are moved by the method before each fit.
    """

    def __init__(
        self,
        n: int,
        hidden: int,
        layers: int,
        lr: float,
        generator: torch.Generator,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        widths = [n, *[hidden] * layers, 1]
        modules: list[nn.Module] = []
        for width_in, width_out in pairwise(widths):
            modules += [make_linear(width_in, width_out, generator, dtype), nn.SiLU()]
        self.network = nn.Sequential(*modules[:-1])
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=lr)
        self.centre: Tensor
        self.sigma: Tensor
        self.mean: Tensor
        self.spread: Tensor
        device = generator.device
        self.register_buffer("centre", torch.zeros(n, dtype=dtype, device=device))
        for name, value in (("sigma", 1.0), ("mean", 0.0), ("spread", 1.0)):
            self.register_buffer(name, torch.tensor(value, dtype=torch.float64, device=device))

    def local(self, theta: Tensor) -> Tensor:
        """θ [..., n] -> u [..., n]."""
        return (theta - self.centre) / self.sigma.to(theta.dtype)

    def fit(self, samples: Tensor, losses: Tensor, weights: Tensor, steps: int) -> float:
        u = self.local(samples)
        weights = weights / weights.sum()
        self.mean = weights @ losses
        self.spread = (weights @ (losses - self.mean).square()).sqrt().clamp_min(torch.finfo(torch.float64).tiny)
        target = ((losses - self.mean) / self.spread).clamp(-5, 5).to(u.dtype)
        weights = weights.to(u.dtype)
        assert self.optimizer is not None
        with torch.enable_grad():
            for _ in range(steps):
                misfit = weights @ (self.network(u)[:, 0] - target).square()
                self.optimizer.zero_grad()
                misfit.backward()
                self.optimizer.step()
        return float(misfit.detach().sqrt() * self.spread)

    def forward(self, theta: Tensor) -> Tensor:
        return self.mean + self.spread * self.network(self.local(theta))[:, 0]


def make_linear(width_in: int, width_out: int, generator: torch.Generator, dtype: torch.dtype) -> nn.Linear:
    """A linear layer with PyTorch's default initialisation, drawn from `generator`."""
    layer: nn.Linear = nn.utils.skip_init(nn.Linear, width_in, width_out, dtype=dtype, device=generator.device)
    bound = width_in**-0.5
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.uniform_(-bound, bound, generator=generator)
    return layer
