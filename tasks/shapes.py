"""Reference shapes drawn from geometry: white on black, anti-aliased."""

import math
from collections.abc import Callable

import torch
from matplotlib.path import Path as Outline
from torch import Tensor
from torch.nn.functional import avg_pool2d

from zg.errors import SettingError, nearest

# Samples along each side of a pixel.
OVERSAMPLING = 4
LETTER_Z = [(-0.5, 0.6), (0.5, 0.6), (0.5, 0.35), (-0.1, -0.35), (0.5, -0.35), (0.5, -0.6), (-0.5, -0.6), (-0.5, -0.35)]
LETTER_Z += [(0.1, 0.35), (-0.5, 0.35)]


def draw_shape(shape: str, size: int) -> Tensor:
    """A shape of SHAPES as an image [1, size, size] in [0, 1]. Raises SettingError for an unknown one."""
    if shape not in SHAPES:
        raise SettingError(f"shape '{shape}' is unknown{nearest(shape, SHAPES)}")
    fine = OVERSAMPLING * size
    across = (torch.arange(fine, dtype=torch.float64) + 0.5) * 2 / fine - 1
    inside = SHAPES[shape](across[None, :].expand(fine, fine), -across[:, None].expand(fine, fine))
    return avg_pool2d(inside.float()[None], OVERSAMPLING)


def ring(x: Tensor, y: Tensor) -> Tensor:
    """A ring around a flat ellipse; x, y in [−1, 1], y is up."""
    radius = torch.hypot(x, y)
    return ((radius > 0.58) & (radius < 0.75)) | ((x / 0.4).square() + (y / 0.22).square() < 1)


def letter(x: Tensor, y: Tensor) -> Tensor:
    """A bold Z."""
    return polygon(LETTER_Z, x, y)


def star(x: Tensor, y: Tensor) -> Tensor:
    """A star with five points, one of them up."""
    corners = []
    for k in range(10):
        radius, angle = (0.75, 0.32)[k % 2], math.pi * (0.5 + k / 5)
        corners.append((radius * math.cos(angle), radius * math.sin(angle)))
    return polygon(corners, x, y)


def polygon(corners: list[tuple[float, float]], x: Tensor, y: Tensor) -> Tensor:
    """Whether each point is inside."""
    points = torch.stack([x.flatten(), y.flatten()], 1).numpy()
    return torch.from_numpy(Outline(corners).contains_points(points)).reshape(x.shape)


def word(x: Tensor, y: Tensor) -> Tensor:
    """The word ZERO in bars as wide as a stroke."""
    bars = [(left, left + 0.3, level - 0.05, level + 0.05) for left in (-0.74, -0.35, 0.43) for level in (-0.25, 0.25)]
    bars += [(-0.35, -0.05, -0.05, 0.05), (-0.35, -0.25, -0.3, 0.3)]  # the rest of E
    bars += [(0.04, 0.14, -0.3, 0.3), (0.04, 0.34, 0.2, 0.3), (0.04, 0.34, -0.05, 0.05), (0.24, 0.34, -0.05, 0.3)]  # R
    bars += [(0.43, 0.53, -0.3, 0.3), (0.63, 0.73, -0.3, 0.3)]  # the rest of O
    inside = torch.zeros_like(x, dtype=torch.bool)
    for left, right, bottom, top in bars:
        inside |= (x >= left) & (x <= right) & (y >= bottom) & (y <= top)
    for corners in (
        [(-0.74, -0.25), (-0.62, -0.25), (-0.44, 0.25), (-0.56, 0.25)],  # the slant of Z
        [(0.1, -0.02), (0.22, -0.02), (0.34, -0.3), (0.22, -0.3)],  # the leg of R
    ):
        inside |= polygon(corners, x, y)
    return inside


SHAPES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {f.__name__: f for f in (ring, letter, star, word)}
