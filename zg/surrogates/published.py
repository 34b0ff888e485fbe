"""The paper's neural surrogate (NP), as released: raw parameters in, raw losses out.

An MLP with a leaky ReLU after every layer, the last included; in high dimension behind a positional encoding
(Mildenhall et al. 2020) that keeps its input, so that the first layer has (1 + 2 · frequencies) · n inputs.
"""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from zg.errors import SettingError, nearest
from zg.surrogates.base import Regression
from zg.surrogates.neural import draw_weights, make_linear

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


class PublishedSurrogate(Regression):
    """h(θ, φ) = MLP(encode(θ / input_scale)).

    n: coordinates. hidden, layers: width and number of hidden layers. frequencies: of the encoding, 0 for none.
    input_scale: what coordinates are divided by. log_space: fit log(loss + 1). criterion: a name in CRITERIA.
    """

    def __init__(
        self,
        n: int,
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
        modules: list[nn.Module] = [PositionalEncoding(frequencies)] if frequencies else []
        for width_in, width_out in pairwise([(1 + 2 * frequencies) * n, *[hidden] * layers, 1]):
            modules += [make_linear(width_in, width_out, generator, torch.float32), nn.LeakyReLU()]
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
        """Be as before the first fit, with weights drawn anew."""
        for module in self.network:
            if isinstance(module, nn.Linear):
                draw_weights(module, generator)
        self.optimizer.state.clear()

    def forward(self, theta: Tensor) -> Tensor:
        modelled = self.network(theta.float() / self.input_scale)[:, 0]
        return torch.expm1(modelled) if self.log_space else modelled
