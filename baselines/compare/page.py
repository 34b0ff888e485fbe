"""report.html: the whole comparison on one page that needs no network. `templates/comparison.html` is its shape."""

import base64
import importlib
import inspect
import io
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from baselines.compare import style, tables
from baselines.compare.chart import Chart, Stroke, chart, stroke
from baselines.compare.curves import curves_of, ends_of
from baselines.compare.markup import Cell, Line, Table, render
from baselines.compare.names import name_of
from baselines.compare.pictures import picture_of
from baselines.compare.rows import Run, column, unique
from baselines.compare.statistics import Estimate
from baselines.compare.style import HOUSE, Look
from baselines.compare.summary import RESOLVED_IS, Overall, Summary, apart, describe_budget
from baselines.compare.summary import Line as TaskLine
from zg.config.compose import compose, method_config
from zg.config.registry import configured, registered
from zg.errors import SettingError

# Pictures are shown small: a larger picture is reduced to this number of pixels a side.
PICTURE_SIZE = 256


class Bar(NamedTuple):
    """The time of a run: its two parts in percent of the longest run of the task, and the total in seconds."""

    method: str
    render: float
    own: float
    total: str


class Section(NamedTuple):
    """What the page shows of a task.

    tables: with their titles. pictures: (name, data URI) of the runs with the seed `seed`.
    """

    anchor: str
    task: str
    budget: str
    charts: list[Chart]
    strokes: list[Stroke]
    tables: list[tuple[str, Table]]
    pictures: list[tuple[str, str]]
    seed: int
    bars: list[Bar]


def html(title: str, runs: Sequence[Run], summary: Summary) -> str:
    """The page."""
    looks = style.looks(run.row["method"] for run in runs)
    methods = unique(runs, lambda run: run.row["method"])
    seeds = unique(runs, lambda run: str(run.row["seed"]))
    said = f"{count(summary.tasks, 'task')}, {count(methods, 'method')}, {count(seeds, 'seed')}, {count(runs, 'run')}"
    sections = [
        section(f"task{place}", task, [run for run in runs if run.row["task"] == task], summary, looks)
        for place, task in enumerate(summary.tasks)
    ]
    links = [(section.anchor, section.task) for section in sections]
    links += [("endings", "how runs ended"), ("settings", "settings"), ("provenance", "machine and revision")]
    return render(
        "comparison.html",
        title=title,
        said=said,
        notes=summary.notes,
        links=links,
        gain_is=tables.GAIN_IS,
        target_is=tables.TARGET_IS + (f" {RESOLVED_IS}" if any(line.resolved for line in summary.lines) else ""),
        over_tasks=tables.over_tasks(summary),
        all_tasks=all_tasks(summary) if len(summary.tasks) > 1 else [],
        sections=sections,
        endings=endings(runs),
        settings=settings(runs),
        provenance=provenance(runs),
    )


def all_tasks(summary: Summary) -> list[tuple[str, Table]]:
    """The tables over all tasks, with their titles."""
    return [(title, overall_table(own, summary.versus)) for title, own in apart(summary.overall)]


def overall_table(overall: Sequence[Overall], versus: str) -> Table:
    """A table over all tasks."""
    lines = []
    for line in overall:
        cells = [
            Cell(name_of(line.method)),
            Cell(line.settings),
            measured(line.gain),
            measured(line.rank),
            measured(line.improvement),
            Cell(f"{line.failures} of {line.runs}", line.failures, "bad" if line.failures else ""),
        ]
        lines.append(Line(cells, line.method == HOUSE))
    over = f"P(better than {name_of(versus)})"
    return Table(["method", "settings", "gain", "average rank", over, "failed runs"], lines)


def section(anchor: str, task: str, runs: Sequence[Run], summary: Summary, looks: Mapping[str, Look]) -> Section:
    """One task: its curves, its table, its pictures and where its time went."""
    curves = curves_of(runs, task)
    shown = shown_of(runs)
    return Section(
        anchor,
        task,
        "; ".join(unique(runs, lambda run: describe_budget(run.row))),
        charts=[chart(curves, axis, looks, task, ends_of(runs, task)) for axis in style.AXES] if curves else [],
        strokes=[stroke(method, looks) for method in looks if method in curves],
        tables=[(title, task_table(own)) for title, own in apart([one for one in summary.lines if one.task == task])],
        pictures=pictures(shown),
        seed=shown[0].row["seed"] if shown else 0,
        bars=bars(task, summary),
    )


def task_table(of_task: Sequence[TaskLine]) -> Table:
    """A table of a task."""
    lines = []
    for line in of_task:
        low, middle, high = (tables.number(value) for value in line.final)
        renders, seconds = line.renders_to_target[1], line.seconds_to_target[1]
        spent = line.spent
        cells = [
            Cell(name_of(line.method), small=[line.resolved] if line.resolved else []),
            Cell(line.settings),
            Cell(
                middle,
                line.final[1],
                "bad" if line.failures else "",
                small=[] if low == high else [f"[{low} … {high}]"],
            ),
            measured(line.gain),
            measured(line.rank),
            Cell(tables.to_target(renders, line), renders),
            Cell(tables.to_target(seconds, line), seconds),
            *(plain(value) for value in (spent.renders, spent.seconds_render, spent.seconds_method, spent.peak_mb)),
        ]
        lines.append(Line(cells, line.method == HOUSE))
    columns = "method|settings|final loss|gain|rank|renders to target|s to target|renders|s rendering|s method|MB"
    return Table(columns.split("|"), lines)


