"""Constraints: a method under g(x) ≤ 0, where g [m] is a function of the user, such as pycma's `fmin_con2` takes.

A method that only ranks is told an order (Deb 2000): feasible x by their loss, then the others by their violation
v = Σ_i max(0, g_i). Any other method is told an augmented Lagrangian of the loss f (Nocedal and Wright, chapter 17.4):

    L(x) = f(x) + Σ_i λ_i g_i + μ_i g_i² / 2     where g_i ≥ −λ_i / μ_i, else −λ_i² / (2 μ_i) for this i
    λ_i ← max(0, λ_i + μ_i g_i(x*))              after each stage, at the lowest L of the stage, x*

L is smooth where f and g are, so slopes stay slopes. Losses of two stages cannot be compared: each stage starts the
method again, at x*. Stages double in length, so that the last one has half of all renders. x* moves less from stage to
stage, so a method with a first σ begins a stage with one as wide as the step of the stage before.
"""

import copy
import math
from typing import Any

import torch
from torch import Tensor

from zg.errors import SettingError
from zg.ledger import Evaluation, Ledger, total_violation
from zg.method import Method

#: Told to a method that ranks for an x that is not feasible, at least; more than any loss.
INFEASIBLE = 1e100
#: Width of the probes around the start that give f and g their units, in scaled units; largest number of pairs.
PROBE, PAIRS = 0.1, 8
#: Renders of the first stage: FIRST + FIRST_EACH · n, at most the fraction FIRST_SHARE of the budget.
FIRST, FIRST_EACH, FIRST_SHARE = 20, 10, 1 / 12
#: A penalty grows by this factor after a stage that did not bring its constraint this much nearer.
GROWTH, NEARER = 5.0, 0.5
#: Least σ of a stage, over that of the stage before: one without a step had too wide a σ to see where to go.
NARROWER = 0.1
#: Change of the multipliers, relative to their unit, below which a method that has converged is done.
SETTLED = 1e-6


