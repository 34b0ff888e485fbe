"""The quadratic surrogate with memory, for smooth losses of up to a few hundred parameters.

    h(θ + s) = f + w·s + s·H s / 2

It is never fitted afresh. An antithetic sweep over a basis gives the slope and the curvature along every direction of
it; H takes the change of slope along the last step by BFGS, and those curvatures as they are; the next basis is H's own
axes. Six lengths of the trust-limited Newton step, which minimises h inside the bounds, are then rendered at once, and
the best is taken.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from zg.zerograds.surrogates.base import Surrogate

TINY = 1e-300


class QuasiNewton(Surrogate):
    """w [n] and H [n, n] in double precision: O(n²) memory, 2 n + 7 renders an iteration.

    It has failed after PATIENCE sweeps that led nowhere, or whose success was not there when it was rendered again: the
    loss is noisy, or jagged. It has failed, too, where curvature grows as the radius shrinks and the loss hardly falls:
    the loss has kinks, along which it would creep.
    """

    LENGTHS = (1.0, 0.5, 0.1, 0.02, 2.0, 4.0)  # of Newton's step, tried together: six renders against a sweep of 2 n
    REACH = 0.5  # probe radius / last step, a coordinate: slopes over the length of a step, exact as steps shrink
    SHRINK = 0.25  # of trust and radius after a failure
    RESOLVE = 1e-9  # rises below this share of the loss are rounding or a plateau: probe 1 / SHRINK further out
    DAMPING = 0.1  # share of H's curvature along a step that a secant must leave (Powell)
    SOUND = 0.1  # noise / improvement from which an accepted step counts as a failure
    PATIENCE = 2
    SPAN, HARDLY = 10, 0.1  # sweeps that are compared; share of the loss that is left after them, from which it creeps
    NEARER, KINKED = 10.0, 0.75  # radius / the smaller; power of that by which curvature grows (kink: 1, smooth: 0)

    def __init__(
        self, theta: Tensor, sigma: float, project: Callable[[Tensor], Tensor], generator: torch.Generator
    ) -> None:
        super().__init__(project, generator)
        self.theta, self.n = theta.clone(), theta.numel()
        self.radius, self.trust = sigma, sigma * math.sqrt(self.n)
        self.w, self.step = torch.zeros_like(self.theta), torch.zeros_like(self.theta)
        self.f, self.claim, self.failures, self.trials = math.nan, 0.0, 0.0, theta.new_empty(0)
        self.creeps = False
        self.sweeps: list[tuple[float, float, float]] = []  # radius, largest curvature and loss of the last ones
        self.flat = False  # whether some direction is flat to the last bit: a plateau, such as rounding makes
        self.basis: Tensor
        self.H: Tensor
        self._forget()

    @property
    def failed(self) -> bool:
        return self.creeps or self.failures >= self.PATIENCE

    @property
    def converged(self) -> bool:
        """No better point, no plateau, and differences over so short a radius would be rounding: a minimum."""
        return self.failed and not (self.creeps or self.flat) and self.radius < self.resolution(0.5)

    def ask(self) -> Tensor:
        """A sweep [2 n + 1, n], then trial steps [6, n], in turn."""
        if len(self.trials):
            return self.trials
        offsets = self.radius * self.basis
        return torch.cat([self.theta[None], self.theta + offsets, self.theta - offsets])

    def tell(self, theta: Tensor, losses: Tensor, valid: Tensor) -> None:
        losses = torch.where(valid, losses, math.inf)
        if len(self.trials):
            if len(losses) == len(self.trials):
                self._choose(losses)
        elif len(losses) == 2 * self.n + 1:
            self._sweep(float(losses[0]), losses[1 : self.n + 1], losses[self.n + 1 :])

    def _sweep(self, f: float, plus: Tensor, minus: Tensor) -> None:
        both = plus.isfinite() & minus.isfinite()
        if not both.any() or not math.isfinite(f):
            return self._fail()
        if self.claim > 0:  # the accepted step, rendered again: another loss is noise
            self.failures = 0.0 if abs(f - self.f) <= self.SOUND * self.claim else self.failures + 1
            self.claim = 0.0
        self.f = f
        self.flat = bool((both & (plus == f) & (minus == f)).any())
        rise = torch.where(both, torch.maximum((plus - f).abs(), (minus - f).abs()), 0.0).max()
        if float(rise) <= self.RESOLVE * abs(f):
            self.radius /= self.SHRINK
            self.failures += self.SHRINK
            return None
        up, down = self._reach(1), self._reach(-1)
        cut = torch.minimum(up, down) < 0.99 * self.radius
        apart = torch.where(cut, (up + down).clamp_min(TINY), 2 * self.radius)
        slopes = torch.where(both, (plus - minus) / apart, 0.0)
        bends = torch.where(both & ~cut, (plus + minus - 2 * f) / self.radius**2, 0.0)
        w = self.basis.T @ slopes
        self._watch(f, float(bends.abs().max()))
        self._learn(w, slopes, bends)
        self.w = w
        return self._plan()

    def _reach(self, sign: int) -> Tensor:
        """How far the probes [n] on that side went along the basis: bounds may have cut them."""
        offsets = self.project(self.theta + sign * self.radius * self.basis) - self.theta
        return sign * (offsets * self.basis).sum(1)

    def _watch(self, f: float, bend: float) -> None:
        """Whether the last sweeps crept along kinks, where differences over a shorter radius show more curvature."""
        self.sweeps = [*self.sweeps, (self.radius, bend, f)][-self.SPAN :]
        far, sharp = max(self.sweeps), max(self.sweeps, key=lambda sweep: sweep[1])
        nearer = far[0] / sharp[0]
        self.creeps = (
            len(self.sweeps) == self.SPAN
            and f > self.HARDLY * self.sweeps[0][2]
            and nearer > self.NEARER
            and sharp[1] > far[1] * nearer**self.KINKED
        )

    def _learn(self, w: Tensor, slopes: Tensor, bends: Tensor) -> None:
        """H from the last step's secant and the curvatures `bends` [n] along the basis; at first from those alone."""
        if len(self.H):
            self._secant(self.step, w - self.w)
            known = ((self.basis @ self.H) * self.basis).sum(1)
            change = torch.where(bends > 0, bends - known, 0.0)
            self.H = self.H + self.basis.T @ (change[:, None] * self.basis)
            return
        # A flat or concave axis gets at least the curvature that makes its step the trust radius.
        least = slopes.abs() / self.trust
        bends = torch.where(bends > 0, bends, torch.maximum(bends.abs(), least)).clamp(min=1e-6 * float(least.max()))
        self.H = self.basis.T @ (bends[:, None] * self.basis)

    def _secant(self, s: Tensor, y: Tensor) -> None:
        """BFGS: least change of H that gives H s = y, damped so that H stays positive (Nocedal and Wright, 18.3)."""
        Hs, sy = self.H @ s, float(s @ y)
        sHs = float(s @ Hs)
        if sHs <= 0:
            return
        if sy < self.DAMPING * sHs:
            mix = (1 - self.DAMPING) * sHs / (sHs - sy)
            y = mix * y + (1 - mix) * Hs
            sy = float(s @ y)
        self.H = self.H - torch.outer(Hs, Hs) / sHs + torch.outer(y, y) / sy

    def _plan(self) -> None:
        """Trial steps along Newton's, with every curvature taken as positive, within the trust radius."""
        scale = float(self.H.abs().max())
        if not 0 < scale < math.inf:  # slopes over a vanishing radius: the loss is not smooth
            return self._fail()
        step = self._newton(self.w / scale, self.H / scale)
        step = step * min(1.0, self.trust / max(float(step.norm()), TINY))
        self.trials = self.project(self.theta + step.new_tensor(self.LENGTHS)[:, None] * step)
        return None

    def _newton(self, w: Tensor, H: Tensor) -> Tensor:
        """The step to the model's minimum inside the bounds; the next basis is the axes of what is not held by them."""
        free = self.project(self.theta - self.trust * w.sign()) != self.theta
        free |= w == 0
        step = torch.zeros_like(w)
        while True:
            inside = free.nonzero()[:, 0]
            bend, axes = torch.linalg.eigh(H[inside[:, None], inside])
            pull = (w + H @ torch.where(free, 0.0, step))[inside]
            step[inside] = -axes @ ((axes.T @ pull) / bend.abs().clamp(min=1e-14))
            held = self.project(self.theta + step)
            beyond = free & (held != self.theta + step)
            if not beyond.any():
                break
            step, free = torch.where(beyond, held - self.theta, step), free & ~beyond
        self.basis = torch.eye(self.n).to(w)
        self.basis[inside[:, None], inside] = axes.T
        return step

    def _choose(self, losses: Tensor) -> None:
        trials, self.trials = self.trials, self.theta.new_empty(0)
        best = int(losses.argmin())
        self.claim = self.f - float(losses[best])
        if not self.claim > 0:
            return self._fail()
        self.step = trials[best] - self.theta
        newton, length = float((trials[0] - self.theta).norm()), float(self.step.norm())
        self.theta, self.f = trials[best].clone(), float(losses[best])
        self.trust = max(2 * length, self.trust if length >= newton else self.SHRINK * self.trust)
        self.radius = self.REACH * length / math.sqrt(self.n)
        return None

    def _fail(self) -> None:
        self.failures += 1
        self.claim = 0.0
        self.trust *= self.SHRINK
        self.radius *= self.SHRINK
        self._forget()

    def _forget(self) -> None:
        self.basis, self.H = torch.eye(self.n).to(self.theta), self.theta.new_empty(0)

    def recommend(self) -> Tensor:
        return self.theta

    def predict(self, theta: Tensor) -> Tensor:
        s = theta - self.theta
        return self.f + s @ self.w + (0.5 * ((s @ self.H) * s).sum(1) if len(self.H) else 0.0)

    def gradient(self, theta: Tensor) -> Tensor:
        return self.w + (self.H @ (theta - self.theta) if len(self.H) else 0.0)

    def status(self) -> dict[str, float]:
        return {"sigma": self.radius, "step": float(self.step.norm())}
