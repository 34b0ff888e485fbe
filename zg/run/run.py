"""One run: a method on a task within a budget, ending in a row. Everything that optimises goes through here."""

import contextlib
import errno
import logging
import math
import pickle
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import yaml
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.loggers import Logger, WandbLogger
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from torch import Tensor

from zg import pictures
from zg.config.compose import Config, class_name
from zg.errors import SettingError, check_positive, check_whole
from zg.method import Budget, Method
from zg.run.callbacks import CURVE_POINTS, Record, RenderCheckpoint, ShowProgress, Stop, draw, result_metrics
from zg.run.records import (
    History,
    code_hash,
    config_hash,
    finish_write,
    machine,
    peak_mb,
    revision,
    write_json,
    write_whole,
)
from zg.run.tracking import wandb_logger, wandb_mode
from zg.task import Task

if TYPE_CHECKING:
    import pandas as pd

DISK_TROUBLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
# Settings of Lightning's Trainer that would end a run behind the budget's back, or spread it.
OURS = dict.fromkeys(("max_epochs", "max_steps", "min_epochs", "min_steps", "limit_train_batches"), "use max_renders")
OURS |= {"max_time": "use max_seconds", "fast_dev_run": "use max_renders"}
OURS |= dict.fromkeys(("num_nodes", "strategy"), "they have one process")
ROW_FILE = "row.json"
CONFIG_FILE = "config.yaml"


@dataclass
class Result:
    """What a run found.

    theta: [n] in the user's units. loss: of θ rendered again with fresh seeds. renders: counted. row: as in
    row.json. metrics: the task's and image metrics of the result. folder: where pictures and files are, if any.
    """

    theta: Tensor
    loss: float
    renders: int
    stop_reason: str
    row: dict[str, Any]
    records: list[dict[str, float]] = field(repr=False)
    folder: Path | None = None

    @property
    def history(self) -> "pd.DataFrame":
        """One row a record, against renders; `loss` is the curve, blank where it was not measured."""
        import pandas as pd

        return pd.DataFrame(self.records)


def run(
    task: Task,
    method: Method,
    budget: Budget,
    *,
    seed: int = 0,
    config: Config | None = None,
    folder: Path | None = None,
    resume: bool = False,
    loggers: Sequence[Logger] = (),
    callbacks: Sequence[Callback] = (),
    trainer: dict[str, Any] | None = None,
    say: Callable[[str], None] | None = None,
    checkpoint_renders: int | None = None,
    checkpoint_seconds: float = 60.0,
    curve_points: int = CURVE_POINTS,
    video: bool = True,
    wandb: str = "disabled",
    group: str | None = None,
    jobs: int = 1,
    names: tuple[str, str] | None = None,
) -> Result:
    """Optimise, and write the run folder if there is one.

    config: the composed config, for the record. say: where progress goes; None for silence. trainer: more arguments for
    Lightning's Trainer. curve_points: how often the recommended θ is rendered for the curve. wandb: one of
    `zg.run.tracking.MODES`, for runs with a folder. jobs: how many runs share the machine, for the record. names: what task
    and method go by in row and W&B; by default their registered names.
    Raises SettingError for what the user can mend; whatever else ends the run is in the row before it is raised.
    """
    config = config or {}
    check_whole(0, seed=seed, curve_points=curve_points)
    check_positive(checkpoint_seconds=checkpoint_seconds)
    if checkpoint_renders is not None:
        check_whole(checkpoint_renders=checkpoint_renders)
    task.seed = method.seed = seed
    method.budget = budget
    names = names or names_of(task, method, config)
    history = History(folder)
    tracked: list[Logger] = [history, *loggers]
    mode = wandb_mode(wandb)
    stop = Stop()
    watchers: list[Callback] = [*callbacks, stop, Record(budget.max_renders, folder, video, curve_points)]
    with contextlib.closing(task), disk_trouble_told(folder):
        if folder:
            prepare_folder(folder, resume, config)
            tracked += track(folder, mode, group, seed, config, *names)
            watchers.append(RenderCheckpoint(folder, checkpoint_renders, checkpoint_seconds))
        if say:
            watchers.append(ShowProgress(say))
        lightning = make_trainer(tracked, watchers, **(trainer or {}))
        checkpoint = folder / RenderCheckpoint.FILE if folder and resume else None
        if checkpoint:
            history.resume(renders_in(checkpoint))
        try:
            with quiet_lightning():
                lightning.fit(method, datamodule=task, ckpt_path=checkpoint, weights_only=True)
        except BaseException as exception:
            started = hasattr(method, "objective") and method.objective.renders > 0
            if folder and isinstance(exception, SettingError) and not (started or resume):
                discard(folder, tracked)  # so that the mended setting may have it
            elif folder:
                error = f"{type(exception).__name__}: {exception}"
                with contextlib.suppress(OSError):
                    write_json(folder / ROW_FILE, describe(method, names, config, seed, budget, "error", error, jobs))
            raise
        row = describe(method, names, config, seed, budget, stop.reason, "", jobs)
        theta = method.recommend()
        loss, image = method.objective.measure(theta, "final")
        row |= {"init_loss": init_loss(method), "final_loss": loss}
        row |= {f"metric_{key}": value for key, value in result_metrics(method, theta, image).items()}
        if folder:
            write_pictures(folder, method, theta, image, history)
            log_pictures(tracked, folder, row)
            write_json(folder / ROW_FILE, row)
    x = task.space.to_user(theta).cpu()
    return Result(x, loss, method.objective.renders, stop.reason, row, history.rows, folder)


