"""Units of blocks of parameters, in which all blocks have the same curvature a coordinate; measured again and again.

    unit_b ∝ 1 / √curvature_b,    Σ_b size_b log unit_b = 0

A user's blocks may be in any units: the layers of a network, or places beside colours. Each block b is probed alone,
both ways, along random directions inside it. One radius, one cap on steps and one curvature then suit every block.

Where the loss has a saddle, a block may show nothing of what it is worth: grey shapes on a grey ground are as wrong
wherever they are. So a block inside a box, whose width is a unit already, is not trusted to be much flatter than the
others: it keeps its unit then. And after each sweep of n renders all blocks are measured again where θ is now.

Cost: at most 16 renders for each block and n / 16 for all blocks, a sweep. Memory O(n). Our own.
"""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from zg.problem import Problem
from zg.sampling import gaussian
from zg.zerograds.parts.part import Part


@dataclass(frozen=True)
class BlockUnitsSettings:
    """One line each: meaning, unit, source; what happens at ten times the value (×10).

    "Experience": chosen on problems of docs/results.
    """

    #: Directions probed in a block, both ways, at most. Experience. ×10: ten times the renders.
    directions: int = 8
    #: Renders for all blocks together / n, at most. Experience. ×10: units may take most of a sweep.
    sweep_part: float = 1 / 16
    #: Longest unit / mean unit, and its inverse. Experience. ×10: a flat block moves ten times as far.
    longest: float = 30.0
    #: The same for a block with bounds on both sides. Experience. ×10: as without bounds.
    longest_in_box: float = 3.0
    #: Change of the loss / loss below which a block shows nothing: renders are float32. ×10: flat blocks wait.
    resolution: float = 1e-6
    #: Largest factor by which a unit changes later. Experience. ×10: one look at a changed place decides.
    change: float = 3.0
    #: Sweeps of n renders after which units are measured again. Experience. ×10: what moves late keeps a wrong unit.
    sweeps: float = 1.0
    #: Largest factor between two measured units that changes nothing. Experience. ×10: units stay as they are.
    negligible: float = 1.5


