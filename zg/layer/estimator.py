"""What an estimator of the vector–Jacobian product vᵀ ∂I/∂x is: a plain class, no parameters for an optimiser."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from zg.errors import check_positive, check_whole
from zg.layer.draws import Draws, Kind, check_kind, draw
from zg.seeding import make_generator

#: Renders θ [K, n]: images [K, D], NaN where a render has failed.
Probe = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Sampling:
    """Antithetic samples around each row. sigma: width of the smoothing Gaussian, scaled units. pairs: a row."""

    sigma: float
    pairs: int
    draws: Kind

    def __post_init__(self) -> None:
        check_positive(sigma=self.sigma)
        check_whole(pairs=self.pairs)
        check_kind(self.draws)


class Pairs(NamedTuple):
    """Rendered antithetic pairs. half, middle: (I₊ − I₋) / 2 and (I₊ + I₋) / 2, [pairs, B, D], 0 where not valid.

    valid [pairs, B]: both renders are finite.
    """

    draws: Draws
    half: Tensor
    middle: Tensor
    valid: Tensor


class Estimator(ABC):
    """Estimates vᵀ ∂I/∂x, smoothed by a Gaussian of width σ, from renders around each row.

    seed: of the streams of random numbers.
    """

    def __init__(self, sampling: Sampling, seed: int) -> None:
        self.sampling, self.seed = sampling, seed
        self.generator = make_generator(seed, "layer", "samples")

    @abstractmethod
    def gradient(self, x: Tensor, v: Tensor, probe: Probe) -> Tensor:
        """x [B, n] in scaled units, v [B, D] -> [B, n]."""

    def status(self) -> dict[str, float]:
        """Numbers of the last step, for a log."""
        return {"sigma": self.sampling.sigma}

    def state(self) -> dict[str, Any]:
        """Everything that a resumed run needs: tensors and plain values, none of which changes later."""
        return {"generator": self.generator.get_state()}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.generator.set_state(state["generator"].cpu())

    def render_pairs(self, x: Tensor, probe: Probe) -> Pairs:
        """Draw pairs around each row of x [B, n], and render them."""
        draws = draw(self.sampling.draws, self.sampling.pairs, x, self.generator)
        steps = self.sampling.sigma * draws.offsets
        images = probe(torch.cat([x + steps, x - steps]).flatten(0, 1))
        plus, minus = images.reshape(2, *steps.shape[:2], -1)
        valid = plus.isfinite().all(-1) & minus.isfinite().all(-1)
        half, middle = ((a / 2).where(valid[..., None], 0.0) for a in (plus - minus, plus + minus))
        return Pairs(draws, half, middle, valid)
