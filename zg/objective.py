"""The only access to a task: `Objective` renders, counts renders, enforces the budget and handles failed renders."""

import math
from dataclasses import replace
from time import perf_counter

import torch
from torch import Tensor

from zg.errors import SettingError, in_words
from zg.images import mismatch
from zg.ledger import Evaluation, Ledger
from zg.losses import checked_losses
from zg.problem import ImageLoss
from zg.repeats import Repeats
from zg.seeding import derive_seed, render_seeds
from zg.task import Task

# Most elements of θ [B, n] in one call of `render` on a CPU. The temporaries of larger batches do not fit the caches;
# they are allocated again for every operation, which takes longer than the operations themselves.
LARGE = 2**19


class Objective:
    """Renders θ for a method, and counts every render in the ledger.

    Every render that a decision depends on is counted, and `max_renders` is met exactly. A render fails if it raises an
    exception or if its loss is not finite. A failed render is counted and marked invalid.

    `measure` renders for tables and pictures. The method never sees these renders. They are not counted in the ledger;
    `measured` is their number. `path` holds the θ [n] (user's units) that were measured along the way, if n is small
    enough for a picture.
    """

    def __init__(self, task: Task, max_renders: int, seed: int = 0) -> None:
        self.task, self.space, self.seed = task, task.space, seed
        self.ledger = Ledger(max_renders, self.space.init.clone())
        self.image_loss = ImageLoss(task.loss, task.regulariser)
        # Renders that were submitted one by one, by the ticket of the pool: their number and their θ [n].
        self._submitted: dict[int, tuple[int, Tensor]] = {}
        self.path: list[Tensor] = []
        self.measured = 0
        # Whether a render has succeeded, in this process.
        self._has_rendered = False
        self._last_measured: tuple[Tensor, float, Tensor] | None = None  # θ, its loss and its image
        is_repeatable = bool(self.space.discrete.all()) and not task.noisy and type(task).reference is Task.reference
        #: The losses of x that were rendered before, where methods come back to them.
        self.repeats = Repeats() if is_repeatable else None

    @property
    def start(self) -> Tensor:
        """The initial θ₀ [n] in scaled units, clipped to the bounds."""
        return self.space.project(self.space.init)

    def evaluate(self, theta: Tensor, i: int, images: bool = False) -> Evaluation:
        """Render θ [B, n] in scaled units at iteration i. The budget may cut the batch to its first rows.

        images: also return the images and the reference. Raises SettingError if `render`, the loss or the regulariser
        returns a wrong shape. An x of whole numbers that was rendered before is not rendered again (`zg.repeats`).
        """
        if self.repeats is not None and self.repeats.is_trusted is not False and not images:
            return self._evaluate_new(self.repeats, theta, i)
        theta = theta[: self.ledger.left]
        seeds = render_seeds(self.seed, self.ledger.renders, len(theta)) if self.task.noisy else None
        start = perf_counter()
        losses, rendered = self._render(theta, seeds, i, images)
        if losses.device.type == "cuda":  # its work is only queued so far
            torch.cuda.synchronize(losses.device)
        self.ledger.seconds_render += perf_counter() - start
        violations = self.task.violations(self.space.to_user(theta)) if self.task.constrained else None
        evaluation = self.ledger.account(theta, losses, violations)
        return replace(evaluation, images=rendered, reference=self.task.reference(i)) if images else evaluation

    def _evaluate_new(self, repeats: Repeats, theta: Tensor, i: int) -> Evaluation:
        """As `evaluate`, but only what is not known is rendered."""
        keys, rows = repeats.new(self.space.to_user(theta), self.ledger.left)
        theta, losses = theta[: len(keys)], theta.new_empty(0, dtype=torch.float64)
        start = perf_counter()
        if rows:
            losses, _ = self._render(theta[rows], None, i, images=False)
        losses = repeats.learn(keys, rows, losses)
        self.ledger.seconds_render += perf_counter() - start
        violations = self.task.violations(self.space.to_user(theta)) if self.task.constrained else None
        return self.ledger.account(theta, losses, violations, rows)

    def submit(self, theta: Tensor, number: int) -> None:
        """Have θ [n] in scaled units rendered in the pool of the task, without waiting; `take` hands it over.

        number: of the render in the run, 0 first. The seed of a noisy render depends on it, and on nothing else.
        """
        seed = int(render_seeds(self.seed, number, 1)[0]) if self.task.noisy else 0
        x = self.space.to_user(theta[None])[0]
        ticket = self.task.opened_pool().submit(x.double().cpu().numpy(), seed)
        self._submitted[ticket] = number, theta

    def take(self, images: bool = False) -> tuple[int, Evaluation]:
        """The number and the evaluation, B = 1, of the next render that ends. images: as in `evaluate`."""
        start = perf_counter()
        result = self.task.opened_pool().take()
        number, theta = self._submitted.pop(result.ticket)
        if result.error is not None:
            self.ledger.note_error(in_words(result.error))
        x = self.space.to_user(theta[None])
        try:
            rendered = self.task.images_of([result])
            self._has_rendered = True
        except SettingError:
            raise
        except (Exception, SystemExit) as error:
            self._fail(error)
            rendered = self._render_singly(x, None, number)
        self._note_error_of_task()
        losses = self._losses(x, rendered, number)
        self.ledger.seconds_render += perf_counter() - start
        evaluation = self.ledger.account(theta[None], losses)
        if images:
            evaluation = replace(evaluation, images=rendered, reference=self.task.reference(number))
        return number, evaluation

    def measure(self, theta: Tensor, label: str) -> tuple[float, Tensor]:
        """The loss and the image [...] of θ [n] in scaled units, not counted.

        A task without noise does not render the same θ twice in succession. label: the render seed of a noisy task
        depends on it.
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
        """Losses [B] of θ [B, n] in scaled units, and images [B, ...] if asked for. seeds: [B] if the task is noisy."""
        size = (self.task.chunk or self._chunk_size(theta)) * max(1, len(self.task.devices))
        losses, kept = [], []
        for k in range(0, max(1, len(theta)), size):
            chunk = slice(k, k + size)
            x = self.space.to_user(theta[chunk])
            found, rendered = self._render_chunk(x, None if seeds is None else seeds[chunk], i)
            losses.append(found)
            if images:
                kept.append(rendered)
        if len(losses) == 1:
            return losses[0], kept[0] if kept else None
        return torch.cat(losses), torch.cat(kept) if kept else None

    @staticmethod
    def _chunk_size(theta: Tensor) -> int:
        """Renders per call of a task that takes any number: the whole batch, on a CPU at most `LARGE` elements of θ."""
        most = LARGE // theta.shape[1] if theta.device.type == "cpu" else len(theta)
        return max(1, min(most, len(theta)))

    @torch.no_grad()
    def _render_chunk(self, x: Tensor, seeds: Tensor | None, i: int) -> tuple[Tensor, Tensor]:
        """Losses [B] and images [B, ...] of x [B, n] in the user's units, in one call of `render`."""
        try:
            images = self._call(x, seeds)
            self._has_rendered = True
        except SettingError:
            raise
        except (Exception, SystemExit) as error:
            if len(x) == 1:
                self._fail(error)
            images = self._render_singly(x, seeds, i)
        self._note_error_of_task()
        return self._losses(x, images, i), images

    def _note_error_of_task(self) -> None:
        """Take over why a render was NaN, where the task knows it."""
        if self.task.last_error:
            self.ledger.note_error(self.task.last_error)
            self.task.last_error = ""

    @torch.no_grad()
    def _losses(self, x: Tensor, images: Tensor, i: int) -> Tensor:
        """Losses [B] float64 of images [B, ...] of x [B, n] in the user's units."""
        task, reference = self.task, self.task.reference(i)
        self._check_images(images, (len(x), *task.render_shape(i)), reference)
        losses, penalty = checked_losses(task.loss(images, reference), len(x)), torch.as_tensor(task.regulariser(x))
        if penalty.ndim and tuple(penalty.shape) != (len(x),):
            raise SettingError(
                f"regulariser must return one number for each of {len(x)} rows of x [{len(x)}, {self.space.n}], "
                f"got shape {list(penalty.shape)}"
            )
        return losses + penalty

    def _render_singly(self, x: Tensor, seeds: Tensor | None, i: int) -> Tensor:
        """Images [B, ...] of iteration i, after an exception in a batch: each x alone; NaN where it raises again."""
        dtype = torch.float64 if self.task.reference(i) is None else torch.float32
        shape = (len(x), *self.task.render_shape(i))
        images = torch.full(shape, math.nan, device=self.task.device, dtype=dtype)
        if len(x) == 1:
            return images
        for k in range(len(x)):
            one = slice(k, k + 1)
            try:
                images[one] = self._call(x[one], None if seeds is None else seeds[one])
                self._has_rendered = True
            except (Exception, SystemExit) as error:
                self._fail(error)
        return images

    def _call(self, x: Tensor, seeds: Tensor | None) -> Tensor:
        return self.task.render_batch(x) if seeds is None else self.task.render_batch(x, seeds)

    def _fail(self, error: BaseException) -> None:
        """Keep the error of a failed render. Raise it if that was the first render of a new run: it is the user's."""
        is_first = not self._has_rendered and self.ledger.renders == 0
        if is_first:
            raise error
        self.ledger.note_error(in_words(error))

    def _check_images(self, images: Tensor, expected: tuple[int, ...], reference: Tensor | None) -> None:
        """Raise SettingError unless `render` returned images of the expected shape."""
        if tuple(images.shape) == expected:
            return
        if reference is None:
            raise SettingError(
                f"render must return one number for each of {expected[0]} vectors where there is no reference, "
                f"got shape {list(images.shape)}"
            )
        raise SettingError(
            f"{type(self.task).__name__}.render must return shape {list(expected)} for {expected[0]} parameter "
            f"vectors, got {list(images.shape)}: {mismatch(images.shape, expected)}"
        )
