"""Levenberg-Marquardt steps: the solution of the equations, inside the bounds."""

import torch
from torch import Tensor

from zg.zerograds.pictures.damped import damped_step

n = 12
J = torch.randn(40, n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
H, g = J.T @ J, J.T @ torch.ones(40, dtype=torch.float64) * 3
D = H.diagonal()


def step(damping: float, bound: float = 9e9) -> Tensor:
    def project(theta: Tensor) -> Tensor:
        return theta.clamp(-bound, bound)

    return damped_step(torch.zeros(n, dtype=torch.float64), g, lambda s: s @ H, D, damping, project, 100)


def test_the_step_solves_the_damped_equations() -> None:
    for damping in (1e-6, 0.1, 10.0):
        exact = torch.linalg.solve(H + damping * torch.diag(D), -g)
        assert torch.allclose(step(damping), exact, rtol=1e-5, atol=1e-8)


def test_a_coordinate_on_a_bound_is_held_and_the_others_make_up_for_it() -> None:
    bound = 0.6 * float(step(1e-6).abs().max())
    inside = step(1e-6, bound)
    held = inside.abs() >= bound * (1 - 1e-12)
    assert 0 < int(held.sum()) < n
    slopes = g + H @ inside + 1e-6 * D * inside
    assert slopes[~held].abs().max() < 1e-5 * g.abs().max(), "no slope is left in the coordinates that are free"


def test_negative_curvature_ends_the_step_without_harm() -> None:
    found = damped_step(torch.zeros(n, dtype=torch.float64), g, lambda s: -s @ H, D, 1e-3, lambda t: t, 50)
    assert found.isfinite().all()
