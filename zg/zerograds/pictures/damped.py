"""A Levenberg-Marquardt step inside the bounds.

    (H + λ D) s = −g        by conjugate gradients

H is a product, so the cost is that of H s. A coordinate that a step leads out of the bounds is held there, and the step
of the others is solved again (an active set; no coordinate is released). Nocedal and Wright 2006, 5.1 and 10.3.
"""

from collections.abc import Callable

import torch
from torch import Tensor

#: Solutions for one step: bounds are found one layer after the other.
ROUNDS = 5
#: Reduction of the residual at which conjugate gradients end.
REDUCTION = 1e-6


def damped_step(
    theta: Tensor,
    g: Tensor,
    times: Callable[[Tensor], Tensor],
    D: Tensor,
    damping: float,
    project: Callable[[Tensor], Tensor],
    iterations: int,
) -> Tensor:
    """The step s [n] from θ [n]; damping: λ; `times` is s [1, n] -> H s [1, n]; D [n] is above 0."""

    def product(s: Tensor) -> Tensor:
        return times(s[None])[0] + damping * (D * s)

    preconditioner = 1 / ((1 + damping) * D)
    held, free = torch.zeros_like(theta), torch.ones_like(theta)
    step = held
    for _ in range(ROUNDS):
        right = -(g + product(held)) if held.any() else -g
        step = held + conjugate_gradients(product, right, preconditioner, free, iterations)
        inside = project(theta + step) - theta
        is_outside = (free > 0) & ((inside - step).abs() > 1e-9 * step.abs())
        if not is_outside.any():
            break
        held = torch.where(is_outside | (free == 0), inside, 0.0)
        free = free * ~is_outside
    return project(theta + step) - theta


def conjugate_gradients(
    product: Callable[[Tensor], Tensor], right: Tensor, preconditioner: Tensor, free: Tensor, iterations: int
) -> Tensor:
    """x [n] with product(x) = right where free [n] is 1, and 0 elsewhere.

    It ends where the curvature along a direction is not positive, with what it has.
    """
    x = torch.zeros_like(right)
    r = right * free
    z = preconditioner * r
    p, rz = z, float(r @ z)
    first = rz
    for _ in range(iterations):
        Ap = product(p) * free
        curvature = float(p @ Ap)
        if not (curvature > 0 and rz > REDUCTION**2 * first):
            break
        length = rz / curvature
        x = x + length * p
        r = r - length * Ap
        z = preconditioner * r
        rz, before = float(r @ z), rz
        p = z + rz / before * p
    return x
