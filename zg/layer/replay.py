"""Replay memory: a ring of the last rendered pairs, from which the surrogate learns."""

import torch
from torch import Tensor

from zg.memory import check_memory

#: By default, the memory holds at most this many pairs and bytes.
PAIRS, BYTES = 4096, 2**28


class Replay:
    """Pairs of renders: centres x and steps σ ε [N, n], half differences and middles of images [N, D].

    size: most pairs; None for 4096, or fewer where they would take more than 256 MB. Raises SettingError for more than
    the available memory.
    """

    def __init__(self, size: int | None, n: int, pixels: int, device: torch.device) -> None:
        bytes_each = 4 * (2 * n + 2 * pixels)
        self.size = size or max(64, min(PAIRS, BYTES // bytes_each))
        check_memory(float(self.size * bytes_each), memory=self.size)
        widths = (n, n, pixels, pixels)
        self.columns = [torch.zeros(self.size, width, device=device) for width in widths]
        self.added = 0

    def __len__(self) -> int:
        return min(self.added, self.size)

    def add(self, *new: Tensor) -> None:
        """Add rows [K, ...] of each column; the oldest rows are overwritten."""
        count = len(new[0])
        places = torch.arange(self.added + max(0, count - self.size), self.added + count) % self.size
        for column, rows in zip(self.columns, new, strict=True):
            column[places.to(column.device)] = rows[-self.size :].to(column)
        self.added += count

    def draw(self, count: int, generator: torch.Generator) -> list[Tensor]:
        """`count` random rows of each column."""
        rows = torch.randint(len(self), (count,), generator=generator)
        return [column[rows.to(column.device)] for column in self.columns]

    def state(self) -> dict[str, object]:
        """The rows that are filled, and their number."""
        return {"added": self.added, "columns": [column[: len(self)].clone() for column in self.columns]}

    def load(self, added: int, columns: list[Tensor]) -> None:
        """Go on from a state."""
        self.added = added
        for column, rows in zip(self.columns, columns, strict=True):
            column[: len(rows)] = rows.to(column)
