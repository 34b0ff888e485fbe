"""The checkpoint of a run. Its progress is the number of counted renders, not a step of Lightning."""

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
#: The key of the state of the loop in Lightning's checkpoint.
KEY = "loop"


class WriteCheckpoint(Observer):
    """Writes `last.ckpt` during the run, at its end, and after an exception. The file is complete or absent.

    every_renders, every_seconds: it writes when one of them has passed since the last time; None is never.
    """

    #: Writes a checkpoint to a path. `zg.run.module` sets it to `save_checkpoint` of Lightning's Trainer.
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
        if loop.renders == 0:
            self._write(loop)  # a run that is killed before its first checkpoint can be resumed, too

    def iterated(self, loop: Loop) -> None:
        enough_seconds = time.monotonic() - self._saved_time >= self.every_seconds
        enough_renders = loop.renders - self._saved_renders >= self.every_renders
        if enough_seconds or enough_renders:
            self._write(loop)

    def ended(self, loop: Loop) -> None:
        self._write(loop)

    def failed(self, loop: Loop) -> None:
        # Before `started`, the loop may be partly restored, and the checkpoint that it is restored from must stay.
        if self._has_started and loop.resumable:
            self._write(loop)

    def _write(self, loop: Loop) -> None:
        with written_whole(self.path) as partial:
            self.save(partial)
        self._saved_renders, self._saved_time = loop.renders, time.monotonic()


def renders_in(checkpoint: Path) -> int:
    """Number of renders that were counted at a checkpoint. Raises SettingError for a file that is no checkpoint."""
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        if "zerograds" in state:
            raise SettingError(f"resume needs a checkpoint of this version, got an earlier version: '{checkpoint}'")
        return int(state[KEY]["ledger"]["renders"])
    except (OSError, RuntimeError, KeyError, TypeError, IndexError, EOFError, pickle.UnpicklingError):
        why = "a file that cannot be read as one"
        raise SettingError(f"resume needs a complete checkpoint of a run, got {why}: '{checkpoint}'") from None
