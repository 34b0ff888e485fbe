"""One run: task, method and budget -> result, with the files of the run folder."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from torch import Tensor

from zg.budget import Budget
from zg.config.compose import Config
from zg.errors import SettingError, check_positive, check_whole, in_words
from zg.loop import Loop
from zg.memory import check_memory
from zg.method import Method
from zg.objective import Objective
from zg.run.checkpoint import CHECKPOINT_FILE, WriteCheckpoint, whole_checkpoint
from zg.run.evidence import KeepEvidence
from zg.run.files import ERROR_FILE, ROW_FILE, decoration, write_error, write_json
from zg.run.history import History
from zg.run.images import Images
from zg.run.observer import Observer, drive
from zg.run.record import CURVE_POINTS, ROW_BYTES, Record
from zg.run.result import Result
from zg.run.row import Labels, Row, describe, label
from zg.run.signals import Signals
from zg.run.terminal import print_aside
from zg.run.tracking import log_end, log_row, parameter_lines, track_run, wandb_mode
from zg.run.words import interruption_in_words
from zg.task import Task

if TYPE_CHECKING:
    from pytorch_lightning import Callback


def run(
    task: Task,
    method: Method,
    budget: Budget,
    *,
    seed: int = 0,
    config: Config | None = None,
    folder: Path | None = None,
    resume: bool = False,
    loggers: Sequence[Any] = (),
    observers: Sequence[Observer] = (),
    callbacks: Sequence["Callback"] = (),
    trainer: dict[str, Any] | None = None,
    say: Callable[[str], None] | None = None,
    progress: bool = False,
    checkpoint_renders: int | None = None,
    checkpoint_seconds: float = 60.0,
    curve_points: int = CURVE_POINTS,
    video: bool = True,
    wandb: str = "disabled",
    group: str | None = None,
    tensorboard: bool = False,
    jobs: int = 1,
    names: tuple[str, str] | None = None,
    deliver_signals: bool = False,
    workers: int | None = None,
    pool: str | None = None,
    address: str | None = None,
    asynchronous: bool = False,
    devices: str | Sequence[str] | None = None,
) -> Result:
    """Optimise a task with a method until a limit of the budget is reached.

    config: the composed config, for row.json and config.yaml.
    folder: a new or empty folder for the files of the run; None writes no files. resume: go on from its checkpoint.
    loggers: Lightning loggers, or objects with log_metrics(metrics, step). observers: called after every iteration.
    callbacks, trainer: callbacks of Lightning, and further arguments of its Trainer. Lightning is imported and used
        only if there is a folder, a Lightning logger, a callback or an argument of the Trainer.
    progress: a line on standard error, if somebody looks at it (`zg.run.terminal.is_watched`).
    say: likewise; where nobody does, it gets a line of text at each tenth of the budget.
    checkpoint_renders, checkpoint_seconds: write a checkpoint when one of them has passed since the last one.
    curve_points: number of points of the curve (`zg.run.record.Record`). video: keep frames and write a video.
    wandb, group: mode of W&B (`zg.run.tracking.MODES`) and its group of runs; for runs with a folder.
    tensorboard: write for TensorBoard, too, into `tensorboard` of the folder.
    jobs: number of runs that share the machine, for the row.
    names: names of task and method in row and W&B; by default their registered names.
    deliver_signals: send a signal that ended the run to this process again, at the end: it is the caller's, too.
    workers, pool, address: how many renders run side by side, and where (`zg.workers.pool.PoolSettings`); None is what
        the task says.
    asynchronous: tell results as they come, and give each worker its next θ at once, for methods that allow it
        (`Method.asynchronous`). Which result comes first then depends on time, and the result of a run on more than its
        seed.
    devices: where a task in PyTorch is rendered: each batch in parts, one on each device (`zg.task.Task.use_devices`).

    Raises SettingError for a wrong setting. Any other exception is first written to row.json, and then raised.
    """
    check_whole(0, seed=seed, curve_points=curve_points)
    check_memory(ROW_BYTES * curve_points, curve_points=curve_points)
    check_positive(checkpoint_seconds=checkpoint_seconds)
    if checkpoint_renders is not None:
        check_whole(checkpoint_renders=checkpoint_renders)
    mode, seed = wandb_mode(wandb), int(seed)
    folder = folder.absolute() if folder else None  # the task may change the working directory
    task.seed = seed
    _choose_place(task, {"workers": workers, "pool": pool, "address": address}, devices, trainer or {})
    labels = label(task, method, config or {}, jobs, names)
    about = {"seed": seed, "max_renders": budget.max_renders}
    loop = Loop(method, budget, seed, labels.method_settings, asynchronous)
    history = History(folder)
    record = Record(budget.max_renders, history, folder, video, curve_points)
    signals = Signals(deliver_signals)
    evidence = KeepEvidence()
    with (
        signals,
        _progress(say, progress, budget) as shown,
        contextlib.closing(task),
        _folder(folder, resume, labels),
        track_run(folder, mode, group, labels, about, tensorboard) as tracked,
    ):
        # The line before the record, whose first picture takes a second.
        every_observer: list[Observer] = [signals, *shown, record, evidence, *observers]
        loggers = [*loggers, *tracked]
        if folder:
            (folder / ERROR_FILE).unlink(missing_ok=True)  # of the run that is resumed
            every_observer.append(WriteCheckpoint(folder, checkpoint_renders, checkpoint_seconds))
        record.loggers = loggers
        checkpoint = whole_checkpoint(folder) if folder and resume else None
        try:
            _drive(task, loop, every_observer, loggers, callbacks, trainer, checkpoint)
        except BaseException as exception:
            if folder:
                _record_failure(folder, exception, task, loop, labels, loggers, resume)
            raise
        result = _finish(loop, labels, history, folder, loggers)
        result.signal, result.evidence, result.objective = signals.number, evidence.evidence(), loop.objective
        if deliver_signals and signals.number is not None:
            print_aside(interruption_in_words(result.row, result.params, folder))  # the caller does not get the result
        return result


def _choose_place(
    task: Task, pool: dict[str, Any], devices: str | Sequence[str] | None, trainer: dict[str, Any]
) -> None:
    """Tell the task where it is rendered. pool: settings of its pool, None for those that are not given."""
    if given := {name: value for name, value in pool.items() if value is not None}:
        task.use_pool(**given)
    if devices is not None:
        if "accelerator" in trainer:
            raise SettingError("trainer.accelerator must not be given with devices, which say where the run is")
        task.use_devices(devices)


def _drive(
    task: Task,
    loop: Loop,
    observers: Sequence[Observer],
    loggers: Sequence[Any],
    callbacks: Sequence["Callback"],
    trainer: dict[str, Any] | None,
    checkpoint: Path | None,
) -> None:
    """Run the loop in Lightning's Trainer if something needs it, else in the bare loop. Iterations are the same."""
    has_checkpoints = any(isinstance(observer, WriteCheckpoint) for observer in observers)
    lightning_loggers = [logger for logger in loggers if hasattr(logger, "log_hyperparams")]
    if has_checkpoints or lightning_loggers or callbacks or trainer:
        from zg.run.module import fit

        return fit(task, loop, observers, lightning_loggers, callbacks, trainer or {}, checkpoint)
    task.setup()
    loop.start(Objective(task, loop.budget.max_renders, loop.seed))
    return drive(loop, observers)


