"""The linear surrogate that remembers, for any number of parameters in O(n) memory.

    h(θ + s) = f + w·s + L |s|² / 2

One render gives one number and n unknowns need n renders, so w is never fitted afresh: each block of probes corrects it
by the least change that explains them, w ← w + Uᵀ g (y − U w), and each step moves it along, w ← w + c · step. What it
knows no longer is found out by looking along w itself; probes are one-sided, at two radii in turn, whose comparison
tells curvature, noise and the right radius apart. (The correction is that of SEGA: Hanzely, Mishchenko and Richtárik,
"SEGA: Variance Reduction via Gradient Sketching", NeurIPS 2018.)

The first σ is a guess, and so is the unit of each block of parameters: without noise both are looked at before the
first step (`zg.zerograds.parts.calibration`). All of the above is in those units. Later the radius may widen for as long as the
loss goes on rising as a bowl does. Where two sweeps have led nowhere, it goes back to the best θ and looks from nearer;
where noise has led it uphill, it goes back to where the loss was lowest on average and takes shorter steps.

Steps go to the minimum along w, but no farther than a cap. It starts low, because a new w is mostly chance and where
units saturate a step by chance is never undone, and grows slowly; only where the curvature along w is the mean
curvature, so that every direction is as good as measured, does it grow at once. Only there is all of w remembered, too.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from zg.zerograds.parts.calibration import Calibration
from zg.zerograds.parts.directions import CrossedDirections
from zg.zerograds.surrogates.base import Surrogate, differ

TINY = 1e-300
FADE = 0.9  # measured numbers are averaged over about 1 / (1 − FADE) blocks
SLOW = 0.95  # the mean curvature, which noise hits hardest, over twice as many


class SketchedGradient(Surrogate):
    """One gradient w [n] and one curvature L; an iteration is 30 to 120 probes, the centre, and two along w.

    blocks: sizes of the blocks of parameters, in order; by default they are one.
    """

    FEWEST, MOST, SWEEP = 30, 60, 200  # probes a block: a sweep in 200 blocks, if that shares the 3 extra renders
    LONG = 1600  # blocks a sweep, from which a block has up to twice as many
    CAUTION = 0.015  # first cap on steps / step that the first block alone would justify: a new w is mostly wrong
    GROWTH = 2.0  # e-folds a sweep by which a cap that binds grows
    LEAP = 4.0  # its growth a block where the loss is isotropic
    SHARE, ALIKE = 0.05, 0.1  # of the gradient that w has to hold; how near c / L has to be to 1
    KEPT = 0.5  # of w from one block to the next where c / L is not
    ODD = 10.0  # centre's disagreement with its probes, over chance (mean squares), from which it is taken out
    WIDEST = 100.0  # σ is a guess, good to two orders of magnitude: no radius beyond that unless all is flat, or a bowl
    BOWL = 2.0  # rise at 2 r / at r, from which the loss is a bowl out there (4: a quadratic; 1: it wanders)
    WIDEN, NARROW = 1.3, 1.05  # largest changes of the radius a block: too wide still sees, too narrow sees nothing
    LOST = 3.0  # how far blocks that lead nowhere widen the radius, over where the loss last fell
    STALE, NEARER = 2.0, 1.5  # sweeps without progress, from which it goes back to the best; how much nearer it looks
    UPHILL, SHORTER = 1.5, 0.5  # with noise: mean rise / one loss's deviation, from which it goes back; cap / step then
    BENT, STRICT = 4.0, 1.1  # without noise: radius / where slope and curvature are level, from which it shrinks; pace

    FIXED = (*Surrogate.FIXED, "directions", "look", "u", "reach", "room")

    def __init__(
        self,
        theta: Tensor,
        sigma: float,
        project: Callable[[Tensor], Tensor],
        generator: torch.Generator,
        blocks: Sequence[int] | None = None,
    ) -> None:
        super().__init__(project, generator)
        self.theta, self.n = theta.clone(), theta.numel()
        most = min(max(self.MOST, self.n // self.LONG), 2 * self.MOST)
        self.probes = min(most, max(self.FEWEST, self.n // self.SWEEP))
        self.directions = CrossedDirections(self.n, generator, theta.dtype)
        self.w = torch.zeros_like(self.theta)
        self.back = self.best = self.theta
        self.radius = self.proven = sigma * math.sqrt(self.n)  # length of a probe: σ a coordinate; where f last fell
        self.widest = self.WIDEST * self.radius
        self.look = Calibration(theta, self.radius, blocks or [self.n])
        self.f, self.lowest = math.nan, math.inf
        self.L = self.c = 0.0  # curvature: mean over directions; along w
        self.slope2 = 0.0  # mean square of the slopes
        self.near = self.far = 0.0  # mean square of what w did not foresee in the slopes, at r and at 2 r
        self.spread = self.odd = self.offset = 0.0  # typical rise at r; the centre's disagreement; taken out
        self.rise = self.rise_far = 0.0  # mean rises at r and at 2 r, over r²
        self.level, self.floor, self.good = 0.0, math.inf, self.radius  # f's running mean; its lowest, and r then
        self.stale = 0  # probes since
        self.wander = self.stride = 0.0  # mean square of f about its running mean; running mean of the steps
        self.cap = self.moved = self.length = 0.0
        self.age, self.noisy, self.calm = 0, False, False  # calm: the cap no longer grows
        self.gain = 1.0
        # What `ask` returns, until the next.
        self.room = theta.new_empty(max(self.probes, 4 * Calibration.LOOKED) + 4, self.n)
        self.before: dict[str, Any] | None = None  # the sweep as it was when probes that are not yet told were drawn

    def ask(self) -> Tensor:
        """[centre (twice at first: is the loss noisy?), k one-sided probes at r or 2 r, 2 along w] × n."""
        self.before = self.directions.state()
        if not self.look.over:
            return self.look.ask(self.theta, self.directions, self.room)
        self.u = self.directions.draw(self.probes)
        self.length = float(self.w.norm())
        self.reach = self.radius * self._in_turn(1.0, 2.0)
        at, k = self._centres(), len(self.u)
        rows = self.room[: at + k + 2 * (self.length > 0)]
        rows[:at] = self.theta
        self.u.around(self.theta, self.reach, self.look.unit, out=rows[at : at + k])
        if self.length > 0:
            along = self.w * self.look.unit
            torch.add(self.theta, along, alpha=self.radius / self.length, out=rows[-2])
            torch.sub(self.theta, along, alpha=self.radius / self.length, out=rows[-1])
        return rows

    def _centres(self) -> int:
        return 2 if self.age < 2 else 1

    def _in_turn(self, near: float, far: float) -> Tensor:
        """One number or the other for each direction [k], by whether its probe is at r or at 2 r."""
        found = torch.full((len(self.u),), near, dtype=torch.float64, device=self.theta.device)
        found[1 - self.age % 2 :: 2] = far
        return found

    def _parts(self, x: Tensor, seen: Tensor | None) -> tuple[Tensor, Tensor]:
        """What x [k] says at r and at 2 r, of what was seen (None: all)."""
        first = self.age % 2
        parts = x[first::2].contiguous(), x[1 - first :: 2].contiguous()
        return parts if seen is None else (parts[0][seen[first::2]], parts[1][seen[1 - first :: 2]])

    def tell(self, theta: Tensor, losses: Tensor, valid: Tensor) -> None:
        self.before = None
        if not self.look.over:
            self.look.tell(losses, valid)
            self.noisy, self.radius = self.look.noisy, self.look.radius
            self.proven, self.widest = self.radius, self.WIDEST * self.radius
            return
        at, k = self._centres(), len(self.u)
        if len(losses) < at + k + 2 * (self.length > 0):
            return  # a cut block is the last one
        if not valid[:at].any():
            self.theta, self.radius = 0.5 * (self.theta + self.back), 0.5 * self.radius
            return
        before, self.f = self.f, float(losses[:at][valid[:at]].mean())
        self.noisy |= at == 2 and bool(valid[:2].all()) and differ(losses[0], losses[1])
        if self.f < self.lowest and not self.noisy:
            self.lowest, self.best, self.proven = self.f, self.theta, self.radius
        self.back = self.theta
        rise = losses[at : at + k] - self.f
        seen = None if valid.all() else valid[at : at + k]
        self._judge(before)
        news = self._news(self._slopes(rise, seen), seen)
        if self.length > 0 and valid[at + k :].all():
            self._follow(float(losses[-2]), float(losses[-1]), news)
        else:
            self.w, self.moved = self.w + news, 0.0
        self._turn_radius(bool((rise if seen is None else rise[seen]).any()))
        self._go_back()
        self.age += 1

    def _fade(self, old: float, new: float, keep: float = FADE) -> float:
        """Running mean, plain until there is enough to forget."""
        keep = min(keep, self.age / (self.age + 1))
        return keep * old + (1 - keep) * new

    def _judge(self, before: float) -> None:
        """Halve the cap after a rise beyond anything the probes show; let a cap that binds grow."""
        if self.age > 0 and self.f - before > 4 * self.spread:
            self.cap = 0.5 * self.moved
        elif self.age > 0 and self.moved >= self.cap and not self.calm:
            self.cap *= self.LEAP if self._isotropic() else min(2.0, math.exp(self.GROWTH * (self.probes + 3) / self.n))

    def _isotropic(self) -> bool:
        """Whether the curvature along the gradient is about that along any other direction, beyond doubt.

        w is part gradient, by cos² = |w|² / |∇f|² (|∇f|² is n times the mean squared slope), and part chance; so the
        excess of c over L, with its error, is cos² times what it is along the gradient.
        """
        if self.slope2 <= 0:
            return False
        share = min(1.0, self.length**2 / (self.n * self.slope2))
        return share > self.SHARE and self._alike()

    def _alike(self) -> bool:
        """Whether the curvature along w is the mean curvature."""
        return self.L > 0 and abs(self.c / self.L - 1) < self.ALIKE

    def _bowl(self) -> bool:
        """Whether the loss rises with distance as a bowl does, at the radius of now."""
        return self.rise > 0 and self.rise_far > self.BOWL * self.rise

    def _slopes(self, rise: Tensor, seen: Tensor | None) -> Tensor:
        """Slopes y [k] without curvature; L from the mean rises, F(2 r) − F(r) = 3/2 r² L, where the centre cancels.

        (4 F(r) − F(2 r)) / 3 is how far the centre itself is off (noise, a cusp): taken out only beyond chance.
        """
        squares = self.u.squares
        whole = rise / squares  # as if every direction were of length 1: on a wide radius, what was cut is seen
        near, far = self._parts(whole, seen)
        self.offset = 0.0
        if len(near) > 1 and len(far) > 1:
            (spread, rise_near), (spread_far, rise_far) = (map(float, torch.var_mean(part)) for part in (near, far))
            self.rise = self._fade(self.rise, rise_near / self.radius**2)
            self.rise_far = self._fade(self.rise_far, rise_far / self.radius**2)
            self.L = self._fade(self.L, (rise_far - rise_near) / (1.5 * self.radius**2), SLOW)
            self.spread = self._fade(self.spread, math.sqrt(float(near.square().mean())))
            chance = (16 * spread / len(near) + spread_far / len(far)) / 9
            off = (4 * rise_near - rise_far) / 3
            self.odd = self._fade(self.odd, off * off / max(chance, TINY))
            self.offset = off if self.odd > self.ODD else 0.0
        y = (rise - self.offset) / self.reach - 0.5 * self.reach * self.L * squares
        if seen is not None:
            y = torch.where(seen, y, 0.0)
        self.slope2 = self._fade(self.slope2, float(y.square().mean()))
        if self.age == 0:
            self.cap = self.CAUTION * float(y.norm()) / max(*(self.look.bends or [abs(self.L)]), TINY)
        return y

    def _news(self, y: Tensor, seen: Tensor | None) -> Tensor:
        """Uᵀ g (y − U w) [n]: least change of w that explains the slopes.

        The gain g is signal / (signal + noise): noise in a slope halves from r to 2 r, and signal does not.
        """
        error = y - self.u.along(self.w).double()
        if seen is not None:
            error = torch.where(seen, error, 0.0)
        near, far = self._parts(error, seen)
        self.near = self._fade(self.near, float(near.square().mean())) if len(near) else self.near
        self.far = self._fade(self.far, float(far.square().mean())) if len(far) else self.far
        noise = max(0.0, self.near - self.far) * 4 / 3 if self.far > 0 else 0.0
        signal = max(self.far - noise / 4, 0.02 * self.far, TINY)
        gain = self._in_turn(signal / (signal + noise), signal / (signal + noise / 4))
        self.gain = float(gain.mean())
        return self.u.combine(gain * error)

    def _follow(self, plus: float, minus: float, news: Tensor) -> None:
        """Along w: the slope says how stale w is (fresh directions cannot), the curvature how far to go.

        Where the loss bends more along w than elsewhere, it bends in few directions, which turn while θ moves, and what
        w holds by chance takes each step the same way: half of it goes each block, and chances cancel instead.
        """
        slope = (plus - minus) / (2 * self.radius)
        bend = (plus + minus - 2 * (self.f + self.offset)) / self.radius**2
        self.c = self._fade(self.c or bend, bend, 0.8)
        unit, self.moved = self.w / self.length, 0.0
        trust = 1 + self.gain * (slope / self.length - 1)
        kept = 1.0 if self._alike() else self.KEPT
        if slope <= 0:
            self.w = kept * max(0.0, trust) * self.w + news
            return
        self.moved = min(slope / self.c if self.c > 0 else 2 * self.radius, self.cap)
        self.theta = self.project(self.theta - self.moved * unit * self.look.unit)
        left = min(1.5, trust) * self.length - min(self.moved * max(self.c, 0.0), slope)
        self.w = kept * left * unit + news

    def _turn_radius(self, any_rise: bool) -> None:
        """Slopes farther from w at 2 r than at r: curvature, so narrow; nearer: noise, so widen; all flat: double.

        A block that led nowhere widens too, for the centre is then a minimum of what this radius sees, but not far
        beyond where the loss last fell, and not where slopes at 2 r are farther off because noise grows with the loss.
        Without noise a slope is best seen where curvature is not most of the rise.
        """
        before = self.radius
        if self._bowl():
            self.widest = max(self.widest, self.WIDEN * self.radius)
        if not any_rise:
            self.radius *= 2
            self.widest = max(self.widest, self.radius)
        elif self.age > 5 and self.moved == 0 and not (self.noisy and self.far > self.near):
            self.radius = max(before, min(before * self.WIDEN, self.widest, self.LOST * self.proven))
        elif self.age > 5 and self.far > 0:
            turn = ((self.far + TINY) / (self.near + TINY)) ** -0.1
            self.radius = min(before * min(self.WIDEN, max(1 / self.NARROW, turn)), self.widest)
            if not self.noisy and self.L > 0:
                straight = math.sqrt(self.slope2) / self.L
                self.radius = max(min(self.radius, self.BENT * straight), before / self.STRICT)

    def _go_back(self) -> None:
        """To the best θ, and nearer, where the running mean of f has not fallen for long.

        The radius then smooths away what could still be gained, and has led to a minimum of its own. With noise the
        best θ is the one at which that mean was lowest, and it is left only by a rise that is more than chance: then
        steps were as good as random, and shorter ones average more of it.
        """
        if self.age > 0:
            self.wander = self._fade(self.wander, (self.f - self.level) ** 2, SLOW)
        self.stride = self._fade(self.stride, self.moved)
        self.level = self._fade(self.level, self.f)
        if self.level < self.floor:
            self.floor, self.good, self.stale = self.level, self.radius, 0
            if self.noisy:
                self.best, self.proven = self.theta, self.radius
            return
        self.stale += len(self.u)
        if self.noisy and self.level - self.floor > self.UPHILL * math.sqrt(self.wander):
            self.theta, self.level, self.radius = self.best, self.floor, self.good
            self.cap, self.calm = self.SHORTER * min(self.cap, self.stride), True
        elif not self.noisy and self.stale > self.STALE * self.n:
            self.theta, self.level, self.stale = self.best, self.floor, 0
            self.radius = self.good = min(self.radius, self.good) / self.NEARER

    def recommend(self) -> Tensor:
        """The centre where the loss is noisy (the lowest of many noisy losses is luck), else the best centre."""
        return self.theta if self.noisy else self.best

    def predict(self, theta: Tensor) -> Tensor:
        s = (theta - self.theta) / self.look.unit
        return self.f + s @ self.w + 0.5 * self.L * s.square().sum(1)

    def gradient(self, theta: Tensor) -> Tensor:
        return (self.w + self.L * (theta - self.theta) / self.look.unit) / self.look.unit

    def status(self) -> dict[str, float]:
        return {"sigma": self.radius / math.sqrt(self.n), "step": self.moved, "curvature": self.L, "gain": self.gain}

    def state(self) -> dict[str, Any]:
        return super().state() | {"directions": self.before or self.directions.state(), "look": self.look.state()}

    def load_state(self, state: dict[str, Any]) -> None:
        for name in ("directions", "look"):
            vars(self)[name].load_state(state[name])
        super().load_state({name: value for name, value in state.items() if name not in self.FIXED})
