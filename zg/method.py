"""A method asks the objective about θ, is told losses, and recommends a θ. It never looks inside a task.

A new method subclasses `Method` and implements `build`, `ask`, `tell` and `recommend`; the Trainer, the
ledger, loggers, checkpoints and the command line come with it.
"""

from dataclasses import dataclass
from numbers import Real
from time import perf_counter
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from pytorch_lightning import Callback, LightningModule
from torch import Tensor
from torch.optim import Optimizer

from zg.errors import SettingError, check_positive, check_whole
from zg.objective import Evaluation, Objective
from zg.seeding import make_generator
from zg.space import ParameterSpace

# How long iterations go on within one of Lightning's batches, if all callbacks are watchers.
SLICE_SECONDS = 0.02


@dataclass(frozen=True)
class Budget:
    """When a run ends: whichever comes first.

    max_renders: renders counted, met exactly. max_seconds: rendering plus method. target_loss: any counted
    loss at or below it. patience: renders without a new best loss. max_failed: fraction of failed renders,
    from 20 renders on.
    """

    max_renders: int = 2000
    max_seconds: float | None = None
    target_loss: float | None = None
    patience: int | None = None
    max_failed: float = 0.5

    def __post_init__(self) -> None:
        check_whole(max_renders=self.max_renders)
        if self.patience is not None:
            check_whole(patience=self.patience)
        if self.max_seconds is not None:
            check_positive(max_seconds=self.max_seconds)
        if self.target_loss is not None and not isinstance(self.target_loss, Real):
            raise SettingError(f"target_loss must be a number, got {self.target_loss!r}")
        check_positive(max_failed=self.max_failed)
        if self.max_failed > 1:
            raise SettingError(f"max_failed must be a fraction of at most 1, got {self.max_failed}")

    def stop_reason(self, objective: Objective, seconds: float) -> str | None:
        """Why the run has to end now, or None."""
        if self.target_loss is not None and objective.best_loss <= self.target_loss:
            return "target"
        if objective.exhausted:
            return "budget"
        if self.max_seconds is not None and seconds >= self.max_seconds:
            return "time"
        if objective.renders >= 20 and objective.failed > self.max_failed * objective.renders:
            return "failed renders"
        if self.patience is not None and objective.renders - objective.improved_at >= self.patience:
            return "no progress"
        return None


class Range(NamedTuple):
    """What tuning may set a setting to: [low, high], both included; evenly in the logarithm if `log`."""

    low: float
    high: float
    log: bool = False
    integer: bool = False


