"""The figures of a comparison: curves against renders and seconds, gains with intervals, pictures."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from baselines.compare import statistics, style
from baselines.compare.curves import curves
from baselines.compare.names import name_of
from baselines.compare.pictures import images
from baselines.compare.rows import Run
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
                style.save(figure, out / f"{name}.png")


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
    height = (0.16 * tallest + 0.6) * lines_of_panels
    figure = Figure(figsize=(style.WIDTH * max(columns, 2) / 3, height), layout="constrained")
    grid = figure.subplots(lines_of_panels, columns, squeeze=False).ravel()
    for panel in grid[len(panels) :]:
        panel.set_visible(False)
    for panel, (title, lines) in zip(grid, panels, strict=False):
        for place, (method, gain) in enumerate(lines):
            colour = looks[method].colour
            if gain.interval:
                panel.plot(
                    gain.interval, (place, place), color=colour, linewidth=2.5, alpha=0.35, solid_capstyle="round"
                )
            panel.plot(gain.value, place, "o", color=colour, markersize=3.5)
        panel.set_yticks(range(len(lines)), [name_of(method) for method, _ in lines])
        panel.invert_yaxis()
        panel.set(title=title, xlabel="gain, powers of ten")
        style.quiet(panel)
    return figure
