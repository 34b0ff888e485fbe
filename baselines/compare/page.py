"""report.html: the whole comparison as one page that needs no network. Every string of a row is escaped."""

import base64
import io
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

import imageio.v3 as imageio
import numpy as np
from PIL import Image

from baselines.compare import style, tables
from baselines.compare.chart import svg
from baselines.compare.figures import curves_of, picture_of, pictured
from baselines.compare.rows import Run, column, unique
from baselines.compare.statistics import Estimate
from baselines.compare.style import Look
from baselines.compare.summary import Summary, describe_budget

TEMPLATE = Path(__file__).with_name("page.html")
# Pictures are shown small: larger ones are reduced to this many pixels a side.
PICTURE_SIZE = 256
# The two parts of a run's time: the colour that the template has for it, and its name.
PARTS = (("render", "rendering"), ("method", "method"))


class Cell(NamedTuple):
    """A cell of a table: HTML, and the number that it sorts by, if it is one."""

    html: str
    value: float | None = None
    kind: str = ""


def html(title: str, runs: Sequence[Run], summary: Summary) -> str:
    """The page."""
    looks = style.looks(run.row["method"] for run in runs)
    body = [opening(title, runs, summary)]
    if len(summary.tasks) > 1:
        body.append(all_tasks(summary))
    for place, task in enumerate(summary.tasks):
        body.append(section(place, task, [run for run in runs if run.row["task"] == task], summary, looks))
    body += [endings(runs), settings(runs), provenance(runs)]
    page = TEMPLATE.read_text(encoding="utf-8")
    return page.replace("@TITLE@", escape(title)).replace("@BODY@", "\n".join(body))


def opening(title: str, runs: Sequence[Run], summary: Summary) -> str:
    """Title, what was run, what to know before comparing, where to find what."""
    methods = unique(runs, lambda run: run.row["method"])
    seeds = unique(runs, lambda run: str(run.row["seed"]))
    said = f"{count(summary.tasks, 'task')}, {count(methods, 'method')}, {count(seeds, 'seed')}, {count(runs, 'run')}"
    notes = "".join(f"<li>{escape(note)}</li>" for note in summary.notes)
    links = [(f"task{place}", task) for place, task in enumerate(summary.tasks)]
    links += [("endings", "how runs ended"), ("settings", "settings"), ("provenance", "machine and revision")]
    return (
        f'<header><h1>{escape(title)}</h1><p class="soft">{said}</p>'
        + (f'<ul class="notes">{notes}</ul>' if notes else "")
        + "<nav>"
        + "".join(f'<a href="#{anchor}">{escape(text)}</a>' for anchor, text in links)
        + f'</nav></header><p class="soft">{escape(tables.GAIN_IS)} {escape(tables.TARGET_IS)}</p>'
    )


def all_tasks(summary: Summary) -> str:
    """The table over all tasks."""
    lines = []
    for line in summary.overall:
        cells = [
            Cell(escape(line.method) + seen(line.feedback)),
            Cell(escape(line.settings)),
            measured(line.gain),
            measured(line.rank),
            measured(line.improvement),
            Cell(f"{line.failures} of {line.runs}", line.failures, "bad" if line.failures else ""),
        ]
        lines.append((line.method, cells))
    over = f"P(better than {summary.versus})"
    names = ["method", "settings", "gain", "average rank", over, "failed runs"]
    return f"<h2>All tasks</h2>{table(names, lines)}"


def section(place: int, task: str, runs: Sequence[Run], summary: Summary, looks: Mapping[str, Look]) -> str:
    """One task: its curves, table, pictures and where its time went."""
    budget = "; ".join(unique(runs, lambda run: describe_budget(run.row)))
    parts = [f'<h2 id="task{place}">{escape(task)}</h2><p class="soft">{escape(budget)} a run</p>']
    curves = curves_of(runs, task)
    if curves:
        parts.append(chart_panel(task, curves, looks))
    lines = []
    for line in summary.lines:
        if line.task != task:
            continue
        low, middle, high = (tables.number(value) for value in line.final)
        spread = "" if low == high else f" <small>[{low} … {high}]</small>"
        resolved = f" <small>{escape(line.resolved)}</small>" if line.resolved else ""
        cells = [
            Cell(escape(line.method) + resolved + seen(line.feedback)),
            Cell(escape(line.settings)),
            Cell(middle + spread, line.final[1], "bad" if line.failures else ""),
            measured(line.gain),
            measured(line.rank),
            Cell(escape(tables.to_target(line.renders_to_target[1], line)), line.renders_to_target[1]),
            Cell(escape(tables.to_target(line.seconds_to_target[1], line)), line.seconds_to_target[1]),
            *(plain(value) for value in (line.renders, line.seconds_render, line.seconds_method, line.peak_mb)),
        ]
        lines.append((line.method, cells))
    columns = "method|settings|final loss|gain|rank|renders to target|s to target|renders|s rendering|s method|MB"
    parts += [table(columns.split("|"), lines), pictures(runs), time_split(task, summary)]
    return f"<section>{''.join(parts)}</section>"