def shown_of(runs: Sequence[Run]) -> list[Run]:
    """The runs of the first seed that have left a picture of their result, an image or a plot."""
    first = min((run.row["seed"] for run in runs), default=0)
    return [run for run in runs if run.row["seed"] == first and picture_of(run.folder).is_file()]


def pictures(shown: Sequence[Run]) -> list[tuple[str, str]]:
    """(name, data URI) of the start, each method and the reference."""
    if not shown:
        return []
    first = shown[0].folder
    found = {run.row["method"]: picture_of(run.folder) for run in shown}
    named = [("start", first / "start.png"), *((name_of(method), found[method]) for method in style.in_order(found))]
    named.append(("reference", first / "reference.png"))
    return [(name, data_uri(path)) for name, path in named if path.is_file()]


def data_uri(path: Path) -> str:
    """A picture as text; a large one is reduced."""
    content = path.read_bytes()
    with Image.open(path) as picture:
        if max(picture.size) > PICTURE_SIZE:
            picture.thumbnail((PICTURE_SIZE, PICTURE_SIZE))
            buffer = io.BytesIO()
            picture.save(buffer, "PNG")
            content = buffer.getvalue()
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def bars(task: str, summary: Summary) -> list[Bar]:
    """Where the time of each method went: seconds in the renderer and in the method."""
    found = []
    spent = {line.method: line.spent for line in summary.lines if line.task == task}
    timed = {method: of for method, of in spent.items() if math.isfinite(of.seconds_render)}
    longest = max((of.seconds_render + of.seconds_method for of in timed.values()), default=0.0)
    for method, of in timed.items() if longest else ():
        render, own = (100 * part / longest for part in (of.seconds_render, of.seconds_method))
        found.append(Bar(name_of(method), render, own, tables.number(of.seconds_render + of.seconds_method)))
    return found


def endings(runs: Sequence[Run]) -> tuple[Table, Table]:
    """Why runs stopped, and every error."""
    counts = Counter((run.row["task"], run.row["method"], run.row["stop_reason"]) for run in runs)
    stopped = [
        Line(
            [Cell(name_of(method)), Cell(task), Cell(reason, kind="bad" if reason == "error" else ""), Cell(str(n), n)],
            method == HOUSE,
        )
        for (task, method, reason), n in sorted(counts.items())
    ]
    broken = [
        Line(
            [
                Cell(name_of(row["method"])),
                Cell(row["task"]),
                Cell(str(row["seed"]), row["seed"]),
                Cell(row["error"], kind="wrap"),
            ],
            row["method"] == HOUSE,
        )
        for row in (run.row for run in runs)
        if row["error"]
    ]
    return Table(["method", "task", "stopped by", "runs"], stopped), Table(["method", "task", "seed", "error"], broken)


def settings(runs: Sequence[Run]) -> Table:
    """The settings of each method on each task that differ from its defaults."""
    lines = {}
    for run in runs:
        row = run.row
        defaults = defaults_of(row["method"])
        changed = {name: value for name, value in (row["settings"] or {}).items() if is_changed(name, value, defaults)}
        said = json.dumps(changed, ensure_ascii=False) if changed else "all at their defaults"
        cells = [Cell(name_of(row["method"])), *(Cell(row[name]) for name in ("task", "settings_from", "feedback"))]
        lines[row["method"], row["task"], said] = Line([*cells, Cell(said, kind="wrap")], row["method"] == HOUSE)
    names = ["method", "task", "from", "sees", "settings that differ from the defaults"]
    return Table(names, [lines[key] for key in sorted(lines)])


@cache
def defaults_of(method: str) -> Mapping[str, object]:
    """The defaults of a method's settings, by its class; none for a method that is not installed here.

    A name such as `nevergrad-CMA` is that of a registered method with one of its settings.
    """
    known = registered("method")
    base = method if method in configured("method") or method in known else method.partition("-")[0]
    try:
        module, _, name = compose(method_config(base))["model"]["class_path"].rpartition(".")
        parameters = inspect.signature(getattr(importlib.import_module(module), name)).parameters
    except (SettingError, ImportError, AttributeError):
        return {}
    return {name: parameter.default for name, parameter in parameters.items()}


def is_changed(name: str, value: object, defaults: Mapping[str, object]) -> bool:
    """Whether a setting of a row, which is JSON, differs from the default."""
    return name not in defaults or json.dumps(value) != json.dumps(defaults[name], default=str)


def provenance(runs: Sequence[Run]) -> list[tuple[str, str]]:
    """(word, values) of machine, revision, code, threads and runs side by side."""
    said = {"machine": "machine", "revision": "revision", "code_hash": "code", "threads": "threads"}
    said |= {"jobs": "runs side by side"}
    return [(word, ", ".join(unique(runs, column(name))) or "none") for name, word in said.items()]


def measured(found: Estimate | None) -> Cell:
    """An estimate with its interval."""
    if found is None:
        return Cell("–", math.nan)
    interval = [f"[{found.interval[0]:.2f} … {found.interval[1]:.2f}]"] if found.interval else []
    return Cell(f"{found.value:.2f}", found.value, small=interval)


def plain(value: float) -> Cell:
    """A number."""
    return Cell(tables.number(value), value)


def count(things: Sequence, name: str) -> str:
    """`1 task`, `3 tasks`."""
    return f"{len(things)} {name}{'' if len(things) == 1 else 's'}"
