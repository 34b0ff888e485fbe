"""The summary of a comparison as Markdown and CSV."""

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from baselines.compare.names import name_of
from baselines.compare.rows import Run, column, unique, write_csv
from baselines.compare.statistics import Estimate
from baselines.compare.summary import RESOLVED_IS, TARGET, Line, Overall, Quartiles, Summary, apart, describe_budget

# What the tables and the page say of the gain.
GAIN_IS = (
    "Gain: orders of magnitude from the initial to the final loss (interquartile mean over runs; at most 12; a failed "
    "run counts as the worst of its task). In brackets 95 % of stratified bootstraps over seeds."
)
# What they say of the target.
TARGET_IS = f"Target: {TARGET:g} of the initial loss; renders and seconds to it are medians over seeds."


def markdown(summary: Summary, runs: list[Run]) -> str:
    """The text of summary.md."""
    lines = ["# Comparison", ""]
    lines += [f"- {escape(note)}" for note in summary.notes] + ([""] if summary.notes else [])
    lines += [GAIN_IS, TARGET_IS, *([RESOLVED_IS] if any(line.resolved for line in summary.lines) else []), ""]
    if len(summary.tasks) > 1:
        over = f"P(better than {escape(name_of(summary.versus))})"
        lines += [f"## {over_tasks(summary)}", ""]
        for title, own in apart(summary.overall):
            lines += subtitle(title) + header("method", "settings", "gain", "average rank", over, "failed runs")
            lines += [table_line(*overall_cells(line)) for line in own] + [""]
    for task in summary.tasks:
        of_task = [run.row for run in runs if run.row["task"] == task]
        seeds = len({row["seed"] for row in of_task})
        budget = "; ".join(unique(of_task, describe_budget))
        lines += [f"## {escape(task)}", "", f"{budget}; {seeds} seed{'s' if seeds > 1 else ''}.", ""]
        columns = "method|settings|final loss [quartiles]|gain|rank|renders to target|s to target|renders"
        for title, lines_of_task in apart([line for line in summary.lines if line.task == task]):
            lines += subtitle(title) + header(*f"{columns}|s rendering|s method|stopped by".split("|"))
            lines += [table_line(*task_cells(line)) for line in lines_of_task] + [""]
    for name in ("machine", "revision"):
        lines.append(f"{name.capitalize()}: {escape(', '.join(unique(runs, column(name))) or 'none')}.")
    errors = [
        f"- {escape(row['task'])}, {escape(name_of(row['method']))}, seed {row['seed']}: {escape(row['error'])}"
        for row in (run.row for run in runs)
        if row["error"]
    ]
    return "\n".join([*lines, ""] + (["## Errors", "", *errors, ""] if errors else []))


def over_tasks(summary: Summary) -> str:
    """The heading of the tables over several tasks."""
    return "Both tasks" if len(summary.tasks) == 2 else f"All {len(summary.tasks)} tasks"


def subtitle(title: str) -> list[str]:
    """A heading below that of a task; nothing for an empty title."""
    return [f"### {title}", ""] if title else []


def header(*names: str) -> list[str]:
    """The first two lines of a Markdown table."""
    return [table_line(*names), "|" + "---|" * len(names)]


def table_line(*cells: str) -> str:
    """A line of a Markdown table."""
    return "| " + " | ".join(cells) + " |"


def overall_cells(line: Overall) -> list[str]:
    """The cells of a method over all tasks."""
    return [
        escape(name_of(line.method)),
        line.settings,
        estimate(line.gain),
        estimate(line.rank),
        estimate(line.improvement),
        f"{line.failures} of {line.runs}",
    ]


def task_cells(line: Line) -> list[str]:
    """The cells of a method on a task."""
    return [
        escape(name_of(line.method)) + (f" ({escape(line.resolved)})" if line.resolved else ""),
        line.settings,
        quartiles(line.final),
        estimate(line.gain),
        estimate(line.rank),
        to_target(line.renders_to_target[1], line),
        to_target(line.seconds_to_target[1], line),
        number(line.spent.renders),
        number(line.spent.seconds_render),
        number(line.spent.seconds_method),
        escape(", ".join(f"{reason} × {count}" for reason, count in line.stops.items())),
    ]


def quartiles(values: Quartiles) -> str:
    """`0.12 [0.1 … 0.2]`: median and quartiles."""
    low, middle, high = values
    if low == high:
        return number(middle)
    return f"{number(middle)} [{number(low)} … {number(high)}]"


def estimate(found: Estimate | None) -> str:
    """`1.2 [1.1 … 1.3]`; `1.2` without an interval; a dash for None."""
    if found is None:
        return "–"
    if found.interval is None:
        return f"{found.value:.2f}"
    return f"{found.value:.2f} [{found.interval[0]:.2f} … {found.interval[1]:.2f}]"


def to_target(middle: float, line: Line) -> str:
    """The median, or a dash where fewer than half of the runs reached the target; then `(2 of 5)` unless all did."""
    share = "" if line.reached == line.seeds else f" ({line.reached} of {line.seeds})"
    return (number(middle) if math.isfinite(middle) else "–") + share


def number(value: float) -> str:
    """Three significant digits; a dash for NaN, `failed` for an infinite value."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "failed"
    return f"{value:.0f}" if value == round(value) and abs(value) < 1e7 else f"{value:.3g}"


def escape(text: str) -> str:
    """Text on one line, with the characters escaped that Markdown or HTML would interpret."""
    text = " ".join(str(text).split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace("|", "\\|")


def write_summary_csv(path: Path, summary: Summary) -> None:
    """Write summary.csv: a line for each method on each task, and one for each over all tasks (with a blank task)."""
    rows: list[dict[str, Any]] = []
    for line in summary.lines:
        rows.append(
            {"task": line.task, "method": line.method, "feedback": line.feedback, "settings": line.settings}
            | {"resolved": line.resolved, "runs": line.seeds, "failures": line.failures}
            | dict(zip(("final_q1", "final_median", "final_q3"), line.final, strict=True))
            | columns("gain", line.gain)
            | columns("rank", line.rank)
            | {"target": TARGET, "reached": line.reached}
            | {"renders_to_target": line.renders_to_target[1], "seconds_to_target": line.seconds_to_target[1]}
            | asdict(line.spent)
            | {"stops": line.stops}
        )
    for every in summary.overall:
        rows.append(
            {"task": "", "method": every.method, "feedback": every.feedback, "settings": every.settings}
            | {"runs": every.runs, "failures": every.failures}
            | columns("gain", every.gain)
            | columns("rank", every.rank)
            | {"versus": summary.versus if every.improvement else ""}
            | columns("improvement", every.improvement)
        )
    write_csv(path, rows)


def columns(name: str, found: Estimate | None) -> dict[str, Any]:
    """An estimate as three columns."""
    low, high = (found.interval if found and found.interval else None) or ("", "")
    return {name: found.value if found else "", f"{name}_low": low, f"{name}_high": high}