def chart_panel(task: str, curves: Mapping[str, Sequence], looks: Mapping[str, Look]) -> str:
    """The chart of a task against renders and against seconds, and its methods to pick from."""
    charts = svg(curves, "renders", looks, task)
    charts += svg(curves, "seconds", looks, task).replace("<svg ", "<svg hidden ", 1)
    chips = []
    for method in (name for name in looks if name in curves):
        look = looks[method]
        colour = "currentColor" if method == style.HOUSE else look.colour
        dashes = f' stroke-dasharray="{" ".join(f"{part:g}" for part in look.dashes)}"' if look.dashes else ""
        stroke = f'stroke="{colour}" stroke-width="2.4"{dashes}'
        line = f'<svg viewBox="0 0 22 8" aria-hidden="true"><path d="M0 4H22" {stroke}/></svg>'
        name = escape(method, quote=True)
        chips.append(f'<button type="button" aria-pressed="false" data-method="{name}">{line}{name}</button>')
    axes = "".join(
        f'<button type="button" aria-pressed="{pressed}" data-axis="{axis}">against {axis}</button>'
        for axis, pressed in (("renders", "true"), ("seconds", "false"))
    )
    return (
        f'<div class="panel chart"><div class="axes">{axes}</div>{charts}<div class="chips">{"".join(chips)}</div>'
        '<p class="soft">Loss of the recommended θ, rendered afresh: median over seeds, quartiles as a band.</p></div>'
    )


def pictures(runs: Sequence[Run]) -> str:
    """start | methods | reference of the first seed."""
    shown = pictured(runs)
    if not shown:
        return ""
    first = shown[0].folder
    named = [("start", first / "start.png")]
    found = {run.row["method"]: picture_of(run.folder) for run in shown}
    named += [(method, found[method]) for method in style.in_order(found)]
    named += [("reference", first / "reference.png")]
    figures = "".join(figure(name, path) for name, path in named if path.is_file())
    seed = f'<p class="soft">Seed {shown[0].row["seed"]}.</p>'
    return f'<div class="panel"><div class="pictures">{figures}</div>{seed}</div>'


def figure(name: str, path: Path) -> str:
    """A picture under its name."""
    said = escape(name, quote=True)
    return f'<figure><img alt="{said}" src="{data_uri(path)}"><figcaption>{said}</figcaption></figure>'


def data_uri(path: Path) -> str:
    """A picture as text, reduced where it is large."""
    picture = np.asarray(imageio.imread(path))
    if max(picture.shape[:2]) <= PICTURE_SIZE:
        content = path.read_bytes()
    else:
        image = Image.fromarray(picture)
        image.thumbnail((PICTURE_SIZE, PICTURE_SIZE))
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        content = buffer.getvalue()
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def time_split(task: str, summary: Summary) -> str:
    """Where the time of each method went: a bar of seconds in the renderer and in the method."""
    lines = [line for line in summary.lines if line.task == task and math.isfinite(line.seconds_render)]
    longest = max((line.seconds_render + line.seconds_method for line in lines), default=0.0)
    if not longest:
        return ""
    bars = []
    for line in lines:
        render, method = (100 * part / longest for part in (line.seconds_render, line.seconds_method))
        total = line.seconds_render + line.seconds_method
        bars.append(
            f'<span>{escape(line.method)}</span><span class="bar"><i style="width:{render:.2f}%"></i>'
            f'<i style="width:{method:.2f}%"></i></span><span>{tables.number(total)} s</span>'
        )
    keys = "".join(f'<i class="key" style="background:var(--{name})"></i>{said}' for name, said in PARTS)
    head = f'<p class="soft">Time of a run, median over seeds:{keys}</p>'
    return f'<div class="panel">{head}<div class="bars">{"".join(bars)}</div></div>'


