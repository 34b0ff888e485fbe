"""A network that is trained through renders, as a run: `zg fit` with a config that has `training`.

The network is a LightningModule that steps its own optimiser, and most often contains a `zg.Layer`. It has a run folder
like any other run: records, checkpoints, video, row, W&B. Its progress is the number of renders.
"""

import contextlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from zg import pictures
from zg.budget import StopReason
from zg.config.compose import Config
from zg.errors import SettingError, check_positive, check_whole, in_words
from zg.run.checkpoint import KEY, WriteCheckpoint, whole_checkpoint
from zg.run.data import Counter
from zg.run.files import ERROR_FILE, FRAMES, ROW_FILE, decoration, frames_in, write_error, write_json
from zg.run.folder import discard, held_folder, report_disk_errors
from zg.run.history import History
from zg.run.module import make_trainer, plain_interrupts, quiet_lightning
from zg.run.observer import Observer, closing_all
from zg.run.provenance import code_hash, config_hash, machine, peak_mb, revision
from zg.run.record import CURVE_POINTS, LOG_POINTS, PANEL_EVERY, schedule
from zg.run.row import Labels, Row
from zg.run.signals import Signals
from zg.run.tracking import log_end, log_row, track_run, wandb_mode


class Training(LightningModule, ABC):
    """A network, its data and its optimiser. The module's `state_dict` holds the network, `state` all the rest.

    `steps` counts the steps, and `numbers` is what the last one returned. `asked_to_stop` says why the run is to end
    after the present step, `signal` which signal ended it, `resumable` whether a run can go on from the present state.
    """

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.steps, self.resumable = 0, True
        self.numbers: dict[str, float] = {}
        self.signal: int | None = None
        self.asked_to_stop: str | None = None
        self.observers: Sequence[Observer[Training]] = ()

    def start(self, seed: int, max_renders: int) -> None:
        """Make the network."""
        self.seed, self.max_renders = seed, max_renders
        self.build()

    @abstractmethod
    def build(self) -> None:
        """Make the network and its optimiser. Everything random comes from `seed`."""

    @property
    @abstractmethod
    def names(self) -> tuple[str, str]:
        """What is learned, and how: task and method of the row."""

    @property
    @abstractmethod
    def renders(self) -> int:
        """Number of renders so far."""

    @property
    @abstractmethod
    def has_budget(self) -> bool:
        """Whether the renders of another step fit into the budget."""

    @abstractmethod
    def step(self) -> dict[str, float]:
        """One step of the optimiser. Returns numbers for the log."""

    @abstractmethod
    def measure(self) -> dict[str, float]:
        """Metrics of the network on data that it has not seen; their renders are not counted."""

    def panel(self) -> Tensor | None:
        """A picture [3, H, W] of what the network does now; also a frame of the video."""
        return None

    def state(self) -> dict[str, Any]:
        """What `state_dict` does not hold: the optimiser. Tensors and plain values."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a state."""

    def advance(self) -> dict[str, float]:
        """One step, counted; also without Lightning."""
        self.resumable = False
        numbers = self.step()
        self.steps += 1
        self.resumable = True
        return numbers

    def training_step(self, batch: int, batch_idx: int) -> None:
        """One step. The batch is only a number: the data are the network's own."""
        self.numbers = self.advance()
        for observer in self.observers:
            observer.iterated(self)
        self.trainer.should_stop |= self.stop_reason() is not None

    def stop_reason(self) -> str | None:
        """Why the run ends now, or None."""
        return self.asked_to_stop or (None if self.has_budget else str(StopReason.BUDGET))

    def configure_optimizers(self) -> None:
        """No optimisers for Lightning: `step` has its own."""

    def train_dataloader(self) -> DataLoader[int]:
        return DataLoader(Counter(), batch_size=None, generator=torch.Generator())

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint.pop("loops")
        states = {type(observer).__name__: observer.state() for observer in self.observers}
        # The count of renders stands where `zg.run.checkpoint` looks for it.
        checkpoint[KEY] = {"ledger": {"renders": self.renders}, "steps": self.steps, "own": self.state()}
        checkpoint["observers"] = states

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.steps = checkpoint[KEY]["steps"]
        self.load_state(checkpoint[KEY]["own"])
        for observer in self.observers:
            observer.load_state(checkpoint["observers"].get(type(observer).__name__, {}))


