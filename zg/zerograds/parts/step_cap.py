"""The cap on the length of steps, for steps along a gradient g that is mostly chance at first.

    step ≤ cap,    cap₀ = first · |y| / L,    cap ← growth · cap after a step that the cap cut

y [k] are the slopes of the first block, L is the curvature. Where units saturate, a step by chance is never undone. So
the cap starts low and grows slowly. It grows at once only where all directions have the same curvature, because there
every direction is as good as g says.

Our own; measured in docs/notebook.
"""

import math
from dataclasses import dataclass

from zg.zerograds.parts.part import Part
from zg.zerograds.parts.running_mean import running_mean


@dataclass(frozen=True)
class StepCapSettings:
    """One line each: meaning, unit, source; what happens at ten times the value (×10).

    "Experience": chosen on problems of docs/results. "Measured": docs/notebook has the numbers.
    """

    #: Initial cap / step that the first (mostly noise) gradient estimate implies. Measured. ×10: pixels saturate.
    first: float = 0.015
    #: Growth in a sweep of n renders, in e-folds. Experience. ×10: no cap after a tenth of a sweep.
    growth: float = 2.0
    #: Largest factor of growth in a block. Experience. ×10: with few parameters, no cap after a few blocks.
    fastest: float = 2.0
    #: Factor of growth in a block where the loss is isotropic. Experience. ×10: no cap there.
    isotropic: float = 4.0
    #: Rise of f / typical rise of a probe from which a step was too long. Experience. ×10: long steps go on.
    rise: float = 4.0
    #: Cap / step that was too long. Experience. ×10 (above 1): such a step raises the cap.
    shrink: float = 0.5
    #: Cap / mean step after noise has led uphill. Experience. ×10 (above 1): it goes uphill again.
    uphill: float = 0.5
    #: Blocks over which the mean step is taken. Experience. ×10: the mean step is that of a place far behind.
    averaged_blocks: int = 10


@dataclass
class StepCap(Part):
    """The longest step, in units of the calibration."""

    settings: StepCapSettings
    cap: float = 0.0
    #: Running mean of the length of steps; a block without a step counts as 0.
    mean_step: float = 0.0
    #: Whether the cap no longer grows.
    is_frozen: bool = False

    def start(self, slope: float, curvature: float) -> None:
        """Set the first cap, from the norm of the first block's slopes and the curvature."""
        self.cap = self.settings.first * slope / curvature

    def shrink_after_rise(self, step: float) -> None:
        """The last step was too long."""
        self.cap = self.settings.shrink * step

    def grow(self, is_isotropic: bool, sweep: float, n: int) -> None:
        """Grow after a step that the cap cut. sweep: renders of a block, of the n of a sweep."""
        if self.is_frozen:
            return
        slow = min(self.settings.fastest, math.exp(self.settings.growth * sweep / n))
        self.cap *= self.settings.isotropic if is_isotropic else slow

    def observe(self, step: float, count: int) -> None:
        """Enter the step, or 0, of the block that follows `count` others into the mean."""
        self.mean_step = running_mean(self.mean_step, step, count, self.settings.averaged_blocks)

    def freeze(self) -> None:
        """Noise has led uphill: steps were as good as random, and shorter ones average more of it."""
        self.cap, self.is_frozen = self.settings.uphill * min(self.cap, self.mean_step), True