@dataclass
class BlockUnits(Part):
    """Asks for losses around θ [n] scaled until `is_over`; `unit` is what it has found."""

    settings: BlockUnitsSettings
    #: Sizes of the blocks, in order; empty where units are never measured.
    sizes: list[int]
    #: Whether all coordinates of each block have bounds on both sides.
    boxed: list[bool]
    #: Directions probed in each block.
    count: int
    #: Scaled units in one unit of its own, [1] or [n].
    unit: Tensor
    #: The unit of each block.
    units: list[float]
    #: Of each block so far: curvature of a coordinate in scaled units, without its sign. All blocks: it is over.
    curvatures: list[float] = field(default_factory=list)
    #: Whether they were measured before.
    is_measured: bool = False
    #: Renders since all were measured.
    age: int = 0
    #: Renders that were asked for last.
    asked: int = 0

    @classmethod
    def of_problem(cls, problem: Problem, theta: Tensor, settings: BlockUnitsSettings, wanted: bool) -> "BlockUnits":
        """Before the first render of θ [n]. wanted: whether units are measured at all.

        One block has no other to be compared with, and keeps its unit. So do very many blocks, whose units would take
        more than a part of a sweep.
        """
        sizes = problem.block_sizes
        affordable = int(settings.sweep_part * problem.n / (2 * len(sizes)))
        each = min(settings.directions, affordable) if wanted and len(sizes) > 1 else 0
        used = sizes if each else []
        inside = torch.split(problem.low.isfinite() & problem.high.isfinite(), sizes)
        boxed = [bool(one.all()) for one in inside] if each else []
        return cls(settings, list(used), boxed, each, theta.new_ones(1), [1.0] * len(used))

    @property
    def is_over(self) -> bool:
        """Whether the units are settled for now."""
        return len(self.curvatures) == len(self.sizes)

    def give_up(self) -> None:
        """Keep all units for good."""
        self.sizes, self.curvatures = [], []

    def observe(self, renders: int) -> None:
        """Count renders elsewhere; units are measured again after some sweeps of them."""
        self.age += renders
        if self.sizes and self.age > self.settings.sweeps * sum(self.sizes):
            self.curvatures = []

    def ask(self, theta: Tensor, radius: float, generator: torch.Generator, buffer: Tensor) -> Tensor:
        """θ, then θ ± k directions inside each of the b blocks for which there is room: [1 + 2 k b, n].

        Their length is r √(size / n) in units of the block, so that coordinates move as far as in a probe of all of θ.
        """
        k, done = self.count, len(self.curvatures)
        sizes = self.sizes[done:][: (len(buffer) - 1) // (2 * k)]
        rows = buffer[: 1 + 2 * k * len(sizes)]
        rows[:] = theta
        start = sum(self.sizes[:done])
        for (plus, minus), size, unit in zip(
            rows[1:].view(len(sizes), 2, k, -1), sizes, self.units[done:], strict=False
        ):
            offsets = gaussian(k, size, generator, theta.dtype)
            offsets *= radius * unit * math.sqrt(size / theta.numel()) / offsets.norm(dim=1, keepdim=True)
            plus[:, start : start + size] += offsets
            minus[:, start : start + size] -= offsets
            start += size
        self.asked = len(rows)
        return rows

    def tell(self, losses: Tensor, valid: Tensor) -> float:
        """Learn from the losses [B] of what `ask` returned. A batch that the budget cut changes nothing.

        Returns the factor by which new units change the mean curvature.
        """
        if len(losses) < self.asked:
            return 1.0
        f, (plus, minus) = losses[0], losses[1:].view(-1, 2, self.count).unbind(1)
        seen = valid[1:].view(-1, 2, self.count).all(1) & valid[0]
        first, second = (
            (torch.where(seen, difference, 0.0).square().sum(1) / seen.sum(1)).sqrt()  # valleys and ridges add up
            for difference in ((plus - minus) / 2, plus + minus - 2 * f)
        )
        shows_something = torch.maximum(first, second) > self.settings.resolution * f.abs()
        done = slice(len(self.curvatures), len(self.curvatures) + len(second))
        per_coordinate = second.new_tensor(self.sizes[done]) * second.new_tensor(self.units[done]).square()
        self.curvatures += torch.where(shows_something, second / per_coordinate, torch.nan).tolist()
        if not self.is_over:
            return 1.0
        self.age = 0
        return self._set_units()

    def _set_units(self) -> float:
        """Give each block the same curvature a coordinate. A block that shows nothing has the mean unit."""
        s, boxed = self.settings, torch.tensor(self.boxed)
        curvatures, before = (torch.tensor(x, dtype=torch.float64) for x in (self.curvatures, self.units))
        sizes = torch.tensor(self.sizes, dtype=torch.float64)
        known = curvatures.isfinite()
        largest = float(curvatures[known].max()) if known.any() else 0.0
        if largest == 0:
            return 1.0
        # Units go from 1 / longest to longest: the longest one is longest² times the shortest one at most.
        longest = torch.where(boxed, s.longest_in_box, s.longest)
        known &= ~boxed | (curvatures >= largest / longest**4)
        logs = torch.where(known, curvatures.clamp_min(largest / s.longest**4).rsqrt().log(), 0.0)
        logs -= (logs * sizes)[known].sum() / sizes[known].sum()
        units = torch.where(known, logs.exp(), 1.0).clamp(1 / longest, longest)
        if self.is_measured:
            units = units.clamp(before / s.change, before * s.change)
        self.is_measured = True
        is_negligible = bool((units / before).log().abs().max() <= math.log(s.negligible))
        if is_negligible:
            return 1.0
        self.units = units.tolist()
        self.unit = units.repeat_interleave(sizes.long()).to(self.unit)
        weights = (sizes * curvatures).nan_to_num(0.0)
        return float((weights * units.square()).sum() / (weights * before.square()).sum())
