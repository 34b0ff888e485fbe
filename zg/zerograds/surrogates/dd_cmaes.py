"""CMA-ES with coordinate widths (dd-CMA-ES) and restarts: a bowl whose shape is learned from the order of losses.

    h(θ) = f + b |A⁻¹ (θ − m)|² / (2 σ²),    A = D C^(1/2)

Samples are drawn from N(m, σ² A Aᵀ). Their ranks alone move m, shape A and set σ: covariance matrix adaptation (Hansen,
"The CMA Evolution Strategy: A Tutorial", 2016). A Aᵀ becomes the inverse curvature of the loss. D is a width for each
coordinate; its n numbers are learned faster than the n² of C (Akimoto and Hansen, "Diagonal Acceleration for Covariance
Matrix Adaptation Evolution Strategies", 2020). f and b are fitted to the losses, for `predict` and `gradient` alone.

Three additions. Discrete (integer or binary) coordinates keep a width that reaches the next value, as in Marty et al.
(2024), and some renders try neighbours of the best θ. A Gaussian at rest restarts at the best θ with a larger σ, and
with more samples only where more are of use (Auger and Hansen 2005 always double them). Under noise it doubles λ and
does not restart: the order of few noisy losses is luck.

Cost: O(n²) memory, O(n³) time every few iterations; λ renders an iteration, with discrete coordinates 5/4 λ.
"""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from zg.problem import Problem
from zg.sampling import gaussian
from zg.zerograds.parts.cma_rates import StrategyParameters, default_population, strategy_parameters
from zg.zerograds.parts.lattice import UntriedNeighbours
from zg.zerograds.parts.part import Group
from zg.zerograds.surrogates.base import Surrogate, resolution

#: Keeps roots and divisors above 0.
TINY = 1e-300


@dataclass(frozen=True)
class DDCMAESSettings:
    """Meaning, unit and source of each; "10 ×" says what a value ten times larger does.

    Without a source: chosen by experience on Rastrigin, the mosaic and the procedural material; see docs/notebook.
    """

    #: λ, samples an iteration at first; None for 4 + ⌊3 ln n⌋ (Hansen 2016). 10 ×: steps are better, and dearer.
    population: int | None = None
    #: Smallest λ: each half of the ranks needs some. 10 ×: the same, for few parameters.
    min_population: int = 4
    #: Whether D and C are learned; without them the Gaussian stays round. An ablation.
    learns_shape: bool = True
    #: Whether it restarts once at rest, or under noise doubles λ. An ablation.
    restarts: bool = True

    #: Largest growth of σ in an iteration, as ln σ (pycma). 10 ×: one long path can carry σ far beyond the minimum.
    max_log_sigma_step: float = 1.0
    #: Factor on σ where all losses are equal (Hansen 2016: exp(0.2 + c_σ/d_σ)). 10 ×: σ overshoots the plateau's edge.
    plateau_growth: float = 2.0
    #: Factor on σ where all renders failed. 10 ×, above 1: σ grows, and samples leave the region where renders succeed.
    failure_shrink: float = 0.5

    #: Relative decrease of the loss that counts as none. 10 ×: it restarts while a slow valley still leads down.
    stall_tolerance: float = 1e-3
    #: Iterations of a stall: patience + patience_per_parameter · n / λ (Hansen 2016, TolHistFun). 10 ×: late restarts.
    patience: int = 10
    #: The second term of it, in renders a parameter. 10 ×: most budgets see no restart.
    patience_per_parameter: int = 30
    #: σ over σ at the start, below which a stall is rest and not the bend of a valley. 10 ×: every stall is rest.
    rest_sigma: float = 0.1
    #: Patiences of a stall at any σ: over ripples σ stays large, and the best sample is luck. 10 ×: hardly a restart.
    long_patience: int = 6
    #: The same under noise. 10 ×: λ hardly grows, and noise decides the order.
    long_patience_noisy: int = 2
    #: Largest width of a coordinate over the resolution of θ, below which samples are equal. 10 ×: loses a digit.
    resolution_factor: float = 4.0
    #: Factor on σ from one start to the next. 10 ×: minima that are near are skipped.
    restart_growth: float = 3.0
    #: Largest σ at a start over the first one. 10 ×: samples so far away that the loss tells nothing there.
    max_restart_sigma: float = 100.0
    #: Factor on λ at a restart where more samples are of use (Auger and Hansen 2005). 10 ×: few restarts fit a budget.
    restart_population: int = 2
    #: Factor on λ at rest under noise. 10 ×: few iterations fit a budget.
    noise_population: int = 2

    #: Smallest width of a discrete coordinate, in spacings: at 0.3 a tenth of the samples changes it. 10 ×: most do.
    lattice_width: float = 0.3
    #: Samples for each neighbour that is tried. 10 ×: single changes are found late.
    samples_per_neighbour: int = 4
    #: Random draws for each neighbour, to find one that was not tried. 10 ×: even the last ones are found.
    draws_per_neighbour: int = 8
    #: Fraction of draws one spacing away; the rest is uniform within the bounds. 10 ×, above 1: no value farther away.
    adjacent_share: float = 0.5


