"""The LightningModule around a loop: surrogate fitting and parameter update by manual optimisation."""

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from zg.errors import SettingError
from zg.loop import Loop
from zg.method import Method
from zg.objective import Objective
from zg.run.checkpoint import KEY, WriteCheckpoint
from zg.run.data import TaskData
from zg.run.observer import Observer
from zg.task import Task

#: Seconds of iterations within one of Lightning's batches: between two batches Lightning works for half a millisecond,
#: longer than many an iteration takes. With callbacks of the user's a batch is one iteration.
SLICE_SECONDS = 0.02
# Settings of the Trainer that would end a run behind the budget's back, or spread it over processes.
OURS = dict.fromkeys(("max_epochs", "max_steps", "min_epochs", "min_steps", "limit_train_batches"), "use max_renders")
OURS |= {"max_time": "use max_seconds", "fast_dev_run": "use max_renders"}
OURS |= dict.fromkeys(("num_nodes", "strategy"), "they have one process")


class RunModule(LightningModule):
    """Owns method and objective, in a loop, and drives them: a batch is one iteration or a slice of time.

    `method`, `objective` and `loop` are for callbacks of the user's.
    """

    def __init__(self, loop: Loop, observers: Sequence[Observer]) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.loop, self.observers = loop, list(observers)
        self.slice_seconds = 0.0

    @property
    def method(self) -> Method:
        """The method at work."""
        return self.loop.method

    @property
    def objective(self) -> Objective:
        """The only door to the task."""
        return self.loop.objective

    def configure_model(self) -> None:
        """Build what the task sizes; Lightning calls it again when it restores a checkpoint."""
        if not self.method.started:
            task: Task = self.trainer.datamodule.task  # type: ignore[attr-defined]
            self.loop.start(Objective(task, self.loop.budget.max_renders, self.loop.seed))

    def configure_optimizers(self) -> None:
        """None for Lightning: `Method.tell` steps its own, and `Method.state` keeps them."""

    def training_step(self, batch: int, batch_idx: int) -> None:
        """One iteration, or where no callback of the user's minds a slice of them."""
        end = perf_counter() + self.slice_seconds
        while True:
            self.loop.iterate()
            for observer in self.observers:
                observer.iterated(self.loop)
            if perf_counter() >= end or self.loop.stop_reason():
                return

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the loop's state, and drop Lightning's loop counters: progress is renders."""
        checkpoint.pop("loops")
        checkpoint[KEY] = self.loop.state()
        checkpoint["observers"] = {type(observer).__name__: observer.state() for observer in self.observers}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore both."""
        self.loop.load_state(checkpoint[KEY])
        for observer in self.observers:
            if state := checkpoint["observers"].get(type(observer).__name__):
                observer.load_state(state)


class Hooks(Callback):
    """Passes Lightning's hooks on to the observers, and ends the run when the loop says so."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, RunModule)
        alone = all(isinstance(callback, Hooks) for callback in trainer.callbacks)  # type: ignore[attr-defined]
        pl_module.slice_seconds = SLICE_SECONDS if alone else 0.0
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
        for observer in pl_module.observers:
            observer.failed(pl_module.loop)
        self.teardown(trainer, pl_module, "fit")

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        assert isinstance(pl_module, RunModule)
        for observer in pl_module.observers:
            observer.closed()


def fit(
    task: Task,
    loop: Loop,
    observers: Sequence[Observer],
    loggers: Sequence[Logger],
    callbacks: Sequence[Callback],
    settings: dict[str, Any],
    checkpoint: Path | None,
) -> None:
    """Run the loop in Lightning's Trainer. settings: of the Trainer. checkpoint: to go on from."""
    trainer = make_trainer(loggers, [*callbacks, Hooks()], **settings)
    for observer in observers:
        if isinstance(observer, WriteCheckpoint):
            observer.save = trainer.save_checkpoint
    with quiet_lightning():
        trainer.fit(RunModule(loop, observers), datamodule=TaskData(task), ckpt_path=checkpoint, weights_only=True)


def make_trainer(loggers: Sequence[Logger], callbacks: Sequence[Callback], **settings: Any) -> Trainer:
    """Lightning's Trainer for one endless epoch that the loop ends."""
    for name in OURS.keys() & settings.keys():
        raise SettingError(f"trainer.{name} is not for these runs: {OURS[name]}")
    if settings.get("devices", 1) not in (1, "1"):
        raise SettingError(f"trainer.devices must be 1, got {settings['devices']}")
    extra_loggers = settings.pop("logger", None) or []
    extra_callbacks = settings.pop("callbacks", None) or []
    if isinstance(extra_loggers, Logger):
        extra_loggers = [extra_loggers]
    every_callback = [*extra_callbacks, *callbacks]
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
            return Trainer(logger=[*loggers, *extra_loggers], callbacks=every_callback, **{**defaults, **settings})
        except MisconfigurationException as error:
            raise SettingError(
                f"trainer must suit this machine, got {settings}: {' '.join(str(error).split())}"
            ) from None


class quiet_lightning:
    """Silences Lightning's remarks on hardware, loaders and optimisers: none of them concerns the user here."""

    def __enter__(self) -> None:
        self._loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric")]
        self._levels = [logger.level for logger in self._loggers]
        for logger in self._loggers:
            logger.setLevel(logging.ERROR)
        self._caught = warnings.catch_warnings()
        self._caught.__enter__()
        warnings.filterwarnings("ignore", module="pytorch_lightning|lightning_fabric")

    def __exit__(self, *exception: Any) -> None:
        self._caught.__exit__(None, None, None)
        for logger, level in zip(self._loggers, self._levels, strict=True):
            logger.setLevel(level)
