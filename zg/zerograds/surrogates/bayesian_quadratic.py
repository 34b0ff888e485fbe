"""The ridge surrogate: a quadratic fitted to a window of past samples, for few parameters and a noisy loss.

    h(θ) = f + w·u + u·H u / 2,    u = A⁻¹ (θ − centre)/σ

Ridge regression in dual form: a Gaussian prior on f, w and H, H isotropic, diagonal and full in parts, becomes a kernel
k(u, v), and N samples cost N × N numbers whatever n is. How noisy the losses are and how curved the bowl is are what
makes the losses seen likeliest (evidence; MacKay, "Bayesian interpolation", 1992). Against noise one looks far: σ grows
while noise is more than a part of what the samples show, shrinks when they differ from a quadratic by more than noise,
and A takes the shape of the valley, A Aᵀ ∝ H⁻¹, so that every direction shows as much.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from zg.errors import check_positive
from zg.sampling import antithetic
from zg.zerograds.surrogates.base import Surrogate

LEVEL = 4.0  # prior variance of f, in variances of the losses: they are standardised, so f is of order 1
RANGE = (-16.0, 6.0)  # of the logarithms of the prior's variances
TINY = 1e-300


class BayesianQuadratic(Surrogate):
    """f, w [n] and H [n, n] from the last `window` samples: O(n² + window²) memory, 2 · pairs + 3 renders an iteration.

    pairs: antithetic pairs an iteration, by default n / 2 within [4, 25]. window: samples that it remembers, by default
    as many as H has numbers and 4 n more, within [150, 700]. One sample and θ are rendered twice in
    each batch: the noise.
    """

    LOCALITY = 2.0  # samples count by their distance, as a Gaussian that is so many times wider than σ
    FADE = 0.8  # the noise is averaged over about 1 / (1 − FADE) batches
    DROWNED = 0.1  # noise / variance of the losses of a batch, from which σ grows
    LOUDER = 4.0  # noise at the samples / at θ, from which looking farther gains nothing: it grows with the loss
    BENT = 0.3  # misfit beyond noise / that variance, from which σ shrinks
    GOOD = 0.5  # actual / predicted decrease, from which a step that was held back lets σ grow
    SHRINK, GROW = 0.7, 1.2
    WIDEST = 100.0  # times the first σ: the loss may be nothing but noise
    RESHAPE = 0.15  # share of H's logarithm that goes over into A an iteration (1/2 would be all of it)
    CONTRAST = 10.0  # curvatures are believed within so many times their mean

    def __init__(
        self,
        theta: Tensor,
        sigma: float,
        project: Callable[[Tensor], Tensor],
        generator: torch.Generator,
        pairs: int | None = None,
        window: int | None = None,
    ) -> None:
        super().__init__(project, generator)
        n = theta.numel()
        self.pairs = pairs or min(max(4, n // 2), 25)
        self.window = window or min(max(150, 4 * n + n * n // 2), 700)
        check_positive(pairs=self.pairs, window=self.window)
        self.theta, self.accepted, self.n = theta.clone(), theta.clone(), n
        self.sigma, self.widest = sigma, self.WIDEST * sigma
        self.samples, self.losses = theta.new_empty(0, n), theta.new_empty(0, dtype=torch.float64)
        self.A = self.next_A = torch.eye(n).to(theta)
        self.noise = self.noise_near = 0.0  # variances at a sample and at θ, averaged over so many batches
        self.batches = 0
        self.prior = [math.log(1e-2), 0.0, 0.0]  # log variances: noise, isotropic H, other H; losses standardised
        self.centre, self.unit = theta.clone(), sigma
        self.mean, self.spread, self.f, self.misfit = 0.0, 1.0, 0.0, math.nan
        self.w, self.H = torch.zeros_like(theta), torch.zeros(n, n).to(theta)
        self.predicted, self.length, self.held, self.drowned = math.nan, 0.0, False, False

    def ask(self) -> Tensor:
        """[a sample, the same again, all other samples, θ, θ]: [2 · pairs + 3, n]."""
        offsets = antithetic(self.pairs, self.n, self.generator, self.theta.dtype)
        samples = self.theta + self.sigma * offsets @ self.next_A.T
        return self.project(torch.cat([samples[:1], samples, self.theta.expand(2, -1)]))

    def tell(self, theta: Tensor, losses: Tensor, valid: Tensor) -> None:
        if not valid.any():
            self.theta, self.sigma = self.accepted, self.SHRINK * self.sigma
            return
        if len(losses) == 2 * self.pairs + 3 and valid[[0, 1, -2, -1]].all():
            self.batches += 1
            keep = min(self.FADE, 1 - 1 / self.batches)
            far, near = (0.5 * float((losses[k] - losses[k + 1]).square()) for k in (0, -2))
            self.noise, self.noise_near = (
                keep * self.noise + (1 - keep) * far,
                keep * self.noise_near + (1 - keep) * near,
            )
        self.samples = torch.cat([self.samples, theta[valid]])[-self.window :]
        self.losses = torch.cat([self.losses, losses[valid]])[-self.window :]
        if len(self.losses) > 4 and bool((self.losses != self.losses[0]).any()):
            self._fit()
            self._judge(float(losses[valid].var()) if int(valid.sum()) > 1 else 0.0)
            self._step()
        else:
            self.sigma = min(self.GROW * self.sigma, self.widest)

    def _fit(self) -> None:
        """The posterior mean of f, w and H around θ, under the likelier of two priors."""
        self.centre, self.unit, self.A = self.theta.clone(), self.sigma, self.next_A
        u = self._local(self.samples)
        doubt = (u.square().mean(1) / (2 * self.LOCALITY**2)).clamp_max(12.0).exp()  # noise / that of a sample nearby
        weights = doubt.reciprocal() / doubt.reciprocal().sum()
        self.mean = float(weights @ self.losses)
        self.spread = max(math.sqrt(float(weights @ (self.losses - self.mean).square())), TINY)
        target = ((self.losses - self.mean) / self.spread).clamp(-30, 30)
        product, length, square = u @ u.T / self.n, u.square().mean(1), u.square() / self.n
        isotropic = torch.outer(length, length)
        other = product.square() + square @ square.T
        found: tuple[float, list[float], Tensor] | None = None
        for prior in (self.prior, self._mutated()):
            noise, even, full = (math.exp(value) for value in prior)
            kernel = LEVEL + product + even * isotropic + full * other
            kernel.diagonal().add_(noise * doubt)
            factor, wrong = torch.linalg.cholesky_ex(kernel)
            if wrong:
                continue
            dual = torch.cholesky_solve(target[:, None], factor)[:, 0]
            evidence = -0.5 * float(target @ dual) - float(factor.diagonal().log().sum())
            if found is None or evidence > found[0]:
                found = evidence, prior, dual
        if found is None:
            self.prior[0] = min(self.prior[0] + 1.0, RANGE[1])
            return
        _, self.prior, dual = found
        noise, even, full = (math.exp(value) for value in self.prior)
        diagonal = full * torch.diag(square.T @ dual) + even * float(dual @ length) * torch.eye(self.n).to(u)
        self.f, self.w = LEVEL * float(dual.sum()), u.T @ dual / self.n
        self.H = 2 / self.n * (diagonal + full * (u.T * dual) @ u / self.n)
        self.misfit = math.sqrt(noise) * self.spread

    def _mutated(self) -> list[float]:
        """The prior with one of its variances e times larger or smaller."""
        draw = int(torch.randint(6, (1,), generator=self.generator, device=self.generator.device))
        which, change = draw % 3, 1.0 if draw < 3 else -1.0
        prior = list(self.prior)
        prior[which] = min(max(prior[which] + change, RANGE[0]), RANGE[1])
        return prior

    def _judge(self, variance: float) -> None:
        """Keep the last step if h, which now knows what is there, still thinks it right; set σ by noise and misfit."""
        new, old = self.predict(torch.stack([self.theta, self.accepted])).tolist()
        misfit = self.misfit**2
        noise = min(self.noise, variance)
        self.drowned = noise > self.DROWNED * variance
        if new > old:
            self.theta = self.accepted
            self.sigma *= 1.0 if self.drowned else self.SHRINK
        if self.drowned:
            self.sigma *= self.GROW if self.noise < self.LOUDER * self.noise_near else self.SHRINK
        elif misfit > 2 * noise and misfit - noise > self.BENT * variance:
            self.sigma *= self.SHRINK
        elif self.held and old - new > self.GOOD * self.predicted:
            self.sigma *= self.GROW
        self.sigma = max(min(self.sigma, self.widest), 4 * self.resolution(0.75))
        self.accepted = self.theta

    def _step(self) -> None:
        """To the minimum of h within the ball |u| ≤ √n around θ, which the samples fill; then A turns towards H⁻¹."""
        bends, axes = torch.linalg.eigh(self.H)
        slopes = axes.T @ (self.w + self.H @ self._local(self.theta[None])[0])
        step, self.held = trusted(bends, slopes, math.sqrt(self.n))
        theta = self.project(self.theta + self.unit * self.A @ (axes @ step))
        here, there = self.predict(torch.stack([self.theta, theta])).tolist()
        self.predicted, self.length = here - there, float((theta - self.theta).norm())
        self.theta = theta
        mean = float(bends.abs().mean())
        if mean > 0 and not self.drowned:  # else H is noise
            bends = bends.abs().clamp(mean / self.CONTRAST, mean * self.CONTRAST).log()
            self.next_A = self.A @ (axes * (-self.RESHAPE * (bends - bends.mean())).exp()) @ axes.T

    def _local(self, theta: Tensor) -> Tensor:
        """θ [B, n] -> u [B, n]."""
        return torch.linalg.solve(self.A, ((theta - self.centre) / self.unit).T).T

    def recommend(self) -> Tensor:
        return self.theta

    def predict(self, theta: Tensor) -> Tensor:
        u = self._local(theta)
        return self.mean + self.spread * (self.f + u @ self.w + 0.5 * ((u @ self.H) * u).sum(1))

    def gradient(self, theta: Tensor) -> Tensor:
        slope = self.w + self.H @ self._local(theta[None])[0]
        return self.spread / self.unit * torch.linalg.solve(self.A.T, slope)

    @property
    def converged(self) -> bool:
        return False

    def status(self) -> dict[str, float]:
        return {"sigma": self.sigma, "step": self.length, "fit_error": self.misfit, "noise": math.sqrt(self.noise)}


def trusted(bends: Tensor, slopes: Tensor, radius: float) -> tuple[Tensor, bool]:
    """The minimum s [n] of slopes·s + s·(bends s)/2 within |s| ≤ radius, and whether the radius held it back.

    Bisection for the multiplier that brings |s| to the radius (Moré and Sorensen 1983, less the hard case).
    """
    low = max(0.0, -float(bends.min())) + 1e-12 * float(bends.abs().max()) + TINY
    step = -slopes / (bends + low)
    if float(step.norm()) <= radius:
        return step, False
    high = low + float(slopes.norm()) / radius + float(bends.abs().max())
    for _ in range(50):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if float((slopes / (bends + middle)).norm()) > radius else (low, middle)
    return -slopes / (bends + high), True