@dataclass
class Distribution(Group):
    """N(m, σ² A Aᵀ), A = D C^(1/2), and the evolution paths from which it is learned."""

    #: m [n], scaled.
    mean: Tensor
    #: σ, scaled units along a coordinate whose D and diagonal of C are 1.
    sigma: float
    #: [n], width of each coordinate over σ.
    D: Tensor
    #: [n, n], a correlation matrix after each decomposition.
    C: Tensor
    #: Eigenvectors [n, n] of C, and the square roots [n] of its eigenvalues, at the last decomposition.
    axes: Tensor
    axis_widths: Tensor
    #: p_σ, p_D and p_C [n]: steps of m in units of σ, averaged over the last iterations.
    path_sigma: Tensor
    path_D: Tensor
    path_C: Tensor
    #: [n], at least 1: the last samples were stretched by it, so that rounding does not hide them.
    stretch: Tensor
    #: β ≥ 1: D is learned more slowly where C is ill-conditioned (Akimoto and Hansen 2020).
    damping_D: float = 1.0
    #: Updates since the start, and since the last decomposition.
    age: int = 0
    undecomposed: int = 0

    @classmethod
    def round(cls, mean: Tensor, sigma: float) -> "Distribution":
        """N(m, σ² I)."""
        ones, zeros, identity = torch.ones_like(mean), torch.zeros_like(mean), torch.eye(len(mean)).to(mean)
        return cls(mean.clone(), sigma, ones, identity, identity, ones, zeros, zeros, zeros, ones)

    def coordinate_widths(self) -> Tensor:
        """Standard deviations over σ: the root of the diagonal of A Aᵀ [n]."""
        return self.D * self.C.diagonal().clamp_min(TINY).sqrt()

    def transform(self, u: Tensor) -> Tensor:
        """A u for u [B, n]."""
        return self.D * ((u @ self.axes * self.axis_widths) @ self.axes.T)

    def whiten(self, y: Tensor) -> Tensor:
        """C^(−1/2) y for y [..., n]."""
        return (y @ self.axes / self.axis_widths) @ self.axes.T

    def local(self, theta: Tensor) -> Tensor:
        """A⁻¹ (θ − m) / σ for θ [B, n]."""
        return self.whiten((theta - self.mean) / (self.sigma * self.stretch * self.D))

    def learn_shape(self, rates: StrategyParameters, ranked: Tensor, step: Tensor) -> None:
        """Learn D and C from samples (θ − m) / σ [λ, n], best first, and from the step [n] in the same units."""
        weights, n = rates.weights.to(self.mean), len(self.mean)
        y = ranked / self.D
        z = self.whiten(y)
        self.path_D = rates.extend(self.path_D, rates.D.path, step)
        self.path_C = rates.extend(self.path_C, rates.C.path, step)
        # A bad sample counts by its direction, not by its length (Hansen 2016).
        scale = torch.where(weights < 0, n / z.square().sum(1).clamp_min(TINY), 1.0)

        signed = rates.D.signed(weights)
        change = rates.D.rank_one * (self.whiten(self.path_D / self.D).square() - 1)
        change += rates.D.rank_mu * (signed @ (scale[:, None] * z.square() - 1))
        signed = rates.C.signed(weights)
        along = self.path_C / self.D
        self.C = (1 - rates.C.rank_one - rates.C.rank_mu * float(signed.sum())) * self.C
        self.C += rates.C.rank_one * torch.outer(along, along) + rates.C.rank_mu * (y.T * (signed * scale)) @ y
        self.D = self.D * (change / (2 * self.damping_D)).exp()
        self.undecomposed += 1
        if rates.is_decomposition_due(self.undecomposed):
            self.decompose()

    def decompose(self) -> None:
        """C = axes · widths² · axesᵀ; the diagonal of C goes over into D."""
        diagonal = self.C.diagonal().clamp_min(TINY).sqrt()
        self.D, self.C = self.D * diagonal, self.C / torch.outer(diagonal, diagonal)
        eigenvalues, self.axes = torch.linalg.eigh(0.5 * (self.C + self.C.T))
        self.axis_widths = eigenvalues.clamp_min(torch.finfo(self.C.dtype).eps).sqrt()
        self.damping_D = max(1.0, float(self.axis_widths.max() / self.axis_widths.min()) - 1)
        self.undecomposed = 0


