"""Noise of the renderer, from θ that are rendered twice."""

from typing import Any

import torch
from torch import Tensor

from zg.repeats import ROUNDING


def differ(first: Tensor, second: Tensor) -> bool:
    """Whether two losses [] of one θ differ by more than rounding: the loss is noisy."""
    return not torch.isclose(first, second, rtol=ROUNDING, atol=0.0)


class Noise:
    """Noise at samples and at θ. One sample and θ are rendered twice an iteration. Variances v, running means:

        v ← m v + (1 − m) (L₁ − L₂)² / 2,    m = min(memory, 1 − 1/k) for the k-th pair

    memory: in [0, 1): a mean is over about 1 / (1 − memory) pairs. pairs_for_equal: pairs more that count at both
    places and have the mean of both, so that few pairs do not tell them apart.
    """

    def __init__(self, memory: float, pairs_for_equal: float) -> None:
        self.memory, self.pairs_for_equal = memory, pairs_for_equal
        self.pairs, self.at_sample, self.at_theta = 0, 0.0, 0.0

    def tell(self, sample: Tensor, theta: Tensor) -> None:
        """Learn from two losses [2] of one sample, and two of θ."""
        self.pairs += 1
        kept = min(self.memory, 1 - 1 / self.pairs)
        self.at_sample = kept * self.at_sample + (1 - kept) * float(sample.var())
        self.at_theta = kept * self.at_theta + (1 - kept) * float(theta.var())

    @property
    def variance(self) -> float:
        """That at samples, or of both places where θ has more."""
        mean = 0.5 * (self.at_sample + self.at_theta)
        return max(self._trusted * self.at_sample + (1 - self._trusted) * mean, mean)

    @property
    def share_of_samples(self) -> float:
        """The share of `variance` that is not there at θ, in [0, 1]."""
        mean = 0.5 * (self.at_sample + self.at_theta)
        at_theta = self._trusted * self.at_theta + (1 - self._trusted) * mean
        return 1 - at_theta / self.variance if self.at_sample > self.at_theta else 0.0

    @property
    def _trusted(self) -> float:
        pairs = min(self.pairs, 1 / (1 - self.memory))
        return pairs / (pairs + self.pairs_for_equal)

    def state_dict(self) -> dict[str, Any]:
        """All that changes."""
        return {"pairs": self.pairs, "at_sample": self.at_sample, "at_theta": self.at_theta}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.pairs, self.at_sample, self.at_theta = state["pairs"], state["at_sample"], state["at_theta"]