def _finish(loop: Loop, labels: Labels, history: History, folder: Path | None, loggers: Sequence[Any]) -> Result:
    """Measure the recommended θ, and write the row and the pictures to the folder, if there is one."""
    objective, task = loop.objective, loop.objective.task
    row = describe(loop, task, labels)
    theta = loop.method.recommend()
    loss, image = objective.measure(theta, "final")
    row["init_loss"], first_image = objective.measure(objective.start, "start")
    row["final_loss"] = loss
    if (last := loop.method.last()) is not None:
        row["last_loss"] = objective.measure(last, "final")[0]
    from zg.run.metrics import result_metrics

    with decoration("the metrics of the result"):
        metrics = {f"metric_{key}": value for key, value in result_metrics(loop, theta, image).items()}
        row = cast(Row, {**row, **metrics})
    x = task.space.to_user(theta).cpu()
    params = task.params(x)
    if folder:
        from zg.run.folder import write_pictures

        write_json(folder / ROW_FILE, row)  # before anything that is only decoration
        write_pictures(folder, loop, theta, image, history)
        lines: list[list[Any]] = []
        with decoration("the table of parameters"):
            lines = parameter_lines(task.params(task.space.to_user(objective.start).cpu()), params)
        log_end(loggers, folder, row, lines)
    reason, first_error = row["stop_reason"], loop.ledger.first_error
    found = Result(x, loss, loop.renders, reason, row, history.rows, folder, first_error, params=params)
    if image.ndim >= 3:
        with decoration("the images of the result"):
            found.images = _images(loop, theta, image, first_image)
            found.image = task.as_given(image)
    return found


def _images(loop: Loop, theta: Tensor, image: Tensor, first_image: Tensor) -> Images:
    """The images of a result: of θ [n] in scaled units, of the start, and what the surrogate knows."""
    from zg.run.metrics import footprints

    task, predicted = loop.objective.task, loop.method.foreseen(theta)
    reference, parameters = task.reference(), footprints(loop)
    shown = [None if one is None else one.detach().cpu() for one in (image, first_image, reference, predicted)]
    assert shown[0] is not None and shown[1] is not None
    return Images(shown[0], shown[1], shown[2], shown[3], parameters, task.linear)


@contextlib.contextmanager
def _progress(say: Callable[[str], None] | None, progress: bool, budget: Budget) -> Iterator[list[Observer]]:
    """The observer that shows the progress, if it is wanted. Its line stands from now on: imports take seconds."""
    if not (say or progress):
        yield []
        return
    from zg.run.progress import ShowProgress

    shown = ShowProgress(say)
    shown.begin(budget.max_renders)
    try:
        yield [shown]
    finally:
        shown.closed()  # also where the run was refused before it began


@contextlib.contextmanager
def _folder(folder: Path | None, resume: bool, labels: Labels) -> Iterator[None]:
    """Makes the run folder, if there is one, and reports errors of its disk."""
    if folder is None:
        yield
        return
    from zg.run.folder import held_folder, report_disk_errors

    with report_disk_errors(folder), held_folder(folder, resume, labels.config):
        yield


def _record_failure(
    folder: Path,
    exception: BaseException,
    task: Task,
    loop: Loop,
    labels: Labels,
    loggers: Sequence[Any],
    resume: bool,
) -> None:
    """After an exception: write the row with the error. If a wrong setting or a signal prevented the start, remove the
    folder, so that the same command can use it again."""
    is_refused = isinstance(exception, SettingError) and not loop.renders
    is_interrupted = isinstance(exception, KeyboardInterrupt) and not (folder / CHECKPOINT_FILE).exists()
    if not resume and (is_refused or is_interrupted):
        from zg.run.folder import discard

        discard(folder, loggers)
        return
    if isinstance(exception, SettingError) and resume:
        return  # the row of the run stays
    row = describe(loop, task, labels, in_words(exception))
    with contextlib.suppress(OSError):
        write_json(folder / ROW_FILE, row)
        if isinstance(exception, Exception) and not isinstance(exception, SettingError):
            write_error(folder, exception)
    log_row(loggers, row)
