"""The switched surrogate: what each single change would do, for many counts or switches and nothing else.

    h(θ) = f + Σᵢ gᵢ (θ − m)ᵢ

Rounding leaves no slope, and a random direction of many switches says little about any of them. So they are changed one
at a time, without replacement: a sweep of n renders tells all gᵢ. Changes of a block that help are then tried together,
which is right as far as the loss is a sum over switches, and the best of what was rendered is taken.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from zg.zerograds.surrogates.base import Surrogate


class CoordinateSearch(Surrogate):
    """m [n], g [n] and a step for each coordinate: O(n) memory, blocks of 30 renders and, after some, 2 more.

    lattice: [n], scaled distance between neighbouring counts. A change that helped is twice as large next time; one
    that did not is tried the other way. It has converged when two sweeps found nothing better.
    """

    BLOCK = 30
    SURE = 2.0  # noise that a change has to exceed

    def __init__(
        self,
        theta: Tensor,
        sigma: float,
        project: Callable[[Tensor], Tensor],
        generator: torch.Generator,
        lattice: Tensor | None = None,
    ) -> None:
        super().__init__(project, generator)
        self.n = theta.numel()
        self.lattice = torch.ones_like(theta) if lattice is None else lattice
        self.theta = project((theta / self.lattice).round() * self.lattice)
        self.g = torch.zeros_like(theta)
        coins = torch.randint(2, (self.n,), generator=generator, device=theta.device)
        self.steps = (2 * coins - 1).to(theta)  # in counts, signed
        self.f, self.noise = math.nan, 0.0
        self.order = self.changed = torch.empty(0, dtype=torch.long, device=theta.device)
        self.quiet = 0
        self.helped = theta.new_empty(0, self.n)  # changes [k, n] that helped alone, the best one first
        self.least = math.nan  # the loss of that one

    def ask(self) -> Tensor:
        """θ twice at first; then single changes [BLOCK, n], and after those that several of helped, some at once."""
        if math.isnan(self.f):
            return self.theta.expand(2, -1)
        if len(self.helped) > 1:
            some = self.helped[: -(-len(self.helped) // 2)]
            return self.project(self.theta + torch.stack([self.helped.sum(0), some.sum(0)]))
        if len(self.order) == 0:
            self.order = torch.randperm(self.n, generator=self.generator, device=self.theta.device)
        self.changed, self.order = self.order[: self.BLOCK], self.order[self.BLOCK :]
        return self._single(self.changed)

    def _single(self, which: Tensor) -> Tensor:
        """θ with one coordinate changed in each row [k, n]; at a bound, away from it."""
        rows, line = self.theta.repeat(len(which), 1), torch.arange(len(which), device=which.device)
        rows[line, which] += self.steps[which] * self.lattice[which]
        stuck = self.project(rows)[line, which] == self.theta[which]
        self.steps[which[stuck]] = -self.steps[which[stuck]].sign()
        rows[line, which] = self.theta[which] + self.steps[which] * self.lattice[which]
        return self.project(rows)

    def tell(self, theta: Tensor, losses: Tensor, valid: Tensor) -> None:
        losses = torch.where(valid, losses, math.inf)
        if math.isnan(self.f):
            self.f = float(losses.min())
            self.noise = float((losses[0] - losses[-1]).abs()) if valid.all() else 0.0
            return
        if len(self.helped) > 1:
            best = int(losses.argmin())
            together = float(losses[best]) < self.least
            self._accept(theta[best] if together else self.theta + self.helped[0], min(self.least, float(losses[best])))
            return
        which = self.changed[: len(losses)]
        change = theta - self.theta
        gain = losses - self.f
        moved = change[torch.arange(len(which), device=which.device), which]
        known = gain.isfinite() & (moved != 0)
        self.g[which[known]] = (gain[known] / moved[known]).to(self.g)
        better = gain < -self.SURE * self.noise if self.noise > 0 else gain < 0
        self.steps[which] = torch.where(better, 2 * self.steps[which], -self.steps[which].sign())
        self.quiet = 0 if better.any() else self.quiet + len(which)
        if better.any():
            best_first = losses[better].argsort()
            self.helped, self.least = change[better][best_first], float(losses.min())
            if len(self.helped) == 1:
                self._accept(self.theta + self.helped[0], self.least)

    def _accept(self, theta: Tensor, loss: float) -> None:
        self.theta, self.f = self.project(theta).clone(), loss
        self.helped = self.helped[:0]

    @property
    def converged(self) -> bool:
        return self.quiet >= 2 * self.n

    def recommend(self) -> Tensor:
        return self.theta

    def predict(self, theta: Tensor) -> Tensor:
        return self.f + (theta - self.theta) @ self.g

    def gradient(self, theta: Tensor) -> Tensor:
        return self.g

    def status(self) -> dict[str, float]:
        return {"sigma": float(self.lattice.mean()), "step": float(self.steps.abs().mean()), "noise": self.noise}