class Constrained(Method):
    """Another method, under the constraints of the task. It recommends the best feasible θ that was rendered.

    method: a new method that is told losses. Raises SettingError for one that is told images.
    """

    def __init__(self, method: Method) -> None:
        if method.feedback != "loss":
            raise SettingError(
                f"method must be told losses where there are constraints, got {type(method).__name__}, "
                "which applies the loss to images itself"
            )
        self.prototype, self.whole_batches = method, method.whole_batches  # type: ignore[misc]

    @property
    def core(self) -> Method:
        return self.prototype

    def build(self, theta: Tensor) -> None:
        self.multipliers, self.penalties, self.units = (theta.new_zeros(0, dtype=torch.float64) for _ in range(3))
        #: max(g_i, −λ_i / μ_i) [m] of the last stage: how far each constraint is from being met or inactive.
        self.distance = self.multipliers
        self.length = max(2, min(FIRST + FIRST_EACH * self.problem.n, int(FIRST_SHARE * self.problem.max_renders)))
        #: First σ of the stage; infinity for methods without one.
        self.sigma = self._first_sigma
        self.has_converged = False
        self.probing = not self.prototype.ranks
        self._begin(theta)

    def _begin(self, theta: Tensor) -> None:
        """Start the method at θ [n], for a stage."""
        length = self.problem.max_renders if self.prototype.ranks else self.length
        self.stage_start, self.stage = theta.clone(), Ledger(max(1, length), theta.clone())
        self.best_violations = torch.zeros_like(self.multipliers)
        self.inner = copy.deepcopy(self.prototype)
        if math.isfinite(self.sigma):
            vars(self.inner)["sigma"] = self.sigma
        self.inner.start(self.problem, self.stage, theta)
        self.resolved = self.inner.resolved

    @property
    def _first_sigma(self) -> float:
        """The setting `sigma` of the method, in scaled units; infinity if it has none."""
        sigma = vars(self.prototype).get("sigma")
        return float(sigma) if isinstance(sigma, int | float) else math.inf

    def ask(self) -> Tensor:
        return self._probes() if self.probing else self.inner.ask()

    def _probes(self) -> Tensor:
        """The start and antithetic pairs around it, [1 + 2 k, n]."""
        k = min(self.problem.n, PAIRS)
        shape, theta = (k, self.problem.n), self.stage_start
        offsets = torch.randn(shape, generator=self.generator, dtype=theta.dtype, device=theta.device)
        offsets = torch.cat([torch.zeros_like(theta)[None], offsets, -offsets])
        return self.problem.project(theta + PROBE * offsets)

    def tell(self, theta: Tensor, evaluation: Evaluation) -> None:
        assert evaluation.violations is not None, "a task with constraints tells them"
        losses, g = evaluation.losses, evaluation.violations
        if self.probing:
            self._measure_units(losses, g)
            return
        told = ranked(losses, g) if self.prototype.ranks else self._lagrangian(losses, g)
        before = self.stage.best_loss
        self.inner.tell(theta, self.stage.account(theta, told))
        if self.stage.best_loss < before:
            self.best_violations = g[int(torch.where(told.isfinite(), told, math.inf).argmin())]
        self.resolved = self.inner.resolved
        if not self.prototype.ranks and (self.stage.exhausted or self.inner.finished()):
            self._end_stage()

    def _measure_units(self, losses: Tensor, g: Tensor) -> None:
        """Units of f and g from the probes: μ makes a penalty of the probes' size count as much as the loss does."""
        known = losses.isfinite() & g.isfinite().all(1)
        g = g[known] if known.any() else torch.ones_like(g[:1])
        spread = losses[known].std(unbiased=False) if known.any() else losses.new_zeros(())
        self.units = torch.where(
            g.std(0, unbiased=False) > 0, g.std(0, unbiased=False), g.abs().amax(0).clamp_min(1e-300)
        )
        loss = float(spread) or float(losses[known].abs().mean() if known.any() else 1.0) or 1.0
        self.penalties, self.multipliers = loss / self.units.square(), torch.zeros_like(self.units)
        self.distance = torch.full_like(self.units, math.inf)
        self.probing = False
        self._begin(self.stage_start)

    def _lagrangian(self, losses: Tensor, g: Tensor) -> Tensor:
        """L [B] of losses [B] and g [B, m]; NaN where g is not finite."""
        shares = torch.where(
            g >= -self.multipliers / self.penalties,
            self.multipliers * g + 0.5 * self.penalties * g.square(),
            -0.5 * self.multipliers.square() / self.penalties,
        )
        return losses + shares.sum(1)

    def _end_stage(self) -> None:
        """New multipliers and penalties, and the method again, at the lowest L of the stage."""
        g, before = self.best_violations, self.multipliers
        if math.isfinite(self.stage.best_loss):
            distance = torch.maximum(g, -self.multipliers / self.penalties).abs()
            self.multipliers = (self.multipliers + self.penalties * g).clamp_min(0)
            is_stuck = distance > NEARER * self.distance
            self.penalties = torch.where(is_stuck, GROWTH * self.penalties, self.penalties)
            self.distance = distance
        step = float((self.stage.best_theta - self.stage_start).norm())
        self.sigma = min(self._first_sigma, max(step, NARROWER * self.sigma))
        change = (self.multipliers - before).abs() / (self.penalties * self.units)
        self.has_converged = bool(self.inner.finished()) and bool((change < SETTLED).all())
        if not self.has_converged:
            self.length *= 2
            self._begin(self.stage.best_theta)

    def recommend(self) -> Tensor:
        return self.problem.project(self.ledger.best_theta)

    def finished(self) -> str | None:
        if self.prototype.ranks:
            return self.inner.finished()
        return "converged" if self.has_converged else None

    def status(self) -> dict[str, float]:
        return {**self.inner.status(), "violation": self.ledger.best_violation}

    def state(self) -> dict[str, Any]:
        return {
            "inner": self.inner.state(),
            "stage": self.stage.state(),
            **{name: getattr(self, name) for name in STATE},
        }

    def load_state(self, state: dict[str, Any]) -> None:
        for name in STATE:
            setattr(self, name, state[name])
        best_violations, stage = self.best_violations, state["stage"]
        self._begin(self.stage_start)
        self.best_violations = best_violations
        self.stage.load_state(stage)
        self.inner.load_state(state["inner"])


#: Attributes of `Constrained` that are state, beside the method and the ledger of the stage.
STATE = (
    "multipliers",
    "penalties",
    "units",
    "distance",
    "length",
    "sigma",
    "has_converged",
    "probing",
    "stage_start",
    "best_violations",
)


def ranked(losses: Tensor, g: Tensor) -> Tensor:
    """Numbers [B] in the order of losses [B] where g [B, m] ≤ 0, and behind them in the order of the violation."""
    violation = total_violation(g)
    share = torch.where(violation.isfinite(), violation / (1 + violation), 1.0)
    return torch.where((violation > 0) & losses.isfinite(), INFEASIBLE * (1 + share), losses)
