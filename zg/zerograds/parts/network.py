"""Networks: a model of the loss in local coordinates, and layers whose weights a given generator draws."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from zg.zerograds.parts.regression import Regression

#: The least deviation, so that equal losses can be divided by it.
TINY = torch.finfo(torch.float64).tiny


class LocalNetwork(Regression):
    """h(θ, φ) = mean + deviation · MLP_φ((θ − centre) / σ), an MLP with SiLU between its layers.

    n: coordinates. hidden: width of each of the `layers` hidden layers. lr: Adam's learning rate for φ. outlier: losses
    further from the mean, in deviations, are fitted as if they were that far.

    `move_to` sets centre [n] and σ before each fit. Mean and deviation are those of the losses that are fitted.
    """

    centre: Tensor
    sigma: Tensor
    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        n: int,
        hidden: int,
        layers: int,
        lr: float,
        outlier: float,
        generator: torch.Generator,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.outlier = outlier
        modules: list[nn.Module] = []
        for width_in, width_out in pairwise([n, *[hidden] * layers, 1]):
            modules += [make_linear(width_in, width_out, generator, dtype), nn.SiLU()]
        self.network = nn.Sequential(*modules[:-1])
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=lr)
        self.register_buffer("centre", torch.zeros(n, dtype=dtype, device=generator.device))
        for name, value in (("sigma", 1.0), ("mean", 0.0), ("deviation", 1.0)):
            self.register_buffer(name, torch.tensor(value, dtype=torch.float64, device=generator.device))

    def move_to(self, centre: Tensor, sigma: float) -> None:
        """Set the origin [n] and the unit σ of the local coordinates."""
        self.centre = centre
        self.sigma.fill_(sigma)

    def to_local(self, theta: Tensor) -> Tensor:
        """θ [..., n] -> (θ − centre) / σ [..., n]."""
        return (theta - self.centre) / self.sigma.to(theta.dtype)

    def fit(self, samples: Tensor, losses: Tensor, weights: Tensor, steps: int) -> float:
        """Adam on the weighted mean square misfit; returns its root before the last step, in units of the loss."""
        u = self.to_local(samples)
        weights = weights / weights.sum()
        self.mean = weights @ losses
        self.deviation = (weights @ (losses - self.mean).square()).sqrt().clamp_min(TINY)
        target = ((losses - self.mean) / self.deviation).clamp(-self.outlier, self.outlier).to(u.dtype)
        weights = weights.to(u.dtype)
        with torch.enable_grad():
            for _ in range(steps):
                misfit = weights @ (self.network(u)[:, 0] - target).square()
                self.optimizer.zero_grad()
                misfit.backward()
                self.optimizer.step()
        return float(misfit.detach().sqrt() * self.deviation)

    def forward(self, theta: Tensor) -> Tensor:
        standardised: Tensor = self.network(self.to_local(theta))[:, 0]
        return self.mean + self.deviation * standardised


def make_linear(width_in: int, width_out: int, generator: torch.Generator, dtype: torch.dtype) -> nn.Linear:
    """A linear layer with PyTorch's default initialisation, drawn from `generator`."""
    layer = nn.Linear(width_in, width_out, dtype=dtype, device="meta").to_empty(device=generator.device)
    draw_weights(layer, generator)
    return layer


@torch.no_grad()
def draw_weights(layer: nn.Linear, generator: torch.Generator) -> None:
    """Draw weights and biases of a linear layer as PyTorch does by default, from `generator`: even in ± 1 / √inputs."""
    bound = layer.in_features**-0.5
    for parameter in layer.parameters():
        parameter.uniform_(-bound, bound, generator=generator)
