"""The final loss, as a share of the initial loss, when σ or the step is multiplied: a panel for each method.

A panel has one line, so that no line hides another one. Shares below the axis are triangles, with the median in words.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from baselines.compare import style
from baselines.compare.rows import Run, unique
from paper.cells import final_loss
from paper.marks import Middle, middle
from paper.names import name_of, ordered

# The least share of the initial loss on the axis.
LEAST = 1e-12
# {setting: its name on the axis}.
WORDS = {"sigma": "σ", "step": "step"}
# {task: {setting: {method: {factor: shares over seeds}}}}
Shares = dict[str, dict[str, dict[str, dict[float, list[float]]]]]


def figure(runs: Sequence[Run]) -> Figure:
    """Tasks and settings × methods."""
    found: Shares = {}
    for run in runs:
        method, setting, factor = run.row["method"].split("~")
        share = final_loss(run) / run.row["init_loss"] if run.row["init_loss"] else np.inf
        panel = found.setdefault(run.row["task"], {}).setdefault(setting, {})
        panel.setdefault(method, {}).setdefault(float(factor), []).append(share)
    methods = ordered(unique(runs, lambda run: run.row["method"].split("~")[0]))
    lines = [(task, setting) for task in found for setting in WORDS if setting in found[task]]
    drawn = Figure(
        figsize=(style.WIDTH * max(len(methods), 3) / max(6, len(methods)), 1.25 * len(lines) + 0.2),
        layout=ConstrainedLayoutEngine(w_pad=0.02),
    )
    grid = drawn.subplots(len(lines), len(methods), squeeze=False, sharey="row", sharex=True)
    looks = style.looks(methods)
    for axes, (task, setting) in zip(grid, lines, strict=True):
        of_line = found[task][setting]
        middles = {method: {factor: middle(of) for factor, of in of_line[method].items()} for method in of_line}
        lowest = floor_of(middles)
        for panel, method in zip(axes, methods, strict=True):
            panel.set(xscale="log", yscale="log")
            style.quiet(panel)
            if method in middles:
                draw(panel, middles[method], looks[method], method, lowest)
            else:
                panel.text(0.5, 0.5, "none to set", transform=panel.transAxes, ha="center", fontsize=style.SMALL)
        low, high = axes[0].get_ylim()
        axes[0].set_ylim(max(low, lowest * 0.999), high)
        axes[0].set_ylabel(f"{task}, {WORDS[setting]}")
        tidy(axes)
    for panel, method in zip(grid[0], methods, strict=True):
        panel.set_title(name_of(method).replace(", ", ",\n"), fontsize=style.SMALL)
    drawn.supxlabel("factor of σ or of the step", fontsize=style.SMALL)
    drawn.supylabel("final loss / initial loss", fontsize=style.SMALL)
    return drawn


def floor_of(middles: Mapping[str, Mapping[float, Middle]]) -> float:
    """Where the vertical axis ends: at the lowest share that is on it."""
    values = [one.value for of in middles.values() for one in of.values() if LEAST <= one.value < np.inf]
    return 0.5 * min(values) if values else LEAST


def draw(panel: Axes, of: Mapping[float, Middle], look: style.Look, method: str, lowest: float) -> None:
    """The line of a method with its interval."""
    factors = sorted(of)
    values = np.array([of[factor].value for factor in factors])
    inside = np.where(values >= lowest, values, np.nan)
    style.plot(panel, factors, inside, style.Look(look.colour), method, "o")
    if all(of[factor].low is not None for factor in factors):
        low, high = (np.array([getattr(of[factor], side) for factor in factors]) for side in ("low", "high"))
        finite = np.minimum(high, 1e3 * np.maximum(values, lowest))
        edges = np.maximum(low, lowest), np.maximum(finite, lowest)
        panel.fill_between(factors, *edges, color=look.colour, alpha=0.15, linewidth=0)
    under = [factor for factor, value in zip(factors, values, strict=True) if value < lowest]
    if under:
        panel.plot(under, [lowest] * len(under), "v", color=look.colour, markersize=4, clip_on=False, zorder=5)
        least, most = (f(of[factor].value for factor in under) for f in (min, max))
        said = f"▼ {least:.0e}" + (f"\nto {most:.0e}" if most > least else "")
        panel.text(0.5, 0.1, said.replace("0e+00", "0"), transform=panel.transAxes, ha="center", fontsize=style.SMALL)


def tidy(axes: Sequence[Axes]) -> None:
    """Round ticks in words."""
    ticks = style.ticks(*axes[0].get_ylim(), 5)
    axes[0].set_yticks(ticks, [style.tick_label(tick) for tick in ticks])
    for panel in axes:
        panel.minorticks_off()
        panel.set_xticks([0.1, 1, 10], ["0.1", "1", "10"])
