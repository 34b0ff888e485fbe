"""What a run leaves behind: history.csv, row.json, and what they say about code and machine."""

import csv
import hashlib
import json
import math
import os
import platform
import resource
import subprocess
from functools import cache
from pathlib import Path
from typing import Any, TextIO

from pytorch_lightning.loggers import Logger

ROOT = Path(__file__).resolve().parents[2]


class History(Logger):
    """A Lightning logger that keeps one row a record, in memory and in `history.csv`.

    Unlike Lightning's CSVLogger it can be truncated to a checkpoint and appended to, and its columns may grow.
    """

    FILE = "history.csv"

    def __init__(self, folder: Path | None) -> None:
        super().__init__()
        self.path = folder / self.FILE if folder else None
        self.rows: list[dict[str, float]] = []
        self._columns: list[str] = []
        self._file: TextIO | None = None

    @property
    def name(self) -> str:
        return "history"

    @property
    def version(self) -> int:
        return 0

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """The resolved config has a file of its own."""

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Write a row at once, so that whatever ends the process leaves it; what is not finite leaves a blank."""
        row = {name: value for name, value in metrics.items() if math.isfinite(value)}
        self.rows.append(row)
        if self.path is None:
            return
        if new := [name for name in metrics if name not in self._columns]:
            self._columns += new
            self._rewrite()
            return
        self._file = self._file or self.path.open("a", newline="")
        csv.DictWriter(self._file, self._columns).writerow(row)
        self._file.flush()

    def finalize(self, status: str) -> None:
        """Close the file; a later row opens it again."""
        if self._file:
            self._file.close()
            self._file = None

    def resume(self, renders: int) -> None:
        """Read the file of the interrupted run and drop what it logged after `renders`."""
        if self.path is None or not self.path.is_file():
            return
        with self.path.open(newline="") as file:
            read = [{key: as_number(text) for key, text in row.items() if text} for row in csv.DictReader(file)]
        self.rows = [row for row in read if row["renders"] <= renders]
        self._columns = list(dict.fromkeys(key for row in self.rows for key in row))
        self._rewrite()

    def _rewrite(self) -> None:
        assert self.path is not None
        self.finalize("rewritten")
        partial = write_whole(self.path)
        self._file = partial.open("w", newline="")
        writer = csv.DictWriter(self._file, self._columns)
        writer.writeheader()
        writer.writerows(self.rows)
        self._file.flush()
        partial.replace(self.path)  # a machine that loses power may lose it: what resumes a run is the checkpoint


def as_number(text: str) -> float:
    """The number that was written: whole ones stay whole."""
    return int(text) if text.lstrip("-").isdigit() else float(text)


def write_whole(path: Path) -> Path:
    """Where to write first, so that `finish_write(path)` makes the file appear whole or not at all."""
    return path.with_name(f".{path.name}.partial")


def finish_write(path: Path) -> None:
    """Put what was written at `write_whole(path)` in place, safely on disk."""
    partial = write_whole(path)
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(path)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file whole or not at all; NaN and infinities become null."""
    write_whole(path).write_text(json.dumps(_finite(content), indent=1) + "\n")
    finish_write(path)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def config_hash(config: Any) -> str:
    """A short hash of nested plain values."""
    return hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode()).hexdigest()[:12]


@cache
def code_hash() -> str:
    """A short hash of every Python file that can change a run: zg, tasks and baselines, less what compares them."""
    digest = hashlib.sha256()
    for package in ("zg", "tasks", "baselines"):
        for path in sorted((ROOT / package).rglob("*.py")):
            if (ROOT / "baselines" / "compare") in path.parents:
                continue
            digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


@cache
def revision() -> str:
    """The git revision of the clone, with `+` when files differ from it; empty outside a clone."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""


@cache
def machine() -> str:
    """The machine class: processor, cores, system."""
    model = platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{model}, {os.cpu_count()} cores, {platform.system()}"


def peak_mb() -> float:
    """The largest resident memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
