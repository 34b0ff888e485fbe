"""What watches a run: the stop rule, checkpoints, the record with its pictures, and the progress bar."""

import math
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.loggers import WandbLogger
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from zg import pictures
from zg.method import Method, Watcher
from zg.run.records import finish_write, write_whole

CURVE_POINTS = 50
LOG_POINTS = 100
FLUSH_SECONDS = 1.0
# W&B takes 50 ms for a picture, so it gets every so many.
PANEL_EVERY = 10
# The window of the structural similarity; smaller images have none.
SSIM_WINDOW = 11
# Up to so many coordinates the way of θ is kept, for pictures.
DRAWN_PATH = 16


class Stop(Watcher):
    """Ends a run when its budget, the method or a signal says so, and knows why.

    The first SIGINT or SIGTERM asks the run to stop after this iteration, the second interrupts at once.
    """

    def __init__(self) -> None:
        self.reason = ""
        self._signalled = False
        self._handlers: dict[int, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._handlers[number] = signal.signal(number, self._on_signal)
        self._check(trainer, pl_module)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        self._check(trainer, pl_module)

    def _check(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Method)
        reason = "interrupted" if self._signalled else pl_module.stop_reason()
        if reason:
            self.reason = reason
            trainer.should_stop = True

    def _on_signal(self, number: int, frame: Any) -> None:
        if self._signalled:
            raise KeyboardInterrupt
        self._signalled = True

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self.teardown(trainer, pl_module, "fit")

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers.clear()


class RenderCheckpoint(Checkpoint, Watcher):
    """Writes `last.ckpt`, whole or not at all: every so many renders or seconds, at the end and on an exception."""

    FILE = "last.ckpt"

    def __init__(self, folder: Path, every_renders: int | None = None, every_seconds: float = 60.0) -> None:
        self.path = folder / self.FILE
        self.every_renders = every_renders or math.inf
        self.every_seconds = every_seconds
        self._saved_renders = 0
        self._saved_time = time.monotonic()
        self._started = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._started = True

    def look(self, method: Method) -> None:
        renders = method.objective.renders
        due = time.monotonic() - self._saved_time >= self.every_seconds
        if due or renders - self._saved_renders >= self.every_renders:
            self.save(method.trainer, renders)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Method)
        self.save(trainer, pl_module.objective.renders)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        assert isinstance(pl_module, Method)
        if self._started and pl_module.resumable:  # before, a former checkpoint may be half restored
            self.save(trainer, pl_module.objective.renders)

    def save(self, trainer: Trainer, renders: int) -> None:
        """Write the checkpoint now."""
        trainer.save_checkpoint(write_whole(self.path))
        finish_write(self.path)
        self._saved_renders, self._saved_time = renders, time.monotonic()


class Record(Watcher):
    """Logs against renders, and draws.

    At about `points` log-spaced counts the recommended θ is rendered once more, with seeds of its own and uncounted:
    this is the run's curve, with its picture and image metrics. At about 100 evenly spaced counts only what costs
    nothing is logged. The method sees none of it. The first logger, the history, is written at once; the others get
    their rows together every second, for they cost more than a step of a fast method.
    """

    def __init__(
        self, max_renders: int, folder: Path | None = None, video: bool = True, points: int = CURVE_POINTS
    ) -> None:
        self.curve_at = schedule(max_renders, points, log=True)
        self.log_at = schedule(max_renders, LOG_POINTS, log=False)
        self.folder = folder
        self.frames = folder / "frames" if folder and video else None
        self.logged = -1
        self._pending: list[dict[str, float]] = []
        self._flushed = time.monotonic()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Method)
        self._flushed = time.monotonic()
        if self.frames:
            self.frames.mkdir(exist_ok=True)
            for stale in self.frames.glob("*.png"):
                if int(stale.stem) > pl_module.objective.renders or not pl_module.objective.renders:
                    stale.unlink()
        if pl_module.objective.renders == 0:
            self.record(trainer, pl_module, measured=bool(self.curve_at))
        self._advance(pl_module.objective.renders)

    def look(self, method: Method) -> None:
        renders = method.objective.renders
        if renders >= self.next_record:
            self.record(method.trainer, method, measured=renders >= self.next_curve)
            self._advance(renders)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Method)
        if self.logged < pl_module.objective.renders:
            self.record(trainer, pl_module, measured=bool(self.curve_at))

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint: a run that was killed after its last row does not log that again."""
        return {"logged": self.logged}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.logged = state_dict["logged"]

    def _advance(self, renders: int) -> None:
        next_log = next((count for count in self.log_at if count > renders), math.inf)
        self.next_curve = next((count for count in self.curve_at if count > renders), math.inf)
        self.next_record = min(next_log, self.next_curve)

    def record(self, trainer: Trainer, method: Method, measured: bool) -> None:
        """Log one row; `measured` ones carry the curve's loss and are drawn."""
        objective = method.objective
        row: dict[str, float] = {
            "renders": objective.renders,
            "seconds_render": objective.seconds_render,
            "seconds_method": method.seconds_method,
            "batch_loss": objective.last_loss,
            "best_loss": objective.best_loss,
            **method.status(),
        }
        shown: Path | None = None
        if measured:
            theta = method.recommend()
            if method.space.n <= DRAWN_PATH:
                objective.path.append(method.space.to_user(theta).cpu())
            loss, image = objective.measure(theta, str(objective.renders))
            row["loss"] = loss
            row |= result_metrics(method, theta, image)
            if self.frames and (picture := draw(method, theta, image)) is not None:
                frame = self.frames / f"{objective.renders:09d}.png"
                pictures.write_png(frame, picture)
                shown = frame if len(list(self.frames.iterdir())) % PANEL_EVERY == 0 else None
        trainer.loggers[0].log_metrics(row, step=objective.renders)
        self.logged = objective.renders
        self._pending.append({key: value for key, value in row.items() if math.isfinite(value)})
        if shown or time.monotonic() - self._flushed >= FLUSH_SECONDS:
            self._flush(trainer)
        if shown:
            for logger in trainer.loggers:
                if isinstance(logger, WandbLogger):
                    logger.log_image("panel", [str(shown)], step=objective.renders)

    def _flush(self, trainer: Trainer) -> None:
        for row in self._pending:
            for logger in trainer.loggers[1:]:
                logger.log_metrics(row, step=int(row["renders"]))
        self._pending, self._flushed = [], time.monotonic()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._flush(trainer)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._flush(trainer)