def endings(runs: Sequence[Run]) -> str:
    """Why runs stopped, and every error."""
    counts = Counter((run.row["task"], run.row["method"], run.row["stop_reason"]) for run in runs)
    lines = [
        (
            method,
            [
                Cell(escape(method)),
                Cell(escape(task)),
                Cell(escape(reason), kind="bad" if reason == "error" else ""),
                Cell(str(n), n),
            ],
        )
        for (task, method, reason), n in sorted(counts.items())
    ]
    found = f'<h2 id="endings">How runs ended</h2>{table(["method", "task", "stopped by", "runs"], lines)}'
    broken = [run.row for run in runs if run.row["error"]]
    if broken:
        errors = [
            (
                row["method"],
                [
                    Cell(escape(row["method"])),
                    Cell(escape(row["task"])),
                    Cell(str(row["seed"]), row["seed"]),
                    Cell(escape(row["error"]), kind="wrap"),
                ],
            )
            for row in broken
        ]
        found += table(["method", "task", "seed", "error"], errors)
    return found


def settings(runs: Sequence[Run]) -> str:
    """What was set for each method on each task beyond its defaults."""
    lines = {}
    for run in runs:
        row = run.row
        said = json.dumps(row["settings"], ensure_ascii=False) if row["settings"] else "all at their defaults"
        cells = [Cell(escape(row[name])) for name in ("method", "task", "settings_from", "feedback")]
        lines[row["method"], row["task"], said] = (row["method"], [*cells, Cell(escape(said), kind="wrap")])
    names = ["method", "task", "from", "sees", "settings that differ from the defaults"]
    return f'<h2 id="settings">Settings</h2>{table(names, [lines[key] for key in sorted(lines)])}'


def provenance(runs: Sequence[Run]) -> str:
    """Machine, revision, threads and jobs."""
    said = {"machine": "machine", "revision": "revision", "code_hash": "code", "threads": "threads"}
    lines = "".join(
        f"<li>{word}: {escape(', '.join(unique(runs, column(name))) or 'none')}</li>"
        for name, word in (said | {"jobs": "runs side by side"}).items()
    )
    return f'<h2 id="provenance">Machine and revision</h2><ul>{lines}</ul>'


def table(names: Sequence[str], lines: Sequence[tuple[str, Sequence[Cell]]]) -> str:
    """A table that sorts by a click on its heads; the line of the house's method is marked."""
    first = lines[0][1] if lines else []
    sides = ["" if cell.value is not None else ' class="left"' for cell in first] or [""] * len(names)
    head = "".join(
        f'<th scope="col"{side}><button type="button">{escape(name)}</button></th>'
        for name, side in zip(names, sides, strict=True)
    )
    body = "".join(
        f'<tr class="house">{row}</tr>' if method == style.HOUSE else f"<tr>{row}</tr>"
        for method, cells in lines
        for row in ["".join(cell_html(cell) for cell in cells)]
    )
    return (
        f'<div class="scroll"><table class="sortable"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def cell_html(cell: Cell) -> str:
    """A cell; text is on the left, numbers on the right."""
    kind = cell.kind or ("left" if cell.value is None else "")
    value = "" if cell.value is None else f' data-value="{cell.value!r}"'
    return f"<td{f' class={chr(34)}{kind}{chr(34)}' if kind else ''}{value}>{cell.html}</td>"


def measured(found: Estimate | None) -> Cell:
    """An estimate with its interval."""
    if found is None:
        return Cell("–", math.nan)
    interval = f" <small>[{found.interval[0]:.2f} … {found.interval[1]:.2f}]</small>" if found.interval else ""
    return Cell(f"{found.value:.2f}{interval}", found.value)


def plain(value: float) -> Cell:
    """A number."""
    return Cell(tables.number(value), value)


def seen(feedback: str) -> str:
    """A word where a method sees more than losses."""
    return " <small>sees images</small>" if feedback == "image" else ""


def count(things: Sequence, name: str) -> str:
    """`1 task`, `3 tasks`."""
    return f"{len(things)} {name}{'' if len(things) == 1 else 's'}"
