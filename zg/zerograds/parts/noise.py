"""Noise of the renderer, from θ that are rendered twice."""

from typing import Any

import torch
from torch import Tensor

from zg.repeats import ROUNDING


def differ(first: Tensor, second: Tensor) -> bool:
    """Whether two losses [] of one θ differ by more than rounding: the loss is noisy."""
    return not torch.isclose(first, second, rtol=ROUNDING, atol=0.0)


class NoiseVariance:
    """The variance v of the renderer's noise at one kind of place, as a running mean over pairs of losses of one θ.

        v ← m v + (1 − m) (L₁ − L₂)² / 2,    m = min(memory, 1 − 1/k) for the k-th pair

    memory: in [0, 1): the mean is over about 1 / (1 − memory) pairs.
    """

    def __init__(self, memory: float) -> None:
        self.memory, self.pairs, self.value = memory, 0, 0.0

    def tell(self, first: Tensor, second: Tensor) -> None:
        """Learn from two losses [] of one θ."""
        self.pairs += 1
        kept = min(self.memory, 1 - 1 / self.pairs)
        self.value = kept * self.value + (1 - kept) * (0.5 * float((first - second).square()))

    def state_dict(self) -> dict[str, Any]:
        """All that changes."""
        return {"pairs": self.pairs, "value": self.value}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.pairs, self.value = state["pairs"], state["value"]
