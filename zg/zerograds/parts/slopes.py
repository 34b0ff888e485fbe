"""Slopes and curvature from one-sided probes at r and 2 r, and the gain for what they say about a gradient.

The model of the rise along a direction u, for a probe at distance r, is

    F(r) = L(θ + r u) − f = e + r y + r² L |u|² / 2        y: slope along u, L: mean curvature, e: error of the centre

A block has half of its probes at r and half at 2 r. Means over the block, in which the slopes cancel, give

    L = (mean F(2 r) − mean F(r)) / (3/2 r²)               e = (4 mean F(r) − mean F(2 r)) / 3

e is noise of the centre, or a cusp at it. It is taken out of the rises only where it is beyond chance.

The innovation y − u·g is what a gradient g did not predict. Noise of a slope halves from r to 2 r; what g has to learn
does not. So the mean squares V of innovations at both radii tell the two apart, and give the gain of a Kalman filter:

    noise = 4/3 (V(r) − V(2 r))        signal = V(2 r) − noise / 4        gain = signal / (signal + noise of the probe)

Cost: nothing beyond the probes. Our own; the gain is that of a scalar Kalman filter.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from zg.zerograds.parts.directions import CrossedBlock
from zg.zerograds.parts.part import Part
from zg.zerograds.parts.running_mean import running_mean

#: Keeps a quotient finite; smaller than any mean square that matters.
TINY = 1e-300


@dataclass(frozen=True)
class Probes:
    """k one-sided probes θ + r_i u_i, at r and at 2 r in turn.

    directions: u [k, n]. radius: r, the length of a probe. first: index of the first probe at r, 0 or 1.
    """

    directions: CrossedBlock
    radius: float
    first: int

    def __len__(self) -> int:
        return len(self.directions)

    @cached_property
    def lengths(self) -> Tensor:
        """r_i [k]."""
        return self.radius * self.in_turn(1.0, 2.0)

    def in_turn(self, near: float, far: float) -> Tensor:
        """One number for the probes at r and another one for those at 2 r, as [k]."""
        device = self.directions.signs.device
        values = torch.full((len(self),), near, dtype=torch.float64, device=device)
        values[1 - self.first :: 2] = far
        return values

    def split(self, x: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        """The entries of x [k] for valid probes at r, and those for valid probes at 2 r. None: all are valid."""
        near, far = x[self.first :: 2].contiguous(), x[1 - self.first :: 2].contiguous()
        if valid is None:
            return near, far
        return near[valid[self.first :: 2]], far[valid[1 - self.first :: 2]]


@dataclass(frozen=True)
class SlopeSettings:
    """One line each: meaning, unit, source; what happens at ten times the value (×10).

    "Experience": chosen on problems of docs/results.
    """

    #: Blocks over which measured numbers are averaged. Experience. ×10: rules see what was true a sweep ago.
    averaged_blocks: int = 10
    #: Blocks over which L is averaged; noise hits it hardest. Experience. ×10: L is that of a place far behind.
    curvature_blocks: int = 20
    #: Centre's error / chance (mean squares) from which it is taken out. Experience. ×10: a cusp counts as slope.
    centre_error: float = 10.0
    #: Least signal / V(2 r), so that g always learns. Experience. ×10: loud noise is followed ten times as far.
    least_signal: float = 0.02


@dataclass
class SlopeEstimator(Part):
    """What blocks of probes have told. `count` is always how many blocks were told before this one."""

    settings: SlopeSettings
    #: Mean curvature over all directions; 0 before the first block.
    curvature: float = 0.0
    #: Mean rise at r, over r².
    rise_near: float = 0.0
    #: Mean rise at 2 r, over r².
    rise_far: float = 0.0
    #: Typical rise at r: root mean square, in units of the loss.
    rise_size: float = 0.0
    #: Squared error of the centre, over what chance makes of it.
    centre_error: float = 0.0
    #: e of the last block, in units of the loss, if it was taken out; else 0.
    offset: float = 0.0
    #: Mean square of the slopes y.
    slope_square: float = 0.0
    #: V(r), the mean square of innovations at r.
    innovation_near: float = 0.0
    #: V(2 r).
    innovation_far: float = 0.0

    def slopes(self, probes: Probes, rise: Tensor, valid: Tensor | None, count: int) -> Tensor:
        """Slopes y [k], without what curvature adds, from rises F [k]; 0 where a probe is not valid."""
        squares = probes.directions.squares
        self._learn_curvature(probes, rise / squares, valid, count)
        lengths = probes.lengths
        y = (rise - self.offset) / lengths - 0.5 * lengths * self.curvature * squares
        if valid is not None:
            y = torch.where(valid, y, 0.0)
        self.slope_square = self._mean(self.slope_square, float(y.square().mean()), count)
        return y

    def gains(self, probes: Probes, innovation: Tensor, valid: Tensor | None, count: int) -> Tensor:
        """How much of each innovation [k] is signal, as [k]."""
        near, far = probes.split(innovation, valid)
        if len(near):
            self.innovation_near = self._mean(self.innovation_near, float(near.square().mean()), count)
        if len(far):
            self.innovation_far = self._mean(self.innovation_far, float(far.square().mean()), count)
        excess = max(0.0, self.innovation_near - self.innovation_far) if self.innovation_far > 0 else 0.0
        noise = excess * 4 / 3
        signal = max(self.innovation_far - noise / 4, self.settings.least_signal * self.innovation_far, TINY)
        return probes.in_turn(signal / (signal + noise), signal / (signal + noise / 4))

    def _learn_curvature(self, probes: Probes, rise: Tensor, valid: Tensor | None, count: int) -> None:
        """Learn L and e from rises [k] as if every direction had length 1: on a wide radius the cut entries matter."""
        near, far = probes.split(rise, valid)
        self.offset = 0.0
        if len(near) < 2 or len(far) < 2:
            return
        (variance_near, mean_near), (variance_far, mean_far) = (map(float, torch.var_mean(x)) for x in (near, far))
        square = probes.radius**2
        self.rise_near = self._mean(self.rise_near, mean_near / square, count)
        self.rise_far = self._mean(self.rise_far, mean_far / square, count)
        curvature = (mean_far - mean_near) / (1.5 * square)
        self.curvature = running_mean(self.curvature, curvature, count, self.settings.curvature_blocks)
        self.rise_size = self._mean(self.rise_size, math.sqrt(float(near.square().mean())), count)
        error = (4 * mean_near - mean_far) / 3
        chance = (16 * variance_near / len(near) + variance_far / len(far)) / 9
        self.centre_error = self._mean(self.centre_error, error * error / max(chance, TINY), count)
        is_beyond_chance = self.centre_error > self.settings.centre_error
        self.offset = error if is_beyond_chance else 0.0

    def _mean(self, mean: float, new: float, count: int) -> float:
        """A running mean of this estimator with one more number."""
        return running_mean(mean, new, count, self.settings.averaged_blocks)
