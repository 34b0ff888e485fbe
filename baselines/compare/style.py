"""One look for every figure of the project: colours that colour-blind readers can distinguish, and faint axes."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from baselines.compare import names
from baselines.compare.names import OURS, OURS_PUBLISHED

# The palette of Okabe and Ito without its yellow, which is hard to see on white, and without its grey.
BLUE, RED, GREEN, PINK, ORANGE, SKY = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"
# Lengths of dashes and gaps, in points.
DASHED, DOTTED, MIXED = (4.0, 1.6), (1.2, 1.2), (6.0, 1.6, 1.2, 1.6)
# This project's method, and its colour, which is that of the text.
HOUSE, INK = OURS, "#1a1a1a"
# The colour of the methods that a panel shows only together.
FAINT = "#c4c4c4"
# What a curve is drawn against, and the name of that axis.
AXES = {"renders": "renders", "seconds": "seconds, rendering and method"}
# The width of a figure in inches: the text width of a page with two columns. Figures are printed at their own size.
WIDTH = 7.0
# The dots an inch of a PNG.
DPI = 200
# The least size of text, in points.
SMALL = 7
# Settings of Matplotlib for every figure; fonts are embedded as text, not as outlines.
FONT: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 7.5,
    "axes.titlesize": 8,
    "axes.titlepad": 4,
    "axes.labelpad": 2,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.linewidth": 0.7,
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "legend.frameon": False,
    "legend.fontsize": SMALL,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
}


class Look(NamedTuple):
    """How a method is drawn: a colour, and the dashes of its line in points. A full line has no dashes."""

    colour: str
    dashes: tuple[float, ...] = ()


# {method: its look}, the same in every figure of every report.
LOOKS = {
    OURS: Look(INK),
    OURS_PUBLISHED: Look(RED),
    "cmaes": Look(BLUE),
    "fr22": Look(GREEN),
    "spsa": Look(PINK),
    "genetic": Look(SKY),
    "simulated_annealing": Look(ORANGE),
    "es": Look(ORANGE, DASHED),
    "pgpe": Look(PINK, DASHED),
    "snes": Look(SKY, DASHED),
    "nevergrad": Look(GREEN, DASHED),
    "bfgs": Look(BLUE, DASHED),
    "bobyqa": Look(RED, DASHED),
    "finite_differences": Look(BLUE, MIXED),
    "random_search": Look(SKY, DOTTED),
    "cmaes-full": Look(BLUE, DOTTED),
    "fr22_image": Look(GREEN, DOTTED),
    "dfols": Look(INK, DASHED),
    "pixel_gradient": Look(PINK, DOTTED),
    "zerograds-image": Look(INK, MIXED),
}
# The looks of methods of other packages, in turn.
FREE = [Look(colour, dashes) for dashes in (MIXED, DOTTED) for colour in (RED, PINK, ORANGE)]


def in_order(methods: Iterable[str]) -> list[str]:
    """This project's method first, then the other methods in the order of all tables."""
    return sorted(names.ordered(methods), key=lambda method: method != HOUSE)


def looks(methods: Iterable[str]) -> dict[str, Look]:
    """A look for each method. That of a known method is the same in every figure."""
    found = in_order(methods)
    free = [method for method in found if method not in LOOKS]
    others = {method: FREE[place % len(FREE)] for place, method in enumerate(free)}
    return {method: LOOKS.get(method) or others[method] for method in found}


def ticks(low: float, high: float, most: int = 8) -> list[float]:
    """Round numbers on a logarithmic axis: at most `most` powers of ten; on an axis below three decades also 2 and 5.

    Not Matplotlib's `LogLocator`: it has one set of multiples (1, or 1, 2 and 5) for every length of the axis.
    """
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    parts = (1, 2, 5) if high / low < 1000 else (1,)
    found = [
        tick for decade in decades for part in parts if low <= (tick := part * 10.0**decade) * 1.0001 <= high * 1.001
    ]
    if len(found) < 2:  # less than an octave
        step = 10.0 ** math.floor(math.log10(high - low))
        step *= 0.2 if (high - low) / step < 2 else 0.5 if (high - low) / step < 5 else 1
        found = [place * step for place in range(math.ceil(low / step), math.floor(high / step) + 1)]
    return found[:: -(-len(found) // most)]


def tick_label(value: float) -> str:
    """`0.02`, `500`, `20k`, `1e-6`."""
    if 1000 <= value < 1e7:
        return f"{value / 1000:g}k" if value < 1e6 else f"{value / 1e6:g}M"
    digits, _, power = f"{value:.0e}".partition("e")
    return f"{value:.4g}" if 1e-3 <= value < 1000 else f"{digits}e{int(power)}"


def quiet(axes: Axes) -> None:
    """Faint grid lines behind the data."""
    axes.grid(True, which="major", color="#e6e6e6", linewidth=0.6)
    axes.set_axisbelow(True)


def plot(
    axes: Axes,
    x: Sequence[float] | np.ndarray,
    y: Sequence[float] | np.ndarray,
    look: Look,
    method: str,
    marker: str = "",
) -> Line2D:
    """Draw the line of a method; this project's method has a thicker line, above the others."""
    house = method == HOUSE
    (line,) = axes.plot(
        x, y, marker=marker, markersize=3, color=look.colour, linewidth=1.8 if house else 1.1, zorder=4 if house else 3
    )
    if look.dashes:
        line.set_dashes(look.dashes)
    return line


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG and PDF, at its size in print."""
    figure.savefig(path.with_suffix(".png"), dpi=DPI)
    figure.set_layout_engine("none")  # the layout is made already, and takes longer than the drawing
    figure.savefig(path.with_suffix(".pdf"))