def renders_in(checkpoint: Path) -> int:
    """How many renders a checkpoint has counted. Raises SettingError for a file that is none."""
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        return state["zerograds"]["objective"]["renders"]
    except (RuntimeError, KeyError, EOFError, pickle.UnpicklingError):
        raise SettingError(f"resume needs a whole checkpoint of a run, and '{checkpoint}' is none") from None


@contextlib.contextmanager
def disk_trouble_told(folder: Path | None) -> Iterator[None]:
    """A disk without room, or one that may not be written, as a SettingError."""
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_TROUBLE:
            raise
        raise SettingError(f"out must have room for a run, '{folder}': {error.strerror}") from error


def track(
    folder: Path, mode: str, group: str | None, seed: int, config: Config, task_name: str, method_name: str
) -> list[Logger]:
    """The W&B logger of a run, if it is to have one."""
    tags = [task_name, method_name, f"seed {seed}", revision() or "no revision"]
    logger = wandb_logger(folder, mode, f"{task_name}-{method_name}-{seed}", group, tags)
    if logger is None:
        return []
    logger.log_hyperparams({**config, "seed": seed, "revision": revision()})
    return [logger]


def make_trainer(loggers: Sequence[Logger], callbacks: Sequence[Callback], **settings: Any) -> Trainer:
    """Lightning's Trainer for one endless epoch that a callback ends."""
    for name in OURS.keys() & settings.keys():
        raise SettingError(f"trainer.{name} is not for these runs: {OURS[name]}")
    if settings.get("devices", 1) not in (1, "1"):
        raise SettingError(f"trainer.devices must be 1, got {settings['devices']}")
    extra_loggers = settings.pop("logger", None) or []
    extra_callbacks = settings.pop("callbacks", None) or []
    if isinstance(extra_loggers, Logger):
        extra_loggers = [extra_loggers]
    defaults: dict[str, Any] = {
        "accelerator": "cpu",
        "devices": 1,
        "max_epochs": 1,
        "enable_model_summary": False,
        "enable_progress_bar": False,
        "enable_checkpointing": any(isinstance(one, Checkpoint) for one in (*extra_callbacks, *callbacks)),
        "use_distributed_sampler": False,
        "num_sanity_val_steps": 0,
    }
    with quiet_lightning():
        try:
            return Trainer(
                logger=[*loggers, *extra_loggers],
                callbacks=[*extra_callbacks, *callbacks],
                **{**defaults, **settings},
            )
        except MisconfigurationException as error:
            raise SettingError(
                f"trainer must suit this machine, got {settings}: {' '.join(str(error).split())}"
            ) from None


def prepare_folder(folder: Path, resume: bool, config: Config) -> None:
    """Make the run folder with its config; refuse one that holds something, or has no checkpoint to resume from."""
    if resume:
        if not (folder / RenderCheckpoint.FILE).is_file():
            raise SettingError(f"resume needs a checkpoint, and {folder / RenderCheckpoint.FILE} is not there")
        if config:
            write_config(folder, config)
        return
    try:
        if folder.exists() and any(folder.iterdir()):
            raise SettingError(f"out must be a new or empty folder, or be resumed with --resume, got '{folder}'")
        folder.mkdir(parents=True, exist_ok=True)
        write_config(folder, config)
    except OSError as error:
        raise SettingError(f"out must be a folder that can be written, got '{folder}': {error.strerror}") from None


