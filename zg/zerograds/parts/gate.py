"""A batch whose rows are rendered one by one, and which does not wait for the last of them.

    closes when    all rows were handed out,   missing ≤ ⌊share · B⌋,   and the needed ones are there

What comes after that is late: it is a fact about the place that it was rendered for, and the surrogate says what that
is worth where it is now.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from zg.ledger import Evaluation
from zg.method import Sample
from zg.zerograds.parts.part import Group


@dataclass
class Gate(Group):
    """Hands out the rows of batches, and collects what is told. All of it is state.

    rows: θ [B, n] of the present batch. needed: number of first rows that it waits for. share: of rows that may be
    missing. batch: number of the batch. handed: how many rows were handed out. is_open: whether it waits for more.
    losses, images: what was told, by row; NaN and an image that says nothing where the render failed.
    """

    rows: Tensor
    needed: int = 0
    share: float = 0.0
    batch: int = -1
    handed: int = 0
    is_open: bool = False
    losses: dict[int, float] = field(default_factory=dict)
    images: dict[int, Tensor] = field(default_factory=dict)

    def begin(self, rows: Tensor, needed: int, share: float = 0.0) -> None:
        """Start a batch of rows [B, n]."""
        self.rows, self.needed, self.share = rows.clone(), needed, share
        self.batch, self.handed, self.is_open, self.losses, self.images = self.batch + 1, 0, True, {}, {}

    def next(self, **origin: Any) -> Sample | None:
        """The next row; None where all were handed out. origin: what is kept with it."""
        if self.handed == len(self.rows):
            return None
        self.handed += 1
        return Sample(self.rows[self.handed - 1], {"batch": self.batch, "row": self.handed - 1, **origin})

    def enter(self, sample: Sample, evaluation: Evaluation) -> bool:
        """Take a row of the present batch; False if it is late, for the batch is closed."""
        if sample.origin["batch"] != self.batch or not self.is_open:
            return False
        row = sample.origin["row"]
        self.losses[row] = float(evaluation.losses[0])
        if evaluation.images is not None:
            self.images[row] = evaluation.images[0]
        missing = len(self.rows) - len(self.losses)
        has_needed = all(first in self.losses for first in range(self.needed))
        is_enough = missing <= int(self.share * len(self.rows)) and has_needed
        self.is_open = self.handed < len(self.rows) or not is_enough
        return True

    def reopen(self) -> bool:
        """Wait for what is missing after all; False if nothing is."""
        self.share = 0.0
        self.is_open = len(self.losses) < len(self.rows)
        return self.is_open

    def padded(self) -> Evaluation:
        """Losses [B], NaN for rows that are missing."""
        known = [self.losses.get(row, math.nan) for row in range(len(self.rows))]
        losses = torch.tensor(known, dtype=torch.float64, device=self.rows.device)
        return Evaluation(losses, losses.isfinite())

    def collected(self, reference: Tensor | None) -> tuple[Tensor, Evaluation]:
        """The rows [k, n] that are there, and their evaluation with images."""
        there = sorted(self.losses)
        losses = torch.tensor([self.losses[row] for row in there], dtype=torch.float64, device=self.rows.device)
        images = torch.stack([self.images[row] for row in there]) if self.images else None
        return self.rows[there], Evaluation(losses, losses.isfinite(), images, reference)
