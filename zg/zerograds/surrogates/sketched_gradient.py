"""Sketched gradient: a linear model with memory and one curvature, for any number of parameters in O(n) memory.

    h(θ + s) = f + g·s + L |s|² / 2

One render gives one number, and g [n] has n unknowns: a fit of g from nothing would take n renders. So g is remembered.
Each block of k probes corrects it by the least change that explains their slopes y [k] along U [k, n], with a gain K
for noise, and then θ moves along g:

    g ← g + Uᵀ K (y − U g)        θ ← θ − min(slope / c, cap) g/|g|

Slope and curvature c along g come from two more renders, at θ ± r g/|g|, which follow the probes in a batch of their
own: g is then that of this θ. Before the first step the probe radius r and the units of blocks of parameters are
measured, the units after each sweep of n probes again; lengths are in those units.

The rules are in `zg.zerograds.parts`: `calibration` (first r), `block_units`, `directions` (U), `slopes` (y, L and K),
`gradient_memory` (g and c), `radius` (r), `step_cap`, and `progress` (when to go back to the best θ).

Cost: at most 8 n numbers beside one batch [B, n]; 19 to 123 renders an iteration, in two batches.
Source: the correction is that of SEGA (Hanzely, Mishchenko and Richtárik 2018, "SEGA: Variance Reduction via Gradient
Sketching"). The rest is our own (docs/surrogates/sketched_gradient.md).
"""

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from zg.problem import Problem
from zg.zerograds.parts.block_units import BlockUnits, BlockUnitsSettings
from zg.zerograds.parts.calibration import Calibration, CalibrationSettings
from zg.zerograds.parts.directions import CrossedDirections
from zg.zerograds.parts.gradient_memory import GradientMemory, MemorySettings
from zg.zerograds.parts.late_slopes import LATE_SHARE, LateSlopes
from zg.zerograds.parts.noise import differ
from zg.zerograds.parts.progress import Progress, ProgressSettings
from zg.zerograds.parts.radius import ProbeRadius, RadiusSettings
from zg.zerograds.parts.slopes import TINY, Probes, SlopeEstimator, SlopeSettings
from zg.zerograds.parts.step_cap import StepCap, StepCapSettings
from zg.zerograds.surrogates.base import Surrogate


