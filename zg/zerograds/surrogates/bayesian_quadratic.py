"""Bayesian quadratic regression on a window of past samples, for few parameters and a noisy loss.

    h(θ) = m + s (f + g·u + u·H u / 2),    u = A⁻¹ (θ − c) / σ

m and s are the mean and the deviation of the losses in memory, c is the θ at the fit. The priors on f, g and H are
Gaussian, and H is the sum of an isotropic and a general part. So h is a Gaussian process with the kernel

    k(u, v) = p₀ + u·v/n + p₁ |u|²|v|²/n² + p₂ ((u·v)² + Σ u_i² v_i²)/n²

and N samples take N × N numbers, whatever n is. p₁, p₂ and the variance of the noise follow the evidence (MacKay 1992,
"Bayesian interpolation"), by a random walk of one step an iteration.

θ moves to the minimum of h in the ball |u| ≤ √n, which the samples fill. Against noise the samples have to be far
apart: σ grows while noise is more than a part of the variance of a batch. σ shrinks where the losses differ from h by
more than noise. A turns towards A Aᵀ ∝ H⁻¹, the shape of the valley: then every direction raises the loss alike.

Cost: O(n² + window²) numbers, O(n³ + window³) operations and 2 · pairs + 3 renders an iteration.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from zg.errors import check_whole
from zg.problem import Problem
from zg.sampling import antithetic
from zg.zerograds.parts.noise import NoiseVariance
from zg.zerograds.parts.trust_region import TINY, trusted
from zg.zerograds.surrogates.base import Surrogate, resolution


@dataclass(frozen=True)
class BayesianQuadraticSettings:
    """Values without a source are chosen by experience. ×10: what ten times the value does."""

    #: Antithetic pairs an iteration; None for n / 2 (n samples) within the next two. ×10: too few steps.
    pairs: int | None = None
    #: Fewest pairs by default. ×10: too few steps where n is small.
    fewest_pairs: int = 4
    #: Most pairs by default. ×10: too few steps where n is large.
    most_pairs: int = 25
    #: Samples in memory; None for n² / 2, of H, + `extra_window` n. ×10: less noise, an older bowl, slow fits.
    window: int | None = None
    #: Samples in memory by default beside those of H, per parameter. ×10: as above.
    extra_window: int = 4
    #: Smallest window by default. ×10: as above, where n is small.
    smallest_window: int = 150
    #: Largest window by default. ×10: as above, where n is large; a fit may take minutes.
    largest_window: int = 700
    #: Fewest samples for a fit. ×10: the first batches bring no step.
    samples_to_fit: int = 5
    #: Samples count by distance, as a Gaussian of this width, in σ. ×10: all count alike, even far away.
    locality: float = 2.0
    #: Largest logarithm of the noise that distance adds. ×10: little, such samples count for nearly nothing already.
    farthest: float = 12.0
    #: Losses further from their mean, in deviations, count as that far. ×10: one very bad sample decides the fit.
    outlier: float = 30.0
    #: p₀, the prior variance of f, in variances of the losses: f is of order 1. ×10: little, samples tell f well.
    prior_f: float = 4.0
    #: First variance of the noise, in variances of the losses. ×10: little, the random walk goes on from there.
    first_noise: float = 1e-2
    #: First p₁, the prior variance of the isotropic part of H. ×10: little, likewise.
    first_isotropic: float = 1.0
    #: First p₂, the prior variance of the general part of H. ×10: little, likewise.
    first_general: float = 1.0
    #: Step of the random walk, in logarithms of a variance. ×10: no variance fits, and noise is averaged badly.
    prior_step: float = 1.0
    #: Smallest and largest logarithm of these variances. ×10: little, few come near them.
    prior_range: tuple[float, float] = (-16.0, 6.0)
    #: Whether h has H. Without it steps go to the edge of the samples (measured: 180 times the loss under noise).
    curvature: bool = True
    #: Kept of the mean noise in each batch, so 5 batches count. At its most, 1, all batches count, however old.
    noise_memory: float = 0.8
    #: Noise / variance of the losses of a batch from which noise drowns differences. ×10: σ collapses under noise.
    drowned: float = 0.1
    #: Noise at samples / at θ, from which noise is louder away from θ. ×10: σ grows where noise grows with the loss.
    louder: float = 4.0
    #: Misfit / noise, as variances, up to which h is true. ×10: σ may stay too large for a quadratic.
    misfit_to_noise: float = 2.0
    #: (Misfit − noise) / variance of a batch up to which h is true. ×10: σ may stay too large for a quadratic.
    misfit_to_losses: float = 0.3
    #: Actual / predicted decrease above which a step that the ball cut was good. ×10: such steps do not let σ grow.
    good: float = 0.5
    #: σ times this for each reason to sample nearer; below 1. ×10: σ grows instead, and nothing is learned.
    shrink: float = 0.7
    #: σ times this for each reason to sample farther; 1 for a σ that never grows. ×10: σ swings over decades.
    grow: float = 1.2
    #: Largest σ / first σ, for a loss that may be nothing but noise. ×10: there, θ ends ten times as far away.
    widest: float = 100.0
    #: Smallest σ, in precisions ε^power |θ|: differences stay above rounding. ×10: the minimum is less exact.
    narrowest: float = 4.0
    #: That power. ×10: σ may shrink until all samples are equal.
    narrowest_power: float = 0.75
    #: Power of H that A takes an iteration; 1/2 would be all at once. ×10: A follows errors of H, and fits break down.
    reshape: float = 0.15
    #: Curvatures are believed within this factor of their mean. ×10: A becomes long where H is an error.
    contrast: float = 10.0


@dataclass
class BayesianQuadraticState:
    """All that changes."""

    #: The present θ [n] scaled; samples are drawn around it.
    theta: Tensor
    #: The θ [n] before the last step, to which it goes back if h then predicts a lower loss there.
    accepted: Tensor
    #: Width of sampling, scaled units a coordinate, before A.
    sigma: float
    #: σ is at most this.
    widest_sigma: float
    #: The memory: θ [≤ window, n] scaled, oldest first.
    samples: Tensor
    #: Their losses [≤ window].
    losses: Tensor
    #: c [n], θ at the last fit.
    centre: Tensor
    #: σ at the last fit.
    unit: float
    #: A [n, n] at the last fit: the shape of the samples.
    A: Tensor
    #: A of the next samples and the next fit.
    next_A: Tensor
    #: g [n], in units of the fit.
    g: Tensor
    #: H [n, n], in units of the fit.
    H: Tensor
    #: Logarithms of the variances of noise, isotropic H and general H.
    prior: list[float]
    #: Variance of the noise at samples.
    noise: NoiseVariance
    #: Variance of the noise at θ.
    noise_at_theta: NoiseVariance
    #: m, mean of the losses at the last fit.
    mean: float = 0.0
    #: s, deviation of the losses at the last fit.
    spread: float = 1.0
    #: f, in units of the fit.
    f: float = 0.0
    #: Deviation of the losses from h, in units of the loss; NaN before the first fit.
    misfit: float = math.nan
    #: The decrease of the loss that h predicts for the last step; NaN before the first.
    predicted_decrease: float = math.nan
    #: Length of the last step, scaled units.
    step_length: float = 0.0
    #: Whether the ball |u| ≤ √n cut the last step.
    is_step_cut: bool = False


class BayesianQuadratic(Surrogate):
    """Regression against noise. One sample and θ are rendered twice in each batch: that measures the noise.

    σ shrinks by `settings.shrink` where every render failed. Where noise drowns the differences, σ grows by
    `settings.grow`, or shrinks if noise is louder away from θ. Where noise does not, σ shrinks once for a step that was
    wrong, and once more if the loss is not quadratic (0.49 together), and grows where a good step was cut. It grows,
    too, where all losses are equal or too few.
    """

    Settings = BayesianQuadraticSettings
    settings: BayesianQuadraticSettings
    state: BayesianQuadraticState
    matrices = 3

    def __init__(
        self, problem: Problem, theta: Tensor, sigma: float, settings: BayesianQuadraticSettings | None = None
    ) -> None:
        super().__init__(problem, settings)
        options, n = self.settings, self.n
        usual_pairs = min(max(options.fewest_pairs, n // 2), options.most_pairs)
        wanted = options.extra_window * n + n * n // 2
        usual_window = min(max(options.smallest_window, wanted), options.largest_window)
        self.pairs = usual_pairs if options.pairs is None else options.pairs
        self.window = usual_window if options.window is None else options.window
        check_whole(pairs=self.pairs, window=self.window)
        start, round_A = theta.clone(), torch.eye(n).to(theta)
        self.state = BayesianQuadraticState(
            theta=start,
            accepted=start,
            sigma=sigma,
            widest_sigma=options.widest * sigma,
            samples=theta.new_empty(0, n),
            losses=theta.new_empty(0, dtype=torch.float64),
            centre=start,
            unit=sigma,
            A=round_A,
            next_A=round_A,
            g=torch.zeros_like(theta),
            H=torch.zeros(n, n).to(theta),
            prior=[math.log(first) for first in (options.first_noise, options.first_isotropic, options.first_general)],
            noise=NoiseVariance(options.noise_memory),
            noise_at_theta=NoiseVariance(options.noise_memory),
        )

    def ask(self) -> Tensor:
        """[a sample, the same again, all other samples, θ, θ]: [2 · pairs + 3, n]."""
        state = self.state
        offsets = antithetic(self.pairs, self.n, self.problem.generator, state.theta.dtype)
        samples = state.theta + state.sigma * offsets @ state.next_A.T
        return self.problem.project(torch.cat([samples[:1], samples, state.theta.expand(2, -1)]))

    def tell(self, theta: Tensor, losses: Tensor, valid: Tensor) -> None:
        state, settings = self.state, self.settings
        if not valid.any():
            state.theta, state.sigma = state.accepted, settings.shrink * state.sigma
            return
        if len(losses) == 2 * self.pairs + 3 and valid[[0, 1, -2, -1]].all():
            state.noise.tell(losses[0], losses[1])
            state.noise_at_theta.tell(losses[-2], losses[-1])
        state.samples = torch.cat([state.samples, theta[valid]])[-self.window :]
        state.losses = torch.cat([state.losses, losses[valid]])[-self.window :]
        has_seen_differences = bool((state.losses != state.losses[0]).any())
        if len(state.losses) < settings.samples_to_fit or not has_seen_differences:
            state.sigma = min(settings.grow * state.sigma, state.widest_sigma)
            return
        variance = float(losses[valid].var()) if int(valid.sum()) > 1 else 0.0
        has_noise_drowned_differences = min(state.noise.value, variance) > settings.drowned * variance
        self._fit()
        self._judge(variance, has_noise_drowned_differences)
        curvatures, axes = torch.linalg.eigh(state.H)
        self._step(curvatures, axes)
        if not has_noise_drowned_differences:  # else H is noise
            self._reshape(curvatures, axes)

    def take_known(self, theta: Tensor, losses: Tensor) -> bool:
        state = self.state
        state.samples = torch.cat([state.samples, theta])[-self.window :]
        state.losses = torch.cat([state.losses, losses])[-self.window :]
        return True

    def _fit(self) -> None:
        """The posterior mean of f, g and H around θ, under the last prior or a mutation of it, by their evidence."""
        state, settings = self.state, self.settings
        state.centre, state.unit, state.A = state.theta.clone(), state.sigma, state.next_A
        kernel = QuadraticKernel(self._local(state.samples), settings.prior_f)
        # Distance counts as noise: variance of a sample's noise, relative to that of a sample at θ.
        doubt = (kernel.length / (2 * settings.locality**2)).clamp_max(settings.farthest).exp()
        target = self._standardised(doubt)
        best: tuple[float, list[float], Tensor] | None = None
        for prior in (state.prior, self._mutated()):
            regression = kernel.regress(target, doubt, prior)
            if regression is not None and (best is None or regression[0] > best[0]):
                best = regression[0], prior, regression[1]
        if best is None:  # the kernel matrix is singular: more noise makes it regular
            state.prior = [min(state.prior[0] + settings.prior_step, settings.prior_range[1]), *state.prior[1:]]
            return
        _, state.prior, dual = best
        state.f, state.g, state.H = kernel.quadratic(dual, state.prior)
        if not settings.curvature:
            state.H = torch.zeros_like(state.H)
        state.misfit = math.sqrt(math.exp(state.prior[0])) * state.spread

    def _standardised(self, doubt: Tensor) -> Tensor:
        """The losses [N] in memory, in deviations s from their mean m."""
        state, settings = self.state, self.settings
        weights = doubt.reciprocal() / doubt.reciprocal().sum()
        state.mean = float(weights @ state.losses)
        state.spread = max(math.sqrt(float(weights @ (state.losses - state.mean).square())), TINY)
        return ((state.losses - state.mean) / state.spread).clamp(-settings.outlier, settings.outlier)

    def _mutated(self) -> list[float]:
        """The prior with one of its variances a step larger or smaller."""
        generator, (low, high) = self.problem.generator, self.settings.prior_range
        prior = list(self.state.prior)
        draw = int(torch.randint(2 * len(prior), (1,), generator=generator, device=generator.device))
        which, sign = draw % len(prior), 1 if draw < len(prior) else -1
        prior[which] = min(max(prior[which] + sign * self.settings.prior_step, low), high)
        return prior

    def _judge(self, variance: float, has_noise_drowned_differences: bool) -> None:
        """Take the last step back if h, with samples around it, now predicts a higher loss there; and set σ.

        variance: of the losses of the batch.
        """
        state, settings = self.state, self.settings
        at_theta, at_accepted = self.predict(torch.stack([state.theta, state.accepted])).tolist()
        misfit, noise = state.misfit**2, min(state.noise.value, variance)
        is_step_wrong = at_theta > at_accepted
        is_noise_louder_away = not state.noise.value < settings.louder * state.noise_at_theta.value
        is_misfit_above_noise = misfit > settings.misfit_to_noise * noise
        is_loss_not_quadratic = is_misfit_above_noise and misfit - noise > settings.misfit_to_losses * variance
        is_decrease_as_predicted = at_accepted - at_theta > settings.good * state.predicted_decrease
        if is_step_wrong:
            state.theta = state.accepted
            if not has_noise_drowned_differences:
                state.sigma *= settings.shrink
        if has_noise_drowned_differences:
            state.sigma *= settings.shrink if is_noise_louder_away else settings.grow
        elif is_loss_not_quadratic:
            state.sigma *= settings.shrink
        elif state.is_step_cut and is_decrease_as_predicted:
            state.sigma *= settings.grow
        narrowest = settings.narrowest * resolution(state.theta, settings.narrowest_power)
        state.sigma = max(min(state.sigma, state.widest_sigma), narrowest)
        state.accepted = state.theta

    def _step(self, curvatures: Tensor, axes: Tensor) -> None:
        """To the minimum of h within the ball |u| ≤ √n around θ, which the samples fill; curvatures and axes: of H."""
        state = self.state
        slopes = axes.T @ (state.g + state.H @ self._local(state.theta[None])[0])
        step, state.is_step_cut = trusted(curvatures, slopes, math.sqrt(self.n))
        theta = self.problem.project(state.theta + state.unit * state.A @ (axes @ step))
        here, there = self.predict(torch.stack([state.theta, theta])).tolist()
        state.predicted_decrease, state.step_length = here - there, float((theta - state.theta).norm())
        state.theta = theta

    def _reshape(self, curvatures: Tensor, axes: Tensor) -> None:
        """A ← A H^(−reshape), up to a factor: a part of the way to A H^(−1/2), in which every curvature is the same."""
        state, settings = self.state, self.settings
        mean = float(curvatures.abs().mean())
        if mean > 0:
            logs = curvatures.abs().clamp(mean / settings.contrast, mean * settings.contrast).log()
            state.next_A = state.A @ (axes * (-settings.reshape * (logs - logs.mean())).exp()) @ axes.T

    def _local(self, theta: Tensor) -> Tensor:
        """θ [B, n] -> u [B, n]."""
        u: Tensor = torch.linalg.solve(self.state.A, ((theta - self.state.centre) / self.state.unit).T).T
        return u

    @property
    def converged(self) -> bool:
        """Never: against noise there is always more to average."""
        return False

    def recommend(self) -> Tensor:
        return self.state.theta

    def predict(self, theta: Tensor) -> Tensor:
        state, u = self.state, self._local(theta)
        return state.mean + state.spread * (state.f + u @ state.g + 0.5 * ((u @ state.H) * u).sum(1))

    def gradient(self, theta: Tensor) -> Tensor:
        state = self.state
        slopes = state.g + state.H @ self._local(theta[None])[0]
        g: Tensor = state.spread / state.unit * torch.linalg.solve(state.A.T, slopes)
        return g

    @property
    def sigma(self) -> float:
        return self.state.sigma

    def status(self) -> dict[str, float]:
        state = self.state
        return {"step": state.step_length, "fit_error": state.misfit, "noise": math.sqrt(state.noise.value)}


class QuadraticKernel:
    """The kernel k(u, v) between samples u [N, n], by its terms [N, N], which do not depend on the prior.

    prior_f: p₀. length: |u|²/n [N]. square: u_i²/n [N, n]. A `prior` is three logarithms: of the variance of the noise,
    of p₁ and of p₂.
    """

    def __init__(self, u: Tensor, prior_f: float) -> None:
        self.u, self.n, self.prior_f = u, u.shape[1], prior_f
        self.length, self.square = u.square().mean(1), u.square() / self.n
        self.linear = u @ u.T / self.n
        self.isotropic = torch.outer(self.length, self.length)
        self.general = self.linear.square() + self.square @ self.square.T

    def regress(self, target: Tensor, doubt: Tensor, prior: list[float]) -> tuple[float, Tensor] | None:
        """Logarithm of the evidence, up to a constant, and dual weights (k + noise)⁻¹ target [N]; None if singular."""
        noise, isotropic, general = (math.exp(value) for value in prior)
        kernel = self.prior_f + self.linear + isotropic * self.isotropic + general * self.general
        kernel.diagonal().add_(noise * doubt)
        factor, wrong = torch.linalg.cholesky_ex(kernel)
        if wrong:
            return None
        dual = torch.cholesky_solve(target[:, None], factor)[:, 0]
        return -0.5 * float(target @ dual) - float(factor.diagonal().log().sum()), dual

    def quadratic(self, dual: Tensor, prior: list[float]) -> tuple[float, Tensor, Tensor]:
        """The posterior mean of f, g [n] and H [n, n] from the dual weights [N]."""
        u, n, (_, isotropic, general) = self.u, self.n, (math.exp(value) for value in prior)
        sphere = isotropic * float(dual @ self.length) * torch.eye(n).to(u)
        diagonal = general * torch.diag(self.square.T @ dual) + sphere
        H = 2 / n * (diagonal + general * (u.T * dual) @ u / n)
        return self.prior_f * float(dual.sum()), u.T @ dual / n, H
