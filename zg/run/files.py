"""Files that are complete or absent: each is written under another name, and then renamed."""

import json
import math
import os
import traceback
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zg.errors import in_words

# What is in the folder of a run. Here, where they are known without the imports of a run.
#: The composed config; the row of the run.
CONFIG_FILE, ROW_FILE = "config.yaml", "row.json"
#: Is there while a process runs in the folder, and holds its number.
LOCK_FILE = ".lock"
#: The map of which parameter moves which pixel; the pictures of the video.
FOOTPRINTS_FILE, FRAMES = "footprints.png", "frames"
#: The traceback of the exception that ended a run.
ERROR_FILE = "error.txt"


@contextmanager
def written_whole(path: Path, former: Path | None = None) -> Iterator[Path]:
    """Yields the path to write to. At the end of the block, the file is flushed to disk and replaces `path`.

    former: the file that is replaced gets this name; None removes it. After an exception, `path` is as before.
    """
    partial = partial_of(path)
    yield partial
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    if former is not None and path.is_file():
        path.replace(former)
    partial.replace(path)


def partial_of(path: Path) -> Path:
    """The path under which `path` is written first, in the same folder."""
    return path.with_name(f".{path.name}.partial")


def frames_in(folder: Path) -> list[Path]:
    """The frames of the video in a folder, in the order of their renders. Other files are left alone."""
    return sorted(path for path in folder.glob("*.png") if path.stem.isdecimal())


def free_folder(stem: str) -> Path:
    """The folder runs/STEM-N in the working directory, with the next free number N."""
    numbers = [path.name.removeprefix(f"{stem}-") for path in Path("runs").glob(f"{stem}-*")]
    taken = [int(number) for number in numbers if number.isdecimal()]  # others are copies that somebody made
    return Path("runs") / f"{stem}-{max(taken, default=-1) + 1}"


@contextmanager
def decoration(name: str) -> Iterator[None]:
    """Around what a run can do without. An exception becomes a warning that names it: the result is there already."""
    try:
        yield
    except Exception as error:
        warnings.warn(f"{name} failed: {in_words(error)}", stacklevel=2)


def write_error(folder: Path, error: BaseException) -> None:
    """Leave the traceback of an exception in a run folder."""
    text = "".join(traceback.format_exception(error))
    (folder / ERROR_FILE).write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file, complete or not at all. NaN and infinities become null."""
    with written_whole(path) as partial:
        partial.write_text(json.dumps(finite(content), indent=1) + "\n")


def finite(value: Any) -> Any:
    """A copy of nested plain values, with None for numbers that are not finite."""
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:  # one number of NumPy or PyTorch
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