@dataclass(frozen=True)
class SketchedGradientSettings:
    """One line each: meaning, unit, source; what happens at ten times the value (×10).

    "Experience": chosen on problems of docs/results. "Measured": docs/notebook has the numbers.
    """

    #: Ablation: whether g is remembered. If not, g is the correction of the last block. Measured.
    memory: bool = True
    #: Ablation: whether L and c are remembered. If not, a step knows the c of its own block alone. Measured.
    curvature: bool = True
    #: Ablation: whether blocks get units of their own before the first step. Measured.
    calibrate_units: bool = True
    #: Ablation: r / calibrated r; None adapts r. 0.001: no smoothing; ×10, to 10 and more: no locality. Measured.
    fixed_radius: float | None = None
    #: Probes of a block, at least. Experience. ×10: always `most_probes`.
    fewest_probes: int = 16
    #: Probes of a block, at least, where the loss is noisy. Measured. ×10: always `most_probes`.
    fewest_probes_noisy: int = 30
    #: Probes of a block, at most, unless a sweep is long. Experience. ×10: few steps, each along a better g.
    most_probes: int = 60
    #: Probes of a block, at most, where a sweep is long. Experience. ×10: ten times the memory.
    most_probes_long: int = 120
    #: Blocks of a sweep of n probes, within these limits. Experience. ×10: `fewest_probes` for more problems.
    sweep_blocks: int = 200
    #: Blocks of a sweep from which it is long. Experience. ×10: no sweep is.
    long_sweep_blocks: int = 1600
    #: First blocks whose centre is rendered twice, to see noise. Experience. ×10: 18 more renders of the centre.
    noise_blocks: int = 2
    #: Longest step where the loss is not convex along g, in r. Experience. ×10: steps end where nothing was rendered.
    longest_step: float = 2.0
    #: Part of the way to the last θ that is gone back if the centre fails. Experience. ×10 (above 1): it overshoots.
    retreat: float = 0.5
    #: The settings of the parts.
    calibration: CalibrationSettings = field(default_factory=CalibrationSettings)
    units: BlockUnitsSettings = field(default_factory=BlockUnitsSettings)
    slopes: SlopeSettings = field(default_factory=SlopeSettings)
    gradient: MemorySettings = field(default_factory=MemorySettings)
    radius: RadiusSettings = field(default_factory=RadiusSettings)
    cap: StepCapSettings = field(default_factory=StepCapSettings)
    progress: ProgressSettings = field(default_factory=ProgressSettings)

    def probes(self, n: int, noisy: bool) -> int:
        """How many probes a block has."""
        most = min(max(self.most_probes, n // self.long_sweep_blocks), self.most_probes_long)
        fewest = self.fewest_probes_noisy if noisy else self.fewest_probes
        return min(most, max(fewest, n // self.sweep_blocks))


@dataclass
class SketchedGradientState:
    """All that changes. Lengths and derivatives are in units of the calibration, but θ is scaled."""

    #: The present θ [n], scaled.
    theta: Tensor
    #: θ [n] of the last centre with a valid render.
    last_theta: Tensor
    #: Where the next block is in its sweep.
    directions: CrossedDirections
    #: r before the first block.
    calibration: Calibration
    #: The units of blocks of parameters.
    units: BlockUnits
    #: L, and what blocks have told of noise.
    slopes: SlopeEstimator
    #: g and c.
    gradient: GradientMemory
    #: r.
    radius: ProbeRadius
    #: The longest step.
    cap: StepCap
    #: The best θ, and the mean of f.
    progress: Progress
    #: Probes that came after their block.
    late: LateSlopes = field(default_factory=LateSlopes)
    #: The loss at the last centre.
    f: float = math.nan
    #: Length of the last step; 0 where the block did not lead to one.
    step: float = 0.0
    #: How many blocks were told.
    blocks: int = 0
    #: Whether two renders of one θ have differed.
    noisy: bool = False
    #: Whether g has been corrected at θ, and the line along it is next.
    knows_gradient: bool = False
    #: Whether all losses of the last probes are that of the centre.
    is_plateau: bool = False


class SketchedGradient(Surrogate):
    """Calibration, then blocks: the centre θ, k one-sided probes at r and 2 r in turn, θ ± r g/|g|; then a step."""

    Settings = SketchedGradientSettings
    takes_late = True
    settings: SketchedGradientSettings
    state: SketchedGradientState

    def __init__(
        self, problem: Problem, theta: Tensor, sigma: float, settings: SketchedGradientSettings | None = None
    ) -> None:
        super().__init__(problem, settings)
        settings, theta, radius = self.settings, theta.clone(), sigma * math.sqrt(self.n)
        self.state = SketchedGradientState(
            theta=theta,
            last_theta=theta,
            directions=CrossedDirections(self.n, problem.generator, theta.dtype),
            calibration=Calibration.of_guess(radius, settings.calibration),
            units=BlockUnits.of_problem(problem, theta, settings.units, settings.calibrate_units),
            slopes=SlopeEstimator(settings.slopes),
            gradient=GradientMemory(settings.gradient, torch.zeros_like(theta)),
            radius=ProbeRadius.of_guess(radius, settings.radius),
            cap=StepCap(settings.cap),
            progress=Progress(settings.progress, theta),
        )
        #: Holds what `ask` returns, until the next `ask`.
        self.buffer = theta.new_empty(
            max(settings.probes(self.n, True), 4 * settings.calibration.directions) + 2, self.n
        )
        #: The probes of the last block that was asked for, and how many rows it had.
        self.probes: Probes
        self.asked = 0

    @property
    def sigma(self) -> float:
        return self.state.radius.radius / math.sqrt(self.n)

    @property
    def noisy(self) -> bool:  # it looks for itself; `Problem.noisy` is not asked
        return self.state.noisy

    @property
    def probes_a_block(self) -> int:
        """How many probes a block has."""
        return self.settings.probes(self.n, self.state.noisy)

    @property
    def _centres(self) -> int:
        """How often a block renders its centre."""
        return 2 if self.state.blocks < self.settings.noise_blocks else 1

    def ask(self) -> Tensor:
        """A batch of the calibration or of the units, or the two batches of an iteration in turn."""
        state = self.state
        if not state.calibration.is_over:
            return state.calibration.ask(state.theta, state.directions, self.buffer)
        if not state.units.is_over:
            return state.units.ask(state.theta, state.radius.radius, self.problem.generator, self.buffer)
        rows = self._ask_line() if state.knows_gradient else self._ask_probes()
        self.asked = len(rows)
        return rows

    def _ask_probes(self) -> Tensor:
        """The centre (twice at first), and k probes around it."""
        state, centres = self.state, self._centres
        self.probes = Probes(state.directions.draw(self.probes_a_block), state.radius.radius, first=state.blocks % 2)
        rows = self.buffer[: centres + len(self.probes)]
        rows[:centres] = state.theta
        self.probes.directions.around(state.theta, self.probes.lengths, state.units.unit, out=rows[centres:])
        return rows

    def _ask_line(self) -> Tensor:
        """θ ± r g/|g|."""
        state, gradient = self.state, self.state.gradient
        along = gradient.g * state.units.unit
        rows = self.buffer[:2]
        torch.add(state.theta, along, alpha=state.radius.radius / gradient.norm, out=rows[0])
        torch.sub(state.theta, along, alpha=state.radius.radius / gradient.norm, out=rows[1])
        return rows

    def tell(self, theta: Tensor, losses: Tensor, valid: Tensor) -> None:
        state = self.state
        if not state.calibration.is_over:
            self._tell_calibration(losses, valid)
        elif not state.units.is_over:
            self._tell_units(losses, valid)
        elif len(losses) < self.asked:
            return  # the budget cut the batch: it is the last one
        elif state.knows_gradient:
            self._tell_line(losses, valid)
        else:
            self._tell_probes(losses, valid)

    def waits_for(self, count: int) -> tuple[int, float]:
        is_block = self.state.calibration.is_over and self.state.units.is_over and not self.state.knows_gradient
        return (self._centres, LATE_SHARE) if is_block else (count, 0.0)

    def origin(self) -> dict[str, Any]:
        return {"centre": self.state.theta, "block": self.state.blocks}

    def tell_late(self, theta: Tensor, loss: float, origin: dict[str, Any]) -> None:
        own, now = (origin["centre"], origin["block"]), (self.state.theta, self.state.units.unit)
        self.state.late.enter(theta, loss, own, now, self.state.gradient, self.state.slopes.curvature)

    def _tell_probes(self, losses: Tensor, valid: Tensor) -> None:
        """Learn f at θ, and g."""
        state, centres = self.state, self._centres
        state.directions.advance(len(self.probes))
        if not valid[:centres].any():
            return self._retreat()
        state.radius.recover()
        state.late.apply(state.gradient)
        last_f = state.f
        self._learn_centre(losses[:centres], valid[:centres])
        self._judge_last_step(last_f)
        rises = losses[centres:] - state.f
        seen = None if valid.all() else valid[centres:]
        slopes = self._learn_slopes(rises, seen)
        state.is_plateau = not (rises if seen is None else rises[seen]).any()
        state.gradient.correct(self.probes, slopes, seen, state.slopes, state.blocks)
        state.knows_gradient = state.gradient.norm > 0
        if not state.knows_gradient:
            state.step = 0.0
            self._end_block()
        return None

    def _tell_line(self, losses: Tensor, valid: Tensor) -> None:
        """Move θ to the lowest point of the line along g."""
        state, gradient = self.state, self.state.gradient
        if valid.all():
            plus, minus = losses.tolist()
            curvature = (plus + minus - 2 * (state.f + state.slopes.offset)) / state.radius.radius**2
            gradient.learn_curvature(curvature, state.slopes.curvature, state.blocks)
            self._step((plus - minus) / (2 * state.radius.radius))
        else:
            self._step(gradient.norm)  # what h says
        self._end_block()

    def _end_block(self) -> None:
        """Adapt r, and see whether the search gets on."""
        state = self.state
        self._adapt_radius()
        self._check_progress()
        state.knows_gradient = False
        state.blocks += 1
        state.units.observe(self.probes_a_block)

    def _tell_calibration(self, losses: Tensor, valid: Tensor) -> None:
        """Take over what the calibration has found so far."""
        state = self.state
        state.calibration.tell(losses, valid)
        state.noisy = state.calibration.noisy
        state.radius.calibrate(state.calibration.radius)
        if state.noisy:
            state.units.give_up()

    def _tell_units(self, losses: Tensor, valid: Tensor) -> None:
        """Take over new units, and express in them what is known."""
        state, before = self.state, self.state.units.unit
        change = state.units.tell(losses, valid)
        if change == 1:
            return
        state.calibration.curvatures = [change * curvature for curvature in state.calibration.curvatures]
        state.slopes.curvature *= change
        state.gradient.curvature *= change
        state.gradient.g = state.gradient.g * (state.units.unit / before)

    def _retreat(self) -> None:
        """The renders of θ failed: go back a part of the way to the last θ, and look nearer."""
        state, part = self.state, self.settings.retreat
        state.theta = (1 - part) * state.theta + part * state.last_theta
        state.radius.narrow_after_failure()

    def _learn_centre(self, losses: Tensor, valid: Tensor) -> None:
        """Learn f, the best θ, and whether the loss is noisy, from the renders of θ."""
        state = self.state
        state.f = float(losses[valid].mean())
        state.noisy |= len(losses) == 2 and bool(valid.all()) and differ(losses[0], losses[1])
        if state.f < state.progress.lowest and not state.noisy:
            state.progress.remember_lowest(state.theta, state.f)
            state.radius.prove()
        state.last_theta = state.theta
        state.late.remember(state.blocks, state.f)

    def _judge_last_step(self, last_f: float) -> None:
        """Lower the cap after a rise beyond anything that the probes show; let a cap that cut the step grow."""
        state = self.state
        if state.blocks == 0:
            return
        was_too_long = state.f - last_f > self.settings.cap.rise * state.slopes.rise_size
        was_cut = state.step >= state.cap.cap
        if was_too_long:
            state.cap.shrink_after_rise(state.step)
        elif was_cut:
            renders = self.probes_a_block + 3  # with the centre and the two along g
            state.cap.grow(state.gradient.is_surely_isotropic(state.slopes, self.n), renders, self.n)

    def _learn_slopes(self, rises: Tensor, seen: Tensor | None) -> Tensor:
        """Slopes y [k] from the rises [k] of the probes; the first block sets the cap, too."""
        state = self.state
        slopes = state.slopes.slopes(self.probes, rises, seen, state.blocks)
        if state.blocks == 0:
            # Where r is small, curvature is small too, and says nothing of where steps lead: the largest one counts.
            curvatures = state.calibration.curvatures or [abs(state.slopes.curvature)]
            state.cap.start(float(slopes.norm()), max(*curvatures, TINY))
        if not self.settings.curvature:
            state.slopes.curvature = state.gradient.curvature = 0.0
        return slopes

    def _step(self, slope: float) -> None:
        """Move θ along g, and g along with it, by the slope along g."""
        state, gradient, radius = self.state, self.state.gradient, self.state.radius.radius
        unit_g, state.step = gradient.g / gradient.norm, 0.0
        is_g_downhill = slope <= 0
        if not is_g_downhill:
            is_convex = gradient.curvature > 0
            wanted = slope / gradient.curvature if is_convex else self.settings.longest_step * radius
            state.step = min(wanted, state.cap.cap)
            state.theta = self.problem.project(state.theta - state.step * unit_g * state.units.unit)
        gradient.follow(slope, state.step)
        if not self.settings.memory:
            gradient.g = torch.zeros_like(gradient.g)

    def _adapt_radius(self) -> None:
        """Change r by what the block has told."""
        state, factor = self.state, self.settings.fixed_radius
        if factor is not None:
            return state.radius.fix(factor)
        has_stepped = state.step != 0
        return state.radius.adapt(state.slopes, state.is_plateau, has_stepped, state.noisy, state.blocks)

    def _check_progress(self) -> None:
        """Remember the place of the lowest mean loss, or go back to the best θ."""
        state, progress = self.state, self.state.progress
        progress.observe(state.f, state.blocks)
        state.cap.observe(state.step, state.blocks)
        if progress.is_mean_lowest:
            progress.remember_lowest_mean()
            state.radius.remember_lowest()
            if state.noisy:
                progress.best = state.theta
                state.radius.prove()
            return
        progress.stale += self.probes_a_block
        if state.noisy and progress.has_led_uphill:
            state.theta = progress.go_back()
            state.radius.return_to_lowest()
            state.cap.freeze()
        elif not state.noisy and progress.is_stale(self.n):
            state.theta, progress.stale = progress.go_back(), 0
            state.radius.narrow_without_progress()

    def recommend(self) -> Tensor:
        """The best centre; where the loss is noisy the last one, for the lowest of many noisy losses is luck."""
        return self.state.theta if self.state.noisy else self.state.progress.best

    def predict(self, theta: Tensor) -> Tensor:
        state = self.state
        s = (theta - state.theta) / state.units.unit
        return state.f + s @ state.gradient.g + 0.5 * state.slopes.curvature * s.square().sum(1)

    def gradient(self, theta: Tensor) -> Tensor:
        state, unit = self.state, self.state.units.unit
        return (state.gradient.g + state.slopes.curvature * (theta - state.theta) / unit) / unit

    def status(self) -> dict[str, float]:
        state = self.state
        return {"step": state.step, "curvature": state.slopes.curvature, "gain": state.gradient.gain}
