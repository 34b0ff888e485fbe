"""Quasi-Newton: a quadratic with memory, for smooth losses without noise and up to a few hundred parameters.

    h(θ + s) = f + g·s + s·H s / 2

A sweep renders θ and θ ± r b for every b of an orthonormal basis [n, n]. Its differences are slopes and curvatures:

    g·b = (L(θ + r b) − L(θ − r b)) / 2r        b·H b = (L(θ + r b) + L(θ − r b) − 2 L(θ)) / r²

H takes the change of g along the last step by damped BFGS, and then the measured curvatures. The eigenvectors of H are
the next basis. Six lengths of Newton's step, inside the bounds and the trust radius, are then rendered at once, and θ
moves to the best of them.

Cost: H and the basis take 2 n² numbers; an iteration takes 2 n + 7 renders and O(n³) operations.
Sources: Nocedal and Wright 2006, "Numerical Optimization" (NW): trust region 4.1, differences 8.1, damped BFGS 18.3.
The sweeps along the axes of H, the six lengths and the test for kinks are our own (docs/surrogates/quasi_newton.md).
"""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from zg.problem import Problem
from zg.zerograds.parts.bounds import distances_inside
from zg.zerograds.parts.trust_region import TINY, newton_inside, shortened
from zg.zerograds.surrogates.base import Surrogate, resolution


@dataclass(frozen=True)
class QuasiNewtonSettings:
    """Values without a source are chosen by experience. ×10: what ten times the value does."""

    #: Lengths of the trial steps, in Newton's steps; the first has to be 1. ×10: most leave the trust radius.
    step_lengths: tuple[float, ...] = (1.0, 0.5, 0.1, 0.02, 2.0, 4.0)
    #: r / length of the last step a coordinate. ×10: differences average over far more than the step.
    radius_to_step: float = 0.5
    #: r and trust radius times this after a failure; below 1. ×10: they grow, and it looks farther instead.
    shrink: float = 0.25
    #: Trust radius times this if the best trial is shorter than Newton's step (NW 4.1: 1/4). ×10: it never shrinks.
    trust_shrink: float = 0.25
    #: Trust radius / length of the step that was taken, at least (NW 4.1: 2). ×10: steps go too far.
    trust_to_step: float = 2.0
    #: Largest rise / loss that is rounding or a plateau: the sweep is flat. ×10: a less exact end.
    flat_rise: float = 1e-9
    #: r times this after a flat sweep; 1 / `shrink`. ×10: r may leave the basin.
    widen: float = 4.0
    #: Failures that a flat sweep counts. ×10: one flat sweep is enough to give up.
    flat_failure: float = 0.25
    #: Way of a probe inside the bounds / r, below which bounds cut it. ×10: they all count as cut: no curvature.
    uncut: float = 0.99
    #: Least curvature in the first H / the curvature that brings the steepest axis to the trust radius. ×10: little.
    least_curvature: float = 1e-6
    #: Whether H takes the change of g along a step. Without it Rosenbrock is slow (measured, docs/results/parts.md).
    secant: bool = True
    #: Curvature along a step that BFGS must leave, of the old one (NW 18.3: 0.2). ×10 (1 at most): it only grows.
    damping: float = 0.1
    #: Difference of two renders of a new θ / improvement, from which it is noise. ×10: noise is noticed later.
    irreproducible: float = 0.1
    #: Failures from which the surrogate has failed. ×10: more sweeps that lead nowhere.
    patience: int = 2
    #: Sweeps that are compared for creeping. ×10: it creeps ten times as long.
    creep_sweeps: int = 4
    #: Remaining loss after them, from which it may creep. ×10 (above 1): it never creeps.
    creep_remaining: float = 0.5
    #: Ratio of two radii from which curvatures at them are compared. ×10: it creeps longer.
    creep_radii: float = 5.0
    #: Power of 1 / r by which curvature grows at kinks: in theory 1, where smooth 0 (docs/notebook). ×10: no kinks.
    creep_power: float = 0.75
    #: It has converged once r < ε^power |θ|, where differences are rounding (NW 8.1: 1/2). ×10: never.
    converged_power: float = 0.5


@dataclass
class QuasiNewtonState:
    """All that changes."""

    #: The present θ [n], scaled.
    theta: Tensor
    #: r, how far the next sweep probes, scaled.
    radius: float
    #: The longest Newton step that is tried, scaled.
    trust: float
    #: Gradient of h [n] from the last sweep.
    g: Tensor
    #: The last step of θ that was taken [n].
    step: Tensor
    #: Directions of the next sweep [n, n], one a row, orthonormal.
    basis: Tensor
    #: Curvature of h [n, n]; None until a sweep has measured it.
    H: Tensor | None = None
    #: The loss at θ.
    f: float = math.nan
    #: Trial steps that are to be rendered [6, n]; None while a sweep is.
    trials: Tensor | None = None
    #: By how much the last step lowered the loss; 0 once that has been rendered again.
    improvement: float = 0.0
    #: Failures since the last step whose loss was the same when rendered again; a flat sweep counts as a part of one.
    failures: float = 0.0
    #: Whether it creeps along kinks.
    creeps: bool = False
    #: Whether the last sweep had a direction along which the loss does not change at all: a plateau, as rounding makes.
    has_plateau: bool = False
    #: Radius, largest curvature and loss of the last sweeps.
    sweeps: list[tuple[float, float, float]] = field(default_factory=list)


