"""The paper's surrogates, neural (NP) and quadratic (QP): parameters and losses in their own units.

    NP:  h(θ, φ) = MLP_φ(γ(x))                x = θ / input_scale
    QP:  h(θ, φ) = xᵀ M x + b · x + c         φ = (M, b, c)

NP, as released, has a leaky ReLU after every layer, the last included. γ is x itself, or in high dimension the
positional encoding (x, sin 2ᵏ x, cos 2ᵏ x, …) of Mildenhall et al. (2020). The exact form of QP was not at hand.

φ is fitted by Adam. Memory: NP 16 bytes for each of about (1 + 2 · frequencies) · n · hidden weights, QP 16 n² bytes.
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
#: The misfit [] of modelled losses [B] and losses [B], by name.
CRITERIA: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": functional.mse_loss,
    "l1": functional.l1_loss,
    "huber": functional.huber_loss,
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


class PaperSurrogate(Regression):
    """h(θ, φ) in n coordinates; `generator` draws the weights of a network, a quadratic starts at 0.

    Raises SettingError for a quadratic of more than `MAX_QUADRATIC` coordinates.
    """

    def __init__(self, n: int, settings: PaperSurrogateSettings, generator: torch.Generator) -> None:
        super().__init__()
        self.settings, self.criterion = settings, CRITERIA[settings.criterion]
        if settings.kind == "quadratic" and n > MAX_QUADRATIC:
            raise SettingError(f"surrogate must be neural above {MAX_QUADRATIC:,} parameters, got quadratic for {n:,}")
        modules = [Quadratic(n)] if settings.kind == "quadratic" else make_layers(n, settings, generator)
        self.network = nn.Sequential(*modules)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=settings.lr)

    def fit(self, samples: Tensor, losses: Tensor, weights: Tensor, steps: int) -> float:
        """Adam on the criterion; returns its root before the last step. The weights [B] are not used, as published."""
        x = samples.float() / self.settings.input_scale
        target = (losses.log1p() if self.settings.log_space else losses).float()
        with torch.enable_grad():
            for _ in range(steps):
                misfit = self.criterion(self.network(x)[:, 0], target)
                self.optimizer.zero_grad()
                torch.autograd.backward(misfit)
                self.optimizer.step()
        return math.sqrt(float(misfit.detach()))

    def forward(self, theta: Tensor) -> Tensor:
        modelled: Tensor = self.network(theta.float() / self.settings.input_scale)[:, 0]
        return torch.expm1(modelled) if self.settings.log_space else modelled

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

    def __init__(self, n: int) -> None:
        super().__init__()
        self.M = nn.Parameter(torch.zeros(n, n))
        self.b = nn.Parameter(torch.zeros(n, 1))
        self.c = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return ((x @ self.M) * x).sum(1, keepdim=True) + x @ self.b + self.c


def make_layers(n: int, settings: PaperSurrogateSettings, generator: torch.Generator) -> list[nn.Module]:
    """The layers of the MLP, behind the encoding if there is one."""
    encoding = [PositionalEncoding(settings.frequencies)] if settings.frequencies else []
    layers: list[nn.Module] = [*encoding]
    inputs = (1 + 2 * settings.frequencies) * n
    for width_in, width_out in pairwise([inputs, *[settings.hidden] * settings.layers, 1]):
        layers += [make_linear(width_in, width_out, generator, torch.float32), nn.LeakyReLU()]
    return layers
