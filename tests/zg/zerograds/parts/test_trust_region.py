"""Steps to the minimum of a quadratic, inside a ball and inside bounds."""

import pytest
import torch
from scipy.optimize import minimize

from zg.seeding import make_generator
from zg.zerograds.parts.trust_region import newton_inside, shortened, trusted


def numbers(*values):
    return torch.tensor(values, dtype=torch.float64)


def free(theta):
    return theta


def lbfgsb(theta, g, H, low, high):
    """The minimum s [n] of g·s + s·H s / 2 with θ + s inside the bounds."""
    result = minimize(
        lambda s: (g.numpy() @ s + 0.5 * s @ H.numpy() @ s, g.numpy() + H.numpy() @ s),
        torch.zeros_like(g).numpy(),
        jac=True,
        method="L-BFGS-B",
        bounds=list(zip((low - theta).tolist(), (high - theta).tolist(), strict=True)),
        options={"ftol": 1e-15, "gtol": 1e-12},
    )
    return torch.from_numpy(result.x)


def test_a_step_inside_the_ball_is_newtons_and_one_that_is_cut_ends_on_it():
    curvatures, slopes = numbers(4.0, 1.0), numbers(2.0, 1.0)
    step, is_cut = trusted(curvatures, slopes, 2.0)
    assert not is_cut and torch.allclose(step, numbers(-0.5, -1.0))
    step, is_cut = trusted(curvatures, slopes, 0.5)
    multiplier = (-slopes / step) - curvatures
    assert is_cut and float(step.norm()) == pytest.approx(0.5) and float(multiplier[0]) == pytest.approx(multiplier[1])
    step, is_cut = trusted(numbers(-1.0, 1.0), slopes, 3.0)
    assert is_cut and float(step.norm()) == pytest.approx(3.0)


def test_without_curvature_the_step_goes_down_the_slope_to_the_edge_of_the_ball():
    step, is_cut = trusted(numbers(0.0, 0.0), numbers(3.0, 4.0), 2.0)
    assert is_cut and torch.allclose(step, numbers(-1.2, -1.6))


@pytest.mark.parametrize("seed", range(5))
def test_no_point_of_the_ball_is_lower_than_the_trusted_step(seed):
    generator = make_generator(seed, "test")
    curvatures, slopes = torch.randn(2, 6, generator=generator, dtype=torch.float64)
    radius = 1.5
    step, _ = trusted(curvatures, slopes, radius)
    points = torch.randn(20_000, 6, generator=generator, dtype=torch.float64)
    points *= radius * torch.rand(len(points), 1, generator=generator) ** (1 / 6) / points.norm(dim=1, keepdim=True)
    h = [s @ slopes + 0.5 * s.square() @ curvatures for s in (step[None], points)]
    assert float(step.norm()) <= radius * (1 + 1e-12)
    assert float(h[0]) < float(h[1].min())


def test_without_bounds_the_step_is_newtons_and_the_axes_are_eigenvectors():
    H, g = torch.tensor([[2.0, 1.0], [1.0, 3.0]]).double(), numbers(1.0, -2.0)
    step, axes = newton_inside(numbers(5.0, 5.0), g, H, 1.0, free)
    turned = axes @ H @ axes.T
    assert torch.allclose(H @ step, -g)
    assert torch.allclose(axes @ axes.T, torch.eye(2).double())
    assert torch.allclose(turned, turned.diagonal().diag(), atol=1e-12)


def test_negative_curvature_counts_without_its_sign_so_that_a_saddle_is_left_downhill():
    step, _ = newton_inside(numbers(0.0, 0.0), numbers(1.0, 1.0), numbers(-2.0, 4.0).diag(), 1.0, free)
    assert torch.allclose(step, numbers(-0.5, -0.25))


def test_inside_bounds_a_separable_minimum_is_that_of_lbfgsb():
    generator = make_generator(0, "test")
    theta, low, high = torch.zeros(20).double(), torch.full((20,), -0.3).double(), torch.full((20,), 0.2).double()
    g, H = torch.randn(20, generator=generator).double(), (0.5 + torch.rand(20, generator=generator)).double().diag()
    step, _ = newton_inside(theta, g, H, 1.0, lambda theta: theta.clamp(low, high))
    assert torch.allclose(step, lbfgsb(theta, g, H, low, high), atol=1e-9)
    assert int((theta + step == low).sum()) > 2 and int((theta + step == high).sum()) > 2


def test_a_coordinate_that_the_step_leads_out_is_held_and_the_other_is_solved_again():
    """Cut alone, Newton's step (-3, 2) would end at (-1, 2); with the first held at −1 the minimum is at (-1, 1)."""
    H, g = torch.tensor([[2.0, 1.0], [1.0, 2.0]]).double(), numbers(4.0, -1.0)
    low, high = numbers(-1.0, -9.0), numbers(9.0, 9.0)
    step, axes = newton_inside(numbers(0.0, 0.0), g, H, 1.0, lambda theta: theta.clamp(low, high))
    assert torch.allclose(step, numbers(-1.0, 1.0))
    assert torch.allclose(step, lbfgsb(numbers(0.0, 0.0), g, H, low, high), atol=1e-9)
    assert torch.equal(axes.abs(), torch.eye(2).double())


def test_a_coordinate_on_a_bound_stays_where_downhill_is_outside_and_leaves_where_it_is_inside():
    H = torch.eye(2).double()
    low, high = numbers(0.0, 0.0), numbers(9.0, 9.0)
    step, _ = newton_inside(numbers(0.0, 0.0), numbers(1.0, -1.0), H, 1.0, lambda theta: theta.clamp(low, high))
    assert torch.allclose(step, numbers(0.0, 1.0))


def test_nothing_moves_where_every_coordinate_is_held():
    corner = numbers(0.0, 0.0)
    step, axes = newton_inside(corner, numbers(1.0, 2.0), torch.eye(2).double(), 1.0, lambda theta: theta.clamp(min=0))
    assert torch.equal(step, corner) and torch.equal(axes, torch.eye(2).double())


def test_a_step_is_shortened_to_the_radius_and_a_short_one_stays():
    assert torch.allclose(shortened(numbers(3.0, 4.0), 1.0), numbers(0.6, 0.8))
    assert torch.equal(shortened(numbers(3.0, 4.0), 6.0), numbers(3.0, 4.0))
    assert torch.equal(shortened(numbers(0.0, 0.0), 1.0), numbers(0.0, 0.0))
