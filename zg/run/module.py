"""A run in Lightning's Trainer: a LightningModule with manual optimisation that iterates a `Loop`."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities.exceptions import MisconfigurationException  # type: ignore[attr-defined]

from zg.errors import SettingError, in_words
from zg.loop import Loop
from zg.method import Method
from zg.objective import Objective
from zg.run.checkpoint import KEY, WriteCheckpoint
from zg.run.data import TaskData
from zg.run.observer import Observer, closing_all
from zg.task import Task

#: Seconds of iterations in one batch of Lightning. Lightning itself takes about 0.5 ms per batch, which is longer than
#: an iteration of a fast method. If the user has callbacks, a batch is one iteration.
SLICE_SECONDS = 0.02
# Settings of the Trainer that are refused, and why: only the budget ends a run, and a run has one process.
REFUSED = {
    "max_epochs": "use max_renders",
    "min_epochs": "use max_renders",
    "max_steps": "use max_renders",
    "min_steps": "use max_renders",
    "limit_train_batches": "use max_renders",
    "fast_dev_run": "use max_renders",
    "max_time": "use max_seconds",
    "num_nodes": "a run has one process",
    "strategy": "a run has one process",
    "gradient_clip_val": "methods have their own optimisers",
    "gradient_clip_algorithm": "methods have their own optimisers",
    "accumulate_grad_batches": "methods have their own optimisers",
}


class RunModule(LightningModule):
    """Iterates a loop. A batch of Lightning is one iteration, or the iterations of 0.02 s.

    Callbacks of the user can read `loop`, `method` and `objective`.
    """

    def __init__(self, loop: Loop, observers: Sequence[Observer]) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.loop, self.observers = loop, list(observers)
        self.slice_seconds = 0.0

    @property
    def method(self) -> Method:
        """The method."""
        return self.loop.method

    @property
    def objective(self) -> Objective:
        """The access to the task."""
        return self.loop.objective

    def configure_model(self) -> None:
        """Start the method on the task. Lightning calls this again before it restores a checkpoint."""
        if not self.method.started:
            task: Task = self.trainer.datamodule.task  # type: ignore[attr-defined]
            self.loop.start(Objective(task, self.loop.budget.max_renders, self.loop.seed))

    def configure_optimizers(self) -> None:
        """No optimisers for Lightning: a method steps its own in `tell`, and saves them in `state`."""

    def training_step(self, batch: int, batch_idx: int) -> None:
        """One iteration, or the iterations of `slice_seconds`."""
        end = perf_counter() + self.slice_seconds
        while True:
            self.loop.iterate()
            for observer in self.observers:
                observer.iterated(self.loop)
            if perf_counter() >= end or self.loop.stop_reason():
                return

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the state of the loop and the observers. Remove Lightning's counters of batches, which are not used."""
        checkpoint.pop("loops")
        checkpoint[KEY] = self.loop.state()
        checkpoint["observers"] = {type(observer).__name__: observer.state() for observer in self.observers}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the state of the loop and the observers."""
        self.loop.load_state(checkpoint[KEY])
        for observer in self.observers:
            if state := checkpoint["observers"].get(type(observer).__name__):
                observer.load_state(state)


class Hooks(Callback):
    """Calls the observers from Lightning's hooks, and stops the Trainer when the loop has a reason to stop."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, RunModule)
        no_other_callbacks = all(isinstance(callback, Hooks) for callback in trainer.callbacks)  # type: ignore[attr-defined]
        pl_module.slice_seconds = SLICE_SECONDS if no_other_callbacks else 0.0
        for observer in pl_module.observers:
            observer.started(pl_module.loop)
        trainer.should_stop |= bool(pl_module.loop.stop_reason())

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        assert isinstance(pl_module, RunModule)
        trainer.should_stop |= bool(pl_module.loop.stop_reason())

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, RunModule)
        for observer in pl_module.observers:
            observer.ended(pl_module.loop)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        assert isinstance(pl_module, RunModule)
        with closing_all(pl_module.observers):
            for observer in pl_module.observers:
                observer.failed(pl_module.loop)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        assert isinstance(pl_module, RunModule)
        with closing_all(pl_module.observers):
            pass


def fit(
    task: Task,
    loop: Loop,
    observers: Sequence[Observer],
    loggers: Sequence[Logger],
    callbacks: Sequence[Callback],
    settings: dict[str, Any],
    checkpoint: Path | None,
) -> None:
    """Run the loop in Lightning's Trainer. settings: arguments of the Trainer. checkpoint: resume from it."""
    trainer = make_trainer(loggers, [*callbacks, Hooks()], settings)
    for observer in observers:
        if isinstance(observer, WriteCheckpoint):
            observer.save = trainer.save_checkpoint
    with quiet_lightning(), plain_interrupts():
        try:
            trainer.fit(RunModule(loop, observers), datamodule=TaskData(task), ckpt_path=checkpoint, weights_only=True)
        except MisconfigurationException as error:
            if not settings:
                raise
            raise SettingError(f"trainer must suit a run, got {settings}: {in_words(error)}") from error


def make_trainer(loggers: Sequence[Logger], callbacks: Sequence[Callback], settings: dict[str, Any]) -> Trainer:
    """Lightning's Trainer, with one epoch that has no end; the loop ends it. settings: further arguments of it.

    Raises SettingError for a setting that a run does not allow, or that this machine does not support.
    """
    for name in settings:
        if name in REFUSED:
            raise SettingError(f"trainer.{name} is not allowed: {REFUSED[name]}")
    if settings.get("devices", 1) not in (1, "1"):
        raise SettingError(f"trainer.devices must be 1, got {settings['devices']}")
    every_logger = [*loggers, *listed("logger", settings.get("logger"), Logger)]
    every_callback = [*listed("callbacks", settings.get("callbacks"), Callback), *callbacks]
    defaults: dict[str, Any] = {
        "accelerator": "cpu",
        "devices": 1,
        "max_epochs": 1,
        "enable_model_summary": False,
        "enable_progress_bar": False,
        "enable_checkpointing": any(isinstance(callback, Checkpoint) for callback in every_callback),
        "use_distributed_sampler": False,
        "num_sanity_val_steps": 0,
    }
    with quiet_lightning():
        try:
            return Trainer(**{**defaults, **settings, "logger": every_logger, "callbacks": every_callback})
        except Exception as error:  # Lightning has no one kind of error for its arguments
            if not settings:
                raise
            raise SettingError(
                f"trainer must suit Lightning and this machine, got {settings}: {in_words(error)}"
            ) from (error)


def listed(setting: str, value: Any, kind: type[Any]) -> list[Any]:
    """The loggers or callbacks of an argument of the Trainer, which may be one, several or none."""
    found = [value] if isinstance(value, kind) else value or []
    if not isinstance(found, list | tuple) or not all(isinstance(item, kind) for item in found):
        raise SettingError(f"trainer.{setting} must be objects of {kind.__name__}, got {value!r}")
    return list(found)


@contextmanager
def plain_interrupts() -> Iterator[None]:
    """Raises KeyboardInterrupt where Lightning exits with code 1 in its place."""
    try:
        yield
    except SystemExit as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise error.__context__ from None
        raise


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Hides Lightning's messages about hardware, data loaders and optimisers. They do not apply to these runs."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="pytorch_lightning|lightning_fabric")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
