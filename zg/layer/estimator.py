"""What an estimator of the vector–Jacobian product vᵀ ∂I/∂x is: a plain class, no parameters for an optimiser."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from zg.errors import check_positive, check_whole
from zg.layer.calibration import RENDERS, Calibration, best_pairs
from zg.layer.draws import Draws, Kind, check_kind, draw
from zg.seeding import make_generator

#: Renders θ [K, n]: images [K, D], NaN where a render has failed.
Probe = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Sampling:
    """Antithetic samples around each row. sigma: width of the smoothing Gaussian, scaled units. pairs: a row.

    None: measured (`zg.layer.calibration`).
    """

    sigma: float | None
    pairs: int | None
    draws: Kind

    def __post_init__(self) -> None:
        if self.sigma is not None:
            check_positive(sigma=self.sigma)
        if self.pairs is not None:
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
        self.calibration = Calibration()
        self.last_pairs = 0

    @abstractmethod
    def estimate(self, x: Tensor, v: Tensor, probe: Probe) -> Tensor:
        """x [B, n] in scaled units, v [B, D] -> [B, n]."""

    @property
    def sigma(self) -> float:
        """σ, as it is set or was measured last."""
        return self.sampling.sigma or self.calibration.sigma

    @property
    def explained(self) -> float:
        """The part of the variance of v · ΔI that needs no renders of this step."""
        return 0.0

    def pairs(self, n: int) -> int:
        """Pairs of a row of n coordinates in the next step."""
        return self.sampling.pairs or best_pairs(n, self.explained)

    def cost(self, rows: int, n: int) -> int:
        """Renders of the next step for rows of n coordinates."""
        return 2 * rows * self.pairs(n) + (RENDERS if self._measures_sigma else 0)

    @property
    def _measures_sigma(self) -> bool:
        return self.sampling.sigma is None and self.calibration.is_due

    def gradient(self, x: Tensor, v: Tensor, probe: Probe) -> Tensor:
        """x [B, n] in scaled units, v [B, D] -> [B, n]. Measures σ first, where it is due."""
        if self._measures_sigma:
            places, rows = self.calibration.places(x, self.sampling.draws, self.generator)
            images = probe(places.flatten(0, 2)).reshape(*places.shape[:3], -1)
            self.calibration.learn(torch.einsum("slrd,rd->slr", images, v[rows]))
        if self.calibration.spent is not None:
            self.calibration.spent += self.cost(*x.shape)
        return self.estimate(x, v, probe)

    def status(self) -> dict[str, float]:
        """Numbers of the last step, for a log."""
        return {"sigma": self.sigma, "pairs": self.last_pairs}

    def state(self) -> dict[str, Any]:
        """Everything that a resumed run needs: tensors and plain values, none of which changes later."""
        return {
            "generator": self.generator.get_state(),
            "calibration": self.calibration.state(),
            "last_pairs": self.last_pairs,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.generator.set_state(state["generator"].cpu())
        self.calibration.load(**state["calibration"])
        self.last_pairs = state["last_pairs"]

    def render_pairs(self, x: Tensor, probe: Probe) -> Pairs:
        """Draw pairs around each row of x [B, n], and render them."""
        self.last_pairs = self.pairs(x.shape[1])
        draws = draw(self.sampling.draws, self.last_pairs, x, self.generator)
        steps = self.sigma * draws.offsets
        images = probe(torch.cat([x + steps, x - steps]).flatten(0, 1))
        plus, minus = images.reshape(2, *steps.shape[:2], -1)
        valid = plus.isfinite().all(-1) & minus.isfinite().all(-1)
        half, middle = ((a / 2).where(valid[..., None], 0.0) for a in (plus - minus, plus + minus))
        return Pairs(draws, half, middle, valid)
