"""The checkpoint of a run: progress is renders."""

import math
import pickle
import time
from collections.abc import Callable
from pathlib import Path

import torch

from zg.errors import SettingError
from zg.loop import Loop
from zg.run.files import written_whole
from zg.run.observer import Observer

CHECKPOINT_FILE = "last.ckpt"
#: The key of the loop's state in Lightning's checkpoint.
KEY = "loop"


class WriteCheckpoint(Observer):
    """Writes `last.ckpt`, whole or not at all: every n renders or seconds, at the end, and after an exception."""

    #: Writes a checkpoint to a path; Lightning's, set by `zg.run.module`.
    save: Callable[[Path], None]

    def __init__(self, folder: Path, every_renders: int | None = None, every_seconds: float = 60.0) -> None:
        self.path = folder / CHECKPOINT_FILE
        self.every_renders = every_renders or math.inf
        self.every_seconds = every_seconds
        self._saved_renders = 0
        self._saved_time = time.monotonic()
        self._has_started = False

    def started(self, loop: Loop) -> None:
        self._has_started = True

    def iterated(self, loop: Loop) -> None:
        is_time = time.monotonic() - self._saved_time >= self.every_seconds
        if is_time or loop.renders - self._saved_renders >= self.every_renders:
            self._write(loop)

    def ended(self, loop: Loop) -> None:
        self._write(loop)

    def failed(self, loop: Loop) -> None:
        if self._has_started and loop.resumable:  # before, a former checkpoint may be half restored
            self._write(loop)

    def _write(self, loop: Loop) -> None:
        with written_whole(self.path) as partial:
            self.save(partial)
        self._saved_renders, self._saved_time = loop.renders, time.monotonic()


def renders_in(checkpoint: Path) -> int:
    """How many renders a checkpoint has counted. Raises SettingError for a file that is none."""
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        if "zerograds" in state:
            raise SettingError(f"resume needs a checkpoint of this version, and '{checkpoint}' is of an earlier one")
        return int(state[KEY]["ledger"]["renders"])
    except (RuntimeError, KeyError, EOFError, pickle.UnpicklingError):
        raise SettingError(f"resume needs a whole checkpoint of a run, and '{checkpoint}' is none") from None
