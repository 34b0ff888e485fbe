"""The probe radius r: every rule that widens or narrows it after the calibration. σ is r / √n a coordinate.

r narrows
  after a centre whose renders all failed (`narrow_after_failure`, factor `failed_centre`), until the next one is valid,
  where g predicts slopes at 2 r worse than slopes at r: curvature (`adapt`, divisor at most `narrow`),
  without noise, where curvature is most of a rise (`adapt`, divisor at most `narrow_for_slope`),
  where the loss has not fallen for long (`narrow_without_progress`, divisor `nearer`).
r widens
  where all probes have the loss of the centre (`adapt`, factor `plateau`),
  where g predicts slopes at 2 r better: noise (`adapt`, factor at most `widen`),
  where a block did not lead to a step (`adapt`, factor `widen`).
r is what it was where the loss was lowest on average, once noise has led uphill (`return_to_lowest`).

Our own rules; the numbers behind them are in docs/notebook.
"""

import math
from dataclasses import dataclass

from zg.zerograds.parts.part import Part
from zg.zerograds.parts.slopes import TINY, SlopeEstimator


@dataclass(frozen=True)
class RadiusSettings:
    """One line each: meaning, unit, source; what happens at ten times the value (×10).

    "Experience": chosen on problems of docs/results. "Measured": docs/notebook has the numbers.
    """

    #: Largest r / calibrated r, unless all is flat or a bowl; σ is good to two decades. Experience. ×10: no limit.
    widest: float = 100.0
    #: Rise at 2 r / at r from which the loss is a bowl (quadratic: 4, random: 1). Experience. ×10: nothing is a bowl.
    bowl: float = 2.0
    #: Blocks before r adapts, until means mean something. Experience. ×10: a wrong σ stays for 50 blocks.
    first_blocks: int = 5
    #: Largest factor by which r widens in a block. Experience. ×10: one lucky block leaves the basin.
    widen: float = 1.3
    #: Largest divisor of r in a block; too narrow an r sees nothing. Experience. ×10: r collapses.
    narrow: float = 1.05
    #: Power of V(r) / V(2 r) that r is multiplied by. Experience. ×10: r jumps by its limits each block.
    power: float = 0.1
    #: Largest r / r at which the loss last fell, for blocks that led nowhere. Experience. ×10: r wanders off.
    lost: float = 3.0
    #: Largest r / r at which slope and curvature raise the loss alike, without noise. Experience. ×10: inexact slopes.
    curvature_limit: float = 4.0
    #: Largest divisor of r in a block for that. Experience. ×10: one wrong curvature makes r tiny.
    narrow_for_slope: float = 1.1
    #: Factor of r on a plateau: all losses are alike. Experience. ×10: r may jump across a basin.
    plateau: float = 2.0
    #: Factor of r after a centre whose renders failed. Experience. ×10 (above 1): r grows where renders fail.
    failed_centre: float = 0.5
    #: Divisor of r where the loss has not fallen for long. Measured on the caustic. ×10: r collapses.
    nearer: float = 1.5


@dataclass
class ProbeRadius(Part):
    """r and three radii to which it is compared, all in units of the calibration."""

    settings: RadiusSettings
    #: r, the length of a probe.
    radius: float
    #: r when the loss last fell.
    proven: float
    #: Largest r.
    widest: float
    #: r when the running mean of the loss was lowest.
    at_lowest: float
    #: Narrowings after failed centres that were not taken back.
    failures: int = 0

    @classmethod
    def of_guess(cls, radius: float, settings: RadiusSettings) -> "ProbeRadius":
        """Before the calibration."""
        return cls(settings, radius, radius, settings.widest * radius, radius)

    def calibrate(self, radius: float) -> None:
        """Start from a calibrated r."""
        self.radius = self.proven = radius
        self.widest = self.settings.widest * radius

    def fix(self, factor: float) -> None:
        """Stay at that many times the calibrated r: an ablation."""
        self.radius = factor * self.widest / self.settings.widest

    def prove(self) -> None:
        """The loss has fallen at this r."""
        self.proven = self.radius

    def remember_lowest(self) -> None:
        """The running mean of the loss is lowest at this r."""
        self.at_lowest = self.radius

    def return_to_lowest(self) -> None:
        """Noise has led uphill: r is again what it was at the lowest mean."""
        self.radius = self.at_lowest

    def narrow_without_progress(self) -> None:
        """The loss has not fallen for long: r smooths away what is left to gain."""
        self.radius = self.at_lowest = min(self.radius, self.at_lowest) / self.settings.nearer

    def narrow_after_failure(self) -> None:
        """The renders of the centre failed: θ has gone too far."""
        self.radius, self.failures = self.settings.failed_centre * self.radius, self.failures + 1

    def recover(self) -> None:
        """The renders of the centre did not fail: take one narrowing after a failure back."""
        if self.failures:
            self.radius, self.failures = self.radius / self.settings.failed_centre, self.failures - 1

    def adapt(self, slopes: SlopeEstimator, is_plateau: bool, has_stepped: bool, noisy: bool, count: int) -> None:
        """One change of r after a block of probes, from what `slopes` has learned.

        is_plateau: all losses of the block are that of the centre. has_stepped: the block led to a step. count: blocks
        before this one.
        """
        settings = self.settings
        is_bowl = slopes.rise_near > 0 and slopes.rise_far > settings.bowl * slopes.rise_near
        if is_bowl:
            self.widest = max(self.widest, settings.widen * self.radius)
        is_noise_louder_far_out = noisy and slopes.innovation_far > slopes.innovation_near
        if is_plateau:
            self.radius *= settings.plateau
            self.widest = max(self.widest, self.radius)
        elif count <= settings.first_blocks:
            return
        elif not has_stepped and not is_noise_louder_far_out:
            self._widen_without_step()
        elif slopes.innovation_far > 0:
            self._balance_noise_and_curvature(slopes, noisy)

    def _widen_without_step(self) -> None:
        """θ is a minimum of what this r sees. Look farther, but not far beyond where the loss last fell."""
        wider = min(self.radius * self.settings.widen, self.widest, self.settings.lost * self.proven)
        self.radius = max(self.radius, wider)

    def _balance_noise_and_curvature(self, slopes: SlopeEstimator, noisy: bool) -> None:
        """Noise makes innovations larger at r, curvature makes them larger at 2 r: widen or narrow."""
        settings, before = self.settings, self.radius
        ratio = (slopes.innovation_far + TINY) / (slopes.innovation_near + TINY)
        factor = min(settings.widen, max(1 / settings.narrow, ratio**-settings.power))
        self.radius = min(before * factor, self.widest)
        if not noisy and slopes.curvature > 0:
            level = math.sqrt(slopes.slope_square) / slopes.curvature
            self.radius = max(min(self.radius, settings.curvature_limit * level), before / settings.narrow_for_slope)
