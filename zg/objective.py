"""The only door to a task: it renders, counts, refuses to exceed the budget and meets what is not finite."""

import math
from dataclasses import replace
from time import perf_counter

import torch
from torch import Tensor

from zg.errors import SettingError
from zg.ledger import Evaluation, Ledger
from zg.problem import ImageLoss
from zg.seeding import derive_seed, render_seeds
from zg.task import Task

# Numbers of θ in one call on a CPU: of larger results each is written to fresh memory, which costs more than the rest.
LARGE = 2**19


class Objective:
    """Renders θ for a method, and enters every render into the ledger.

    Every render that a decision depends on is counted; `max_renders` is met exactly. A failed render (an exception, or
    a value that is not finite) counts and is marked invalid. `measure` is for tables and pictures: the method never
    sees it, and it is not counted, except in `measured`. `path` holds the θ [n] (user's units) that were measured along
    the way, where n is small enough to draw.
    """

    def __init__(self, task: Task, max_renders: int, seed: int = 0) -> None:
        self.task, self.space, self.seed = task, task.space, seed
        self.ledger = Ledger(max_renders, self.space.init.clone())
        self.image_loss = ImageLoss(task.loss, task.regulariser)
        self.path: list[Tensor] = []
        self.measured = 0
        self._last_measured: tuple[Tensor, float, Tensor] | None = None

    @property
    def start(self) -> Tensor:
        """θ₀ [n] scaled, inside the bounds."""
        return self.space.project(self.space.init)

    def evaluate(self, theta: Tensor, i: int, images: bool = False) -> Evaluation:
        """Render and judge θ [B, n] scaled, at iteration i; cut to what the budget leaves."""
        theta = theta[: self.ledger.left]
        seeds = render_seeds(self.seed, self.ledger.renders, len(theta)) if self.task.noisy else None
        start = perf_counter()
        losses, rendered = self._render(theta, seeds, i, images)
        self.ledger.seconds_render += perf_counter() - start
        evaluation = self.ledger.account(theta, losses)
        return replace(evaluation, images=rendered, reference=self.task.reference(i)) if images else evaluation

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
            self.ledger.last_error = f"{type(error).__name__}: {error}"
            images = self._render_singly(x, seeds, expected)
        if task.last_error:
            self.ledger.last_error, task.last_error = task.last_error, ""
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
                self.ledger.last_error = f"{type(error).__name__}: {error}"
        return images
