"""Calibration of the probe radius r before the first step.

The first σ is a guess. Two rules, at the start θ:

    r ← r √0.1    while the quadratic model from θ ± 2 r u does not explain the slopes from θ ± r √0.1 u
    r ← r / √0.1  while those slopes are zero

Bounds and sigmoids that saturate call for the first rule, plateaus for the second. With noise r stays what it was.

Cost: 34 renders for each radius, at most five times. Our own; measured in docs/notebook.
"""

import math
from dataclasses import dataclass, field

from torch import Tensor

from zg.zerograds.parts.directions import CrossedDirections
from zg.zerograds.parts.noise import differ
from zg.zerograds.parts.part import Part


@dataclass(frozen=True)
class CalibrationSettings:
    """One line each: meaning, unit, source; what happens at ten times the value (×10).

    "Experience": chosen on problems of docs/results. "Measured": docs/notebook has the numbers.
    """

    #: Directions probed, both ways. Experience. ×10: ten times the renders.
    directions: int = 8
    #: The narrower radius / r: half a decade. Experience. ×10 (above 1): r is widened where it should be narrowed.
    narrower: float = math.sqrt(0.1)
    #: Radii that are tried at most. Experience. ×10: on a rough loss r ends near 0, after hundreds of renders.
    rounds: int = 5
    #: Largest error of the model / slopes at the narrower r (rms) at which r stays. Experience. ×10: r never narrows.
    model_error: float = 0.4
    #: Smallest valid part of the directions from which r is judged. Experience. ×10 (above 1): r is never found good.
    valid_part: float = 0.5


@dataclass
class Calibration(Part):
    """Asks for losses around the start θ [n] scaled, and settles on `radius`, until `is_over`."""

    settings: CalibrationSettings
    #: r, the length of a probe.
    radius: float
    #: The r to return to where no round settles it.
    guess: float
    #: How many radii were tried.
    rounds: int = 0
    is_over: bool = False
    #: Whether two renders of θ differed.
    noisy: bool = False
    #: |mean curvature| at the radius that was settled on and at the next wider one, as far as they were measured.
    curvatures: list[float] = field(default_factory=list)
    #: Renders that were asked for last.
    asked: int = 0

    @classmethod
    def of_guess(cls, radius: float, settings: CalibrationSettings) -> "Calibration":
        """Before the first render, for a guess at r."""
        return cls(settings, radius, radius)

    def ask(self, theta: Tensor, directions: CrossedDirections, buffer: Tensor) -> Tensor:
        """θ twice, then θ ± k directions, at 2 r and at the narrower radius: [2 + 4 k, n], written to `buffer`.

        No direction counts as used.
        """
        u, unit = directions.draw(self.settings.directions), theta.new_ones(1)
        rows = buffer[: 2 + 4 * len(u)]
        rows[:2] = theta
        narrower = self.settings.narrower
        for out, times in zip(rows[2:].chunk(4), (2.0, -2.0, narrower, -narrower), strict=True):
            u.around(theta, theta.new_full((len(u),), times * self.radius), unit, out=out)
        self.asked = len(rows)
        return rows

    def tell(self, losses: Tensor, valid: Tensor) -> None:
        """Keep r, narrow it or widen it, by the losses [B] of what `ask` returned. A cut batch changes nothing."""
        if len(losses) < self.asked:
            return
        self.rounds += 1
        are_centres_valid = bool(valid[:2].all())
        self.noisy = are_centres_valid and differ(losses[0], losses[1])
        if self.noisy or not are_centres_valid:
            self._keep_guess()
            return
        seen = valid[2:].view(4, -1).all(0)
        f, far, near = losses[0], 2 * self.radius, self.settings.narrower * self.radius
        plus, minus, near_plus, near_minus = losses[2:].view(4, -1)[:, seen]
        slopes = (near_plus - near_minus) / (2 * near)
        curvature = (plus + minus - 2 * f).mean() / far**2
        error = (plus - f) / far - 0.5 * far * curvature - slopes
        is_unseen = int(seen.sum()) < self.settings.valid_part * len(seen)
        is_flat = not is_unseen and bool((near_plus == f).all() and (near_minus == f).all())
        is_explained = bool(error.norm() <= self.settings.model_error * slopes.norm())
        if not is_unseen:
            self.curvatures = [*self.curvatures[-1:], abs(float(curvature))]
        is_last_round = self.rounds == self.settings.rounds
        if is_flat:
            self.radius = self.guess = self.radius / self.settings.narrower  # a radius that sees nothing was no guess
            self.is_over = is_last_round
        elif is_explained and not is_unseen:
            self.is_over = True
        elif is_last_round:
            self._keep_guess()
        else:
            self.radius = near

    def _keep_guess(self) -> None:
        """No radius is better than another one: noise, or a loss that is rough at every scale."""
        self.radius, self.curvatures, self.is_over = self.guess, [], True
