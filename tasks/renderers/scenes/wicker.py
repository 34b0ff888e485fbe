"""A whale of wicker: stakes along its body and hoops around it, woven over and under each other (scene of `wicker`).

x = (stakes, hoops, radius): two counts, and the thickness of the body. Every render builds the whole mesh again.
"""

import os
import sys
from typing import Any

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from stage import Stage, number_grid, version

# The body: position as a fraction of its length, half of its height there for a radius of 1, height of its middle.
OUTLINE = np.array(
    [
        [0.00, 0.12, 0.00],
        [0.02, 0.42, 0.00],
        [0.08, 0.76, 0.00],
        [0.20, 0.97, 0.00],
        [0.34, 1.00, 0.00],
        [0.50, 0.88, 0.01],
        [0.64, 0.66, 0.06],
        [0.77, 0.42, 0.17],
        [0.89, 0.22, 0.38],
        [1.00, 0.12, 0.66],
    ]
)
LENGTH, WIDE = 6.0, 0.92  # length of the body, and its width divided by its height
STRAND = 0.05  # radius of a strand
CORNERS, STEPS = 5, 3  # corners of a strand's cross-section, steps between two crossings
STAKE, HOOP, FIN, EYE = (0.95, 0.66, 0.29), (0.40, 0.145, 0.05), (0.80, 0.48, 0.18), (0.01, 0.01, 0.012)
SEA = (0.004, 0.030, 0.065)

#: Vertices [V, 3], quads [Q, 4] of vertex indices, colours [V, 3].
Piece = tuple[np.ndarray, np.ndarray, np.ndarray]


