"""A display of character cells, each of 4 × 7 lamps, on a dark table (scene of `led_display`).

x [rows · columns · 28] says which lamps are on. The glow of the lamps on panel and table is the light of small bulbs in
front of the panel. It is linear in the lamps, so one matrix computes it. A render changes only the colours of vertices.
"""

import os
import sys
from typing import Any

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from stage import Stage, number_grid, version

ACROSS, DOWN = 4, 7  # lamps of a cell; neighbouring lamps are 1 unit apart, across the border of two cells 2 units
RADIUS, CORNERS = 0.42, 12  # of the polygon of a lamp
BORDER = 2.0  # from the outermost lamps to the edge of the panel
AHEAD = 0.45  # distance of a bulb in front of the panel
FINE, COARSE = 0.5, 2.0  # spacing of vertices on the panel, on the table
# Linear RGB.
MIDDLE, RIM = np.array([1.0, 0.62, 0.28]), np.array([1.0, 0.17, 0.03])
DARK_MIDDLE, DARK_RIM = np.array([0.035, 0.024, 0.024]), np.array([0.013, 0.009, 0.010])
PANEL, TABLE, BACKGROUND = (0.008, 0.010, 0.014), (0.014, 0.014, 0.018), (0.016, 0.022, 0.036)
GLOW = np.array([0.055, 0.0085, 0.0014])


class Display:
    """settings: `rows` and `columns` of cells, and those of `Stage`."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.stage = Stage(settings)
        lamps = lamp_places(settings["rows"], settings["columns"])
        right, top = lamps.max(0) + BORDER
        panel = plane([np.arange(-BORDER, right + FINE, FINE), 0.0, np.arange(0.0, top + FINE, FINE)])
        table = plane([np.arange(-0.5 * right, 1.5 * right, COARSE), np.arange(-2 * top, top, COARSE), 0.0])
        bulbs = np.insert(lamps, 1, -AHEAD, axis=1)
        around = [((0, -1, 0), PANEL, panel), ((0, 0, 1), TABLE, table)]
        self.glow = np.concatenate([irradiance(points, np.array(normal), bulbs) for normal, _, (points, _) in around])
        self.unlit = np.concatenate([np.tile(colour, (len(points), 1)) for _, colour, (points, _) in around])

        turn = 2 * np.pi * np.arange(CORNERS) / CORNERS
        disc = np.stack([RADIUS * np.cos(turn), np.full(CORNERS, -0.02), RADIUS * np.sin(turn)], 1)
        discs = bulbs[:, None] * [1, 0, 1] + np.concatenate([[[0.0, -0.1, 0.0]], disc])
        corner = np.arange(0, CORNERS, 2)
        slices = np.stack([0 * corner, 1 + (corner + 2) % CORNERS, 2 + corner, 1 + corner], 1)
        first = len(self.unlit) + np.arange(len(lamps)) * (1 + CORNERS)
        self.mesh = self.stage.mesh("display", self.stage.flat())
        self.mesh.build(
            np.concatenate([panel[0], table[0], discs.reshape(-1, 3)]),
            np.concatenate([panel[1], table[1] + len(panel[0]), (first[:, None, None] + slices).reshape(-1, 4)]),
        )
        self.stage.background(BACKGROUND)
        middle = (right - BORDER) / 2
        self.stage.camera((middle + 0.3 * right, -2.6 * right, 1.1 * top), (middle, 0, 0.45 * top), 79)

    def render(self, x: np.ndarray, seed: int) -> np.ndarray:
        """Lamps x [n], 0 or 1 -> image [3, H, W]."""
        lit = (x > 0.5).astype(np.float32)[:, None]
        discs = np.empty((len(x), 1 + CORNERS, 3))
        discs[:, 0] = np.where(lit > 0, MIDDLE, DARK_MIDDLE)
        discs[:, 1:] = np.where(lit > 0, RIM, DARK_RIM)[:, None]
        self.mesh.paint(np.concatenate([self.unlit + (self.glow @ lit) * GLOW, discs.reshape(-1, 3)]))
        return self.stage.render(seed)

    version = staticmethod(version)


load = Display


def lamp_places(rows: int, columns: int) -> np.ndarray:
    """Positions of lamps on the panel [rows · columns · 28, 2], to the right and up, cell by cell from the top left."""
    row, column, down, across = np.meshgrid(*map(np.arange, (rows, columns, DOWN, ACROSS)), indexing="ij")
    right, below = column * (ACROSS + 1) + across, row * (DOWN + 1) + down
    return np.stack([right.ravel(), BORDER + (below.max() - below).ravel()], 1)


def plane(axes: list[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Vertices [V, 3] and quads [Q, 4] of a rectangle. Two of the three axes are coordinates, the third is a number."""
    shape = [len(axis) for axis in axes if np.ndim(axis)]
    vertices = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    return vertices, number_grid(0, *shape)


def irradiance(points: np.ndarray, normal: np.ndarray, bulbs: np.ndarray) -> np.ndarray:
    """Light [V, n] that points [V, 3] of a plane receive from each of bulbs [n, 3], which shine in all directions."""
    away = bulbs - points[:, None]
    distance = np.linalg.norm(away, axis=-1)
    return (np.clip(away @ normal, 0, None) / distance**3).astype(np.float32)
