"""The paper's surrogates, neural (NP) and quadratic (QP): raw parameters in, raw losses out.

NP, as released, is an MLP with a leaky ReLU after every layer, the last included; in high dimension behind a positional
encoding (Mildenhall et al. 2020) that keeps its input, so that the first layer has (1 + 2 · frequencies) · n inputs.
QP's exact form was not at hand: here it is θᵀ M θ + b·θ + c, fitted in the same way.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from zg.errors import SettingError, nearest
from zg.zerograds.surrogates.base import Regression
from zg.zerograds.surrogates.neural import draw_weights, make_linear

Kind = Literal["neural", "quadratic"]
MAX_QUADRATIC = 16_384  # 4.3 GB
CRITERIA: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": functional.mse_loss,
    "l1": functional.l1_loss,
    "huber": functional.huber_loss,
}


class PositionalEncoding(nn.Module):
    """x [B, n] -> [B, (1 + 2 · frequencies) · n]: x, then sin and cos of 2ᵏ x."""

    def __init__(self, frequencies: int) -> None:
        super().__init__()
        self.frequencies = frequencies

    def forward(self, x: Tensor) -> Tensor:
        waves = [wave(2.0**k * x) for k in range(self.frequencies) for wave in (torch.sin, torch.cos)]
        return torch.cat([x, *waves], dim=-1)


class Quadratic(nn.Module):
    """x [B, n] -> xᵀ M x + b·x + c [B, 1], zero at first."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.M = nn.Parameter(torch.zeros(n, n))
        self.b = nn.Parameter(torch.zeros(n, 1))
        self.c = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return ((x @ self.M) * x).sum(1, keepdim=True) + x @ self.b + self.c


class PaperSurrogate(Regression):
    """h(θ, φ) = MLP(encode(θ / input_scale)), or a quadratic of θ / input_scale.

    n: coordinates. kind: neural or quadratic. hidden, layers: width and number of hidden layers. frequencies: of the
    encoding, 0 for none. input_scale: what coordinates are divided by. log_space: fit log(loss + 1). criterion: a name
    in CRITERIA. A quadratic takes 16 n² bytes and has no use for hidden, layers and frequencies.
    """

    def __init__(
        self,
        n: int,
        kind: Kind,
        hidden: int,
        layers: int,
        frequencies: int,
        input_scale: float,
        log_space: bool,
        criterion: str,
        lr: float,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        if criterion not in CRITERIA:
            raise SettingError(f"criterion '{criterion}' is unknown{nearest(criterion, CRITERIA)}")
        self.criterion, self.log_space, self.input_scale = CRITERIA[criterion], log_space, input_scale
        modules: list[nn.Module] = []
        if kind == "neural":
            if frequencies:
                modules.append(PositionalEncoding(frequencies))
            for width_in, width_out in pairwise([(1 + 2 * frequencies) * n, *[hidden] * layers, 1]):
                modules += [make_linear(width_in, width_out, generator, torch.float32), nn.LeakyReLU()]
        elif n <= MAX_QUADRATIC:
            modules.append(Quadratic(n))
        else:
            raise SettingError(f"surrogate must be neural above {MAX_QUADRATIC:,} parameters, got quadratic for {n:,}")
        self.network = nn.Sequential(*modules)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=lr)

    def fit(self, samples: Tensor, losses: Tensor, weights: Tensor, steps: int) -> float:
        x = samples.float() / self.input_scale
        target = (losses.log1p() if self.log_space else losses).float()
        with torch.enable_grad():
            for _ in range(steps):
                misfit = self.criterion(self.network(x)[:, 0], target)
                self.optimizer.zero_grad()
                misfit.backward()
                self.optimizer.step()
        return float(misfit.detach()) ** 0.5

    def forget(self, generator: torch.Generator) -> None:
        """Be as before the first fit, with a network's weights drawn anew."""
        for module in self.network:
            if isinstance(module, nn.Linear):
                draw_weights(module, generator)
            elif isinstance(module, Quadratic):
                for parameter in module.parameters():
                    nn.init.zeros_(parameter)
        self.optimizer.state.clear()

    def forward(self, theta: Tensor) -> Tensor:
        modelled = self.network(theta.float() / self.input_scale)[:, 0]
        return torch.expm1(modelled) if self.log_space else modelled
