"""Bayesian quadratic regression on a window of past samples, for few parameters and a noisy loss.

    h(θ) = m + s (f + g·u + u·H u / 2),    u = A⁻¹ (θ − c) / σ

m and s are the mean and the deviation of the losses in memory, c is the θ at the fit. The priors on f, g and H are
Gaussian, and H is the sum of an isotropic and a general part. A cubic part (g·u) |u|² is fitted beside them and left
out of h, so that it does not pass for a slope. So h is the mean of a Gaussian process with the kernel

    k(u, v) = p₀ + u·v/n + p₁ |u|²|v|²/n² + p₂ ((u·v)² + Σ u_i² v_i²)/n² + p₃ (u·v) |u|²|v|²/n³
    + s² (1 − a + a |u|⁴/n² + b |u|⁶/n³) on its diagonal

and N samples take N × N numbers, whatever n is. s² is the noise at |u|² = n and (1 − a) s² that at θ, measured by
rendering twice at both. b is the misfit, what no part explains. p₁, p₂, p₃ and b follow the evidence (MacKay 1992,
"Bayesian interpolation"), by steps of a hill climb.

θ moves to the minimum of h in the ball |u| ≤ r √n; for r = 1 the samples fill it. σ goes to where the error of the
slope is least: samples that are far apart bring less noise into it, and more misfit. A turns towards A Aᵀ ∝ H⁻¹, the
shape of the valley: then every direction raises the loss alike.

Cost: O(n² + window²) numbers, O(n³ + window³) operations and 2 · pairs + 3 renders an iteration.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from zg.errors import check_whole
from zg.problem import Problem
from zg.sampling import antithetic
from zg.zerograds.parts.noise import Noise
from zg.zerograds.parts.quadratic_kernel import CUBIC, GENERAL, ISOTROPIC, MISFIT, POWERS, QuadraticKernel, near
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
    #: Samples in memory; None for n², twice those of H, + `extra_window` n. ×10: less noise, an older bowl, slow fits.
    window: int | None = None
    #: Samples in memory by default beside those of H, per parameter. ×10: as above.
    extra_window: int = 8
    #: Smallest window by default. ×10: as above, where n is small.
    smallest_window: int = 300
    #: Largest window by default. ×10: as above, where n is large; a fit may take minutes.
    largest_window: int = 700
    #: Fewest samples for a fit. ×10: the first batches bring no step.
    samples_to_fit: int = 5
    #: Lengths of samples: from this to its inverse. ×10 (1 at most): a cubic part looks like a slope.
    shortest: float = 0.5
    #: Losses further from their mean, in deviations, count as that far. ×10: one very bad sample decides the fit.
    outlier: float = 30.0
    #: p₀, the prior variance of f, in variances of the losses: f is of order 1. ×10: little, samples tell f well.
    prior_f: float = 4.0
    #: First p₁, the prior variance of the isotropic part of H. ×10: little, likewise.
    first_isotropic: float = 1.0
    #: First p₂, the prior variance of the general part of H. ×10: little, likewise.
    first_general: float = 1.0
    #: First p₃, the prior variance of the cubic part. ×10: little, likewise.
    first_cubic: float = 0.01
    #: First b, the misfit at |u|² = n in variances of the noise. ×10: little, likewise.
    first_misfit: float = 0.5
    #: Step of the hill climb, in logarithms of a variance; for p₃ and b also twice that. ×10: no variance fits.
    prior_step: float = 1.0
    #: Smallest and largest logarithm of these variances. ×10: little, few come near them.
    prior_range: tuple[float, float] = (-16.0, 6.0)
    #: Whether a cubic part is fitted.
    cubic: bool = True
    #: Whether h has H. Without it steps go to the edge of the samples (measured: docs/results/parts.md).
    curvature: bool = True
    #: Kept of the mean noise in each pair, so 20 pairs count. At its most, 1, all pairs count, however old.
    noise_memory: float = 0.95
    #: Pairs for which noise is believed to be the same at samples and at θ. ×10: where noise is not, it counts as such.
    pairs_for_equal: float = 10.0
    #: a and 1 − a are at least this. ×10: where noise vanishes with the loss, it is believed to stay.
    least_loud: float = 0.01
    #: b at the right σ: there, a sample tells most of a slope (least s² (1 + b |u|⁶) / |u|²). ×10: bias, wide σ.
    misfit: float = 0.5
    #: Logarithm by which p₃ and b are expected below what would stop σ from growing. ×10: σ grows against evidence.
    hope: float = 3.0
    #: Standard deviation of that logarithm. ×10: σ drifts where evidence says nothing.
    hope_spread: float = 3.0
    #: Noise / variance of the losses of a batch up to which σ is wide enough where misfit cannot be seen. ×10: σ stays.
    drowned: float = 0.1
    #: Actual / predicted decrease above which a step that the ball cut was good. ×10: such steps do not let σ grow.
    good: float = 0.5
    #: Smallest r, r halves with each wrong step. ×10 (1 at most): a wrong H leads θ to the edge of the samples.
    shortest_reach: float = 0.1
    #: Smallest change of σ an iteration; below 1. ×10: σ grows instead, and nothing is learned.
    shrink: float = 0.7
    #: Largest change of σ an iteration; 1 for a σ that never grows. ×10: σ swings over decades.
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
    #: Logarithms of p₁, p₂, p₃ and b.
    prior: list[float]
    #: Noise at samples and at θ, in units of the loss.
    noise: Noise
    #: s² is at least this, in variances of the losses; logarithm.
    least_noise: float
    #: Variance of an error of the slope by noise, in variances of the losses; logarithm. p₃ should not be more.
    slope_noise: float = 0.0
    #: Number of samples that count in the fit.
    counted: float = 0.0
    #: Length of a step / that of a sample, at most.
    r: float = 1.0
    #: m, mean of the losses at the last fit.
    mean: float = 0.0
    #: s, deviation of the losses at the last fit.
    spread: float = 1.0
    #: f, in units of the fit.
    f: float = 0.0
    #: Deviation of the losses from h at |u|² = n, in units of the loss; NaN before the first fit.
    misfit: float = math.nan
    #: The decrease of the loss that h predicts for the last step; NaN before the first.
    predicted_decrease: float = math.nan
    #: Length of the last step, scaled units.
    step_length: float = 0.0
    #: Whether the ball |u| ≤ r √n cut the last step.
    is_step_cut: bool = False


class BayesianQuadratic(Surrogate):
    """Regression against noise. One sample and θ are rendered twice in each batch: that measures the noise.

    σ goes to where a wider one brings no more: noise at samples is twice that at θ, the misfit is half of the noise, or
    the cubic part is as large as the error of the slope by noise. As long as steps bring the decrease that h predicts,
    σ stays, and grows where they were cut. Where few samples count, h fits noise and misfit alike. σ then grows only
    while noise is more than a tenth of the variance of a batch, and shrinks with a wrong step. It grows, too, where all
    losses are equal or too few, and shrinks where every render failed.
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
        wanted = options.extra_window * n + n * n
        usual_window = min(max(options.smallest_window, wanted), options.largest_window)
        self.pairs = usual_pairs if options.pairs is None else options.pairs
        self.window = usual_window if options.window is None else options.window
        check_whole(pairs=self.pairs, window=self.window)
        start, round_A = theta.clone(), torch.eye(n).to(theta)
        priors = [options.first_isotropic, options.first_general, options.first_cubic, options.first_misfit]
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
            prior=[math.log(prior) for prior in priors],
            noise=Noise(options.noise_memory, options.pairs_for_equal),
            least_noise=options.prior_range[0],
        )

    def ask(self) -> Tensor:
        """[a sample, the same again, all other samples, θ, θ]: [2 · pairs + 3, n]."""
        state, generator, shortest = self.state, self.problem.generator, self.settings.shortest
        offsets = antithetic(self.pairs, self.n, generator, state.theta.dtype)
        lengths = torch.rand(self.pairs, 1, generator=generator, dtype=offsets.dtype, device=generator.device)
        lengths = shortest + (1 / shortest - shortest) * lengths
        offsets *= (lengths / lengths.square().mean().sqrt()).repeat(2, 1)
        samples = state.theta + state.sigma * offsets @ state.next_A.T
        return self.problem.project(torch.cat([samples[:1], samples, state.theta.expand(2, -1)]))

    def tell(self, theta: Tensor, losses: Tensor, valid: Tensor) -> None:
        state, settings = self.state, self.settings
        if not valid.any():
            state.theta, state.sigma = state.accepted, settings.shrink * state.sigma
            return
        if len(losses) == 2 * self.pairs + 3 and valid[[0, 1, -2, -1]].all():
            state.noise.tell(losses[:2], losses[-2:])
        state.samples = torch.cat([state.samples, theta[valid]])[-self.window :]
        state.losses = torch.cat([state.losses, losses[valid]])[-self.window :]
        has_seen_differences = bool((state.losses != state.losses[0]).any())
        if len(state.losses) < settings.samples_to_fit or not has_seen_differences:
            state.sigma = min(settings.grow * state.sigma, state.widest_sigma)
            return
        self._fit()
        variance = float(losses[valid].var()) if int(valid.sum()) > 1 else 0.0
        has_noise_drowned_differences = min(state.noise.variance, variance) > settings.drowned * variance
        self._judge(has_noise_drowned_differences)
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
        """The posterior mean of f, g and H around θ, under the last prior or one near it, by their evidence."""
        state, settings = self.state, self.settings
        kernel, target = self._renewed()
        noise = math.log(max(state.noise.variance / state.spread**2, TINY))
        noise = min(max(noise, state.least_noise), settings.prior_range[1])
        best: tuple[float, list[float], Tensor] | None = None
        deciding = (CUBIC, MISFIT) if settings.cubic else (MISFIT,)  # on σ
        for prior in near(state.prior, deciding, settings.prior_step, settings.prior_range, self.problem.generator):
            regression = kernel.regress(target, noise, prior)
            if regression is None:
                continue
            evidence = regression[0] + self._hope(prior, self._slope_noise(kernel, noise, prior))
            if best is None or evidence > best[0]:
                best = evidence, prior, regression[1]
        if best is None:  # the kernel matrix is singular: more noise makes it regular
            state.least_noise += settings.prior_step
            return
        _, state.prior, dual = best
        state.slope_noise, state.counted = self._slope_noise(kernel, noise, state.prior), kernel.counted(state.prior)
        state.f, state.g, state.H = kernel.quadratic(dual, state.prior)
        if not settings.curvature:
            state.H = torch.zeros_like(state.H)
        state.misfit = state.spread * math.sqrt(math.exp(noise) * (1 + math.exp(state.prior[MISFIT])))

    def _renewed(self) -> tuple[QuadraticKernel, Tensor]:
        """The kernel in units of σ around θ, and the losses [N] in their deviations; the prior moves to these units."""
        state, (low, high) = self.state, self.settings.prior_range
        change, spread = math.log(state.sigma / state.unit), state.spread
        state.centre, state.unit, state.A = state.theta.clone(), state.sigma, state.next_A
        state.prior = [value + power * change for value, power in zip(state.prior, POWERS, strict=True)]
        kernel = QuadraticKernel(self._local(state.samples), self.settings.prior_f, self._a)
        target = self._standardised(kernel.doubt(state.prior).clamp(min=1))
        if not math.isnan(state.misfit):  # else the spread before is none
            for part in (ISOTROPIC, GENERAL, CUBIC):
                state.prior[part] -= 2 * math.log(state.spread / spread)
        state.prior = [min(max(value, low), high) for value in state.prior]
        if not self.settings.cubic:
            state.prior[CUBIC] = low
        return kernel, target

    def _slope_noise(self, kernel: QuadraticKernel, noise: float, prior: list[float]) -> float:
        """As that of the kernel, but such that a cubic part can be below it: without noise, σ may grow."""
        return max(kernel.slope_noise(noise, prior), self.settings.prior_range[0] + self.settings.hope)

    def _hope(self, prior: list[float], slope_noise: float) -> float:
        """Logarithm of the probability of this misfit and cubic part before the samples: a wider σ may be right."""
        above = prior[MISFIT] - math.log(self.settings.misfit), prior[CUBIC] - slope_noise
        return -0.5 * sum(((value + self.settings.hope) / self.settings.hope_spread) ** 2 for value in above)

    def _standardised(self, doubt: Tensor) -> Tensor:
        """The losses [N] in memory, in deviations s from their mean m."""
        state, settings = self.state, self.settings
        weights = doubt.reciprocal() / doubt.reciprocal().sum()
        state.mean = float(weights @ state.losses)
        state.spread = max(math.sqrt(float(weights @ (state.losses - state.mean).square())), TINY)
        return ((state.losses - state.mean) / state.spread).clamp(-settings.outlier, settings.outlier)

    @property
    def _a(self) -> float:
        """The share of the noise that is not there at θ."""
        least = self.settings.least_loud
        return min(max(self.state.noise.share_of_samples, least), 1 - least)

    @property
    def _is_blind(self) -> bool:
        """Whether fewer samples count than half of the coefficients of a quadratic: misfit cannot be seen."""
        return self.state.counted < (self.n + 1) * (self.n + 2) / 4

    def _judge(self, has_noise_drowned_differences: bool) -> None:
        """Take the last step back if h, with samples around it, now predicts a higher loss there; and set r and σ."""
        state, settings = self.state, self.settings
        at_theta, at_accepted = self.predict(torch.stack([state.theta, state.accepted])).tolist()
        is_decrease_as_predicted = at_accepted - at_theta > settings.good * state.predicted_decrease
        is_step_wrong = at_theta > at_accepted
        if is_step_wrong:
            state.theta = state.accepted
            state.r = 1.0 if self._is_blind else max(0.5 * state.r, settings.shortest_reach)
        elif is_decrease_as_predicted:
            state.r = min(2 * state.r, 1.0)
        if not is_decrease_as_predicted:
            too_wide = max(state.prior[MISFIT] - math.log(settings.misfit), state.prior[CUBIC] - state.slope_noise)
            # 6 and 4: powers of σ with which they grow
            wanted = max(too_wide / 6, math.log(self._a / (1 - self._a)) / 4)
            change = min(max(math.exp(-wanted), settings.shrink), settings.grow)
            if self._is_blind and not has_noise_drowned_differences:
                change = min(change, settings.shrink if is_step_wrong else 1.0)
            state.sigma *= change
        elif state.is_step_cut:
            state.sigma *= settings.grow
        narrowest = settings.narrowest * resolution(state.theta, settings.narrowest_power)
        state.sigma = max(min(state.sigma, state.widest_sigma), narrowest)
        state.accepted = state.theta

    def _step(self, curvatures: Tensor, axes: Tensor) -> None:
        """To the minimum of h within the ball |u| ≤ r √n around θ; curvatures and axes: of H."""
        state = self.state
        slopes = axes.T @ (state.g + state.H @ self._local(state.theta[None])[0])
        step, state.is_step_cut = trusted(curvatures, slopes, state.r * math.sqrt(self.n))
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
        return {
            "step": state.step_length,
            "fit_error": state.misfit,
            "noise": math.sqrt(state.noise.variance),
        }
