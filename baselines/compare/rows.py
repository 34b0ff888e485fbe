"""Rows and curves of runs: all that the report of a comparison is made from."""

import csv
import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zg.errors import SettingError

# The result of a run: what was run, what it cost, where it ended.
Row = dict[str, Any]
# The row in a run's folder.
ROW_FILE = "row.json"
# The records along the run, in the same folder.
HISTORY_FILE = "history.csv"


@dataclass(frozen=True)
class Curve:
    """The loss of the recommended θ along a run: renders, seconds and losses [points] each."""

    renders: np.ndarray
    seconds: np.ndarray
    losses: np.ndarray


@dataclass(frozen=True, eq=False)
class Run:
    """The row of a run, its folder, and its curve where there is one."""

    row: Row
    folder: Path
    curve: Curve | None

    @property
    def failed(self) -> bool:
        """Whether the run ended in an error or without a result."""
        return failed(self.row)


def failed(row: Row) -> bool:
    """Whether a run ended in an error, or has no finite initial or final loss."""
    losses = row["init_loss"], row["final_loss"]
    return row["stop_reason"] == "error" or any(loss is None or not math.isfinite(loss) for loss in losses)


def read_runs(out: Path) -> list[Run]:
    """Every run in a comparison's folder that has ended, sorted by task, method and seed."""
    found = []
    for path in sorted((out / "runs").glob(f"*/*/seed*/{ROW_FILE}")):
        row = read_row(path.parent) or {}
        is_own = path.parent.name == f"seed{row.get('seed')}"  # and no copy, such as seed0-backup
        if is_own and row["stop_reason"] != "interrupted" and "key" in row:
            found.append(Run(row, path.parent, read_curve(path.parent)))
    return sorted(found, key=lambda run: (run.row["task"], run.row["method"], run.row["seed"]))


def read_row(folder: Path) -> Row | None:
    """The row of a run, or None. Raises SettingError for a file that is none."""
    path = folder / ROW_FILE
    if not path.is_file():
        return None
    try:
        row = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        row = None
    if not isinstance(row, dict):
        raise SettingError(f"'{path}' must be the row of a run as JSON; remove its folder to run it again")
    return row


def read_history(folder: Path) -> list[dict[str, float]]:
    """The records of a run; empty where there is no history."""
    path = folder / HISTORY_FILE
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return [{key: float(text) for key, text in row.items() if key and text} for row in csv.DictReader(file)]


def read_curve(folder: Path) -> Curve | None:
    """The curve of a run; None where there is none."""
    measured = [row for row in read_history(folder) if "loss" in row]
    if not measured:
        return None
    seconds = [row.get("seconds_render", 0.0) + row.get("seconds_method", 0.0) for row in measured]
    renders, losses = ([row[name] for row in measured] for name in ("renders", "loss"))
    return Curve(np.array(renders), np.array(seconds), np.array(losses))


def write_csv(path: Path, rows: Iterable[Row]) -> None:
    """Write rows as one table, nested values as JSON."""
    rows = list(rows)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        for row in rows:
            writer.writerow(
                {key: json.dumps(value) if isinstance(value, dict) else value for key, value in row.items()}
            )


def unique(items: Iterable[Any], of: Callable[[Any], Any]) -> list[Any]:
    """The different values of `of` over the items, in order of appearance, without blanks."""
    return list(dict.fromkeys(value for item in items if (value := of(item)) not in (None, "")))


def column(name: str) -> Callable[[Run], str]:
    """A function that returns a column of a run's row as text."""
    return lambda run: str(run.row[name])
