"""The paper's surrogates, neural (NP) and quadratic (QP): parameters and losses in their own units.

    NP:  h(θ, φ) = MLP_φ(γ(x))                x = θ / input_scale
    QP:  h(θ, φ) = xᵀ M x + b · x + c         φ = (M, b, c)

NP, as released, has a leaky ReLU after every layer, the last included. γ is x itself, or in high dimension the
positional encoding (x, sin 2ᵏ x, cos 2ᵏ x, …) of Mildenhall et al. (2020). The exact form of QP was not at hand.

φ is fitted by Adam. Memory: NP 16 bytes for each of about (1 + 2 · frequencies) · n · hidden weights, QP 16 n² bytes.
Nearly all weights of NP are in its first layer, so an iteration takes about as long as memory needs to deliver them:
Adam is fused, samples are encoded once a fit, and the gradient of the first layer is written over the last one.
After Fischer and Ritschel, "ZeroGrads" (ACM TOG 2024); `zg.zerograds.published` uses them.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from zg.errors import SettingError, nearest
from zg.zerograds.parts.network import draw_weights, make_linear
from zg.zerograds.parts.regression import Regression

Kind = Literal["neural", "quadratic"]
#: Most parameters of a quadratic: M, its gradient and Adam's two moments take 4.3 GB.
MAX_QUADRATIC = 16_384


def scale_independent(modelled: Tensor, losses: Tensor) -> Tensor:
    """mean((a/mean(a) − b/mean(b))²): the ratio of losses alone is fitted (the paper's texture experiment)."""
    return functional.mse_loss(modelled / modelled.mean(), losses / losses.mean())


#: The misfit [] of modelled losses [B] and losses [B], by name.
CRITERIA: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": functional.mse_loss,
    "l1": functional.l1_loss,
    "huber": functional.huber_loss,
    "scale_independent": scale_independent,
}


@dataclass(frozen=True)
class PaperSurrogateSettings:
    """The settings of `PaperZeroGrads` that are the surrogate's; defaults and sources are there.

    A quadratic has no use for hidden, layers and frequencies.
    """

    #: neural (NP) or quadratic (QP).
    kind: Kind
    #: Width of each hidden layer.
    hidden: int
    #: Number of hidden layers.
    layers: int
    #: Frequencies of the positional encoding; 0 for none.
    frequencies: int
    #: What θ is divided by, in the units of θ.
    input_scale: float
    #: Whether log(loss + 1) is fitted in place of the loss.
    log_space: bool
    #: A name in `CRITERIA`.
    criterion: str
    #: Adam's learning rate for φ.
    lr: float

    def __post_init__(self) -> None:
        if self.criterion not in CRITERIA:
            raise SettingError(f"criterion '{self.criterion}' is unknown{nearest(self.criterion, CRITERIA)}")
        if self.kind == "quadratic" and self.criterion == "scale_independent":
            raise SettingError("criterion must be mse, l1 or huber for a quadratic, whose mean is 0 at first")


