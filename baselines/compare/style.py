"""One look for every figure of the project: colours that colour-blind readers can distinguish, and faint axes."""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

from matplotlib.axes import Axes

# The palette of Okabe and Ito without its yellow, which is hard to see on white.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f")
# Lengths of dashes and gaps, in points. Methods beyond the colours have the same colours with other dashes.
DASHES: tuple[tuple[float, ...], ...] = ((), (5, 2), (1.5, 1.5), (7, 2, 1.5, 2))
# This project's method, and its colour, which is that of the text.
HOUSE, INK = "zerograds", "#1a1a1a"
# What a curve is drawn against, and the name of that axis.
AXES = {"renders": "renders", "seconds": "seconds, rendering and method"}
# Settings of Matplotlib for every figure; fonts are embedded as text, not as outlines.
FONT: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.linewidth": 0.7,
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "legend.frameon": False,
    "legend.fontsize": 8,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
}


class Look(NamedTuple):
    """How a method is drawn: a colour, and the dashes of its line in points. A full line has no dashes."""

    colour: str
    dashes: tuple[float, ...] = ()


def in_order(methods: Iterable[str]) -> list[str]:
    """This project's method first, then the other methods in alphabetical order."""
    return sorted(set(methods), key=lambda method: (method != HOUSE, method))


def looks(methods: Iterable[str]) -> dict[str, Look]:
    """A look for each method, by its place in alphabetical order, so that all figures of a comparison agree."""
    found = {HOUSE: Look(INK)}
    for place, method in enumerate(method for method in in_order(methods) if method != HOUSE):
        found[method] = Look(COLOURS[place % len(COLOURS)], DASHES[place // len(COLOURS) % len(DASHES)])
    return found


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
        step *= 1 if (high - low) / step < 5 else 2
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
