"""The ledger of a run: every counted render, and the best of them."""

import math
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from zg.errors import SettingError


@dataclass(frozen=True)
class Evaluation:
    """What a method is told of a batch.

    losses: [B] float64, NaN where the render failed. valid: [B] bool. images: [B, ...] and reference [...] where the
    method's feedback is the image.
    A batch that the budget cut has fewer entries than θ had rows; they are its first ones.
    """

    losses: Tensor
    valid: Tensor
    images: Tensor | None = None
    reference: Tensor | None = None

    def ranked(self) -> Tensor:
        """Losses [B] with every failed render as bad as the worst of the batch (all alike if none succeeded)."""
        worst = self.losses[self.valid].max() if self.valid.any() else self.losses.new_tensor(math.inf)
        return torch.where(self.valid, self.losses, worst)


@dataclass
class Ledger:
    """Counts renders and keeps the best one. Every field but `max_renders` is state.

    renders, failed: how many were counted, and how many of these failed. seconds_render: spent on them.
    best_loss, best_theta: the lowest counted loss and its θ [n] scaled. improved_at: renders when it was found.
    last_loss: mean loss of the last batch. last_error: why the last failed render failed.
    """

    max_renders: int
    best_theta: Tensor
    renders: int = 0
    failed: int = 0
    seconds_render: float = 0.0
    best_loss: float = math.inf
    last_loss: float = math.nan
    improved_at: int = 0
    last_error: str = ""

    def __post_init__(self) -> None:
        if self.max_renders < 1:
            raise SettingError(f"max_renders must be at least 1, got {self.max_renders}")

    @property
    def exhausted(self) -> bool:
        """Whether the budget is spent."""
        return self.renders >= self.max_renders

    @property
    def left(self) -> int:
        """How many renders the budget leaves."""
        return self.max_renders - self.renders

    def account(self, theta: Tensor, losses: Tensor) -> Evaluation:
        """Enter losses [B] of θ [B, n] scaled; what is not finite is a failed render."""
        self.renders += len(theta)
        valid = losses.isfinite()
        values = losses.tolist()  # for a few numbers quicker than one tensor operation after another
        finite = [value for value in values if math.isfinite(value)]
        if len(finite) < len(values):
            losses = torch.where(valid, losses, math.nan)
            self.failed += len(values) - len(finite)
        if finite:
            self.last_loss = math.fsum(finite) / len(finite)
            lowest = min(finite)
            if lowest < self.best_loss:
                self.best_loss, self.improved_at = lowest, self.renders
                self.best_theta = theta[values.index(lowest)].clone()
        return Evaluation(losses, valid)

    def state(self) -> dict[str, Any]:
        """All but the budget, as plain values and tensors."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "max_renders"}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        for name, value in state.items():
            setattr(self, name, value)
