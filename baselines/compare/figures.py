"""The figures of a comparison: curves against renders and seconds, gains with intervals, pictures."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import imageio.v3 as imageio
import matplotlib
import numpy as np
from matplotlib.figure import Figure

from baselines.compare import statistics, style
from baselines.compare.rows import Curve, Run, unique
from baselines.compare.summary import Summary


def write_figures(out: Path, runs: Sequence[Run], summary: Summary) -> None:
    """Write curves, seconds, gains and images, each as PNG and PDF; images only where runs have left pictures."""
    with matplotlib.rc_context(style.FONT):
        made: dict[str, Figure | None] = {
            "curves": curves(runs, "renders"),
            "seconds": curves(runs, "seconds"),
            "gains": gains(summary),
            "images": images(runs),
        }
        for name, figure in made.items():
            if figure is not None:
                figure.savefig(out / f"{name}.png", dpi=150)
                figure.set_layout_engine("none")  # the layout is made already, and takes longer than the drawing
                figure.savefig(out / f"{name}.pdf")


def curves(
    runs: Sequence[Run],
    axis: str,
    looks: Mapping[str, style.Look] | None = None,
    name_of: Callable[[str], str] = str,
) -> Figure | None:
    """The loss of the recommended θ along the runs, a panel for each task: median over seeds, quartiles as a band.

    looks, name_of: colours and names of the methods, for a report whose figures are to agree.
    """
    tasks = unique(runs, lambda run: run.row["task"])
    found = {task: curves_of(runs, task) for task in tasks}
    if not any(found.values()):
        return None
    looks = looks or style.looks(method for of_task in found.values() for method in of_task)
    columns = min(len(tasks), 3)
    lines = -(-len(tasks) // columns)
    figure = Figure(figsize=(3.4 * columns + 1.8, 2.9 * lines), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for panel in panels[len(tasks) :]:
        panel.set_visible(False)
    labelled = {}
    for panel, task in zip(panels, tasks, strict=False):
        floor = statistics.floor(curve for several in found[task].values() for curve in several)
        for method, of_method in found[task].items():
            grid, *band = statistics.quartile_band(of_method, axis)
            low, middle, high = (np.maximum(part, floor) for part in band)
            look = looks[method]
            house = method == style.HOUSE
            (line,) = panel.plot(
                grid, middle, color=look.colour, linewidth=2.2 if house else 1.4, zorder=4 if house else 3
            )
            if look.dashes:
                line.set_dashes(look.dashes)
            if len(of_method) > 1:
                panel.fill_between(grid, low, high, color=look.colour, alpha=0.12, linewidth=0)
            labelled[method] = line
        panel.set(xscale="log", yscale="log", title=task, xlabel=style.AXES[axis])
        for scale in (panel.xaxis, panel.yaxis):
            ticks = style.ticks(*scale.get_view_interval())
            scale.set_ticks(ticks, [style.tick_label(tick) for tick in ticks])
        panel.minorticks_off()
        style.quiet(panel)
    figure.axes[0].set_ylabel("loss of the recommended θ")
    names = [name for name in looks if name in labelled]
    figure.legend([labelled[name] for name in names], [*map(name_of, names)], loc="outside right upper")
    return figure


def curves_of(runs: Sequence[Run], task: str) -> dict[str, list[Curve]]:
    """{method: its curves on a task}."""
    found: dict[str, list[Curve]] = {}
    for run in runs:
        if run.row["task"] == task and run.curve is not None:
            found.setdefault(run.row["method"], []).append(run.curve)
    return found


def gains(summary: Summary) -> Figure:
    """The gain of each method with its interval, over all tasks and on each."""
    panels: list[tuple[str, list[tuple[str, statistics.Estimate]]]] = []
    if len(summary.tasks) > 1:
        panels.append(("all tasks", [(line.method, line.gain) for line in summary.overall if line.gain]))
    for task in summary.tasks:
        panels.append((task, [(line.method, line.gain) for line in summary.lines if line.task == task]))
    looks = style.looks(method for _, lines in panels for method, _ in lines)
    tallest = max(len(lines) for _, lines in panels)
    columns = min(len(panels), 3)
    lines_of_panels = -(-len(panels) // columns)
    figure = Figure(figsize=(3.6 * columns, (0.22 * tallest + 0.9) * lines_of_panels), layout="constrained")
    grid = figure.subplots(lines_of_panels, columns, squeeze=False).ravel()
    for panel in grid[len(panels) :]:
        panel.set_visible(False)
    for panel, (title, lines) in zip(grid, panels, strict=False):
        for place, (method, gain) in enumerate(lines):
            colour = looks[method].colour
            if gain.interval:
                panel.plot(gain.interval, (place, place), color=colour, linewidth=3, alpha=0.35, solid_capstyle="round")
            panel.plot(gain.value, place, "o", color=colour, markersize=5)
        panel.set_yticks(range(len(lines)), [method for method, _ in lines])
        panel.invert_yaxis()
        panel.set(title=title, xlabel="gain, orders of magnitude")
        style.quiet(panel)
    return figure


def images(runs: Sequence[Run]) -> Figure | None:
    """Tasks × methods of the first seed, between start and reference; None where no run has left a picture.

    For a task without images it is the task's own picture of the result.
    """
    shown = pictured(runs)
    if not shown:
        return None
    tasks = unique(shown, lambda run: run.row["task"])
    methods = style.in_order(run.row["method"] for run in shown)
    columns = ["start", *methods, "reference"]
    figure = Figure(figsize=(1.35 * len(columns), 1.55 * len(tasks)), layout="constrained")
    grid = figure.subplots(len(tasks), len(columns), squeeze=False)
    for line, (axes, task) in enumerate(zip(grid, tasks, strict=True)):
        folders = {run.row["method"]: run.folder for run in shown if run.row["task"] == task}
        some = next(iter(folders.values()))
        paths = [
            some / "start.png",
            *(picture_of(folders[method]) if method in folders else None for method in methods),
            some / "reference.png",
        ]
        for cell, path, column in zip(axes, paths, columns, strict=True):
            cell.set(xticks=[], yticks=[], box_aspect=1, adjustable="datalim")
            cell.spines[:].set_visible(False)
            if path is not None and path.is_file():
                picture = np.asarray(imageio.imread(path))
                cell.imshow(picture, interpolation="nearest", cmap="gray" if picture.ndim == 2 else None)
            if line == 0:
                cell.set_title(column, fontsize=8)
        axes[0].set_ylabel(task)
    return figure


def pictured(runs: Sequence[Run]) -> list[Run]:
    """The runs of the first seed that have left a picture."""
    first = min((run.row["seed"] for run in runs), default=0)
    return [run for run in runs if run.row["seed"] == first and picture_of(run.folder).is_file()]


def picture_of(folder: Path) -> Path:
    """The picture of a run's result: its render, or the task's own picture."""
    return folder / ("render.png" if (folder / "render.png").is_file() else "panel.png")