class Method(LightningModule):
    """ask → objective → tell, once an iteration, by manual optimisation.

    Everything random comes from `self.random`. State that has to survive a kill is θ and the like in
    parameters and buffers, torch optimisers in `self.inner_optimizers`, and the rest in `extra_state`.
    """

    #: What it looks at: losses only, or the images too (then ranked apart).
    feedback: ClassVar[Literal["loss", "image"]] = "loss"
    #: Whether a batch that the budget cut is of no use.
    whole_batches: ClassVar[bool] = False
    #: The settings worth tuning; none means that the method is compared untuned.
    ranges: ClassVar[dict[str, Range]] = {}

    #: The name of the optimiser that does the work, for methods that choose one.
    resolved: str = ""
    space: ParameterSpace
    objective: Objective
    random: torch.Generator

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.seed = 0
        self.budget = Budget()
        self.inner_optimizers: list[Optimizer] = []
        self.iteration = 0
        self.seconds_method = 0.0
        self.asked_to_stop = ""
        self.resumable = True
        self.watchers: list[Watcher] = []
        self.slice_seconds = 0.0
        self._random_before: Tensor | None = None

    # What a method implements

    def build(self, theta: Tensor) -> None:
        """Make everything sized by n, from the start θ₀ [n] scaled. `self.space` and `self.random` are set."""
        raise NotImplementedError(f"{type(self).__name__} must implement build")

    def ask(self) -> Tensor:
        """The θ [B, n] scaled to be rendered next."""
        raise NotImplementedError(f"{type(self).__name__} must implement ask")

    def tell(self, theta: Tensor, evaluation: Evaluation) -> None:
        """Learn from what `ask` returned, θ [B, n]; fewer rows than asked when the budget cut the batch."""
        raise NotImplementedError(f"{type(self).__name__} must implement tell")

    def recommend(self) -> Tensor:
        """The θ [n] scaled that the method would hand over now."""
        raise NotImplementedError(f"{type(self).__name__} must implement recommend")

    def predict(self, theta: Tensor) -> Tensor | None:
        """The surrogate's loss [B] at θ [B, n] scaled, for methods that have one."""
        return None

    def surrogate_gradient(self, theta: Tensor) -> Tensor | None:
        """The surrogate's gradient [n] at θ [n] scaled, for methods that have one."""
        return None

    def status(self) -> dict[str, float]:
        """Numbers worth logging: σ, step, fit error, …"""
        return {}

    def finished(self) -> str | None:
        """The method's own reason to stop, such as a converged population."""
        return None

    def extra_state(self) -> dict[str, Any]:
        """State beyond parameters, buffers, optimisers and `self.random`: tensors, numbers, strings, lists, dicts."""
        return {}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Restore what `extra_state` returned, on a built method."""

    # What it inherits

    @property
    def progress(self) -> float:
        """The share of the render budget that is spent, in [0, 1]; what anneals follows it."""
        return self.objective.renders / self.objective.max_renders

    def start(self, space: ParameterSpace) -> None:
        """Build for a space, from its initial θ."""
        self.space = space
        self.random = make_generator(self.seed, "method", device=space.init.device)
        self.build(space.project(space.init.clone()))

    def configure_model(self) -> None:
        """Lightning's hook for what is sized by the task."""
        if hasattr(self, "objective"):
            return
        task: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        self.objective = Objective(task, self.budget.max_renders, self.seed)
        self.start(task.space)

    def configure_optimizers(self) -> list[Optimizer]:
        """Hand the inner optimisers to Lightning, which checkpoints them; `tell` steps them itself."""
        return self.inner_optimizers

    def on_train_start(self) -> None:
        """Take turns as the callbacks allow."""
        callbacks = self.trainer.callbacks  # type: ignore[attr-defined]
        self.watchers = [one for one in callbacks if isinstance(one, Watcher)]
        self.slice_seconds = SLICE_SECONDS if len(self.watchers) == len(callbacks) else 0.0

    def training_step(self, batch: int, batch_idx: int) -> None:
        """One iteration, or where nobody minds a slice of them.

        Between two batches Lightning works for half a millisecond, longer than many an iteration takes.
        """
        end = perf_counter() + self.slice_seconds
        while True:
            self.iterate()
            for watcher in self.watchers:
                watcher.look(self)
            if perf_counter() >= end or self.stop_reason():
                return

    def iterate(self) -> None:
        """Ask, render, tell. Until the renders are there, a checkpoint is that of the iteration's beginning."""
        start, rendering = perf_counter(), self.objective.seconds_render
        self._random_before = self.random.get_state()
        theta = self.ask()
        evaluation = self.objective.evaluate(theta, self.iteration, images=self.feedback == "image")
        self._random_before = None
        self.resumable = False
        count = len(evaluation.losses)
        if count == len(theta) or not self.whole_batches:
            self.tell(theta[:count], evaluation)
        self.iteration += 1
        self.resumable = True
        self.seconds_method += perf_counter() - start - (self.objective.seconds_render - rendering)

    def stop_reason(self) -> str | None:
        """Why the run has to end now, or None."""
        seconds = self.seconds_method + self.objective.seconds_render
        return self.asked_to_stop or self.budget.stop_reason(self.objective, seconds) or self.finished()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what Lightning does not know of, and drop its loop counters: progress is renders."""
        checkpoint.pop("loops")
        checkpoint["zerograds"] = self.own_state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore it, before Lightning loads parameters and optimisers."""
        self.load_own_state(checkpoint["zerograds"])

    def own_state(self) -> dict[str, Any]:
        """All state but parameters, buffers and optimisers."""
        return {
            "iteration": self.iteration,
            "seconds_method": self.seconds_method,
            "objective": self.objective.state(),
            "random": self.random.get_state() if self._random_before is None else self._random_before,
            "extra": self.extra_state(),
        }

    def load_own_state(self, state: dict[str, Any]) -> None:
        """Restore what `own_state` returned."""
        self.iteration = state["iteration"]
        self.seconds_method = state["seconds_method"]
        self.objective.load_state(state["objective"])
        self.random.set_state(state["random"].cpu())
        self.load_extra_state(state["extra"])


class Watcher(Callback):
    """A callback that looks at the method after every iteration, and need not be called after every batch for that.

    With callbacks of this kind alone a batch is a slice of time, else it is one iteration.
    """

    def look(self, method: Method) -> None:
        """After an iteration; quick, for there may be thousands a second."""
