"""The tables of `results/pictures`: `benchmarks.pictures` makes the rows.

A cell is the median over seeds with the lowest and the highest number in brackets where they differ; a dash is a run
that has not come that far.
"""

import csv
import math
import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path

from baselines.compare.names import name_of
from benchmarks.pictures import METHODS, PEERS, TASKS, WITHOUT

Row = Mapping[str, str]
#: Of the surrogate itself, and how the names of its variants begin.
OURS = "zerograds-image"
#: How the names of its variants go on; a column each.
PARTS = ("no memory", "no noise correction", "no footprints", "no ladder")


def read(path: Path) -> list[Row]:
    """The rows, in the order of tasks and methods."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    tasks, methods = list(TASKS), list(METHODS)
    return sorted(rows, key=lambda row: (tasks.index(row["task"]), methods.index(row["method"]), int(row["seed"])))


def measured(path: Path) -> str:
    """Every task with every method but the variants: renders to shares of the start, cost and memory."""
    heads = "task|n|method|seeds|to 10 %|to 1 %|to 0.5 %|left at the end|renders|s of the method|MB".split("|")
    lines = [line(heads), "|" + "---|" * len(heads)]
    whole = (row for row in read(path) if not row["method"].startswith(f"{OURS}, "))
    for (task, method), rows in grouped(whole).items():
        cells = [task, f"{int(rows[0]['n']):,}", name_of(method), str(len(rows)), *until(rows), cell(rows, "share")]
        lines.append(line([*cells, cell(rows, "renders"), cell(rows, "seconds_method"), cell(rows, "peak_mb")]))
    return "\n".join(lines)


def ablation(path: Path) -> str:
    """The surrogate with and without its parts, on the seeds that all of them have: renders to 10 % and to 1 %."""
    rows = [row for row in read(path) if row["method"].startswith(OURS)]
    tasks = list(dict.fromkeys(row["task"] for row in rows if row["method"] != OURS))
    found = grouped(rows)
    lines = [line(["task", "seeds", "renders", "whole", *PARTS]), "|" + "---|" * (len(PARTS) + 4)]
    for task in tasks:
        of_part = {part: found.get((task, f"{OURS}, {part}"), []) for part in WITHOUT}
        seeds = set.intersection(*({row["seed"] for row in own} for own in of_part.values() if own))
        budget = max(int(row["renders"]) for own in of_part.values() for row in own)
        whole = [row for row in found.get((task, OURS), []) if row["seed"] in seeds]
        parts = [
            [row for name, own in of_part.items() if name.startswith(part) for row in own if row["seed"] in seeds]
            for part in PARTS
        ]
        lines.append(line([task, str(len(seeds)), str(budget), *(both(own) for own in (whole, *parts))]))
    return "\n".join(lines)


def peers(path: Path) -> str:
    """Methods that see the picture on the tasks on which one of the baselines has run: renders to 10 % and to 1 %.

    Where no method comes to 10 % on most seeds, what is left of the start's loss.
    """
    found = grouped(row for row in read(path) if row["method"] in (OURS, *PEERS))
    tasks = [task for task in TASKS if any((task, method) in found for method in PEERS)]
    of_task = {task: [row for method in (*PEERS, OURS) for row in found.get((task, method), [])] for task in tasks}
    medians = {at: cell(rows, "renders_to_10") for at, rows in found.items()}
    far = {task for task in tasks if all(text.startswith("–") for (one, _), text in medians.items() if one == task)}
    heads = [f"{task}: left after {cell(of_task[task], 'renders')}" if task in far else task for task in tasks]
    lines = [line(["renders to 10 %; to 1 %", *heads]), "|" + "---|" * (len(tasks) + 1)]
    for method in (*PEERS, OURS):
        own = {task: found.get((task, method), []) for task in tasks}
        cells = [cell(own[task], "share") if task in far and own[task] else both(own[task]) for task in tasks]
        lines.append(line([name_of(method), *cells]))
    return "\n".join(lines)


def grouped(rows: Iterable[Row]) -> dict[tuple[str, str], list[Row]]:
    """{(task, method): its rows}."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        found.setdefault((row["task"], row["method"]), []).append(row)
    return found


def until(rows: list[Row]) -> list[str]:
    """Renders to 10, 1 and 0.5 % of the start."""
    return [cell(rows, name) for name in ("renders_to_10", "renders_to_1", "renders_to_half")]


def both(rows: list[Row]) -> str:
    """Renders to 10 % and to 1 %; empty without rows."""
    return f"{cell(rows, 'renders_to_10')}; {cell(rows, 'renders_to_1')}" if rows else ""


def cell(rows: list[Row], column: str) -> str:
    """Median [lowest, highest] of a column."""
    values = [float(row[column]) if row[column] else math.inf for row in rows]
    low, middle, high = min(values), statistics.median(values), max(values)
    return number(middle) if low == high else f"{number(middle)} [{number(low)}, {number(high)}]"


def number(value: float) -> str:
    """Three digits; a dash for a number that is not there."""
    if not math.isfinite(value):
        return "–"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def line(cells: list[str]) -> str:
    """A line of a Markdown table."""
    return "| " + " | ".join(cells) + " |"
