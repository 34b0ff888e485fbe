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


SHAPES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {f.__name__: f for f in (ring, letter, star)}
