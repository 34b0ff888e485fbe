"""The runs in a folder, as their files say, while they go on. Nothing is written, and no lock is taken.

A file may be half-written, or gone, at any moment: what cannot be read is left out until the next look.
"""

import contextlib
import csv
import hashlib
import json
import math
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

from zg.config.compose import KINDS, Config, class_name, read_yaml
from zg.errors import SettingError
from zg.run.files import CONFIG_FILE, ERROR_FILE, FOOTPRINTS_FILE, FRAMES, LOCK_FILE, ROW_FILE, frames_in
from zg.run.history import History, as_number

#: Folders below the given one are searched to this depth: `zg compare` puts a run at OUT/runs/TASK/METHOD/seed0.
DEPTH = 8
#: A run has one of these beside its config.
MARKS = {History.FILE, ROW_FILE, LOCK_FILE}
#: The pictures that a page may show. Frames are called by their renders.
PICTURES = ("panel.png", FOOTPRINTS_FILE, "start.png", "render.png", "reference.png", "curve.png")
FRAME = re.compile(rf"{FRAMES}/\d+\.png")
#: First and last bytes of a whole PNG.
PNG_HEAD, PNG_TAIL = b"\x89PNG\r\n\x1a\n", b"\x00\x00\x00\x00IEND\xaeB`\x82"
#: Most bytes of a file that is read; most points of a curve; most characters of a setting.
LARGEST, POINTS, SHOWN = 2**26, 400, 200
#: Least seconds between two looks at the folder: every tab of a browser asks.
PAUSE = 0.5
#: The task of a run of `zg.optimize`, whose config has none, as its row calls it.
FUNCTION = "FunctionTask"
#: The column in the place of one that a run does not have, as the loss with `curve_points: 0`.
INSTEAD = {"loss": "best_loss"}

Rows = list[dict[str, float]]
T = TypeVar("T")


