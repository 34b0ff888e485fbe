"""The loss of the recommended θ along runs, a panel for each task: median over seeds, quartiles as a band.

A panel has at most SIX methods in colour: ours, and those whose loss is lowest at the end. The others are grey. The
horizontal axis begins where the first of the six moves. The vertical axis ends where the gain has its largest value: a
line leaves it at a triangle, and the text below the panel says where that method ends.
"""

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from baselines.compare import statistics, style
from baselines.compare.names import OURS, OURS_PUBLISHED, name_of, ordered
from baselines.compare.rows import Curve, Run, unique

# The largest number of methods in colour, and of panels side by side.
SIX, ACROSS = 6, 3
# A curve has moved where its loss differs from the first by this share.
MOVED = 0.01
# Characters of a line of the text below a panel, and the height in inches of a panel and of a line of text.
LETTERS, HEIGHT, LINE = 34, 1.75, 0.13
# What the legend says of the grey lines.
OTHERS = "other methods"


class Goal(NamedTuple):
    """A loss to reach: where the axis of renders ends, the loss, and what the panel says of it."""

    renders: float
    loss: float
    said: str


def curves(runs: Sequence[Run], axis: str, goals: Mapping[str, Goal] | None = None) -> Figure | None:
    """A panel for each task along `renders` or `seconds`; None where no run has a curve.

    goals: {task: its goal}. A line marks its loss, and a point where each method passes it.
    """
    tasks = unique(runs, lambda run: run.row["task"])
    found = {task: of_task for task in tasks if (of_task := curves_of(runs, task))}
    if not found:
        return None
    looks = style.looks(method for of_task in found.values() for method in of_task)
    columns = min(len(found), ACROSS)
    lines = -(-len(found) // columns)
    words = {task: below(floor_of(of_task), ends_of(runs, task)) for task, of_task in found.items()}
    deepest = max(len(said) for said in words.values())
    figure = Figure(
        figsize=(style.WIDTH * max(columns, 2) / ACROSS, (HEIGHT + LINE * (deepest + 2)) * lines + 0.4),
        layout="constrained",
    )
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    drawn: dict[str, Artist] = {}
    for panel, task in zip(panels, found, strict=False):
        drawn |= draw(panel, found[task], axis, looks, (goals or {}).get(task))
        panel.set(title=task, xlabel="\n".join([style.AXES[axis], *words[task]]))
    for panel in panels[len(found) :]:
        panel.set_visible(False)
    for first in range(0, len(found), columns):
        panels[first].set_ylabel("loss of the recommended θ")
    names = [name for name in ordered(drawn) if name != OTHERS] + [OTHERS] * (OTHERS in drawn)
    figure.legend(
        [drawn[name] for name in names],
        [name_of(name) for name in names],
        loc="outside lower center",
        ncols=4 if columns > 2 else 3,
        handlelength=2.4,
    )
    return figure


def draw(
    panel: Axes, found: Mapping[str, Sequence[Curve]], axis: str, looks: Mapping[str, style.Look], goal: Goal | None
) -> dict[str, Artist]:
    """Draw a panel; {method, or OTHERS: its line} for the legend."""
    bands = {method: statistics.quartile_band(several, axis) for method, several in found.items()}
    lowest = floor_of(found)
    coloured = chosen(bands)
    lines: dict[str, Artist] = {}
    for method, (grid, low, middle, high) in bands.items():
        leaves = (middle < lowest) & (np.roll(middle, 1) >= lowest)
        shown = np.where(middle >= lowest, middle, np.where(leaves, lowest, np.nan))
        if method not in coloured:
            (lines[OTHERS],) = panel.plot(grid, shown, color=style.FAINT, linewidth=0.7, zorder=2)
            continue
        line = style.plot(panel, grid, shown, looks[method], method)
        lines[method] = line
        if len(found[method]) > 1:
            low, high = np.maximum(low, lowest), np.maximum(high, lowest)
            panel.fill_between(grid, low, high, color=looks[method].colour, alpha=0.1, linewidth=0)
        for place in np.flatnonzero(leaves)[:1]:
            panel.plot(grid[place], lowest, "v", color=looks[method].colour, markersize=4.5, clip_on=False, zorder=5)
    panel.set(xscale="log", yscale="log")
    ends = [float(grid[-1]) for grid, *_ in bands.values()]
    last = max([*ends, goal.renders] if goal else ends)
    panel.set_xlim(begin([bands[method] for method in coloured]), last * 1.08)
    panel.set_ylim(bottom=max(panel.get_ylim()[0], lowest * 0.999))
    if goal:
        mark(panel, found, coloured, looks, goal)
    for scale, most in ((panel.xaxis, 5), (panel.yaxis, 6)):
        ticks = style.ticks(*scale.get_view_interval(), most)
        scale.set_ticks(ticks, [style.tick_label(tick) for tick in ticks])
    panel.minorticks_off()
    style.quiet(panel)
    return lines


def mark(
    panel: Axes,
    found: Mapping[str, Sequence[Curve]],
    coloured: Sequence[str],
    looks: Mapping[str, style.Look],
    goal: Goal,
) -> None:
    """Draw the goal, and the median over runs of the renders at which they pass it."""
    panel.axhline(goal.loss, color=style.INK, linewidth=0.7, dashes=(2, 2), zorder=1)
    panel.axvline(goal.renders, color=style.INK, linewidth=0.7, dashes=(2, 2), zorder=1)
    words = panel.annotate(
        goal.said,
        (0, goal.loss),
        xycoords=panel.get_yaxis_transform(),
        xytext=(2, 2),
        textcoords="offset points",
        fontsize=style.SMALL,
        zorder=7,
        bbox={"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 0.5},
    )
    words.set_in_layout(False)
    for method in coloured:
        passed = float(np.median([statistics.reached(curve, goal.loss)[0] for curve in found[method]]))
        if math.isfinite(passed):
            (point,) = panel.plot(passed, goal.loss, "o", color=looks[method].colour, markersize=5, zorder=6)
            point.set(markeredgecolor="white", markeredgewidth=0.6)


def chosen(bands: Mapping[str, Sequence[np.ndarray]]) -> list[str]:
    """The methods in colour: ours, and those whose median is lowest at the end."""
    ours = [method for method in (OURS, OURS_PUBLISHED) if method in bands]
    others = sorted((method for method in bands if method not in ours), key=lambda method: bands[method][2][-1])
    return [*others[: SIX - len(ours)], *ours]


def begin(bands: Sequence[Sequence[np.ndarray]]) -> float:
    """Where the horizontal axis begins: shortly before the median of the first method moves."""
    moved = []
    for grid, _, middle, _ in bands:
        places = np.flatnonzero(np.abs(middle - middle[0]) > MOVED * abs(middle[0]))
        moved += [float(grid[max(0, places[0] - 1)])] if len(places) else []
    return 0.8 * min(moved) if moved else float(min(band[0][0] for band in bands))


def floor_of(found: Mapping[str, Sequence[Curve]]) -> float:
    """The lowest loss of the vertical axis."""
    return statistics.floor(curve for several in found.values() for curve in several)


def ends_of(runs: Sequence[Run], task: str) -> dict[str, float]:
    """{method: the median of its final losses on a task}, of the runs that have a curve."""
    found: dict[str, list[float]] = {}
    for run in runs:
        if run.row["task"] == task and run.curve is not None and not run.failed:
            found.setdefault(run.row["method"], []).append(run.row["final_loss"])
    return {method: float(np.median(losses)) for method, losses in found.items()}


def below(lowest: float, ends: Mapping[str, float]) -> list[str]:
    """What stands below a panel: the methods that end below its vertical axis, and where. Lines of text."""
    said = [f"{name_of(method)} {ends[method]:.0e}" for method in ordered(ends) if 0 < ends[method] < lowest]
    said += [f"{name_of(method)} 0" for method in ordered(ends) if ends[method] == 0]
    return textwrap.wrap(f"▼ ends below: {'; '.join(said)}", LETTERS) if said else []


def curves_of(runs: Sequence[Run], task: str) -> dict[str, list[Curve]]:
    """{method: its curves on a task}."""
    found: dict[str, list[Curve]] = {}
    for run in runs:
        if run.row["task"] == task and run.curve is not None:
            found.setdefault(run.row["method"], []).append(run.curve)
    return found
