"""Steps to the minimum of a quadratic model h(θ + s) = f + g·s + s·H s / 2, inside a ball or inside bounds."""

from collections.abc import Callable

import torch
from torch import Tensor

#: Keeps a quotient finite; smaller than any curvature or length that matters.
TINY = 1e-300
#: Smallest multiplier of `trusted`, relative to the largest |curvature|: keeps it off the pole.
OFF_THE_POLE = 1e-12
#: Halvings of the interval of the multiplier: 2⁻⁵⁰ is about the relative precision of a double.
HALVINGS = 50
#: Smallest |curvature| along an axis, relative to the largest entry of H, about the rounding of `eigh`.
FLATTEST = 1e-14


def trusted(curvatures: Tensor, slopes: Tensor, radius: float) -> tuple[Tensor, bool]:
    """The minimum s [n] of slopes·s + Σ curvatures s² / 2 within |s| ≤ radius, and whether the radius cut the step.

    curvatures, slopes [n]: along the axes of H. The step solves (H + λ) s = −g with the smallest λ ≥ 0 that leaves no
    negative curvature and |s| ≤ radius, by bisection (Moré and Sorensen 1983, "Computing a trust region step", without
    the hard case: a slope of exactly zero along the axis of most negative curvature stays zero).
    """
    sharpest = float(curvatures.abs().max())
    low = max(0.0, -float(curvatures.min())) + OFF_THE_POLE * sharpest + TINY
    step = -slopes / (curvatures + low)
    if float(step.norm()) <= radius:
        return step, False
    high = low + float(slopes.norm()) / radius + sharpest
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        is_too_long = float((slopes / (curvatures + middle)).norm()) > radius
        low, high = (middle, high) if is_too_long else (low, middle)
    return -slopes / (curvatures + high), True


def newton_inside(
    theta: Tensor, g: Tensor, H: Tensor, reach: float, project: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """Newton's step s [n] from θ [n] inside the bounds, and the axes [n, n] of the model, one a row.

    H should have entries of order 1. Curvature counts without its sign, so that a saddle is left downhill. A coordinate
    that the step leads out of the bounds is held there, and the step of the others is solved again (an active set; no
    coordinate is released). reach: the length, scaled, over which a coordinate on a bound must be able to go downhill;
    otherwise it is held from the start. The axes are the eigenvectors of H among the coordinates that are not held, and
    unit vectors for those that are.
    """
    is_free = (project(theta - reach * g.sign()) != theta) | (g == 0)
    step = torch.zeros_like(g)
    while True:
        free = is_free.nonzero()[:, 0]
        curvatures, axes = torch.linalg.eigh(H[free[:, None], free])
        slopes = (g + H @ torch.where(is_free, 0.0, step))[free]  # once the held coordinates are where they stay
        step[free] = -axes @ ((axes.T @ slopes) / curvatures.abs().clamp(min=FLATTEST))
        inside = project(theta + step)
        is_outside = is_free & (inside != theta + step)
        if not is_outside.any():
            break
        step, is_free = torch.where(is_outside, inside - theta, step), is_free & ~is_outside
    every_axis = torch.eye(len(theta)).to(g)
    every_axis[free[:, None], free] = axes.T
    return step, every_axis


def shortened(step: Tensor, radius: float) -> Tensor:
    """The step [n], not longer than the radius."""
    return step * min(1.0, radius / max(float(step.norm()), TINY))
