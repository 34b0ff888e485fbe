"""CMA-ES with coordinate widths (dd-CMA-ES) and restarts: a bowl whose shape is learned from the order of losses.

    h(θ) = f + b |A⁻¹ (θ − m)|² / (2 σ²),    A = D C^(1/2)

Samples are drawn from N(m, σ² A Aᵀ). Their ranks alone move m, shape A and set σ: covariance matrix adaptation (Hansen,
"The CMA Evolution Strategy: A Tutorial", 2016). A Aᵀ becomes the inverse curvature of the loss. D is a width for each
coordinate; its n numbers are learned faster than the n² of C (Akimoto and Hansen, "Diagonal Acceleration for Covariance
Matrix Adaptation Evolution Strategies", 2020). f and b are fitted to the losses, for `predict` and `gradient` alone.

Three additions. Discrete (integer, binary or categorical) coordinates keep a width that reaches the next value, as in
Marty et al. (2024), and some renders try neighbours of the best θ; more of them where most coordinates are as narrow as
they may be, for a sample then changes several values at once, and few such changes help. A Gaussian at rest restarts at
the best θ with a larger σ, and with more samples only where more are of use (Auger and Hansen 2005 always double them).
Under noise it doubles λ and does not restart: the order of few noisy losses is luck.

Cost: O(n²) memory, O(n³) time every few iterations; λ renders an iteration, with discrete coordinates 5/4 λ to 2 λ.
"""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from zg.problem import Problem
from zg.sampling import gaussian
from zg.zerograds.parts.cma_rates import default_population, strategy_parameters
from zg.zerograds.parts.distribution import Distribution
from zg.zerograds.parts.lattice import UntriedNeighbours
from zg.zerograds.parts.part import Group
from zg.zerograds.surrogates.base import Surrogate, resolution

