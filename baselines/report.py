"""Tables and figures of a comparison, from rows and curves and from nothing else."""

import csv
import math
import statistics
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import numpy as np
from matplotlib.figure import Figure

Row = dict[str, Any]
# Okabe and Ito's colour-blind-safe palette.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#f0e442")


def write(rows: list[Row], folders: list[Path], out: Path) -> None:
    """Write summary.md, curves.png and images.png into `out`; `folders` hold the run of each row."""
    (out / "summary.md").write_text(summary(rows))
    runs = list(zip(rows, folders, strict=True))
    curves(runs).savefig(out / "curves.png", dpi=120)
    figure = images(runs)
    if figure is not None:
        figure.savefig(out / "images.png", dpi=120)


def summary(rows: list[Row]) -> str:
    """One table a task: median over seeds with the range, renders, seconds, stop reasons."""
    lines = ["# Comparison", ""]
    for task in unique(rows, "task"):
        of_task = [row for row in rows if row["task"] == task]
        seeds = len(unique(of_task, "seed"))
        lines += [
            f"## {task}",
            "",
            f"Median over {seeds} seeds [lowest … highest]." if seeds > 1 else "One seed, so no interval.",
            "",
            "| method | final loss | of the initial | renders | s rendering | s method | stopped by |",
            "|---|---|---|---|---|---|---|",
        ]
        for method in unique(of_task, "method"):
            lines.append(_summary_line(method, [row for row in of_task if row["method"] == method]))
        lines.append("")
    machines, revisions = (", ".join(unique(rows, key)) for key in ("machine", "revision"))
    lines += [f"Machine: {machines}. Revision: {revisions or 'none'}.", ""]
    errors = [f"- {row['task']}, {row['method']}, seed {row['seed']}: {row['error']}" for row in rows if row["error"]]
    return "\n".join(lines + (["## Errors", "", *errors, ""] if errors else []))


def _summary_line(method: str, rows: list[Row]) -> str:
    final = [row["final_loss"] for row in rows]
    share = [
        row["final_loss"] / row["init_loss"]
        for row in rows
        if row["final_loss"] is not None and row["init_loss"] not in (None, 0)
    ]
    cells = [
        method,
        spread(final),
        spread(share),
        spread([row["renders"] for row in rows]),
        spread([row["seconds_render"] for row in rows]),
        spread([row["seconds_method"] for row in rows]),
        ", ".join(unique(rows, "stop_reason")),
    ]
    return "| " + " | ".join(cells) + " |"


def spread(values: list[float | None]) -> str:
    """Median with the range, as `0.12 [0.1 … 0.2]`."""
    known = [value for value in values if value is not None]
    if not known:
        return "–"
    median = f"{statistics.median(known):.3g}"
    return median if len(known) == 1 or min(known) == max(known) else f"{median} [{min(known):.3g} … {max(known):.3g}]"


def curves(runs: list[tuple[Row, Path]]) -> Figure:
    """The loss against renders, a panel a task: median over seeds, and each seed thin."""
    tasks = unique([row for row, _ in runs], "task")
    methods = unique([row for row, _ in runs], "method")
    figure = Figure(figsize=(4.5 * len(tasks), 3.6), layout="constrained")
    for axes, task in zip(figure.subplots(1, len(tasks), squeeze=False)[0], tasks, strict=True):
        for colour, method in zip(COLOURS * len(methods), methods, strict=False):
            of_method = [(row, folder) for row, folder in runs if row["task"] == task and row["method"] == method]
            found = [curve for _, folder in of_method if (curve := read_curve(folder)) is not None]
            for renders, losses in found:
                axes.plot(renders, losses, color=colour, alpha=0.3, linewidth=0.8)
            if found:
                renders, losses = median_curve(found)
                axes.plot(renders, losses, color=colour, linewidth=2, label=method)
        axes.set(xscale="log", yscale="log", xlabel="renders", title=task)
        axes.grid(alpha=0.3)
    axes.legend()
    figure.axes[0].set_ylabel("loss of the recommended θ")
    return figure


def read_curve(folder: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Renders and losses of the curve of a run; None where there is none."""
    path = folder / "history.csv"
    if not path.is_file():
        return None
    with path.open(newline="") as file:
        measured = [row for row in csv.DictReader(file) if row.get("loss")]
    if not measured:
        return None
    return np.array([max(1.0, float(row["renders"])) for row in measured]), np.array(
        [float(row["loss"]) for row in measured]
    )


def median_curve(found: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """The median over curves, each held constant between and after its points, at the counts of all of them."""
    grid = np.unique(np.concatenate([renders for renders, _ in found]))
    held = [losses[np.searchsorted(renders, grid, side="right").clip(1) - 1] for renders, losses in found]
    return grid, np.median(held, axis=0)


def images(runs: list[tuple[Row, Path]]) -> Figure | None:
    """Tasks × methods of the first seed, start and reference at the ends; None where no task has anything to see.

    A task without images shows its own picture of where a method ended.
    """
    first = min(row["seed"] for row, _ in runs)
    shown = [(row, folder) for row, folder in runs if row["seed"] == first and picture_of(folder).is_file()]
    if not shown:
        return None
    tasks = unique([row for row, _ in shown], "task")
    methods = unique([row for row, _ in shown], "method")
    columns = ["start", *methods, "reference"]
    figure = Figure(figsize=(1.8 * len(columns), 2.0 * len(tasks)), layout="constrained")
    grid = figure.subplots(len(tasks), len(columns), squeeze=False)
    for line, (axes, task) in enumerate(zip(grid, tasks, strict=True)):
        folders = {row["method"]: folder for row, folder in shown if row["task"] == task}
        some = next(iter(folders.values()))
        paths = [
            some / "start.png",
            *(picture_of(folders.get(method, Path())) for method in methods),
            some / "reference.png",
        ]
        for cell, path, column in zip(axes, paths, columns, strict=True):
            cell.set_xticks([])
            cell.set_yticks([])
            if path.is_file():
                cell.imshow(imageio.imread(path), interpolation="nearest")
            if line == 0:
                cell.set_title(column)
        axes[0].set_ylabel(task)
    return figure


def picture_of(folder: Path) -> Path:
    """The picture of a run's result: its render, or the task's own picture."""
    return folder / ("render.png" if (folder / "render.png").is_file() else "panel.png")


def unique(rows: list[Row], key: str) -> list[Any]:
    """The values of a column, in order of appearance, blanks left out."""
    return list(dict.fromkeys(row[key] for row in rows if not _blank(row.get(key))))


def _blank(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))
