"""A network x → image in standardised coordinates, fitted to differences of pairs.

    g(x) = mean + deviation · (A u + MLP(u)),   u = (x − centre) / spread

The residual of the estimate is v · (half difference of I − half difference of g). So differences are what is fitted:

    misfit = mean |Δg − ΔI|² / mean |ΔI|² + WEIGHT · mean |ḡ − Ī|² / mean |Ī − mean|²    Δ: half difference, ¯: middle
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from zg.zerograds.parts.network import make_linear

# Weight of the middles of pairs. They tie neighbouring rows together, but are not what the gradient needs.
WEIGHT = 0.1
# Least rate at which the standardisation follows new pairs, and the least deviation.
RATE, TINY = 0.02, 1e-12


class ImageNetwork(nn.Module):
    """An MLP with SiLU and a linear path beside it, in single precision.

    n: coordinates. pixels: of a flat image. hidden: width of each of the `layers` hidden layers. lr: of Adam.
    """

    def __init__(self, n: int, pixels: int, hidden: int, layers: int, lr: float, generator: torch.Generator) -> None:
        super().__init__()
        modules: list[nn.Module] = []
        for width_in, width_out in pairwise([n, *[hidden] * layers, pixels]):
            modules += [make_linear(width_in, width_out, generator, torch.float32), nn.SiLU()]
        self.mlp = nn.Sequential(*modules[:-1])
        self.linear = make_linear(n, pixels, generator, torch.float32)
        nn.init.zeros_(self.linear.weight)
        for name, size in (("centre", n), ("square", n), ("mean", pixels)):
            self.register_buffer(name, torch.zeros(size))
        for name in ("bend", "variance", "updates"):  # mean |ΔI|², mean |Ī − mean|², number of updates
            self.register_buffer(name, torch.zeros(()))
        self.optimizer = torch.optim.Adam(self.parameters(), lr=lr)

    centre: Tensor
    square: Tensor
    mean: Tensor
    bend: Tensor
    variance: Tensor
    updates: Tensor

    @torch.no_grad()
    def standardise(self, x: Tensor, steps: Tensor, half: Tensor, middle: Tensor) -> None:
        """Let centre, spread, mean and deviation follow new pairs: running means, at first plain ones."""
        self.updates += 1
        rate = max(RATE, 1 / float(self.updates))
        self.centre.lerp_(x.mean(0), rate)
        self.square.lerp_((x - self.centre).square().mean(0) + steps.square().mean(0), rate)
        self.mean.lerp_(middle.mean(0), rate)
        self.bend.lerp_(half.square().mean(), rate)
        self.variance.lerp_((middle - self.mean).square().mean(), rate)

    def forward(self, x: Tensor) -> Tensor:
        """x [..., n] -> images [..., D]."""
        u = (x - self.centre) / self.square.sqrt().clamp_min(TINY)
        deviation = (self.variance + self.bend).sqrt()
        images: Tensor = self.mean + deviation * (self.linear(u) + self.mlp(u))
        return images

    @torch.enable_grad()
    def step(self, x: Tensor, steps: Tensor, half: Tensor, middle: Tensor) -> None:
        """One step of Adam on the misfit of pairs [K, ...]."""
        plus, minus = self(torch.stack([x + steps, x - steps]))
        of_half = ((plus - minus) / 2 - half).square().mean() / self.bend.clamp_min(TINY)
        of_middle = ((plus + minus) / 2 - middle).square().mean() / self.variance.clamp_min(TINY)
        self.optimizer.zero_grad()
        (of_half + WEIGHT * of_middle).backward()
        self.optimizer.step()

    @torch.enable_grad()
    def gradient(self, x: Tensor, v: Tensor) -> Tensor:
        """The mean over samples of vᵀ ∂g/∂x: x [K, B, n], v [B, D] -> [B, n]."""
        x = x.detach().requires_grad_()
        (found,) = torch.autograd.grad(self.along(x, v).sum(), x)
        return found.mean(0)

    def along(self, x: Tensor, v: Tensor) -> Tensor:
        """v · (g(x) − mean) [K, B] for x [K, B, n] and v [B, D]. v meets the last layer first: no image is made."""
        u = (x - self.centre) / self.square.sqrt().clamp_min(TINY)
        last = self.mlp[-1]
        assert isinstance(last, nn.Linear)
        found: Tensor = (self.mlp[:-1](u) * (v @ last.weight)).sum(-1)
        found = found + (u * (v @ self.linear.weight)).sum(-1) + v @ (last.bias + self.linear.bias)
        return (self.variance + self.bend).sqrt() * found
