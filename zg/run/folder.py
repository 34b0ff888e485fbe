"""The folder of a run: its config, its pictures, and what happens to it when something goes wrong."""

import contextlib
import errno
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor

from zg import pictures
from zg.config.compose import Config
from zg.errors import SettingError
from zg.loop import Loop
from zg.run.checkpoint import CHECKPOINT_FILE
from zg.run.files import written_whole
from zg.run.history import History
from zg.run.metrics import draw

CONFIG_FILE = "config.yaml"
DISK_TROUBLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)


@contextlib.contextmanager
def disk_trouble_told(folder: Path | None) -> Iterator[None]:
    """A full disk, or one that may not be written, as a SettingError."""
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_TROUBLE:
            raise
        raise SettingError(f"out must have room for a run, '{folder}': {error.strerror}") from error


def prepare_folder(folder: Path, resume: bool, config: Config) -> None:
    """Make the run folder with its config; refuse one that holds something, or has no checkpoint to resume from."""
    if resume:
        if not (folder / CHECKPOINT_FILE).is_file():
            raise SettingError(f"resume needs a checkpoint, and {folder / CHECKPOINT_FILE} is not there")
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
    with written_whole(folder / CONFIG_FILE) as partial:
        partial.write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True))


def discard(folder: Path, loggers: Sequence[Any]) -> None:
    """Remove the folder of a run that never started, so that the mended setting may have it."""
    for logger in loggers:
        if hasattr(logger, "log_image"):
            logger.experiment.finish()
    shutil.rmtree(folder, ignore_errors=True)


def write_pictures(folder: Path, loop: Loop, theta: Tensor, image: Tensor, history: History) -> None:
    """curve, panel, render, start and reference as PNG, video and film as MP4 and GIF, as far as there is one."""
    objective, task = loop.objective, loop.objective.task
    picture = draw(loop, theta, image)
    if picture is not None:
        pictures.write_png(folder / "panel.png", picture)
    reference = task.reference()
    if reference is not None and image.ndim >= 3:
        start = objective.measure(objective.start, "start")[1]
        for name, part in (("render", image), ("start", start), ("reference", reference)):
            pictures.write_png(folder / f"{name}.png", pictures.to_display(part, task.linear))
    measured = [row for row in history.rows if "loss" in row]
    if measured:
        renders, losses = ([row[name] for row in measured] for name in ("renders", "loss"))
        pictures.write_curve(folder / "curve.png", [max(1, count) for count in renders], losses)
    frames = sorted((folder / "frames").glob("*.png"))
    if frames:
        pictures.write_video([pictures.read_png(frame) for frame in frames], folder / "video")
        if (film := task.film(objective.space.to_user(theta))) is not None:
            pictures.write_video(list(film), folder / "film")