class QuasiNewton(Surrogate):
    """Sweeps of 2 n + 1 renders and six trial steps, in turn.

    r follows the length of the last step. It shrinks by `settings.shrink` where a sweep led nowhere: no trial was
    better, H was zero or infinite, or the render of θ or of each direction failed. It grows by `settings.widen` where a
    sweep was flat. The surrogate has failed after `settings.patience` of
    these, or of improvements that are not the same when rendered again (noise), or where it creeps along kinks. It has
    converged where it has failed although r is tiny and the loss is smooth.
    """

    Settings = QuasiNewtonSettings
    settings: QuasiNewtonSettings
    state: QuasiNewtonState
    matrices = 2

    def __init__(
        self, problem: Problem, theta: Tensor, sigma: float, settings: QuasiNewtonSettings | None = None
    ) -> None:
        super().__init__(problem, settings)
        self.state = QuasiNewtonState(
            theta=theta.clone(),
            radius=sigma,
            trust=sigma * math.sqrt(self.n),
            g=torch.zeros_like(theta),
            step=torch.zeros_like(theta),
            basis=torch.eye(self.n).to(theta),
        )

    def ask(self) -> Tensor:
        """A sweep [2 n + 1, n], or trial steps [6, n]."""
        state = self.state
        if state.trials is not None:
            return state.trials
        offsets = state.radius * state.basis
        return torch.cat([state.theta[None], state.theta + offsets, state.theta - offsets])

    def tell(self, theta: Tensor, losses: Tensor, valid: Tensor) -> None:
        losses = torch.where(valid, losses, math.inf)
        trials = self.state.trials
        if len(losses) < (2 * self.n + 1 if trials is None else len(trials)):
            return  # the budget cut the batch, so it is the last one
        if trials is not None:
            self._move(trials, losses)
        else:
            self._learn(float(losses[0]), losses[1 : self.n + 1], losses[self.n + 1 :])

    def _learn(self, f: float, plus: Tensor, minus: Tensor) -> None:
        """From the loss at θ, θ + r b [n] and θ − r b [n] to h, and to trial steps."""
        state, settings = self.state, self.settings
        is_seen = plus.isfinite() & minus.isfinite()
        if not is_seen.any() or not math.isfinite(f):
            self._fail()
            return
        self._check_last_step(f)
        state.f = f
        state.has_plateau = bool((is_seen & (plus == f) & (minus == f)).any())
        rise = torch.where(is_seen, torch.maximum((plus - f).abs(), (minus - f).abs()), 0.0).max()
        is_sweep_flat = float(rise) <= settings.flat_rise * abs(f)
        if is_sweep_flat:
            state.radius *= settings.widen
            state.failures += settings.flat_failure
            return
        slopes, curvatures = self._differences(f, plus, minus, is_seen)
        g = state.basis.T @ slopes
        self._look_for_kinks(f, float(curvatures.abs().max()))
        state.H = self._learned_H(g, slopes, curvatures)
        state.g = g
        self._plan(g, state.H)

    def _check_last_step(self, f: float) -> None:
        """The loss at θ, rendered again: an improvement that is not the same was noise, and counts as a failure."""
        state = self.state
        if state.improvement > 0:
            is_improvement_real = abs(f - state.f) <= self.settings.irreproducible * state.improvement
            state.failures = 0.0 if is_improvement_real else state.failures + 1
            state.improvement = 0.0

    def _differences(self, f: float, plus: Tensor, minus: Tensor, is_seen: Tensor) -> tuple[Tensor, Tensor]:
        """Slopes [n] and curvatures [n] along the basis; 0 where not measured.

        Where bounds cut a probe, the slope is over what was left of both sides, and there is no curvature.
        """
        theta, basis, radius, project = self.state.theta, self.state.basis, self.state.radius, self.problem.project
        up = distances_inside(theta, basis, radius, project)
        down = -distances_inside(theta, basis, -radius, project)
        is_cut = torch.minimum(up, down) < self.settings.uncut * radius
        apart = torch.where(is_cut, (up + down).clamp_min(TINY), 2 * radius)
        slopes = torch.where(is_seen, (plus - minus) / apart, 0.0)
        curvatures = torch.where(is_seen & ~is_cut, (plus + minus - 2 * f) / radius**2, 0.0)
        return slopes, curvatures

    def _look_for_kinks(self, f: float, curvature: float) -> None:
        """It creeps if the loss has hardly fallen while the largest curvature has grown nearly as 1 / r."""
        state, settings = self.state, self.settings
        state.sweeps = [*state.sweeps, (state.radius, curvature, f)][-settings.creep_sweeps :]
        widest, sharpest = max(state.sweeps), max(state.sweeps, key=lambda sweep: sweep[1])
        radii = widest[0] / sharpest[0]
        has_loss_hardly_fallen = f > settings.creep_remaining * state.sweeps[0][2]
        has_curvature_grown = sharpest[1] > widest[1] * radii**settings.creep_power
        are_sweeps_enough = len(state.sweeps) == settings.creep_sweeps and radii > settings.creep_radii
        state.creeps = are_sweeps_enough and has_loss_hardly_fallen and has_curvature_grown

    def _learned_H(self, g: Tensor, slopes: Tensor, curvatures: Tensor) -> Tensor:
        """H [n, n] from the new g [n], and the slopes [n] and curvatures [n] along the basis."""
        state, settings = self.state, self.settings
        if state.H is None:
            # A flat or concave direction gets at least the curvature that makes its step the trust radius.
            least = slopes.abs() / state.trust
            positive = torch.where(curvatures > 0, curvatures, torch.maximum(curvatures.abs(), least))
            positive = positive.clamp(min=settings.least_curvature * float(least.max()))
            return state.basis.T @ (positive[:, None] * state.basis)
        H = damped_bfgs(state.H, state.step, g - state.g, settings.damping) if settings.secant else state.H
        known = ((state.basis @ H) * state.basis).sum(1)
        change = torch.where(curvatures > 0, curvatures - known, 0.0)
        return H + state.basis.T @ (change[:, None] * state.basis)

    def _plan(self, g: Tensor, H: Tensor) -> None:
        """Trial steps along Newton's step, and the basis of the next sweep."""
        state, project = self.state, self.problem.project
        scale = float(H.abs().max())
        is_smooth = 0 < scale < math.inf  # slopes over a vanishing radius are infinite where it is not
        if not is_smooth:
            self._fail()
            return
        step, state.basis = newton_inside(state.theta, g / scale, H / scale, state.trust, project)
        step = shortened(step, state.trust)
        state.trials = project(state.theta + step.new_tensor(self.settings.step_lengths)[:, None] * step)

    def _move(self, trials: Tensor, losses: Tensor) -> None:
        """To the best of the trials [6, n] if it is better than θ. Its length sets r and the trust radius."""
        state, settings = self.state, self.settings
        state.trials = None
        best = int(losses.argmin())
        state.improvement = state.f - float(losses[best])
        if not state.improvement > 0:
            self._fail()
            return
        state.step = trials[best] - state.theta
        newton_length, length = float((trials[0] - state.theta).norm()), float(state.step.norm())
        state.theta, state.f = trials[best].clone(), float(losses[best])
        is_newton_too_long = length < newton_length
        kept = settings.trust_shrink * state.trust if is_newton_too_long else state.trust
        state.trust = max(settings.trust_to_step * length, kept)
        state.radius = settings.radius_to_step * length / math.sqrt(self.n)

    def _fail(self) -> None:
        """A sweep or its trials led nowhere: look nearer, and forget H."""
        state, settings = self.state, self.settings
        state.failures += 1
        state.improvement = 0.0
        state.trust *= settings.shrink
        state.radius *= settings.shrink
        state.basis, state.H = torch.eye(self.n).to(state.theta), None

    @property
    def failed(self) -> bool:
        return self.state.creeps or self.state.failures >= self.settings.patience

    @property
    def converged(self) -> bool:
        """No better point, no plateau, and differences over so short a radius would be rounding: a minimum."""
        is_loss_smooth = not (self.state.creeps or self.state.has_plateau)
        finest = resolution(self.theta, self.settings.converged_power)
        return self.failed and is_loss_smooth and self.state.radius < finest

    def recommend(self) -> Tensor:
        return self.state.theta

    def predict(self, theta: Tensor) -> Tensor:
        state, s = self.state, theta - self.state.theta
        return state.f + s @ state.g + (0.0 if state.H is None else 0.5 * ((s @ state.H) * s).sum(1))

    def gradient(self, theta: Tensor) -> Tensor:
        state = self.state
        return state.g + (0.0 if state.H is None else state.H @ (theta - state.theta))

    @property
    def hessian(self) -> Tensor | None:
        return self.state.H

    @property
    def sigma(self) -> float:
        """r, for it is what a sweep samples."""
        return self.state.radius

    def status(self) -> dict[str, float]:
        return {"step": float(self.state.step.norm())}


def damped_bfgs(H: Tensor, s: Tensor, y: Tensor, damping: float) -> Tensor:
    """The H [n, n] nearest to the old one for which H s = y: g changed by y [n] along the step s [n].

    Where y shows less than `damping` of the old curvature along s, y is mixed with H s so that H stays positive
    (Powell 1978; NW 18.3). Where the old curvature along s is not positive, H stays as it is.
    """
    Hs, sy = H @ s, float(s @ y)
    sHs = float(s @ Hs)
    if sHs <= 0:
        return H
    if sy < damping * sHs:
        mix = (1 - damping) * sHs / (sHs - sy)
        y = mix * y + (1 - mix) * Hs
        sy = float(s @ y)
    return H - torch.outer(Hs, Hs) / sHs + torch.outer(y, y) / sy
