"""Calibration before the first step: the probe radius r, and the unit of each block of parameters.

The first σ is a guess, and so are the units of a user's blocks, such as the layers of a network, or positions beside
colours. Two rules, at the start θ:

    r ← r √0.1    while the quadratic model from θ ± 2 r u does not explain the slopes from θ ± r √0.1 u
    r ← r / √0.1  while those slopes are zero

Bounds and sigmoids that saturate call for the first rule, plateaus for the second. Then each block b is probed alone,
and its unit is set so that all blocks have the same curvature a coordinate:

    unit_b ∝ 1 / √curvature_b,    Σ_b size_b log unit_b = 0

One radius, one cap on steps and one curvature then suit every block. With noise, r and the units stay what they were.

Cost: 34 renders for each radius, at most five times; then at most 16 renders for each block, and at most n / 16 for all
blocks. Memory O(n). Our own; measured in docs/notebook.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from zg.sampling import gaussian
from zg.zerograds.parts.directions import CrossedDirections
from zg.zerograds.parts.noise import differ
from zg.zerograds.parts.part import Part


@dataclass(frozen=True)
class CalibrationSettings:
    """One line each: meaning, unit, source; what happens at ten times the value (×10).

    "Experience": chosen on problems of docs/results. "Measured": docs/notebook has the numbers.
    """

    #: Directions probed, both ways, for a radius and at most for a block. Experience. ×10: ten times the renders.
    directions: int = 8
    #: The narrower radius / r: half a decade. Experience. ×10 (above 1): r is widened where it should be narrowed.
    narrower: float = math.sqrt(0.1)
    #: Radii that are tried at most. Experience. ×10: on a rough loss r ends near 0, after hundreds of renders.
    rounds: int = 5
    #: Largest error of the model / slopes at the narrower r (rms) at which r stays. Experience. ×10: r never narrows.
    model_error: float = 0.4
    #: Smallest valid part of the directions from which r is judged. Experience. ×10 (above 1): r is never found good.
    valid_part: float = 0.5
    #: Renders for all blocks together / n, at most. Experience. ×10: units may take most of a sweep.
    sweep_part: float = 1 / 16
    #: Longest unit / mean unit, and its inverse. Experience. ×10: a flat block moves ten times as far.
    longest_unit: float = 30.0


@dataclass
class Calibration(Part):
    """Asks for losses around the start θ [n] scaled, and settles on `radius` and `unit` until `is_over`."""

    settings: CalibrationSettings
    #: Sizes of the blocks whose unit is measured, in order; empty where units stay as they are.
    block_sizes: list[int]
    #: Directions probed in each block.
    block_directions: int
    #: r, the length of a probe, in units of its own.
    radius: float
    #: The r to return to where no round settles it.
    guess: float
    #: Scaled units in one unit of its own, [1] or [n].
    unit: Tensor
    #: How many radii were tried.
    rounds: int = 0
    is_radius_settled: bool = False
    #: Whether two renders of θ differed.
    noisy: bool = False
    #: |mean curvature| at the radius that was settled on and at the next wider one, as far as they were measured.
    curvatures: list[float] = field(default_factory=list)
    #: Of each block so far: curvature of a coordinate, without its sign.
    block_curvatures: list[float] = field(default_factory=list)
    #: Renders that were asked for last.
    asked: int = 0

    @classmethod
    def of_blocks(
        cls, theta: Tensor, radius: float, block_sizes: Sequence[int], settings: CalibrationSettings
    ) -> "Calibration":
        """Before the first render, for a guess at r and the sizes of the blocks of θ [n], in order.

        One block has no other to be compared with, and keeps its unit. So do very many blocks, whose units would take
        more than a part of a sweep.
        """
        affordable = int(settings.sweep_part * theta.numel() / (2 * len(block_sizes)))
        each = min(settings.directions, affordable) if len(block_sizes) > 1 else 0
        return cls(settings, list(block_sizes) if each else [], each, radius, radius, theta.new_ones(1))

    @property
    def is_over(self) -> bool:
        """Whether radius and units are settled."""
        return self.is_radius_settled and len(self.block_curvatures) == len(self.block_sizes)

    def ask(self, theta: Tensor, directions: CrossedDirections, buffer: Tensor) -> Tensor:
        """The θ [B, n] to be rendered next, written to `buffer` [rows, n]. No direction counts as used."""
        if self.is_radius_settled:
            rows = self._ask_blocks(theta, directions.generator, buffer)
        else:
            rows = self._ask_radius(theta, directions, buffer)
        self.asked = len(rows)
        return rows

    def tell(self, losses: Tensor, valid: Tensor) -> None:
        """Learn from the losses [B] of what `ask` returned. A batch that the budget cut changes nothing."""
        if len(losses) < self.asked:
            return
        if self.is_radius_settled:
            self._judge_blocks(losses, valid)
        else:
            self._judge_radius(losses, valid)

    def _ask_radius(self, theta: Tensor, directions: CrossedDirections, buffer: Tensor) -> Tensor:
        """θ twice, then θ ± k directions, at 2 r and at the narrower radius: [2 + 4 k, n]."""
        u = directions.draw(self.settings.directions)
        rows = buffer[: 2 + 4 * len(u)]
        rows[:2] = theta
        narrower = self.settings.narrower
        for out, times in zip(rows[2:].chunk(4), (2.0, -2.0, narrower, -narrower), strict=True):
            u.around(theta, theta.new_full((len(u),), times * self.radius), self.unit, out=out)
        return rows

    def _judge_radius(self, losses: Tensor, valid: Tensor) -> None:
        """Keep r, narrow it or widen it."""
        self.rounds += 1
        are_centres_valid = bool(valid[:2].all())
        self.noisy = are_centres_valid and differ(losses[0], losses[1])
        if self.noisy or not are_centres_valid:
            self._keep_guess()
            self.block_sizes = []
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
            self.is_radius_settled = is_last_round
        elif is_explained and not is_unseen:
            self.is_radius_settled = True
        elif is_last_round:
            self._keep_guess()
        else:
            self.radius = near

    def _keep_guess(self) -> None:
        """No radius is better than another one: noise, or a loss that is rough at every scale."""
        self.radius, self.curvatures, self.is_radius_settled = self.guess, [], True

    def _ask_blocks(self, theta: Tensor, generator: torch.Generator, buffer: Tensor) -> Tensor:
        """θ, then θ ± k directions inside each of the b blocks for which there is room: [1 + 2 k b, n].

        Their length is r √(size / n), so that a coordinate moves as far as in a probe of all of θ.
        """
        k, done = self.block_directions, len(self.block_curvatures)
        sizes = self.block_sizes[done:][: (len(buffer) - 1) // (2 * k)]
        rows = buffer[: 1 + 2 * k * len(sizes)]
        rows[:] = theta
        start = sum(self.block_sizes[:done])
        for (plus, minus), size in zip(rows[1:].view(len(sizes), 2, k, -1), sizes, strict=True):
            offsets = gaussian(k, size, generator, theta.dtype)
            offsets *= self.radius * math.sqrt(size / theta.numel()) / offsets.norm(dim=1, keepdim=True)
            plus[:, start : start + size] += offsets
            minus[:, start : start + size] -= offsets
            start += size
        return rows

    def _judge_blocks(self, losses: Tensor, valid: Tensor) -> None:
        """Curvature of a coordinate of each block: root mean square, so that valleys and ridges do not cancel."""
        seen = valid[1:].view(-1, 2, self.block_directions).all(1) & valid[0]
        second = losses[1:].view(-1, 2, self.block_directions).sum(1) - 2 * losses[0]
        squares = torch.where(seen, second.square(), 0.0).sum(1) / seen.sum(1)
        sizes = squares.new_tensor(self.block_sizes[len(self.block_curvatures) :][: len(squares)])
        self.block_curvatures = [*self.block_curvatures, *(squares.sqrt() / sizes).tolist()]
        if self.is_over:
            self._set_units()

    def _set_units(self) -> None:
        """Give each block the same curvature a coordinate. A block without a valid loss keeps its unit."""
        curvatures = torch.tensor(self.block_curvatures, dtype=torch.float64)
        sizes = torch.tensor(self.block_sizes)
        known, longest = curvatures.isfinite(), self.settings.longest_unit
        largest = float(curvatures[known].max()) if known.any() else 0.0
        if largest == 0:
            return
        least = largest / longest**4  # its unit is longest² times the shortest one: from 1 / longest to longest
        logs = curvatures.clamp_min(least).rsqrt().log()
        logs -= (logs * sizes)[known].sum() / sizes[known].sum()
        units = logs.nan_to_num(0.0).exp().clamp(1 / longest, longest)
        change = float((sizes * curvatures * units.square())[known].sum() / (sizes * curvatures)[known].sum())
        self.curvatures = [change * curvature for curvature in self.curvatures]
        self.unit = units.repeat_interleave(sizes).to(self.unit)