class Hooks(Callback):
    """Calls the observers of a training from Lightning's hooks."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        training = cast(Training, pl_module)
        for observer in training.observers:
            observer.started(training)
        trainer.should_stop |= training.stop_reason() is not None

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        training = cast(Training, pl_module)
        for observer in training.observers:
            observer.ended(training)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        training = cast(Training, pl_module)
        with closing_all(training.observers):
            for observer in training.observers:
                observer.failed(training)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        with closing_all(cast(Training, pl_module).observers):
            pass


class RecordTraining(Observer[Training]):
    """Measures a training, logs its numbers, and draws the frames of its video, at evenly spaced counts of renders."""

    def __init__(self, max_renders: int, history: History, folder: Path, points: int, video: bool) -> None:
        self.measured_at = schedule(max_renders, points, log=False)
        self.logged_at = schedule(max_renders, LOG_POINTS, log=False)
        self.history, self.logged = history, -1
        self.metrics: dict[str, float] = {}
        self.measured = -1
        self.frames = folder / FRAMES if video else None
        self.loggers: Sequence[Any] = ()
        self.say: Callable[[str], None] | None = None

    def started(self, loop: Training) -> None:
        if self.frames:
            self.frames.mkdir(exist_ok=True)
            for frame in frames_in(self.frames):
                if int(frame.stem) > loop.renders or not loop.renders:
                    frame.unlink()
        if self.logged < 0:
            self._record(loop, measured=bool(self.measured_at), numbers={})

    def iterated(self, loop: Training) -> None:
        measured = _passed(self.measured_at, self.logged, loop.renders)
        if measured or _passed(self.logged_at, self.logged, loop.renders):
            self._record(loop, measured, loop.numbers)

    def ended(self, loop: Training) -> None:
        if self.measured < loop.renders:
            self._record(loop, True, loop.numbers)

    def closed(self) -> None:
        self.history.close()

    def state(self) -> dict[str, Any]:
        """The rows, the renders at the last one, and the last metrics with the renders at these."""
        measured = {"measured": self.measured, "metrics": self.metrics}
        return {"logged": self.logged, "rows": self.history.rows, **measured}

    def load_state(self, state: dict[str, Any]) -> None:
        self.logged, self.measured, self.metrics = state["logged"], state["measured"], state["metrics"]
        self.history.restore(state["rows"])

    def _record(self, training: Training, measured: bool, numbers: dict[str, float]) -> None:
        row = {"renders": training.renders, "steps": training.steps, **numbers}
        if measured:
            self.metrics, self.measured = training.measure(), training.renders
            row |= self.metrics
            if self.frames:
                self._draw(training, self.frames / f"{training.renders:09d}.png")
            if self.say:
                shown = "  ".join(f"{name} {value:.3g}" for name, value in self.metrics.items())
                self.say(f"{training.renders} renders  {shown}")
        self.history.write(row)
        self.logged = training.renders
        finite = {key: value for key, value in row.items() if math.isfinite(value)}
        for logger in self.loggers:
            with decoration(f"logging to {type(logger).__name__}"):
                logger.log_metrics(finite, step=training.renders)

    def _draw(self, training: Training, frame: Path) -> None:
        """Write a frame of the video; each PANEL_EVERY-th one is logged, too."""
        with decoration("a frame of the video"):
            if (picture := training.panel()) is None:
                return
            pictures.write_png(frame, picture)
            for logger in self.loggers if len(list(frame.parent.iterdir())) % PANEL_EVERY == 0 else ():
                logger.log_image("panel", [str(frame)], step=training.renders)


def _passed(counts: list[int], before: int, now: int) -> bool:
    """Whether one of the counts lies after `before`, up to now."""
    return any(before < count <= now for count in counts)


def train(
    training: Training,
    folder: Path,
    *,
    seed: int = 0,
    max_renders: int = 2000,
    config: Config | None = None,
    resume: bool = False,
    trainer: dict[str, Any] | None = None,
    say: Callable[[str], None] | None = None,
    checkpoint_renders: int | None = None,
    checkpoint_seconds: float = 60.0,
    curve_points: int = CURVE_POINTS,
    video: bool = True,
    wandb: str = "disabled",
    group: str | None = None,
    tensorboard: bool = False,
) -> Row:
    """Train a network in a run folder until its budget of renders is spent. Arguments: as of `zg.run.run.run`.

    Returns the row. `stop_reason` is `interrupted` after a signal; then `resume` goes on with the same bits.
    Raises SettingError for a wrong setting. Any other exception is first written to row.json, and then raised.
    """
    check_whole(0, seed=seed, curve_points=curve_points)
    check_whole(max_renders=max_renders)
    check_positive(checkpoint_seconds=checkpoint_seconds)
    mode, history = wandb_mode(wandb), History(folder)
    labels = Labels(*training.names, config or {}, 1)
    signals = Signals()
    record = RecordTraining(max_renders, history, folder, curve_points, video)
    record.say = say
    write = WriteCheckpoint(folder, checkpoint_renders, checkpoint_seconds)
    with (
        signals,
        report_disk_errors(folder),
        held_folder(folder, resume, labels.config),
        track_run(folder, mode, group, labels, {"seed": seed, "max_renders": max_renders}, tensorboard) as loggers,
    ):
        (folder / ERROR_FILE).unlink(missing_ok=True)
        record.loggers = loggers
        try:
            training.start(seed, max_renders)
            training.observers = [signals, record, write]
            checkpoint = whole_checkpoint(folder) if resume else None
            lightning = make_trainer(loggers, [Hooks()], trainer or {})
            write.save = lightning.save_checkpoint
            with quiet_lightning(), plain_interrupts():
                lightning.fit(training, ckpt_path=checkpoint, weights_only=True)
        except BaseException as exception:
            _record_failure(folder, exception, training, labels, seed, max_renders, loggers, resume)
            raise
        training.signal = signals.number
        metrics = {f"metric_{name}": value for name, value in record.metrics.items()}
        row = cast(Row, {**describe(training, labels, seed, max_renders), **metrics})
        write_json(folder / ROW_FILE, row)  # before anything that is only decoration
        _write_pictures(training, folder)
        log_end(loggers, folder, row)
    return row


def describe(training: Training, labels: Labels, seed: int, max_renders: int, error: str = "") -> Row:
    """The row of a training, without its metrics. error: message of the exception that ended it."""
    interrupted = training.asked_to_stop == StopReason.INTERRUPTED
    return {
        "task": labels.task,
        "method": labels.method,
        "settings": labels.config.get("training", {}).get("init_args", {}),
        "seed": seed,
        "config_hash": config_hash(labels.config.get("training", {})),
        "code_hash": code_hash(type(training).__module__),
        "revision": revision(),
        "machine": machine(),
        "threads": torch.get_num_threads(),
        "max_renders": max_renders,
        "renders": training.renders,
        "iterations": training.steps,
        "peak_mb": peak_mb(),
        "stop_reason": str(StopReason.ERROR if error and not interrupted else (training.stop_reason() or "")),
        "error": error,
    }


def _write_pictures(training: Training, folder: Path) -> None:
    with decoration("panel.png"):
        if (picture := training.panel()) is not None:
            pictures.write_png(folder / "panel.png", picture)
    if (folder / FRAMES).is_dir() and (frames := frames_in(folder / FRAMES)):
        with decoration("the video"):
            pictures.write_video([pictures.read_png(path) for path in frames], folder / "video")


def _record_failure(
    folder: Path,
    exception: BaseException,
    training: Training,
    labels: Labels,
    seed: int,
    max_renders: int,
    loggers: Sequence[Any],
    resume: bool,
) -> None:
    """After an exception: write the row with the error, or remove the folder of a run that was refused."""
    if isinstance(exception, SettingError):
        if not resume and not training.steps:
            discard(folder, loggers)
        return
    with contextlib.suppress(OSError, AttributeError):  # AttributeError: `start` has failed
        row = describe(training, labels, seed, max_renders, in_words(exception))
        write_json(folder / ROW_FILE, row)
        log_row(loggers, row)
    if isinstance(exception, Exception):
        with contextlib.suppress(OSError):
            write_error(folder, exception)