@dataclass
class Schedule(Group):
    """What decides when the distribution restarts, how wide, and with how many samples."""

    #: σ of the first start and of the last one, scaled units a coordinate.
    first_sigma: float
    start_sigma: float
    #: λ, samples an iteration.
    population: int
    #: Lowest loss of all before the last start.
    lowest_at_start: float = math.inf
    #: Lowest loss since the start (under noise: lowest median of a batch), after each of the last iterations.
    record: list[float] = field(default_factory=list)

    def has_stalled(self, iterations: int, tolerance: float) -> bool:
        """Whether the record has not decreased over the last iterations."""
        record = self.record
        return len(record) >= iterations and record[-iterations] - record[-1] <= tolerance * abs(record[-1])


@dataclass
class DDCMAESState:
    """All that changes."""

    #: The best θ [n] so far, and its loss.
    theta: Tensor
    lowest: float
    distribution: Distribution
    schedule: Schedule
    neighbours: UntriedNeighbours
    #: f and b of the model, in units of the loss.
    f: float = math.nan
    curvature: float = math.nan


class DDCMAES(Surrogate):
    """dd-CMA-ES with restarts. It recommends the best θ that was seen, and m where renders are noisy.

    σ changes for four reasons, each in one place: the length of p_σ (`_adapt`), a plateau (`tell`), a batch of failed
    renders alone (`tell`), and a restart (`_restart`). It never converges: restarts use up the budget.
    """

    Settings = DDCMAESSettings
    needs_noise = True
    settings: DDCMAESSettings
    state: DDCMAESState
    matrices = 3

    def __init__(self, problem: Problem, theta: Tensor, sigma: float, settings: DDCMAESSettings | None = None) -> None:
        super().__init__(problem, settings)
        s = self.settings
        population = max(s.min_population, s.population or default_population(self.n))
        self.state = DDCMAESState(
            theta=theta.clone(),
            lowest=math.inf,
            distribution=Distribution.round(theta, sigma),
            schedule=Schedule(sigma, sigma, population),
            neighbours=UntriedNeighbours(problem, s.adjacent_share, s.draws_per_neighbour),
        )

    def ask(self) -> Tensor:
        """Samples [λ, n], then neighbours of the best θ; the first of all is the start, so that it is not lost."""
        state, d, population = self.state, self.state.distribution, self.state.schedule.population
        least = self.settings.lattice_width * self.problem.lattice
        d.stretch = (least / (d.sigma * d.coordinate_widths())).clamp_min(1.0)
        offsets = d.transform(gaussian(population, self.n, self.problem.generator, d.mean.dtype))
        samples = self.problem.project(d.mean + d.sigma * d.stretch * offsets)
        if math.isinf(state.lowest):
            samples[0] = state.theta
        wanted = 0 if self.problem.noisy else -(-population // self.settings.samples_per_neighbour)
        return torch.cat([samples, state.neighbours.ask(state.theta, wanted)])

    def tell(self, theta: Tensor, losses: Tensor, valid: Tensor) -> None:
        state, d, population = self.state, self.state.distribution, self.state.schedule.population
        losses = torch.where(valid, losses, math.inf)
        has_every_render_failed = not losses.isfinite().any()
        if has_every_render_failed:
            d.sigma *= self.settings.failure_shrink
            return
        best = int(losses.argmin())
        is_lower = float(losses[best]) < state.lowest
        if is_lower:
            state.lowest, state.theta = float(losses[best]), theta[best].clone()
            state.neighbours.forget()
        else:
            state.neighbours.reject(theta[population:])
        is_cut = len(losses) < population
        if is_cut:
            return  # the budget is spent
        samples, losses = theta[:population], losses[:population]
        is_plateau = bool((losses == losses[0]).all())
        if is_plateau:
            d.sigma *= self.settings.plateau_growth
        else:
            self._adapt(samples, losses)
            self._fit(samples, losses)
        has_neighbour_won = is_lower and best >= population
        if has_neighbour_won:
            changed = state.neighbours.changed[best - population]
            d.mean[changed] = state.theta[changed]
        if self.settings.restarts:
            self._restart_if_due(float(losses.median()) if self.problem.noisy else float(losses.min()))

    def _adapt(self, theta: Tensor, losses: Tensor) -> None:
        """Move m, learn D and C, and set σ by the length of p_σ."""
        d, rates = self.state.distribution, strategy_parameters(self.n, self.state.schedule.population)
        ranked = (theta[losses.argsort()] - d.mean) / (d.sigma * d.stretch)
        step = rates.weights.to(d.mean).clamp_min(0) @ ranked
        d.mean = self.problem.project(d.mean + d.sigma * d.stretch * step)
        d.age += 1
        d.path_sigma = rates.extend(d.path_sigma, rates.sigma_rate, d.whiten(step / d.D))
        length = float(d.path_sigma.norm()) / math.sqrt(1 - (1 - rates.sigma_rate) ** (2 * d.age))
        is_sigma_behind = length >= rates.long_path  # then the paths of D and C do not grow: h_σ = 0 (Hansen 2016)
        if self.settings.learns_shape:
            d.learn_shape(rates, ranked, torch.zeros_like(step) if is_sigma_behind else step)
        log_step = rates.sigma_rate / rates.sigma_damping * (length / rates.expected_length - 1)
        d.sigma *= math.exp(min(self.settings.max_log_sigma_step, log_step))

    def _fit(self, theta: Tensor, losses: Tensor) -> None:
        """f and b: the line through the losses over half the squared distances from m."""
        is_finite = losses.isfinite()
        distance = 0.5 * self.state.distribution.local(theta[is_finite]).square().sum(1)
        losses, centred = losses[is_finite], distance - distance.mean()
        variance = centred.square().sum().clamp_min(torch.finfo(losses.dtype).tiny)
        self.state.curvature = float((centred @ losses) / variance)
        self.state.f = float(losses.mean() - self.state.curvature * distance.mean())

    def _restart_if_due(self, loss: float) -> None:
        """Restart, or with noise take more samples, where the record no longer falls. loss: of this iteration."""
        s, d, schedule = self.settings, self.state.distribution, self.state.schedule
        patience = s.patience + s.patience_per_parameter * self.n // schedule.population
        long_patience = (s.long_patience_noisy if self.problem.noisy else s.long_patience) * patience
        schedule.record = [*schedule.record, min([loss, *schedule.record[-1:]])][-long_patience:]
        is_narrow = d.sigma < s.rest_sigma * schedule.start_sigma
        has_come_to_rest = is_narrow and schedule.has_stalled(patience, s.stall_tolerance)
        has_stalled_for_long = schedule.has_stalled(long_patience, s.stall_tolerance)
        width = d.sigma * float((d.coordinate_widths() * d.stretch).max())
        is_below_resolution = width < s.resolution_factor * resolution(self.theta)
        if not (has_come_to_rest or has_stalled_for_long or is_below_resolution):
            return
        if self.problem.noisy:
            schedule.population, schedule.record = s.noise_population * schedule.population, []
        else:
            self._restart()

    def _restart(self) -> None:
        """A round, wider Gaussian at the best θ; more samples if the last ones found something or σ is at its limit."""
        s, state, last = self.settings, self.state, self.state.schedule
        before = last.lowest_at_start
        has_found_something_lower = math.isfinite(before) and state.lowest < before - s.stall_tolerance * abs(before)
        largest = s.max_restart_sigma * last.first_sigma
        is_widest = last.start_sigma >= largest
        growth = s.restart_population if has_found_something_lower or is_widest else 1
        sigma = min(s.restart_growth * last.start_sigma, largest)
        state.schedule = Schedule(last.first_sigma, sigma, growth * last.population, state.lowest)
        state.distribution = Distribution.round(state.theta, sigma)

    def recommend(self) -> Tensor:
        return self.state.distribution.mean if self.problem.noisy else self.theta

    def predict(self, theta: Tensor) -> Tensor:
        return self.state.f + 0.5 * self.state.curvature * self.state.distribution.local(theta).square().sum(1)

    def gradient(self, theta: Tensor) -> Tensor:
        d = self.state.distribution
        return self.state.curvature * d.whiten(d.local(theta[None])[0]) / (d.sigma * d.stretch * d.D)

    @property
    def sigma(self) -> float:
        d = self.state.distribution
        return d.sigma * float(d.coordinate_widths().square().mean().sqrt())

    @property
    def converged(self) -> bool:
        return False

    def status(self) -> dict[str, float]:
        return {"population": float(self.state.schedule.population)}
