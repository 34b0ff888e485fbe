"""The checkpoint of a run. Its progress is the number of counted renders, not a step of Lightning.

A checkpoint file ends with a checksum of what comes before. A file that was cut, or of which one bit has changed, is
noticed. The checkpoint before the last one is kept, and a run goes on from there if the last one is damaged.
"""

import hashlib
import math
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

from zg.errors import SettingError
from zg.run.files import written_whole
from zg.run.observer import Observer, Running

CHECKPOINT_FILE = "last.ckpt"
PREVIOUS_FILE = "previous.ckpt"
#: The key of the state of the loop in Lightning's checkpoint.
KEY = "loop"
# Comes before the checksum, at the end of the file. Readers of PyTorch's format ignore what follows their archive.
SEAL = b"\nzerograds checkpoint, sha256 "


class WriteCheckpoint(Observer[Running]):
    """Writes `last.ckpt` during the run, at its end, and after an exception. The former one becomes `previous.ckpt`.

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

    def started(self, loop: Running) -> None:
        self._has_started = True
        if loop.renders == 0:
            self._write(loop)  # a run that is killed before its first checkpoint can be resumed, too

    def iterated(self, loop: Running) -> None:
        enough_seconds = time.monotonic() - self._saved_time >= self.every_seconds
        enough_renders = loop.renders - self._saved_renders >= self.every_renders
        if enough_seconds or enough_renders:
            self._write(loop)

    def ended(self, loop: Running) -> None:
        self._write(loop)

    def failed(self, loop: Running) -> None:
        # Before `started`, the loop may be partly restored, and the checkpoint that it is restored from must stay.
        if self._has_started and loop.resumable:
            self._write(loop)

    def _write(self, loop: Running) -> None:
        with written_whole(self.path, former=self.path.with_name(PREVIOUS_FILE)) as partial:
            self.save(partial)
            seal(partial)
        self._saved_renders, self._saved_time = loop.renders, time.monotonic()


def seal(path: Path) -> None:
    """Append the checksum of a file to it."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    with path.open("ab") as file:
        file.write(SEAL + digest.encode())


def damage(path: Path) -> str:
    """What is wrong with a checkpoint file, in words; empty if it is whole."""
    try:
        content = path.read_bytes()
    except OSError as error:
        return f"a file that cannot be read ({error.strerror})"
    body, found, digest = content.rpartition(SEAL)
    if not found:
        return "a file without a checksum: incomplete, of an earlier version, or no checkpoint"
    if digest != hashlib.sha256(body).hexdigest().encode():
        return "a file that has changed since it was written: its checksum is wrong"
    return ""


def whole_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint in the folder of a run. A damaged last one is renamed to `last.ckpt.damaged`.

    None in the folder of a run that ended before its first checkpoint. Raises SettingError if no checkpoint is whole;
    then no file is changed.
    """
    last, previous = folder / CHECKPOINT_FILE, folder / PREVIOUS_FILE
    if not last.exists() and not previous.exists():
        warnings.warn(f"there is no checkpoint in {folder} yet: the run starts at its beginning", stacklevel=2)
        return None
    trouble = damage(last)
    if not trouble:
        return last
    if damage(previous):
        raise SettingError(f"resume needs a complete checkpoint of a run, got {trouble}: '{last}'")
    if last.exists():
        last.replace(last.with_name(f"{CHECKPOINT_FILE}.damaged"))
    warnings.warn(f"{last} is {trouble}: the run goes on after {renders_in(previous)} renders", stacklevel=2)
    return previous


def renders_in(checkpoint: Path) -> int:
    """Number of renders that were counted at a checkpoint. Raises SettingError for a file that is not whole."""
    if trouble := damage(checkpoint):
        raise SettingError(f"resume needs a complete checkpoint of a run, got {trouble}: '{checkpoint}'")
    return int(torch.load(checkpoint, map_location="cpu", weights_only=True)[KEY]["ledger"]["renders"])