class Runs:
    """The runs in a folder. Each is known by an id that is made from its path.

    Only runs that were found have an id, so no request can name another path.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._lock = Lock()
        self._folders: dict[str, Path] = {}
        self._looked = -math.inf
        self._held: dict[Path, tuple[tuple[int, int], Any]] = {}

    def folders(self) -> dict[str, Path]:
        """{id: folder} of every run, in the order of their paths."""
        with self._lock:
            if time.monotonic() - self._looked > PAUSE:
                self._folders = {id_of(folder): folder for folder in sorted(run_folders(self.root))}
                there = set(self._folders.values())
                self._held = {path: held for path, held in self._held.items() if path.parent in there}
                self._looked = time.monotonic()
            return dict(self._folders)

    def all(self, column: str = "loss") -> list[dict[str, Any]]:
        """Every run with the points [renders, seconds, value] of one column of its history."""
        return [self.run(id, folder) | self._curve(folder, column) for id, folder in self.folders().items()]

    def run(self, id: str, folder: Path) -> dict[str, Any]:
        """What stands in the table, and which pictures there are: {name: version}, and the renders of the frames."""
        state, row = state_of(folder)
        config, rows = self._read(folder / CONFIG_FILE, config_in), self._history(folder)
        task, method = names_of(folder, config, row)
        last = rows[-1] if rows else {}
        is_over = state not in ("running", "killed")
        renders = row.get("renders", 0) if is_over else last.get("renders", 0)
        losses = [each["loss"] for each in rows if "loss" in each]
        final = row.get("final_loss") if is_over else None
        return {
            "id": id,
            "name": printable(folder.relative_to(self.root).as_posix() if folder != self.root else folder.name),
            "task": task,
            "method": method,
            "seed": row.get("seed", config.get("seed", 0)),
            "state": state,
            "reason": row.get("stop_reason", "") if is_over else "",
            "error": printable(str(row.get("error") or "")) if is_over else "",
            "renders": renders,
            "max_renders": config.get("max_renders", row.get("max_renders")),
            "loss": final if final is not None else (losses[-1] if losses else None),
            "lowest": min(losses, default=last.get("best_loss")),
            "seconds": seconds_of(last),
            "changed": changed(folder / History.FILE) / 1e9,
            "columns": sorted({name for each in rows for name in each} - {"renders"}),
            "settings": flat(config),
            **pictures_of(folder),
        }

    def details(self, id: str) -> dict[str, Any] | None:
        """The config and the traceback of a run as text, and its newest numbers; None for an unknown id."""
        folder = self.folders().get(id)
        if folder is None:
            return None
        rows = self._history(folder)
        measured = [row for row in rows if "loss" in row][-1:] or rows
        numbers = {name: value for row in [*measured, *rows[-1:]] for name, value in row.items()}
        return {"config": text_of(folder / CONFIG_FILE), "error": text_of(folder / ERROR_FILE), "numbers": numbers}

    def picture(self, id: str, name: str) -> bytes | None:
        """A picture of a run; None if there is no such run, or no whole PNG of this name that a run writes."""
        folder = self.folders().get(id)
        if folder is None or not (name in PICTURES or FRAME.fullmatch(name)):
            return None
        content = bytes_of(folder / name)
        return content if content.startswith(PNG_HEAD) and content.endswith(PNG_TAIL) else None

    def _history(self, folder: Path) -> Rows:
        """The rows of the history."""
        return self._read(folder / History.FILE, lambda path: rows_of(text_of(path)))

    def _read(self, path: Path, read: Callable[[Path], T]) -> T:
        """What a file holds, read again when it has changed."""
        stamp = stamp_of(path)
        held = self._held.get(path)
        if held is None or held[0] != stamp:
            held = (stamp, read(path))
            self._held[path] = held
        content: T = held[1]
        return content

    def _curve(self, folder: Path, column: str) -> dict[str, Any]:
        rows = self._history(folder)
        if not any(column in row for row in rows):
            column = INSTEAD.get(column, column)
        points = [[row["renders"], seconds_of(row), row[column]] for row in rows if {"renders", column} <= row.keys()]
        return {"points": thinned(points), "column": column if points else ""}


def run_folders(root: Path) -> Iterator[Path]:
    """The folders of runs in a folder, or itself. Links are not followed; hidden folders and runs are not searched."""
    for path, folders, files in os.walk(root):
        here = Path(path)
        is_run = CONFIG_FILE in files and not MARKS.isdisjoint(files)
        if is_run:
            yield here
        if is_run or len(here.parts) - len(root.parts) >= DEPTH:
            folders.clear()
        folders[:] = [name for name in folders if not name.startswith(".")]


def id_of(folder: Path) -> str:
    """The id of a run in addresses: names of folders may hold any byte."""
    return hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]


def state_of(folder: Path) -> tuple[str, dict[str, Any]]:
    """`running`, `ended`, `interrupted`, `failed` or `killed`, and the row; empty where it has none.

    A run that is killed leaves its lock, which nobody holds, and no row, or the row of an earlier part. The lock is
    read first: it goes after the row was written.
    """
    lock = folder / LOCK_FILE
    started = changed(lock)
    is_running = bool(started) and is_held(lock)
    row_file = folder / ROW_FILE
    written = changed(row_file)
    row: dict[str, Any] = {}
    with contextlib.suppress(ValueError, TypeError):
        row = dict(json.loads(text_of(row_file)))
    if is_running:
        return "running", row
    if not row or written < started:
        return "killed", {}
    reason = row.get("stop_reason")
    return {"error": "failed", "interrupted": "interrupted"}.get(str(reason), "ended"), row


def is_held(lock: Path) -> bool:
    """Whether the process that wrote its number into a lock has it open, on this machine.

    To try the lock would take it for a moment, in which a run that starts would be refused.
    """
    try:
        number = int(text_of(lock))
        wanted = lock.stat()
        opened = list(Path(f"/proc/{number}/fd").iterdir())
    except PermissionError:  # a process of another user
        return True
    except (OSError, ValueError):
        return False
    for descriptor in opened:
        with contextlib.suppress(OSError):
            if os.path.samestat(descriptor.stat(), wanted):
                return True
    return False


def names_of(folder: Path, config: Config, row: dict[str, Any]) -> tuple[str, str]:
    """The names of task and method: those in the row, else in the folders of a comparison, else in the config."""
    if "task" in row and "method" in row:
        return printable(str(row["task"])), printable(str(row["method"]))
    seed, method, task, runs = (*reversed(folder.parts), "", "", "", "")[:4]
    if re.fullmatch(r"seed\d+", seed) and runs == "runs":
        return printable(task), printable(method)
    named = {}
    for key in KINDS:
        with contextlib.suppress(KeyError, TypeError, SettingError):
            named[key] = class_name(KINDS[key], config[key]).rpartition(".")[2]
    return named.get("data", named.get("training", FUNCTION)), named.get("model", "")


def pictures_of(folder: Path) -> dict[str, Any]:
    """`pictures` {name: version}, the newest whole frame among them, `frames` its renders and those before."""
    pictures = {name: str(version) for name in PICTURES if (version := changed(folder / name))}
    frames = frames_in(folder / FRAMES)
    while frames and not ends_whole(frames[-1]):
        frames.pop()
    if frames:
        newest = f"{FRAMES}/{frames[-1].name}"
        pictures[newest] = str(changed(frames[-1]))
    return {"pictures": pictures, "frames": [path.stem for path in frames]}


def ends_whole(path: Path) -> bool:
    """Whether a PNG has its last bytes. Frames are written in place."""
    if not is_own(path):
        return False
    try:
        with path.open("rb") as file:
            file.seek(-len(PNG_TAIL), os.SEEK_END)
            return file.read() == PNG_TAIL
    except OSError:
        return False


def rows_of(text: str) -> Rows:
    """The rows of a history without cells that are no finite numbers, and without the last line until it has ended."""
    whole = text[: text.rfind("\n") + 1]
    rows = []
    for record in csv.DictReader(whole.splitlines()):
        row = {}
        for name, cell in record.items():
            with contextlib.suppress(ValueError, AttributeError, TypeError):  # a damaged line has too many cells
                if math.isfinite(value := as_number(cell)):
                    row[name] = value
        rows.append(row)
    return rows


def thinned(points: list[Any]) -> list[Any]:
    """At most POINTS points, the last one among them."""
    step = -(-len(points) // POINTS) or 1
    return points[::-1][::step][::-1]


def seconds_of(row: dict[str, float]) -> float:
    """Time of rendering and method at a record, in seconds."""
    return row.get("seconds_render", 0.0) + row.get("seconds_method", 0.0)


def config_in(path: Path) -> Config:
    """The config in a file; empty if it cannot be read."""
    try:
        return read_yaml(path) if is_own(path) else {}
    except SettingError:
        return {}


def flat(config: Any, prefix: str = "") -> dict[str, str]:
    """Nested settings as {`model.init_args.lr`: `0.02`}, without what describes a config."""
    if not isinstance(config, dict):
        return {prefix: printable(str(config))[:SHOWN]}
    found: dict[str, str] = {}
    for key, value in config.items():
        if (prefix, key) != ("", "about"):
            found |= flat(value, f"{prefix}.{key}" if prefix else str(key))
    return found


def is_own(path: Path) -> bool:
    """Whether a path is a file of moderate size, not reached through a link, which could lead out of the folder."""
    try:
        return path.is_file() and path.resolve() == path and path.stat().st_size <= LARGEST
    except OSError:
        return False


def bytes_of(path: Path) -> bytes:
    """The content of a file of a run; empty if there is none."""
    try:
        return path.read_bytes() if is_own(path) else b""
    except OSError:
        return b""


def text_of(path: Path) -> str:
    """The text of a file of a run; empty if there is none."""
    return bytes_of(path).decode(errors="replace")


def changed(path: Path) -> int:
    """When a file was last changed, in nanoseconds; 0 if there is none."""
    return stamp_of(path)[0]


def stamp_of(path: Path) -> tuple[int, int]:
    """When a file was last changed, in nanoseconds, and its size; zeros if there is none."""
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size


def printable(text: str) -> str:
    """Text that UTF-8 can hold: names of files may be other bytes."""
    return text.encode(errors="replace").decode()