class PaperSurrogate(Regression):
    """h(θ, φ) in n coordinates; `generator` draws the weights of a network, a quadratic starts at 0.

    Raises SettingError for a quadratic of more than `MAX_QUADRATIC` coordinates.
    """

    def __init__(self, n: int, settings: PaperSurrogateSettings, generator: torch.Generator) -> None:
        super().__init__()
        self.settings, self.criterion = settings, CRITERIA[settings.criterion]
        if settings.kind == "quadratic" and n > MAX_QUADRATIC:
            raise SettingError(f"surrogate must be neural above {MAX_QUADRATIC:,} parameters, got quadratic for {n:,}")
        is_quadratic = settings.kind == "quadratic"
        self.encoding = PositionalEncoding(0 if is_quadratic else settings.frequencies)
        layers = [Quadratic(n, generator.device)] if is_quadratic else make_layers(n, settings, generator)
        self.network = nn.Sequential(*layers)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=settings.lr, fused=True)

    def fit(self, samples: Tensor, losses: Tensor, weights: Tensor, steps: int) -> float:
        """Adam on the criterion; returns its root before the last step. The weights [B] are not used, as published."""
        encoded = self.encode(samples)
        target = (losses.log1p() if self.settings.log_space else losses).float()
        for _ in range(steps):
            misfit = self._set_gradients(encoded, target)
            self.optimizer.step()
        return math.sqrt(misfit)

    def _set_gradients(self, encoded: Tensor, target: Tensor) -> float:
        """Set the gradients in φ of the misfit at encoded samples [B, …] with losses [B]; returns the misfit."""
        first, *others = self.network
        later = [parameter for module in others for parameter in module.parameters()]
        with torch.enable_grad():
            hidden = first(encoded).detach().requires_grad_()
            modelled = nn.Sequential(*others)(hidden)
            misfit = self.criterion(modelled[:, 0], target)
            slope, *found = torch.autograd.grad(misfit, [hidden, *later])
        write_gradients(first, encoded, slope)
        for parameter, gradient in zip(later, found, strict=True):
            parameter.grad = gradient
        return float(misfit.detach())

    def forward(self, theta: Tensor) -> Tensor:
        modelled: Tensor = self.network(self.encode(theta))[:, 0]
        return torch.expm1(modelled) if self.settings.log_space else modelled

    def encode(self, theta: Tensor) -> Tensor:
        """θ [B, n] -> what the network sees [B, (1 + 2 · frequencies) · n], in single precision."""
        encoded: Tensor = self.encoding(theta.float() / self.settings.input_scale)
        return encoded

    def forget(self, generator: torch.Generator) -> None:
        """Return to the state before the first fit; `generator` draws other weights of a network."""
        for module in self.network:
            if isinstance(module, nn.Linear):
                draw_weights(module, generator)
            elif isinstance(module, Quadratic):
                for parameter in module.parameters():
                    nn.init.zeros_(parameter)
        self.optimizer.state.clear()


class PositionalEncoding(nn.Module):
    """x [B, n] -> [B, (1 + 2 · frequencies) · n]: x, then sin and cos of 2ᵏ x for each k below `frequencies`."""

    def __init__(self, frequencies: int) -> None:
        super().__init__()
        self.frequencies = frequencies

    def forward(self, x: Tensor) -> Tensor:
        waves = [wave(2.0**k * x) for k in range(self.frequencies) for wave in (torch.sin, torch.cos)]
        return torch.cat([x, *waves], dim=-1)


class Quadratic(nn.Module):
    """x [B, n] -> xᵀ M x + b · x + c [B, 1], 0 at first."""

    def __init__(self, n: int, device: torch.device) -> None:
        super().__init__()
        self.M = nn.Parameter(torch.zeros(n, n, device=device))
        self.b = nn.Parameter(torch.zeros(n, 1, device=device))
        self.c = nn.Parameter(torch.zeros(1, device=device))

    def forward(self, x: Tensor) -> Tensor:
        return ((x @ self.M) * x).sum(1, keepdim=True) + x @ self.b + self.c


def write_gradients(layer: nn.Module, x: Tensor, slope: Tensor) -> None:
    """The gradients of a layer's parameters at x [B, n], from the misfit's slope in its output [B, width].

    They are written over the last ones: backpropagation makes new tensors, which take longer than the product.
    """
    if isinstance(layer, Quadratic):
        layer.M.grad = torch.mm(x.T, slope * x, out=layer.M.grad)
        layer.b.grad = torch.mm(x.T, slope, out=layer.b.grad)
        layer.c.grad = slope.sum(0)
    elif isinstance(layer, nn.Linear):
        layer.weight.grad = torch.mm(slope.T, x, out=layer.weight.grad)
        layer.bias.grad = slope.sum(0)


def make_layers(n: int, settings: PaperSurrogateSettings, generator: torch.Generator) -> list[nn.Module]:
    """The layers of the MLP behind the encoding."""
    layers: list[nn.Module] = []
    inputs = (1 + 2 * settings.frequencies) * n
    for width_in, width_out in pairwise([inputs, *[settings.hidden] * settings.layers, 1]):
        layers += [make_linear(width_in, width_out, generator, torch.float32), nn.LeakyReLU()]
    return layers
