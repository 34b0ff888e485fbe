"""Where to look around θ: offsets [B, n] in units of σ."""

import math
from typing import Any

import torch
from torch import Tensor


def gaussian(count: int, n: int, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
    """`count` offsets [count, n] from N(0, I)."""
    return torch.randn(count, n, generator=generator, dtype=dtype, device=generator.device)


def antithetic(pairs: int, n: int, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
    """`pairs` offsets from N(0, I), then the same negated: [2 · pairs, n]."""
    offsets = gaussian(pairs, n, generator, dtype)
    return torch.cat([offsets, -offsets])


class CosineDirections:
    """Orthonormal directions without replacement: rows of a cosine transform, with random signs, in random order.

    Dense rows move every coordinate a little, so one radius suits them all; without replacement, n renders say n
    different things. A row is looked up in a table of 4 n cosines: O(n) memory, no matrix.
    """

    def __init__(self, n: int, generator: torch.Generator, dtype: torch.dtype) -> None:
        self.n, self.generator, self.left = n, generator, 0
        device = generator.device
        angle = torch.arange(4 * n, dtype=torch.float64, device=device) * (math.pi / (2 * n))
        self.table = (angle.cos() * math.sqrt(2 / n)).to(dtype)
        self.phase = 2 * torch.arange(n, device=device) + 1
        self.order = self.signs = torch.empty(0, device=device)

    def draw(self, m: int) -> Tensor:
        """The next min(m, rows left in this sweep) directions [k, n]."""
        if self.left == 0:
            self.order = torch.randperm(self.n, generator=self.generator, device=self.table.device)
            coins = torch.randint(0, 2, (self.n,), generator=self.generator, device=self.table.device)
            self.signs = (2 * coins - 1).to(self.table.dtype)
            self.left = self.n
        rows = self.order[self.n - self.left :][:m]
        self.left -= len(rows)
        directions = self.table[(rows[:, None] * self.phase) % (4 * self.n)] * self.signs
        directions[rows == 0] /= math.sqrt(2)
        return directions

    def state(self) -> dict[str, Tensor | int]:
        """Where in the sweep it is."""
        return {"order": self.order, "signs": self.signs, "left": self.left}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        self.order, self.signs, self.left = state["order"], state["signs"], state["left"]
