"""Coordinate search: single changes, for many integer or binary coordinates and no real ones.

    h(θ) = f + Σᵢ gᵢ (θ − m)ᵢ,    gᵢ = (f(m + tᵢ sᵢ eᵢ) − f) / (tᵢ sᵢ)

m is the present θ, s the spacing of the lattice and tᵢ a whole number of steps. Rounding leaves no slope, and a random
direction of many binaries says little about any of them. So each coordinate is changed alone, in random order without
replacement: a sweep of n renders tells all gᵢ. Changes of one block that help are then tried together, which is right
as far as the loss is a sum over coordinates; the best θ of all that were rendered is taken.

A step that helped is longer the next time, one that did not is reversed (as in Rosenbrock, "An automatic method for
finding the greatest or least value of a function", 1960).

Cost: O(n) memory beside a block [30, n]; 30 renders an iteration, or 2 after a block in which several changes helped.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from zg.problem import Problem
from zg.zerograds.surrogates.base import Surrogate


@dataclass(frozen=True)
class CoordinateSearchSettings:
    """Meaning, unit and source of each; "10 ×" says what a value ten times larger does.

    All were chosen by experience on the display and on lamps like those of the tests.
    """

    #: Single changes, and renders, of an iteration. 10 ×: more changes are tried together, and they spoil one another.
    block: int = 30
    #: Decrease that counts as help, in |difference| of two losses of the start. 10 ×: small gains are missed.
    noise_multiple: float = 2.0
    #: Factor on the step of a coordinate after a change that helped. 10 ×: steps overshoot, and are set back to 1.
    step_growth: float = 2.0
    #: Fraction of the changes that helped, best first, that is tried beside all of them. 10 ×, above 1: all, twice.
    joint_share: float = 0.5
    #: Sweeps of n renders without help until it has converged, one for each sign of a step. 10 ×: it ends later.
    quiet_sweeps: int = 2


@dataclass
class CoordinateSearchState:
    """All that changes."""

    #: m [n], the present θ on the lattice.
    theta: Tensor
    #: [n], loss a scaled unit; 0 where nothing is known.
    g: Tensor
    #: t [n], signed, in spacings of the lattice: the change that is tried next.
    steps: Tensor
    #: Coordinates [·] of this sweep that are still to be changed.
    order: Tensor
    #: Changes [k, n] that helped alone, best first, and the loss of the best one.
    helpful: Tensor
    lowest_single: float = math.nan
    #: Loss at m; NaN before the start was rendered.
    f: float = math.nan
    #: Difference of the two losses of the start.
    noise: float = 0.0
    #: Renders of single changes since one helped.
    quiet: int = 0


class CoordinateSearch(Surrogate):
    """Changes integers, binaries and choices one at a time, and those that help together.

    σ is the spacing of the lattice and never shrinks. Steps grow, and are set back to 1, in `_learn`.
    """

    Settings = CoordinateSearchSettings
    settings: CoordinateSearchSettings
    state: CoordinateSearchState

    def __init__(
        self, problem: Problem, theta: Tensor, sigma: float, settings: CoordinateSearchSettings | None = None
    ) -> None:
        super().__init__(problem, settings)
        coins = torch.randint(2, (self.n,), generator=problem.generator, device=theta.device)
        none = torch.empty(0, dtype=torch.long, device=theta.device)
        self.state = CoordinateSearchState(
            theta=problem.on_lattice(theta),
            g=torch.zeros_like(theta),
            steps=(2 * coins - 1).to(theta),
            order=none,
            helpful=theta.new_empty(0, self.n),
        )
        #: The rest of the sweep as `ask` drew it, and the block [k] of it that was asked for: state once it is told.
        self.asked_order = self.changed = none

    @property
    def is_start_rendered(self) -> bool:
        """Whether f and the noise are known."""
        return not math.isnan(self.state.f)

    @property
    def have_several_helped(self) -> bool:
        """Whether the last block has changes to be tried together."""
        return len(self.state.helpful) > 1

    def ask(self) -> Tensor:
        """θ twice at first; then single changes [k, n], and after several that helped these together [2, n]."""
        state, s = self.state, self.settings
        if not self.is_start_rendered:
            return state.theta.expand(2, -1)
        if self.have_several_helped:
            best = state.helpful[: math.ceil(s.joint_share * len(state.helpful))]
            return self.problem.project(state.theta + torch.stack([state.helpful.sum(0), best.sum(0)]))
        is_sweep_over = len(state.order) == 0
        self.asked_order = state.order
        if is_sweep_over:
            self.asked_order = torch.randperm(self.n, generator=self.problem.generator, device=state.theta.device)
            if self.problem.space.groups:  # a choice that is made already is no change
                self.asked_order = self.asked_order[~self._is_chosen()[self.asked_order]]
        self.changed = self.asked_order[: s.block]
        return self._single(self.changed)

    def _single(self, which: Tensor) -> Tensor:
        """θ with one coordinate changed in each row [k, n]; at a bound, away from it."""
        state, lattice = self.state, self.problem.lattice
        rows, line = state.theta.repeat(len(which), 1), torch.arange(len(which), device=which.device)
        rows[line, which] += state.steps[which] * lattice[which]
        is_at_bound = self.problem.project(rows)[line, which] == state.theta[which]
        state.steps[which[is_at_bound]] = -state.steps[which[is_at_bound]].sign()
        rows[line, which] = state.theta[which] + state.steps[which] * lattice[which]
        for row in self.problem.space.categorical[which].nonzero()[:, 0].tolist():
            rows[row] = self.problem.space.chosen(state.theta, int(which[row]))
        return self.problem.project(rows)

    def _is_chosen(self) -> Tensor:
        """Whether coordinates [n] are the present values of categorical parameters."""
        return self.problem.space.categorical & (self.state.theta > 0.5)

    def tell(self, theta: Tensor, losses: Tensor, valid: Tensor) -> None:
        losses = torch.where(valid, losses, math.inf)
        if not self.is_start_rendered:
            self.state.f = float(losses.min())
            self.state.noise = float((losses[0] - losses[-1]).abs()) if valid.all() else 0.0
        elif self.have_several_helped:
            self._judge_together(theta, losses)
        else:
            self._learn(theta, losses)

    def _judge_together(self, theta: Tensor, losses: Tensor) -> None:
        """Accept the best of changes made together [2, n], or the best single one if that is lower."""
        state, best = self.state, int(losses.argmin())
        lowest = float(losses[best])
        is_lower_than_single = lowest < state.lowest_single
        found = theta[best] if is_lower_than_single else state.theta + state.helpful[0]
        self._accept(found, min(state.lowest_single, lowest))

    def _learn(self, theta: Tensor, losses: Tensor) -> None:
        """g and the next steps from single changes; a change that helped alone is accepted at once."""
        state, s = self.state, self.settings
        state.order = self.asked_order[len(self.changed) :]
        which = self.changed[: len(losses)]  # the last block can be cut by the budget
        change, gain = theta - state.theta, losses - state.f
        moved = change[torch.arange(len(which), device=which.device), which]
        is_known = gain.isfinite() & (moved != 0)
        state.g[which[is_known]] = (gain[is_known] / moved[is_known]).to(state.g)
        has_helped = gain < -s.noise_multiple * state.noise
        state.steps[which] = torch.where(has_helped, s.step_growth * state.steps[which], -state.steps[which].sign())
        state.quiet = 0 if has_helped.any() else state.quiet + len(which)
        if has_helped.any():
            best_first = losses[has_helped].argsort()
            state.helpful, state.lowest_single = change[has_helped][best_first], float(losses.min())
            if not self.have_several_helped:
                self._accept(state.theta + state.helpful[0], state.lowest_single)

    def _accept(self, theta: Tensor, loss: float) -> None:
        state = self.state
        state.theta, state.f = self.problem.space.settled(self.problem.project(theta)).clone(), loss
        state.helpful = state.helpful[:0]

    def recommend(self) -> Tensor:
        return self.theta

    def predict(self, theta: Tensor) -> Tensor:
        return self.state.f + (theta - self.theta) @ self.state.g

    def gradient(self, theta: Tensor) -> Tensor:
        return self.state.g

    @property
    def sigma(self) -> float:
        return float(self.problem.lattice.mean())

    @property
    def converged(self) -> bool:
        return self.state.quiet >= self.settings.quiet_sweeps * self.n

    def status(self) -> dict[str, float]:
        return {"step": float(self.state.steps.abs().mean()), "noise": self.state.noise}
