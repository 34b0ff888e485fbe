"""The ledger of a run: how many renders were counted, and the best of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from zg.errors import SettingError


@dataclass(frozen=True)
class Evaluation:
    """The result of a batch, as a method receives it.

    losses: [B] float64, NaN where the render failed.
    valid: [B] bool, False where the render failed.
    images, reference: [B, ...] and [...], for methods whose feedback is the image.
    violations: g [B, m] of the constraints g ≤ 0, if there are some.

    The last batch may be cut by the budget. Then B is less than the number of θ that the method asked for, and the
    entries belong to the first B of them.
    """

    losses: Tensor
    valid: Tensor
    images: Tensor | None = None
    reference: Tensor | None = None
    violations: Tensor | None = None

    def ranked(self) -> Tensor:
        """Losses [B] in which a failed render has the highest valid loss of the batch; ∞ if no render is valid."""
        worst = self.losses[self.valid].max() if self.valid.any() else self.losses.new_tensor(math.inf)
        return torch.where(self.valid, self.losses, worst)


@dataclass
class Ledger:
    """Counts the renders of a run and keeps the best one. Every field except `max_renders` is state.

    max_renders: the budget.
    best_theta, best_loss: the lowest counted loss, and its θ [n] in scaled units. With constraints, of the feasible θ;
        before there is one, the θ with the smallest violation, and a loss of infinity.
    best_violation: of `best_theta`; infinity without constraints, or before the first render.
    renders: number of counted renders. failed: how many of them failed. seconds_render: seconds spent on them.
    last_loss: mean of the valid losses of the last batch that has any.
    improved_at: value of `renders` when `best_loss` was found.
    repeats, repeats_in_a_row: number of losses that were known without a render, in all and since the last render.
    first_error, last_error: messages of the first and the last failed render, where the reason is known.
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
    first_error: str = ""
    best_violation: float = math.inf
    repeats: int = 0
    repeats_in_a_row: int = 0

    def __post_init__(self) -> None:
        if self.max_renders < 1:
            raise SettingError(f"max_renders must be at least 1, got {self.max_renders}")

    @property
    def exhausted(self) -> bool:
        """Whether the budget of renders is spent."""
        return self.renders >= self.max_renders

    @property
    def left(self) -> int:
        """Number of renders that remain in the budget."""
        return self.max_renders - self.renders

    def account(
        self, theta: Tensor, losses: Tensor, violations: Tensor | None = None, rows: Sequence[int] | None = None
    ) -> Evaluation:
        """Count the renders of θ [B, n] in scaled units, with losses [B]. A loss that is not finite is a failure.

        violations: g [B, m] of the constraints, if there are some. rows: those that were rendered, if not all.
        """
        rows = range(len(theta)) if rows is None else rows
        self.renders += len(rows)
        self.repeats += len(theta) - len(rows)
        self.repeats_in_a_row = 0 if rows else self.repeats_in_a_row + len(theta)
        valid = losses.isfinite()
        values = losses.tolist()  # for small batches, floats are faster than tensor operations
        finite = [value for value in values if math.isfinite(value)]
        if len(finite) < len(values):
            losses = torch.where(valid, losses, math.nan)
            self.failed += sum(not math.isfinite(values[row]) for row in rows)
        if finite:
            self.last_loss = _mean(finite)
            lowest = min(finite)
            if violations is not None:
                self._keep_feasible(theta, values, violations)
            elif lowest < self.best_loss:
                self.best_loss, self.improved_at = lowest, self.renders
                self.best_theta = theta[values.index(lowest)].clone()
        return Evaluation(losses, valid, violations=violations)

    def _keep_feasible(self, theta: Tensor, losses: list[float], violations: Tensor) -> None:
        """Keep the best of θ [B, n]: a smaller violation is better, then a lower loss."""
        for row, violation in enumerate(total_violation(violations).tolist()):
            if not math.isfinite(losses[row]):
                continue
            loss = losses[row] if violation == 0 else math.inf
            if (violation, loss) < (self.best_violation, self.best_loss):
                self.best_violation, self.best_loss, self.improved_at = violation, loss, self.renders
                self.best_theta = theta[row].clone()

    def note_error(self, error: str) -> None:
        """Remember why a render failed."""
        self.first_error = self.first_error or error
        self.last_error = error

    def state(self) -> dict[str, Any]:
        """Every field except `max_renders`, as plain values and tensors."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "max_renders"}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        for name, value in state.items():
            setattr(self, name, value)


def total_violation(g: Tensor) -> Tensor:
    """v [B] = Σ_i max(0, g_i) of g [B, m]; ∞ where a g is not a number."""
    return torch.where(g.isnan(), math.inf, g.clamp_min(0)).sum(1)


def _mean(values: list[float]) -> float:
    """The exact mean, also of penalties near the largest number there is."""
    try:
        return math.fsum(values) / len(values)
    except OverflowError:
        largest = max(map(abs, values))
        return largest * (math.fsum(value / largest for value in values) / len(values))