class ShowProgress(Watcher):
    """A progress bar of renders with loss, best loss and time left; plain lines where there is no terminal."""

    def __init__(self, say: Callable[[str], None] = print) -> None:
        self.say = say
        self._bar: Progress | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Method)
        self._total = pl_module.objective.max_renders
        self._due = 0.0
        self._said = pl_module.objective.renders
        self._started = time.monotonic()
        self._first = pl_module.objective.renders
        if sys.stdout.isatty():
            self._bar = Progress(
                TextColumn("{task.completed}/{task.total} renders"),
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("batch loss {task.fields[loss]:.3g}  best {task.fields[best]:.3g}"),
                TimeRemainingColumn(),
            )
            self._line = self._bar.add_task("", total=self._total, loss=math.nan, best=math.nan)
            self._bar.start()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        assert isinstance(pl_module, Method)
        objective = pl_module.objective
        now = time.monotonic()
        if now < self._due and not objective.exhausted:
            return
        self._due = now + 0.1
        loss, best = objective.last_loss, objective.best_loss
        if self._bar:
            self._bar.update(self._line, completed=objective.renders, loss=loss, best=best)
        elif objective.renders - self._said >= self._total / 10 or objective.exhausted:
            self._said = objective.renders
            rate = (now - self._started) / max(1, objective.renders - self._first)
            left = rate * (self._total - objective.renders)
            self.say(
                f"{objective.renders}/{self._total} renders  batch loss {loss:.3g}  best {best:.3g}  {left:.0f} s left"
            )

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Method)
        if self._bar:
            renders = pl_module.objective.renders
            self._bar.update(self._line, completed=renders, total=renders)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self.teardown(trainer, pl_module, "fit")

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if self._bar:
            self._bar.stop()
            self._bar = None


def schedule(max_renders: int, points: int, log: bool) -> list[int]:
    """Up to `points` different counts from 1 to `max_renders`, spaced evenly or in the logarithm."""
    steps = torch.linspace(0, 1, points, dtype=torch.float64)
    counts = max_renders**steps if log else 1 + (max_renders - 1) * steps
    return sorted({int(count) for count in counts.round().tolist()})


def result_metrics(method: Method, theta: Tensor, image: Tensor) -> dict[str, float]:
    """Parameter error, gradient cosine, PSNR, SSIM and the task's own metrics of θ [n] scaled and its image."""
    task = method.objective.task
    space = task.space
    x = space.to_user(theta)
    found: dict[str, float] = {}
    if task.solution is not None:
        found["theta_error"] = float(((x - task.solution.to(x)) / space.scale).norm())
    slope = method.surrogate_gradient(theta)
    true_slope = task.true_gradient(x) if slope is not None else None
    if slope is not None and true_slope is not None:
        found["gradient_cosine"] = float(torch.cosine_similarity(slope, true_slope.to(slope) * space.scale, dim=0))
    reference = task.reference()
    if reference is not None and image.ndim >= 3 and image.isfinite().all():
        a, b = (pictures.to_display(part, task.linear)[None] for part in (image, reference))
        found["psnr"] = float(peak_signal_noise_ratio(a, b, data_range=1.0))
        if min(a.shape[-2:]) >= SSIM_WINDOW:
            found["ssim"] = float(structural_similarity_index_measure(a, b, data_range=1.0))  # type: ignore[arg-type]
    return found | task.metrics(x, image)


def draw(method: Method, theta: Tensor, image: Tensor) -> Tensor | None:
    """The picture of the state: the task's own, or render | reference | error; None where there is nothing to see."""
    task = method.objective.task
    picture = task.picture(task.space.to_user(theta), image, method)
    reference = task.reference()
    if picture is None and reference is not None and image.ndim >= 3:
        picture = pictures.panel(image, reference, task.linear)
    return picture