def write_config(folder: Path, config: Config) -> None:
    """Write the composed config, from which the run can be resumed."""
    write_whole(folder / CONFIG_FILE).write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
    finish_write(folder / CONFIG_FILE)


def discard(folder: Path, loggers: Sequence[Logger]) -> None:
    """Remove the folder of a run that never started."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.experiment.finish()
    shutil.rmtree(folder, ignore_errors=True)


def describe(
    method: Method,
    names: tuple[str, str],
    config: Config,
    seed: int,
    budget: Budget,
    reason: str,
    error: str,
    jobs: int,
) -> dict[str, Any]:
    """The row of a run, without what has to be measured."""
    objective = getattr(method, "objective", None)
    own = {key: value for key, value in config.items() if key in ("data", "model")}
    return {
        "task": names[0],
        "method": names[1],
        "resolved": method.resolved,
        "feedback": method.feedback,
        "settings": own.get("model", {}).get("init_args", {}),
        "seed": seed,
        "config_hash": config_hash(own),
        "code_hash": code_hash(),
        "revision": revision(),
        "machine": machine(),
        "threads": torch.get_num_threads(),
        "jobs": jobs,
        "max_renders": budget.max_renders,
        "renders": objective.renders if objective else 0,
        "failed_renders": objective.failed if objective else 0,
        "seconds_render": objective.seconds_render if objective else 0.0,
        "seconds_method": method.seconds_method,
        "peak_mb": peak_mb(),
        "init_loss": math.nan,
        "final_loss": math.nan,
        "best_loss": objective.best_loss if objective else math.nan,
        "stop_reason": reason,
        "error": error or (objective.last_error if objective else ""),
    }


def names_of(task: Task, method: Method, config: Config) -> tuple[str, str]:
    """The registered names of task and method, else the names of their classes."""
    return (
        class_name("task", config["data"]) if "data" in config else type(task).__name__,
        class_name("method", config["model"]) if "model" in config else type(method).__name__,
    )


def init_loss(method: Method) -> float:
    """The loss of θ₀, rendered with seeds of its own and not counted."""
    start = method.space.project(method.space.init)
    return method.objective.measure(start, "start")[0]


def write_pictures(folder: Path, method: Method, theta: Tensor, image: Tensor, history: History) -> None:
    """curve, panel, render, start and reference as PNG, video and film as MP4 and GIF, as far as there is one."""
    task = method.objective.task
    picture = draw(method, theta, image)
    if picture is not None:
        pictures.write_png(folder / "panel.png", picture)
    reference = task.reference()
    if reference is not None and image.ndim >= 3:
        start = method.objective.measure(method.space.project(method.space.init), "start")[1]
        for name, part in (("render", image), ("start", start), ("reference", reference)):
            pictures.write_png(folder / f"{name}.png", pictures.to_display(part, task.linear))
    measured = [row for row in history.rows if "loss" in row]
    if measured:
        renders, losses = ([row[name] for row in measured] for name in ("renders", "loss"))
        pictures.write_curve(folder / "curve.png", [max(1, count) for count in renders], losses)
    frames = sorted((folder / "frames").glob("*.png"))
    if frames:
        pictures.write_video([pictures.read_png(frame) for frame in frames], folder / "video")
        if (film := task.film(method.space.to_user(theta))) is not None:
            pictures.write_video(list(film), folder / "film")


def log_pictures(loggers: Sequence[Logger], folder: Path, row: dict[str, Any]) -> None:
    """Give panel, curve, video and the numbers of the row to W&B, and end its run."""
    for logger in loggers:
        if not isinstance(logger, WandbLogger):
            continue
        for name in ("panel", "curve"):
            if (folder / f"{name}.png").is_file():
                logger.log_image(name, [str(folder / f"{name}.png")], step=row["renders"])
        if (folder / "video.mp4").is_file():
            logger.log_video("video", [str(folder / "video.mp4")], step=row["renders"], format=["mp4"])
        logger.experiment.summary.update(
            {key: value for key, value in row.items() if isinstance(value, str | int | float)}
        )
        logger.experiment.finish()


class quiet_lightning:
    """Silences what Lightning says about hardware, loaders and optimisers, none of which concerns the user here."""

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
