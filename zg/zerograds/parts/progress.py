"""Progress of the loss f at the centres: the best θ, the running mean of f, and when to go back.

    m ← κ m + (1 − κ) f        v ← κ' v + (1 − κ') (f − m)²

Without noise the best θ is that of the lowest f. Where m has not fallen for two sweeps, the search goes back to it.
With noise the lowest f is luck. The best θ is then that of the lowest m, and the search goes back to it where m has
risen by more than chance: m > lowest m + 1.5 √v.

Our own; measured in docs/notebook.
"""

import math
from dataclasses import dataclass

from torch import Tensor

from zg.zerograds.parts.part import Part
from zg.zerograds.parts.running_mean import running_mean


@dataclass(frozen=True)
class ProgressSettings:
    """One line each: meaning, unit, source; what happens at ten times the value (×10).

    "Experience": chosen on problems of docs/results. "Measured": docs/notebook has the numbers.
    """

    #: Sweeps of n probes without a lower mean, after which it goes back. Measured on the caustic. ×10: it never does.
    stale_sweeps: float = 2.0
    #: Rise of the mean / deviation of one loss from which it goes back, with noise. Measured. ×10: it never does.
    uphill: float = 1.5
    #: Blocks over which f is averaged. Experience. ×10: a rise is seen a sweep late.
    mean_blocks: int = 10
    #: Blocks over which the square of f − m is averaged. Experience. ×10: the way down counts as noise.
    variance_blocks: int = 20


@dataclass
class Progress(Part):
    """The best θ [n] scaled, and how f has gone."""

    settings: ProgressSettings
    #: The best θ [n].
    best: Tensor
    #: The lowest f.
    lowest: float = math.inf
    #: m, the running mean of f.
    mean: float = 0.0
    #: The lowest m.
    lowest_mean: float = math.inf
    #: v, the mean square of f about m.
    variance: float = 0.0
    #: Probes since the lowest m.
    stale: int = 0

    def observe(self, f: float, count: int) -> None:
        """Enter the loss of the centre, after `count` others."""
        if count > 0:
            self.variance = running_mean(self.variance, (f - self.mean) ** 2, count, self.settings.variance_blocks)
        self.mean = running_mean(self.mean, f, count, self.settings.mean_blocks)
        if count < self.settings.mean_blocks:
            self.lowest_mean = math.inf  # a mean of few losses is low by chance

    def remember_lowest(self, theta: Tensor, f: float) -> None:
        """θ [n] has the lowest f."""
        self.best, self.lowest = theta, f

    def remember_lowest_mean(self) -> None:
        """The mean has never been lower."""
        self.lowest_mean, self.stale = self.mean, 0

    @property
    def is_mean_lowest(self) -> bool:
        """Whether the mean has never been lower."""
        return self.mean < self.lowest_mean

    @property
    def has_led_uphill(self) -> bool:
        """Whether the mean has risen by more than chance."""
        return self.mean - self.lowest_mean > self.settings.uphill * math.sqrt(self.variance)

    def is_stale(self, n: int) -> bool:
        """Whether the mean has not fallen for some sweeps of n probes."""
        return self.stale > self.settings.stale_sweeps * n

    def go_back(self) -> Tensor:
        """The best θ [n], from where the mean starts again at its lowest."""
        self.mean = self.lowest_mean
        return self.best
