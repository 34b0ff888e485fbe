"""σ and the number of pairs, where they are not set.

σ. Let c(σ) = v · (I(x + σ ε) − I(x − σ ε)) / 2, the change of the loss that pairs measure. It agrees with c(σ / 2)
along the same ε, over rows and draws, as far as one is twice the other (concordance, after Lin 1989):

    r = 2 Σ a b / (Σ a² + Σ b²),   a = c(σ),   b = 2 c(σ / 2)

r is 1 where the image is linear within σ. It is lower where σ is so small that c is noise, or that hard edges are
seldom crossed; where c saturates; and where renders at x ± σ ε have little to do with the one at x. The score of σ is
r − 1 / √N, where N = (Σ |a b|)² / Σ (a b)² is the number of draws that count. From the best of σ = 1, 1/2, 1/4, …, σ is
doubled while the score falls by at most 0.1 in all. v is the gradient of the loss of the network, so σ falls where only
fine errors are left.

Pairs. A row costs 1 + 2 m renders with m pairs, and the noise of one pair is about n (1 − explained) times the squared
gradient. For all renders together, the mean over rows has the least variance with m = √(n (1 − explained) / 2), the
best allocation in two-stage sampling (Cochran 1977, "Sampling Techniques", 10.6). explained: by a surrogate, else 0.
"""

import math
from typing import Any

import torch
from torch import Tensor

from zg.layer.draws import Kind, draw

#: σ is one of that many values 1, 1/2, 1/4, …, measured with that many draws.
LEVELS, DRAWS = 7, 32
#: Renders of a measurement. It is made again after SPARED times as many renders.
RENDERS, SPARED = 2 * (LEVELS + 1) * DRAWS, 20
#: The part of the score that a larger σ may lose, and σ where nothing is known.
LOST, START = 0.1, 0.1
#: Most pairs that are chosen.
MOST_PAIRS = 16


def best_pairs(n: int, explained: float) -> int:
    """The number of pairs for a row of n coordinates, where a surrogate explains that part of the variance."""
    return min(MOST_PAIRS, max(1, round(math.sqrt(n * (1 - min(max(explained, 0.0), 1.0)) / 2))))


def best_level(changes: Tensor) -> int | None:
    """The level of the best σ, from c [LEVELS + 1, draws] for σ = 1, 1/2, …; None where nothing changes."""
    wide, narrow = changes[:-1], 2 * changes[1:]
    products = wide * narrow
    concordance = 2 * products.sum(1) / (wide.square() + narrow.square()).sum(1)
    counting = products.abs().sum(1).square() / products.square().sum(1)
    scores: list[float] = (concordance - counting.rsqrt()).nan_to_num(-math.inf).tolist()
    best = max(scores)
    if best == -math.inf:
        return None
    level = scores.index(best)
    while level > 0 and scores[level - 1] >= best - LOST:
        level -= 1
    return level


class Calibration:
    """σ as it was measured last. spent: renders since then; None before the first measurement."""

    def __init__(self) -> None:
        self.sigma = START
        self.spent: int | None = None

    @property
    def is_due(self) -> bool:
        """Whether σ is to be measured at this backward step."""
        return self.spent is None or self.spent >= SPARED * RENDERS

    def places(self, x: Tensor, draws: Kind, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Places [2, LEVELS + 1, DRAWS, n] to render, on both sides of rows of x [B, n]; the numbers of these rows."""
        rows = torch.arange(DRAWS, device=x.device) % len(x)
        offsets = draw(draws, 1, x[rows], generator).offsets[0]
        steps = torch.stack([0.5**level * offsets for level in range(LEVELS + 1)])
        return torch.stack([x[rows] + steps, x[rows] - steps]), rows

    def learn(self, values: Tensor) -> None:
        """Choose σ from v · I [2, LEVELS + 1, DRAWS] at these places; NaN for failed renders."""
        changes = (values[0] - values[1]).double() / 2
        level = best_level(changes[:, changes.isfinite().all(0)])
        if level is not None:  # later measurements count half, for they have noise
            self.sigma = 0.5**level if self.spent is None else math.sqrt(self.sigma * 0.5**level)
        self.spent = 0

    def state(self) -> dict[str, Any]:
        """Plain values."""
        return {"sigma": self.sigma, "spent": self.spent}

    def load(self, sigma: float, spent: int | None) -> None:
        """Go on from a state."""
        self.sigma, self.spent = sigma, spent
