"""What tables, figures and claims are made from: rows and curves of every part, and the probes.

They are read from a folder of runs, or from the CSV files that `write` keeps: two for each part, small enough for git.
"""

import csv
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from baselines.compare.rows import Curve, Row, Run, read_runs, write_csv
from paper.names import LOW_DIMENSION
from zg.run.history import as_number

# The parts of the paper, each in a folder of its own.
PARTS = ("published", "tuned", "ablations", "sensitivity", "frames")
# The kinds of probes.
PROBES = ("tasks", "cost", "variance")
# The two files that are kept of a part.
ROWS, CURVES = "rows.csv", "curves.csv"
# The preset that a folder was made with.
PRESET_FILE = "preset.json"
# Rows of the autoencoder, by `python -m benchmarks.autoencoder`. They are the clone's, whatever folder is read.
AUTOENCODER = Path(__file__).parents[1] / "results" / "autoencoder.csv"


@dataclass(frozen=True)
class Material:
    """All rows and curves. parts: {part: its runs}. tasks, cost, variance: the rows of the probes.

    autoencoder: the rows of its benchmark.
    """

    folder: Path
    parts: dict[str, list[Run]]
    tasks: list[Row] = field(default_factory=list)
    cost: list[Row] = field(default_factory=list)
    variance: list[Row] = field(default_factory=list)
    autoencoder: list[Row] = field(default_factory=list)

    @property
    def sizes(self) -> dict[str, int]:
        """{task: n} of the tasks that could be measured."""
        return {row["task"]: row["n"] for row in self.tasks if not row["error"]}

    def low(self, task: str) -> bool:
        """Whether a task is of low dimension. A task that could not be measured counts as such."""
        return self.sizes.get(task, 0) <= LOW_DIMENSION

    def runs(self, part: str, task: str | None = None) -> list[Run]:
        """The runs of a part, of one task or of all."""
        return [run for run in self.parts.get(part, []) if task in (None, run.row["task"])]

    @property
    def everything(self) -> list[Run]:
        """All runs of all parts."""
        return [run for runs in self.parts.values() for run in runs]


def read(folder: Path) -> Material:
    """The material in a folder."""
    parts = {}
    for part in PARTS:
        below = folder / part
        if (below / "runs").is_dir():
            parts[part] = read_runs(below)
        elif (below / ROWS).is_file():
            parts[part] = read_kept(below)
    probes = {kind: read_probes(folder, kind) for kind in PROBES}
    preset = folder / PRESET_FILE
    is_trial = preset.is_file() and json.loads(preset.read_text())["preset"] == "smoke"  # it judges nothing
    autoencoder = read_table(AUTOENCODER) if AUTOENCODER.is_file() and not is_trial else []
    return Material(folder, parts, **probes, autoencoder=autoencoder)


def read_probes(folder: Path, kind: str) -> list[Row]:
    """The rows of one kind of probe."""
    files = sorted((folder / "probes" / kind).glob("*.json"))
    if files:
        return [json.loads(path.read_text()) for path in files]
    kept = folder / "probes" / f"{kind}.csv"
    return read_table(kept) if kept.is_file() else []


def write(material: Material, out: Path) -> None:
    """Keep the material as CSV: for each part a table of rows and one of curves, for each kind of probe one table."""
    for part, runs in material.parts.items():
        (out / part).mkdir(parents=True, exist_ok=True)
        write_csv(out / part / ROWS, (run.row for run in runs))
        write_csv(out / part / CURVES, curve_rows(runs))
    (out / "probes").mkdir(parents=True, exist_ok=True)
    for kind in PROBES:
        write_csv(out / "probes" / f"{kind}.csv", getattr(material, kind))


def curve_rows(runs: Iterable[Run]) -> list[Row]:
    """The points of all curves, one row for each point."""
    found = []
    for run in runs:
        of_run = {name: run.row[name] for name in ("task", "method", "seed")}
        if run.curve is not None:
            points = zip(run.curve.renders, run.curve.seconds, run.curve.losses, strict=True)
            found += [
                of_run | {"renders": int(renders), "seconds": f"{seconds:.4g}", "loss": f"{loss:.6g}"}
                for renders, seconds, loss in points
            ]
    return found


def read_kept(folder: Path) -> list[Run]:
    """The runs of a part, read from its two tables."""
    points: dict[tuple[str, str, int], list[Row]] = {}
    curves = folder / CURVES
    for point in read_table(curves) if curves.is_file() else []:
        points.setdefault((point["task"], point["method"], point["seed"]), []).append(point)
    found = []
    for row in read_table(folder / ROWS):
        own = points.get((row["task"], row["method"], row["seed"]))
        curve = (
            Curve(*(np.array([point[name] for point in own]) for name in ("renders", "seconds", "loss")))
            if own
            else None
        )
        found.append(Run(row, folder / "runs" / row["task"] / row["method"] / f"seed{row['seed']}", curve))
    return found


# Columns that are text, also where the text is a number or blank.
TEXT = (
    *("task", "method", "resolved", "feedback", "settings_from", "key", "config_hash", "code_hash", "revision"),
    *("machine", "stop_reason", "error", "memory"),
)


def read_table(path: Path) -> list[Row]:
    """A CSV that `write_csv` wrote, with the types of its values. A blank number is None.

    Not pandas' reader: it makes whole numbers of a column with blanks floating-point numbers, and leaves JSON as text.
    """
    csv.field_size_limit(10**9)
    with path.open(newline="") as file:
        return [
            {name: text if name in TEXT else typed(text) for name, text in row.items()} for row in csv.DictReader(file)
        ]


def typed(text: str) -> Any:
    """The value of a cell: a number, a truth value, nested values from JSON, or None for a blank."""
    if text == "":
        return None
    if text in ("True", "False"):
        return text == "True"
    try:
        return json.loads(text) if text[0] in "[{" else as_number(text)
    except ValueError:
        return text
