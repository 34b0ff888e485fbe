"""The look before the first step: how far to look, and how long a unit of each block of parameters is.

The first σ is a guess, and so are the units of a user's blocks, such as the layers of a network, or positions beside
colours. The radius r is narrowed for as long as the model at 2 r does not explain the slopes that a narrower radius
shows, as where bounds and sigmoids saturate, and widened where that one shows nothing, as on steps. Then the loss is
bent along a few directions inside of each block alone, and a unit of each becomes as long as makes all of them bend it
alike, coordinate for coordinate: one radius, one cap and one curvature suit what bends alike.

Where the loss is noisy both are left as they are.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from zg.sampling import gaussian
from zg.zerograds.parts.directions import CrossedDirections
from zg.zerograds.surrogates.base import differ


class Calibration:
    """r and the units from which a surrogate with one curvature starts, at θ [n] scaled.

    radius: a guess at r, the length of a probe. blocks: their sizes, in order; one block has nothing to be measured
    against, and blocks so many that it would cost more than a part of a sweep are left as they are.
    """

    LOOKED, FINER, LOOKS = 8, math.sqrt(0.1), 5  # directions; the narrower radius / r; times at most
    FAITHFUL = 0.4  # of the narrower radius' slopes, rms: what the model at 2 r may be off
    PART = 1 / 16  # of a sweep: what all blocks may cost together
    FARTHEST = 30.0  # a unit over the mean of all, at most, and at least its inverse

    def __init__(self, theta: Tensor, radius: float, blocks: Sequence[int]) -> None:
        n = theta.numel()
        self.radius = self.guess = radius
        self.looks = 0  # times that r was looked at; `LOOKS` when that is over
        self.asked = 0  # renders, last
        self.noisy = False
        self.bends: list[float] = []  # |mean curvature| at the radius that was settled on and at the next wider
        self.each = min(self.LOOKED, int(self.PART * n / (2 * len(blocks)))) if len(blocks) > 1 else 0
        self.blocks = list(blocks) if self.each else []
        self.bent: list[float] = []  # of each block so far: mean curvature of a coordinate, without its sign
        self.unit = theta.new_ones(1)  # how many scaled units one of its own is, [1] or [n]

    @property
    def over(self) -> bool:
        """Whether radius and units are settled."""
        return self.looks == self.LOOKS and len(self.bent) == len(self.blocks)

    def ask(self, theta: Tensor, directions: CrossedDirections, room: Tensor) -> Tensor:
        """Where it wants the loss next, written to `room` [rows, n]; the sweep stays as it was."""
        if self.looks < self.LOOKS:
            return self._around(theta, directions, room)
        return self._inside(theta, directions.generator, room)

    def tell(self, losses: Tensor, valid: Tensor) -> None:
        """Learn from the losses of what `ask` returned."""
        if self.looks < self.LOOKS:
            self._judge_radius(losses, valid)
        else:
            self._judge_blocks(losses, valid)

    def state(self) -> dict[str, Any]:
        """Everything that is needed to go on with the same bits."""
        return dict(vars(self))

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        vars(self).update(state)

    def _around(self, theta: Tensor, directions: CrossedDirections, room: Tensor) -> Tensor:
        """Centre twice, then ± k directions, at 2 r and at the next radius: [2 + 4 k, n]."""
        sweep = directions.state()
        u = directions.draw(self.LOOKED)
        directions.load_state(sweep)
        rows = room[: 2 + 4 * len(u)]
        rows[:2] = theta
        for out, times in zip(rows[2:].chunk(4), (2.0, -2.0, self.FINER, -self.FINER), strict=True):
            u.around(theta, theta.new_full((len(u),), times * self.radius), self.unit, out=out)
        self.asked = len(rows)
        return rows

    def _judge_radius(self, losses: Tensor, valid: Tensor) -> None:
        """Stay at r if the model at 2 r explains the slopes at the next radius; else go there, or wider if it is flat.

        Under noise, and where no look settles it, the guess is as good as any at which the loss is not flat.
        """
        if len(losses) < self.asked:
            return  # a cut block is the last one
        self.looks += 1
        self.noisy = bool(valid[:2].all()) and differ(losses[0], losses[1])
        if self.noisy or not valid[:2].all():
            self.radius, self.looks, self.bends, self.blocks = self.guess, self.LOOKS, [], []
            return
        seen = valid[2:].view(4, -1).all(0)
        f, far, fine = losses[0], 2 * self.radius, self.FINER * self.radius
        plus, minus, fine_plus, fine_minus = losses[2:].view(4, -1)[:, seen]
        slopes = (fine_plus - fine_minus) / (2 * fine)
        bend = (plus + minus - 2 * f).mean() / far**2
        off = (plus - f) / far - 0.5 * far * bend - slopes
        blind = 2 * int(seen.sum()) < len(seen)
        flat = not blind and bool((fine_plus == f).all() and (fine_minus == f).all())
        self.bends = self.bends if blind else [*self.bends[-1:], abs(float(bend))]
        if not blind and not flat and off.norm() <= self.FAITHFUL * slopes.norm():
            self.looks = self.LOOKS
        elif flat:
            self.radius = self.guess = self.radius / self.FINER  # where nothing can be seen was no good guess
        elif self.looks < self.LOOKS:
            self.radius = fine
        else:
            self.radius, self.bends = self.guess, []

    def _inside(self, theta: Tensor, generator: torch.Generator, room: Tensor) -> Tensor:
        """Centre, then of as many blocks as fit ± k directions inside of each, r / √n a coordinate: [1 + 2 k b, n]."""
        k, done = self.each, len(self.bent)
        sizes = self.blocks[done:][: (len(room) - 1) // (2 * k)]
        rows = room[: 1 + 2 * k * len(sizes)]
        rows[:] = theta
        start = sum(self.blocks[:done])
        for (plus, minus), size in zip(rows[1:].view(len(sizes), 2, k, -1), sizes, strict=True):
            offsets = gaussian(k, size, generator, theta.dtype)
            offsets *= self.radius * math.sqrt(size / theta.numel()) / offsets.norm(dim=1, keepdim=True)
            plus[:, start : start + size] += offsets
            minus[:, start : start + size] -= offsets
            start += size
        self.asked = len(rows)
        return rows

    def _judge_blocks(self, losses: Tensor, valid: Tensor) -> None:
        """What each block bends the loss, a coordinate: root mean square, for valleys and ridges must not cancel."""
        if len(losses) < self.asked:
            return  # a cut block is the last one
        seen = valid[1:].view(-1, 2, self.each).all(1) & valid[0]
        bends = losses[1:].view(-1, 2, self.each).sum(1) - 2 * losses[0]
        squares = torch.where(seen, bends.square(), 0.0).sum(1) / seen.sum(1)
        sizes = squares.new_tensor(self.blocks[len(self.bent) :][: len(squares)])
        self.bent += (squares.sqrt() / sizes).tolist()
        if self.over:
            self._set_units()

    def _set_units(self) -> None:
        """Units in which each block bends the loss alike; as they were for a block of which nothing was seen."""
        bent, sizes = torch.tensor(self.bent, dtype=torch.float64), torch.tensor(self.blocks)
        known = bent.isfinite()
        most = float(bent[known].max()) if known.any() else 0.0
        if most == 0:
            return
        logs = bent.clamp_min(most / self.FARTHEST**4).rsqrt().log()
        logs -= (logs * sizes)[known].sum() / sizes[known].sum()
        units = logs.nan_to_num(0.0).exp().clamp(1 / self.FARTHEST, self.FARTHEST)
        change = float((sizes * bent * units.square())[known].sum() / (sizes * bent)[known].sum())
        self.bends = [change * bend for bend in self.bends]
        self.unit = units.repeat_interleave(sizes).to(self.unit)