#: A width is the least one up to this factor: it was set so, and rounded.
NEARLY = 1 + 1e-6
#: Widths over the least ones, as geometric means, at which the Gaussian is at rest on a lattice.
NARROW = 2.0


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
    #: The same over the spread of the losses at the start, for losses that do not end near 0. 10 ×: minima are cruder.
    stall_precision: float = 1e-9
    #: Largest width of a coordinate over that of its bounds: at 0.3 a uniform sample. 10 ×: most samples are clipped.
    width_in_box: float = 0.3
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
    samples_per_neighbour: float = 4.0
    #: The same where most coordinates are as narrow as they may be. 10 ×: likewise; the last values take long.
    samples_per_neighbour_narrow: float = 1.0
    #: Random draws for each neighbour, to find one that was not tried. 10 ×: even the last ones are found.
    draws_per_neighbour: int = 8
    #: Fraction of draws one spacing away; the rest is uniform within the bounds. 10 ×, above 1: no value farther away.
    adjacent_share: float = 0.5


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
    #: Median less lowest loss of the first iteration.
    first_spread: float = 0.0

    def has_stalled(self, iterations: int, least_fall: float) -> bool:
        """Whether the record has not fallen by more than that over the last iterations."""
        record = self.record
        return len(record) >= iterations and record[-iterations] - record[-1] <= least_fall


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
        #: Smallest and largest widths [n] of discrete coordinates.
        self.least = s.lattice_width * problem.lattice
        is_real, in_box = ~problem.space.discrete, s.width_in_box * (problem.high - problem.low)
        self.most = torch.where(is_real, math.inf, torch.maximum(self.least, in_box))
        #: Coordinates that σ tells of: the real ones, or all where there are none; and σ that is narrow for a lattice.
        self.unit = is_real if is_real.any() else ~is_real
        self.narrow_sigma = 0.0 if is_real.any() else NARROW * float(self.least.log().mean().exp())
        self.state = DDCMAESState(
            theta=theta.clone(),
            lowest=math.inf,
            distribution=Distribution.round(theta, sigma),
            schedule=Schedule(sigma, sigma, population),
            neighbours=UntriedNeighbours(problem, s.adjacent_share, s.draws_per_neighbour),
        )
        self._confine()

    def take_shape(self, sigma: float, H: Tensor) -> None:
        self.state.distribution = Distribution.shaped(self.state.distribution.mean, sigma, H)
        self._confine()

    def _confine(self) -> None:
        """Discrete coordinates: rounding must not hide their samples, and the box not clip most of them."""
        if self.problem.any_discrete:
            self.state.distribution.confine(self.least, self.most, self.unit)

    def ask(self) -> Tensor:
        """Samples [λ, n], then neighbours of the best θ; the first of all is the start, so that it is not lost."""
        samples = self._draw()
        wanted = math.ceil(len(samples) * self._neighbours_per_sample())
        return torch.cat([samples, self.state.neighbours.ask(self.state.theta, wanted)])

    def tell(self, theta: Tensor, losses: Tensor, valid: Tensor) -> None:
        state, population = self.state, self.state.schedule.population
        losses = torch.where(valid, losses, math.inf)
        is_lower = self._remember_best(theta, losses)
        won = self._learn_neighbours(theta, losses, population, is_lower)
        is_cut = len(losses) < population
        if is_cut:
            return  # the budget is spent
        self._learn(theta[:population], losses[:population])
        state.distribution.mean[won] = state.theta[won]

    def _learn_neighbours(self, theta: Tensor, losses: Tensor, first: int, is_lower: bool) -> slice:
        """Learn from the rows of θ [B, n] from the first neighbour on; is_lower: of all rows, whether one is the best.

        The coordinates in which m should follow the best θ, where that is one of these neighbours; else none.
        """
        neighbours, best = self.state.neighbours, int(losses.argmin())
        if not is_lower:
            neighbours.reject(theta[first:])
            return slice(0)
        neighbours.forget()
        return self.problem.space.group_of(neighbours.changed[best - first]) if best >= first else slice(0)

    def _neighbours_per_sample(self) -> float:
        """How many neighbours of the best θ are rendered for each sample."""
        if self.problem.noisy or not self.problem.any_discrete:
            return 0.0
        d, s = self.state.distribution, self.settings
        is_narrow = d.sigma * d.coordinate_widths() <= NEARLY * self.least
        are_most_narrow = float((is_narrow & ~self.problem.space.categorical).double().mean()) > 0.5
        return 1 / (s.samples_per_neighbour_narrow if are_most_narrow else s.samples_per_neighbour)

    def _draw(self) -> Tensor:
        """Samples [λ, n] inside the bounds."""
        state, d = self.state, self.state.distribution
        offsets = d.transform(gaussian(state.schedule.population, self.n, self.problem.generator, d.mean.dtype))
        samples = self.problem.project(d.mean + d.sigma * offsets)
        if math.isinf(state.lowest):
            samples[0] = state.theta
        return samples

    def _remember_best(self, theta: Tensor, losses: Tensor) -> bool:
        """Keep the best of θ [B, n], infinite losses being failed renders, if it is lower than all before."""
        best = int(losses.argmin())
        is_lower = float(losses[best]) < self.state.lowest
        if is_lower:
            self.state.lowest, self.state.theta = float(losses[best]), theta[best].clone()
        return is_lower

    def _learn(self, samples: Tensor, losses: Tensor) -> None:
        """Move, turn and widen the Gaussian by the losses [λ] of the samples [λ, n]; restart it where it is at rest."""
        d = self.state.distribution
        has_every_render_failed = not losses.isfinite().any()
        if has_every_render_failed:
            d.sigma *= self.settings.failure_shrink
            self._confine()
            return
        is_plateau = bool((losses == losses[0]).all())
        if is_plateau:
            d.sigma *= self.settings.plateau_growth
        else:
            self._adapt(samples, losses)
            self._fit(samples, losses)
        if not self.problem.all_discrete:  # the widths of discrete ones are confined
            d.sigma = min(d.sigma, self._widest(d.coordinate_widths(), self.unit))
        if self.settings.restarts:
            self._restart_if_due(losses)
        self._confine()

    def _widest(self, widths: Tensor, which: Tensor | slice) -> float:
        """The largest σ at which samples with these widths [n] still fit into the box, in the coordinates `which`."""
        in_box = self.settings.width_in_box * (self.problem.high - self.problem.low)
        return float((in_box / widths)[which].min())

    def _adapt(self, theta: Tensor, losses: Tensor) -> None:
        """Move m, learn D and C, and set σ by the length of p_σ."""
        d, rates = self.state.distribution, strategy_parameters(self.n, self.state.schedule.population)
        ranked = (theta[losses.argsort()] - d.mean) / d.sigma
        step = rates.weights.to(d.mean).clamp_min(0) @ ranked
        d.mean = self.problem.project(d.mean + d.sigma * step)
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

    def _restart_if_due(self, losses: Tensor) -> None:
        """Restart, or with noise take more samples, where the losses [λ] of the iterations no longer fall."""
        s, d, schedule = self.settings, self.state.distribution, self.state.schedule
        patience = s.patience + s.patience_per_parameter * self.n // schedule.population
        long_patience = (s.long_patience_noisy if self.problem.noisy else s.long_patience) * patience
        finite = losses[losses.isfinite()]
        median, lowest = float(finite.median()), float(finite.min())
        loss = median if self.problem.noisy else lowest
        if not schedule.record:
            schedule.first_spread = median - lowest
        schedule.record = [*schedule.record, min([loss, *schedule.record[-1:]])][-long_patience:]
        least_fall = min(s.stall_tolerance * abs(schedule.record[-1]), s.stall_precision * schedule.first_spread)
        is_narrow = d.sigma < max(s.rest_sigma * schedule.start_sigma, self.narrow_sigma)
        has_come_to_rest = is_narrow and schedule.has_stalled(patience, least_fall)
        has_stalled_for_long = schedule.has_stalled(long_patience, least_fall)
        width = d.sigma * float(d.coordinate_widths().max())
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
        largest = self._largest_start_sigma()
        is_widest = last.start_sigma >= largest
        growth = s.restart_population if has_found_something_lower or is_widest else 1
        sigma = min(s.restart_growth * last.start_sigma, largest)
        state.schedule = Schedule(last.first_sigma, sigma, growth * last.population, state.lowest)
        state.distribution = Distribution.round(state.theta, sigma)

    def _largest_start_sigma(self) -> float:
        """The σ from which restarts no longer get wider."""
        first = self.state.schedule.first_sigma
        widest = self._widest(torch.ones_like(self.theta), slice(None))
        return max(first, min(self.settings.max_restart_sigma * first, widest))

    @property
    def has_restarted(self) -> bool:
        """Whether it has come to rest once."""
        return math.isfinite(self.state.schedule.lowest_at_start)

    @property
    def has_searched_widely(self) -> bool:
        return self.state.schedule.start_sigma >= self._largest_start_sigma()

    def recommend(self) -> Tensor:
        return self.state.distribution.mean if self.problem.noisy else self.theta

    def predict(self, theta: Tensor) -> Tensor:
        return self.state.f + 0.5 * self.state.curvature * self.state.distribution.local(theta).square().sum(1)

    def gradient(self, theta: Tensor) -> Tensor:
        d = self.state.distribution
        return self.state.curvature * d.whiten(d.local(theta[None])[0]) / (d.sigma * d.D)

    @property
    def sigma(self) -> float:
        d = self.state.distribution
        return d.sigma * float(d.coordinate_widths().square().mean().sqrt())

    @property
    def converged(self) -> bool:
        return False

    def status(self) -> dict[str, float]:
        return {"population": float(self.state.schedule.population)}