class Whale:
    """settings: those of `Stage`."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.stage = Stage(settings)
        shader = self.stage.lit((0.3, 0.6, -1.0), 3.0)
        self.mesh = self.stage.mesh("whale", shader)
        self.stage.background(SEA)
        self.stage.camera((-1.6, -11.5, 4.6), (3.35, 0.0, 0.1), 63)

    def render(self, x: np.ndarray, seed: int) -> np.ndarray:
        """x [3] -> image [3, H, W]."""
        stakes, hoops, radius = round(x[0]), round(x[1]), float(x[2])
        pieces = [*weave(stakes, hoops, radius), *fins(radius)]
        vertices, quads, colours = zip(*pieces, strict=True)
        firsts = np.cumsum([0, *map(len, vertices[:-1])])
        quads = [part + first for part, first in zip(quads, firsts, strict=True)]
        self.mesh.build(np.concatenate(vertices), np.concatenate(quads))
        self.mesh.paint(np.concatenate(colours))
        return self.stage.render(seed)

    version = staticmethod(version)


load = Whale


def skin(along: np.ndarray, turn: np.ndarray, radius: float, over: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """Points [..., 3] of the skin, raised by `over`, and outward normals; `turn` is an angle from the belly."""
    half = radius * curve(along, 1) + over
    outward = np.stack([0 * half, np.sin(turn) * np.ones_like(half), -np.cos(turn) * np.ones_like(half)], -1)
    middle = np.stack([LENGTH * along, 0 * along, curve(along, 2)], -1)
    return middle + half[..., None] * outward * [1, WIDE, 1], outward


def curve(along: np.ndarray, column: int) -> np.ndarray:
    """A column of the outline, interpolated by a cubic Hermite spline."""
    at, value = OUTLINE[:, 0], OUTLINE[:, column]
    slope = np.gradient(value, at)
    k = np.clip(np.searchsorted(at, along, side="right") - 1, 0, len(at) - 2)
    width = at[k + 1] - at[k]
    u = (along - at[k]) / width
    start, end, rise, fall = value[k], value[k + 1], width * slope[k], width * slope[k + 1]
    return start + u * (rise + u * (3 * (end - start) - 2 * rise - fall + u * (2 * (start - end) + rise + fall)))


def weave(stakes: int, hoops: int, radius: float) -> list[Piece]:
    """Strands along and around the body. At each crossing one of the two is outside, in turn."""
    along = np.linspace(0, 1, hoops * STEPS + 1)
    number = np.arange(stakes)[:, None]
    wave = np.cos(np.pi * (along * hoops - 0.5 + number))
    points, outward = skin(along + 0 * wave, 2 * np.pi * (number + 0.5) / stakes, radius, STRAND * wave)
    lengthwise = tubes(points, outward, STRAND, np.array(STAKE), wave)
    around = np.linspace(0, 1, stakes * STEPS + 1)
    number = np.arange(hoops)[:, None]
    wave = -np.cos(np.pi * (around * stakes - 0.5 + number))
    points, outward = skin((number + 0.5) / hoops + 0 * wave, 2 * np.pi * around, radius, STRAND * wave)
    return [lengthwise, tubes(points, outward, STRAND, np.array(HOOP), wave)]


def fins(radius: float) -> list[Piece]:
    """The parts that do not depend on counts: two halves of the fluke, two fins, two eyes."""
    pieces = []
    for side in (-1, 1):
        tail = skin(np.array(1.0), np.array(0.0), radius, 0)[0] + [0, 0, 0.12 * radius]
        pieces += leaf(tail, np.array([0.55, side * 1.25, 0.5]), np.array([1.0, 0, 0.45]), 0.40)
        root = skin(np.array(0.3), np.array(side * 0.95), radius, 0)[0]
        pieces += leaf(root, np.array([0.75, side * 1.1, -0.55]), np.array([1.0, 0, -0.1]), 0.34)
        pieces.append(ball(skin(np.array(0.115), np.array(side * 1.35), radius, STRAND)[0], 0.13))
    return pieces


def leaf(root: np.ndarray, reach: np.ndarray, across: np.ndarray, width: float) -> list[Piece]:
    """A fin: its outline, a rib along its middle, and ribs across."""
    u = np.linspace(0, 1, 15)
    bulge = width * np.sin(np.pi * u**0.8) * (1 - 0.35 * u)
    middle = root + u[:, None] * reach + 0.25 * (u**2)[:, None] * across
    sides = [middle + sign * bulge[:, None] * across for sign in (-1, 1)]
    ribs = [np.linspace(sides[0][k], sides[1][k], 15) for k in range(2, 14, 2)]
    lines = np.stack([*sides, middle, *ribs])
    normal = np.cross(reach, across)
    return [tubes(lines, np.broadcast_to(normal / np.linalg.norm(normal), lines.shape), 0.7 * STRAND, np.array(FIN))]


def tubes(
    lines: np.ndarray, outward: np.ndarray, thick: float, colour: np.ndarray, wave: np.ndarray | float = 1.0
) -> Piece:
    """Strands of radius `thick` along lines [L, P, 3].

    Colours are darker towards the inside, and where the wave [L, P] of the weave is low: less light gets there.
    """
    count, points, _ = lines.shape
    tangent = np.gradient(lines, axis=1)
    sideways = np.cross(tangent, outward)
    sideways /= np.linalg.norm(sideways, axis=-1, keepdims=True)
    ahead = np.cross(sideways, tangent)
    ahead /= np.linalg.norm(ahead, axis=-1, keepdims=True)
    turn = 2 * np.pi * np.arange(CORNERS) / CORNERS
    around = np.cos(turn)[:, None] * ahead[:, :, None] + np.sin(turn)[:, None] * sideways[:, :, None]
    vertices = lines[:, :, None] + thick * around
    first = np.arange(count)[:, None] * points * CORNERS
    corner = np.arange(points * CORNERS).reshape(points, CORNERS)
    beside = np.roll(corner, -1, 1)
    quads = np.stack([corner[:-1], corner[1:], beside[1:], beside[:-1]], -1).reshape(-1, 4)
    shade = 0.62 + 0.26 * np.cos(turn) + 0.12 * np.broadcast_to(wave, lines.shape[:2])[..., None]
    return vertices.reshape(-1, 3), (first[:, None] + quads).reshape(-1, 4), (shade[..., None] * colour).reshape(-1, 3)


def ball(centre: np.ndarray, radius: float) -> Piece:
    """An eye."""
    latitude, longitude = np.meshgrid(np.linspace(0, np.pi, 9), np.linspace(0, 2 * np.pi, 13), indexing="ij")
    level = np.sin(latitude)
    unit = np.stack([level * np.cos(longitude), level * np.sin(longitude), np.cos(latitude)], -1).reshape(-1, 3)
    return centre + radius * unit, number_grid(0, 9, 13), np.tile(EYE, (len(unit), 1))
