"""The folder of a run: its config, its pictures, and errors of the disk."""

import contextlib
import errno
import fcntl
import os
import re
import shutil
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor

from zg import pictures
from zg.config.compose import Config
from zg.errors import SettingError
from zg.loop import Loop
from zg.run.board import BOARD_FOLDER
from zg.run.checkpoint import CHECKPOINT_FILE, PREVIOUS_FILE
from zg.run.figures import write_curve
from zg.run.files import (
    CONFIG_FILE,
    ERROR_FILE,
    FOOTPRINTS_FILE,
    FRAMES,
    LOCK_FILE,
    ROW_FILE,
    decoration,
    frames_in,
    partial_of,
    written_whole,
)
from zg.run.history import History
from zg.run.metrics import draw
from zg.run.record import write_footprints
from zg.run.tracking import ID_FILE

# What a run writes before its first checkpoint.
EARLY_FILES = {
    *(CONFIG_FILE, History.FILE, ROW_FILE, ERROR_FILE, FOOTPRINTS_FILE, FRAMES),
    *("wandb", ID_FILE, BOARD_FOLDER),
}
# An id that W&B takes.
ID = re.compile(rb"[\w.-]{1,64}")
# Errors for which the user has to look at the disk: no space, quota, read-only, file too large.
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)


@contextlib.contextmanager
def report_disk_errors(folder: Path) -> Iterator[None]:
    """Raises a SettingError in place of an OSError of the disk, or of a file of the run (a folder in its place)."""
    try:
        yield
    except OSError as error:
        if error.errno in DISK_ERRORS:
            wanted = f"out must be on a disk with room for a run, got '{folder}'"
        elif error.filename and Path(os.fsdecode(error.filename)) in _files_of_run(folder):
            wanted = f"out must have files that a run can write, got '{os.fsdecode(error.filename)}'"
        else:
            raise
        raise SettingError(f"{wanted}: {error.strerror}") from error


def _files_of_run(folder: Path) -> set[Path]:
    """The paths of the files that a run needs in its folder, and of their unfinished versions."""
    paths = [folder / name for name in (*EARLY_FILES, CHECKPOINT_FILE, PREVIOUS_FILE)]
    return {*paths, *map(partial_of, paths)}


@contextlib.contextmanager
def held_folder(folder: Path, resume: bool, config: Config) -> Iterator[None]:
    """Makes the folder of a run with its config, and holds it: a second process is told which one has it.

    The kernel lets go of the lock however the process ends. Raises SettingError for a folder that another run holds,
    that is not empty, or, with `resume`, that has no checkpoint.
    """
    if resume and not folder.is_dir():
        raise SettingError(f"resume needs a checkpoint, and there is no {folder / CHECKPOINT_FILE}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / LOCK_FILE).open("a+")
    except OSError as error:
        raise SettingError(f"out must be a folder that can be written, got '{folder}': {error.strerror}") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "another process"
            raise SettingError(f"out must not be in use, and process {holder} runs in '{folder}'") from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        try:
            _check_content(folder, resume)
            if config or not resume:
                write_config(folder, config)
            yield
        finally:
            (folder / LOCK_FILE).unlink(missing_ok=True)


def _check_content(folder: Path, resume: bool) -> None:
    """Raise SettingError unless a run may start in a folder, or go on."""
    has_checkpoint = (folder / CHECKPOINT_FILE).exists() or (folder / PREVIOUS_FILE).exists()
    there = {path.name for path in folder.iterdir()} - {LOCK_FILE}
    finished_names = {name.removeprefix(".").removesuffix(".partial") for name in there}
    has_died_early = CONFIG_FILE in finished_names <= {*EARLY_FILES, CHECKPOINT_FILE} and not has_checkpoint
    if resume and not (has_checkpoint or has_died_early):
        raise SettingError(f"resume needs a checkpoint, and there is no {folder / CHECKPOINT_FILE}")
    if not resume and there and not has_died_early:
        raise SettingError(f"out must be a new or empty folder, or be resumed with --resume, got '{folder}'")
    if has_died_early:
        for name in (ROW_FILE, FOOTPRINTS_FILE):
            (folder / name).unlink(missing_ok=True)
    if resume:
        _check_id(folder / ID_FILE)


def _check_id(path: Path) -> None:
    """Put a file aside that holds no id of W&B. The run then goes on as another run of W&B."""
    if path.is_file() and not ID.fullmatch(path.read_bytes().strip()):
        aside = path.rename(path.with_name(f"{path.name}.damaged"))
        warnings.warn(f"{path} holds no id of W&B and is now {aside.name}: W&B gets a new run", stacklevel=2)


def write_config(folder: Path, config: Config) -> None:
    """Write the composed config. `zg fit --resume` reads it."""
    with written_whole(folder / CONFIG_FILE) as partial:
        partial.write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True), encoding="utf-8")


def discard(folder: Path, loggers: Sequence[Any]) -> None:
    """Remove the folder of a run that did not start, so that the corrected command can use the same folder."""
    for logger in loggers:
        if hasattr(logger, "finish"):  # W&B and TensorBoard write below the folder
            logger.finish()
    shutil.rmtree(folder, ignore_errors=True)


def write_pictures(folder: Path, loop: Loop, theta: Tensor, image: Tensor, history: History) -> None:
    """Write the pictures of a run that has ended, of θ [n] in scaled units and its image.

    PNG: panel, footprints, render, start, reference, curve. MP4 and GIF: video of the frames, film of the task.
    Pictures that this task or run does not have are left out.
    """
    objective, task = loop.objective, loop.objective.task
    with decoration("panel.png"):
        picture = draw(loop, theta, image)
        if picture is not None:
            pictures.write_png(folder / "panel.png", picture)
    write_footprints(folder, loop)
    with decoration("render.png, start.png or reference.png"):
        reference = task.reference()
        if reference is not None and image.ndim >= 3:
            start = objective.measure(objective.start, "start")[1]
            for name, part in (("render", image), ("start", start), ("reference", reference)):
                pictures.write_png(folder / f"{name}.png", pictures.to_display(part, task.linear))
    with decoration("curve.png"):
        if any("loss" in row for row in history.rows):
            write_curve(folder / "curve.png", history.rows)
    if not (frames := _read_frames(folder / FRAMES)):
        return
    with decoration("the video"):
        pictures.write_video(frames, folder / "video")
    with decoration("the film"):
        if (film := task.film(objective.space.to_user(theta))) is not None:
            pictures.write_video(list(film), folder / "film")


def _read_frames(folder: Path) -> list[Tensor]:
    """The pictures of the video. A file that cannot be read is left out, with a warning."""
    read = []
    for path in frames_in(folder):
        with decoration(f"reading {path.name} for the video"):
            read.append(pictures.read_png(path))
    return read
