"""Slopes of probes that came after their block had ended: each is one of its own centre θ_b, and is told as that.

    y = (L(θ_b + s) − f_b) / |s| − ½ L |s|        slope along s/|s| at θ_b; L: mean curvature
    e = y − s/|s| · (g + L (θ_b − θ))             innovation: h says what the slope was at θ_b
    g ← g + K e s/|s|                             K: mean gain of the last block

A centre that is more than `AGE` blocks old is forgotten, and a probe of it is of no use. Lengths are in the units of g.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from zg.zerograds.parts.gradient_memory import GradientMemory
from zg.zerograds.parts.part import Group

#: Share of the probes of a block that need not be waited for, where renders are told one by one.
LATE_SHARE = 0.2
#: Blocks for which f of a centre is kept.
AGE = 20


@dataclass
class LateSlopes(Group):
    """f of the last centres by number of the block, and what late probes add to g [n] before the next block."""

    centres: dict[int, float] = field(default_factory=dict)
    correction: Tensor | None = None

    def remember(self, block: int, f: float) -> None:
        """Keep the loss f at the centre of a block."""
        self.centres[block] = f
        self.centres.pop(block - AGE, None)

    def enter(
        self,
        theta: Tensor,
        loss: float,
        own: tuple[Tensor, int],
        now: tuple[Tensor, Tensor],
        gradient: GradientMemory,
        curvature: float,
    ) -> None:
        """Take the loss of a probe θ [n]. own: its centre θ_b [n] and block b. now: the present θ [n] and the units."""
        (centre, block), (present, unit) = own, now
        if block not in self.centres:
            return
        s, moved = (theta - centre) / unit, (centre - present) / unit
        length = float(s.norm())
        along = s / length
        slope = (loss - self.centres[block]) / length - 0.5 * curvature * length
        innovation = slope - float(along @ (gradient.g + curvature * moved))
        before = torch.zeros_like(s) if self.correction is None else self.correction
        self.correction = before + gradient.gain * innovation * along

    def apply(self, gradient: GradientMemory) -> None:
        """Add to g what came late."""
        if self.correction is not None:
            gradient.g = gradient.g + self.correction
            self.correction = None
