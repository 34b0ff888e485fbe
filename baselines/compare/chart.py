"""One chart of the page as SVG: the loss along the runs of a task, both axes in the logarithm."""

import math
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from baselines.compare import statistics
from baselines.compare.rows import Curve
from baselines.compare.style import HOUSE, Look, tick_label, ticks

WIDTH, HEIGHT = 760, 340
LEFT, RIGHT, TOP, BOTTOM = 62, 12, 12, 40
TITLES = {"renders": "renders", "seconds": "seconds, rendering and method"}


class Scale:
    """A logarithmic axis from `low` to `high` on to pixels."""

    def __init__(self, low: float, high: float, first: float, last: float) -> None:
        self.low, self.high = low, max(high, low * 1.05)
        self.first, self.last = first, last

    def __call__(self, values: np.ndarray | float) -> np.ndarray:
        share = np.log(np.clip(values, self.low, self.high) / self.low) / math.log(self.high / self.low)
        return self.first + share * (self.last - self.first)


def svg(curves: Mapping[str, Sequence[Curve]], axis: str, looks: Mapping[str, Look], title: str) -> str:
    """Median and quartile band of each method's curves along `renders` or `seconds`."""
    bands = {method: statistics.quartile_band(several, axis) for method, several in curves.items()}
    floor = statistics.floor(curve for several in curves.values() for curve in several)
    lowest = min(float(low.min()) for _, low, _, _ in bands.values())
    highest = max(float(middle.max()) for _, _, middle, _ in bands.values())
    across = Scale(
        min(float(grid[0]) for grid, *_ in bands.values()),
        max(float(grid[-1]) for grid, *_ in bands.values()),
        LEFT,
        WIDTH - RIGHT,
    )
    up = Scale(max(lowest, floor), max(highest, floor) * 1.1, HEIGHT - BOTTOM, TOP)
    label = escape(f"{title}: loss against {TITLES[axis]}", quote=True)
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}" data-axis="{axis}">']
    for tick in ticks(across.low, across.high):
        x = across(tick)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{tick_label(tick)}</text>')
    for tick in ticks(up.low, up.high):
        y = up(tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{tick_label(tick)}</text>')
    middle_of_axis = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle_of_axis:.0f}" y="{HEIGHT - 6}" text-anchor="middle">{TITLES[axis]}</text>')
    for method in sorted(bands, key=lambda name: name == HOUSE):
        grid, low, middle, high = bands[method]
        look = looks[method]
        colour = "currentColor" if method == HOUSE else look.colour
        name = escape(method, quote=True)
        parts.append(
            f'<g data-method="{name}" style="color:{colour}"' + (' class="house"' if method == HOUSE else "") + ">"
        )
        parts.append(f"<title>{name}</title>")
        if len(curves[method]) > 1:
            there = points(across(grid), up(low)) + " " + points(across(grid)[::-1], up(high)[::-1])
            parts.append(f'<polygon class="band" points="{there}"/>')
        dashes = f' stroke-dasharray="{" ".join(f"{part:g}" for part in look.dashes)}"' if look.dashes else ""
        parts.append(f'<polyline class="curve"{dashes} points="{points(across(grid), up(middle))}"/></g>')
    return "".join([*parts, "</svg>"])


def points(x: np.ndarray, y: np.ndarray) -> str:
    """Pixels as SVG writes them."""
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
