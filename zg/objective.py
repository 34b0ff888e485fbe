"""The only door to a task: it renders, counts, refuses to exceed the budget and meets what is not finite."""

import math
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from zg.errors import SettingError
from zg.seeding import derive_seed, render_seeds
from zg.task import Task

# Numbers of θ in one call on a CPU: of larger results each is written to fresh memory, which costs more than the rest.
LARGE = 2**19


@dataclass(frozen=True)
class Evaluation:
    """What a method is told of a batch.

    losses: [B] float64, NaN where the render failed. valid: [B] bool. images: [B, ...] where asked for.
    A batch that the budget cut has fewer entries than θ had rows; they are its first ones.
    """

    losses: Tensor
    valid: Tensor
    images: Tensor | None = None

    def ranked(self) -> Tensor:
        """Losses [B] with every failed render as bad as the worst of the batch (all alike if none succeeded)."""
        worst = self.losses[self.valid].max() if self.valid.any() else self.losses.new_tensor(math.inf)
        return torch.where(self.valid, self.losses, worst)


class Objective:
    """Renders θ for a method, and keeps the ledger of a run.

    Every render that any decision depends on is counted; `max_renders` is met exactly. A failed render (an
    exception, a value that is not finite) counts and is marked invalid. `measure` is for tables and pictures: never
    seen by the method and not counted, but in `measured`. `path` holds the θ [n] (user's units) that were measured
    along the way, where n is small enough to draw.
    """

    def __init__(self, task: Task, max_renders: int, seed: int = 0) -> None:
        if max_renders < 1:
            raise SettingError(f"max_renders must be at least 1, got {max_renders}")
        self.task = task
        self.space = task.space
        self.max_renders = max_renders
        self.seed = seed
        self.renders = 0
        self.failed = 0
        self.seconds_render = 0.0
        self.best_loss = math.inf
        self.best_theta = self.space.init.clone()
        self.last_loss = math.nan
        self.improved_at = 0
        self.last_error = ""
        self.path: list[Tensor] = []
        self.measured = 0
        self._last_measured: tuple[Tensor, float, Tensor] | None = None

    @property
    def exhausted(self) -> bool:
        """Whether the budget is spent."""
        return self.renders >= self.max_renders

    def evaluate(self, theta: Tensor, i: int, images: bool = False) -> Evaluation:
        """Render and judge θ [B, n] scaled, at iteration i; cut to what the budget leaves."""
        theta = theta[: self.max_renders - self.renders]
        seeds = render_seeds(self.seed, self.renders, len(theta)) if self.task.noisy else None
        start = perf_counter()
        losses, rendered = self._render(theta, seeds, i, images)
        self.seconds_render += perf_counter() - start
        return self.account(theta, losses, rendered)

    def account(self, theta: Tensor, losses: Tensor, images: Tensor | None = None) -> Evaluation:
        """Enter losses [B] of θ [B, n] scaled into the ledger; what is not finite is a failed render."""
        self.renders += len(theta)
        valid = losses.isfinite()
        values = losses.tolist()  # for a few numbers quicker than one tensor operation after another
        finite = [value for value in values if math.isfinite(value)]
        if len(finite) < len(values):
            losses = torch.where(valid, losses, math.nan)
            self.failed += len(values) - len(finite)
        if finite:
            self.last_loss = math.fsum(finite) / len(finite)
            lowest = min(finite)
            if lowest < self.best_loss:
                self.best_loss, self.improved_at = lowest, self.renders
                self.best_theta = theta[values.index(lowest)].clone()
        return Evaluation(losses, valid, images)

    def measure(self, theta: Tensor, label: str) -> tuple[float, Tensor]:
        """The loss and image of θ [n] scaled, rendered with seeds of its own and not counted.

        Without noise the same θ is not rendered twice in a row.
        """
        if self._last_measured and not self.task.noisy and torch.equal(theta, self._last_measured[0]):
            return self._last_measured[1:]
        seeds = render_seeds(derive_seed(self.seed, "measure", label), 0, 1) if self.task.noisy else None
        losses, images = self._render(theta[None], seeds, 0, images=True)
        assert images is not None
        self.measured += 1
        self._last_measured = theta.clone(), float(losses[0]), images[0]
        return self._last_measured[1:]

    def _render(self, theta: Tensor, seeds: Tensor | None, i: int, images: bool) -> tuple[Tensor, Tensor | None]:
        """Losses [B] and if asked for images [B, ...] of θ [B, n] scaled, in chunks; seeds [B] if the task is noisy."""
        chunk = self.task.chunk or self._roomy(theta)
        losses, kept = [], []
        for k in range(0, max(1, len(theta)), chunk):
            place = slice(k, k + chunk)
            x = self.space.to_user(theta[place])
            found, rendered = self._render_chunk(x, None if seeds is None else seeds[place], i)
            losses.append(found)
            if images:
                kept.append(rendered)
        if len(losses) == 1:
            return losses[0], kept[0] if kept else None
        return torch.cat(losses), torch.cat(kept) if kept else None

    @staticmethod
    def _roomy(theta: Tensor) -> int:
        """Renders in one call where the task takes any number: all of them, but on a CPU no more than caches hold."""
        fit = LARGE // theta.shape[1] if theta.device.type == "cpu" else len(theta)
        return max(1, min(fit, len(theta)))

    @torch.no_grad()
    def _render_chunk(self, x: Tensor, seeds: Tensor | None, i: int) -> tuple[Tensor, Tensor]:
        task = self.task
        reference = task.reference(i)
        expected = (len(x),) if reference is None else (len(x), *reference.shape)
        try:
            images = task.render(x) if seeds is None else task.render(x, seeds)
        except SettingError:
            raise
        except Exception as error:
            self.last_error = f"{type(error).__name__}: {error}"
            images = self._render_singly(x, seeds, expected)
        if task.last_error:
            self.last_error, task.last_error = task.last_error, ""
        if tuple(images.shape) != expected:
            if reference is None:
                raise SettingError(
                    f"render must return one number for each of {len(x)} vectors where there is no reference, "
                    f"got shape {list(images.shape)}"
                )
            raise SettingError(
                f"{type(task).__name__}.render must return shape {list(expected)} for {len(x)} parameter vectors, "
                f"got {list(images.shape)}"
            )
        losses, penalty = task.loss(images, reference), torch.as_tensor(task.regulariser(x))
        if tuple(losses.shape) != (len(x),) or (penalty.ndim and tuple(penalty.shape) != (len(x),)):
            raise SettingError(
                f"loss and regulariser must return one number for each of {len(x)} vectors, "
                f"got shapes {list(losses.shape)} and {list(penalty.shape)}"
            )
        return losses.double() + penalty, images

    def _render_singly(self, x: Tensor, seeds: Tensor | None, shape: tuple[int, ...]) -> Tensor:
        """After an exception in a batch: each render alone, so that only the guilty ones fail."""
        images = torch.full(shape, math.nan, device=self.task.device)
        for k in range(len(x) if len(x) > 1 else 0):
            one = slice(k, k + 1)
            try:
                images[one] = self.task.render(x[one]) if seeds is None else self.task.render(x[one], seeds[one])
            except Exception as error:
                self.last_error = f"{type(error).__name__}: {error}"
        return images

    # What a checkpoint holds, beside the path.
    LEDGER = "renders failed seconds_render best_loss best_theta last_loss improved_at last_error".split()

    def state(self) -> dict[str, Any]:
        """The ledger, as plain values and tensors."""
        return {name: getattr(self, name) for name in self.LEDGER} | {"path": list(self.path)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        for name in self.LEDGER:
            setattr(self, name, state[name])
        self.path = list(state["path"])
