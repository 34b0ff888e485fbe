"""One chart of the page: the loss along the runs of a task, both axes logarithmic. `templates/chart.html` draws it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from baselines.compare import statistics
from baselines.compare.curves import below
from baselines.compare.names import name_of
from baselines.compare.rows import Curve
from baselines.compare.style import AXES, HOUSE, Look, tick_label, ticks


class Frame(NamedTuple):
    """The size of a chart and the margins around its data, in pixels."""

    width: int = 760
    height: int = 340
    left: int = 62
    right: int = 12
    top: int = 12
    bottom: int = 40


class Scale(NamedTuple):
    """A logarithmic axis: values from `low` to `high` become pixels from `first` to `last`."""

    low: float
    high: float
    first: float
    last: float

    def __call__(self, values: np.ndarray | float) -> np.ndarray:
        """The pixels of some values; a value outside the axis is drawn at its end."""
        return np.interp(np.log(np.maximum(values, self.low)), np.log([self.low, self.high]), [self.first, self.last])

    def ticks(self) -> list[tuple[float, str]]:
        """(pixel, label) of each tick."""
        return [(float(self(tick)), tick_label(tick)) for tick in ticks(self.low, self.high)]


class Stroke(NamedTuple):
    """The line of a method: its name for readers, CSS colour, and `stroke-dasharray` (empty for a full line)."""

    method: str
    name: str
    colour: str
    dashes: str
    house: bool


class Band(NamedTuple):
    """The curves of a method, as SVG writes points: the median, and the area between the quartiles if there is one."""

    stroke: Stroke
    area: str
    median: str


class Chart(NamedTuple):
    """Everything that the template draws. columns, lines: (pixel, label) of the ticks of the two axes.

    below: in words, which methods end below the vertical axis, and where; their lines leave it.
    """

    label: str
    axis: str
    title: str
    columns: list[tuple[float, str]]
    lines: list[tuple[float, str]]
    bands: list[Band]
    below: str
    frame: Frame = Frame()


def chart(
    curves: Mapping[str, Sequence[Curve]],
    axis: str,
    looks: Mapping[str, Look],
    title: str,
    ends: Mapping[str, float],
) -> Chart:
    """Median and quartile band of each method's curves along `renders` or `seconds`. ends: {method: final loss}."""
    found = {method: statistics.quartile_band(several, axis) for method, several in curves.items()}
    across, up = scales(curves, found)
    bands = []
    for method in sorted(found, key=lambda name: name == HOUSE):
        grid, low, middle, high = found[method]
        x = across(grid)
        area = points(x, up(low)) + " " + points(x[::-1], up(high)[::-1]) if len(curves[method]) > 1 else ""
        inside = middle >= up.low
        shown = inside | np.append(False, inside[:-1])  # with the point at which it leaves the axis
        bands.append(Band(stroke(method, looks), area, points(x[shown], up(middle[shown].clip(up.low)))))
    label = f"{title}: loss against {AXES[axis]}"
    return Chart(label, axis, AXES[axis], across.ticks(), up.ticks(), bands, " ".join(below(up.low, ends)))


def scales(curves: Mapping[str, Sequence[Curve]], bands: Mapping[str, Sequence[np.ndarray]]) -> tuple[Scale, Scale]:
    """The horizontal and the vertical axis that hold all bands (grid, low, middle, high)."""
    frame = Frame()
    floor = statistics.floor(curve for several in curves.values() for curve in several)
    grids, lows, middles, _ = zip(*bands.values(), strict=True)
    first, last = min(float(grid[0]) for grid in grids), max(float(grid[-1]) for grid in grids)
    lowest = max(min(float(low.min()) for low in lows), floor)
    highest = max(max(float(middle.max()) for middle in middles), floor) * 1.1
    across = Scale(first, max(last, first * 1.05), frame.left, frame.width - frame.right)
    return across, Scale(lowest, max(highest, lowest * 1.05), frame.height - frame.bottom, frame.top)


def stroke(method: str, looks: Mapping[str, Look]) -> Stroke:
    """A method's line; this project's method has the colour of the text."""
    look = looks[method]
    house, dashes = method == HOUSE, " ".join(f"{d:g}" for d in look.dashes)
    return Stroke(method, name_of(method), "currentColor" if house else look.colour, dashes, house)


def points(x: np.ndarray, y: np.ndarray) -> str:
    """Pixels as SVG writes them."""
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
