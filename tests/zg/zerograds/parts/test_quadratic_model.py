"""A quadratic from past renders: what it finds, when it has too few of them, and what it says of a render left out."""

import pytest
import torch

from zg.zerograds.parts.quadratic_model import Quadratic, Terms, fit, weights_by_rank

N = 5
GENERATOR = torch.Generator().manual_seed(3)
G = torch.randn(N, generator=GENERATOR, dtype=torch.float64)
ROOT = torch.randn(N, N, generator=GENERATOR, dtype=torch.float64)
H = ROOT + ROOT.T
MINIMUM_OF_A_LINE = 7.0


def bowl(u: torch.Tensor) -> torch.Tensor:
    return MINIMUM_OF_A_LINE + u @ G + 0.5 * ((u @ H) * u).sum(1)


def samples(count: int) -> torch.Tensor:
    return torch.randn(count, N, generator=torch.Generator().manual_seed(count), dtype=torch.float64)


def test_a_quadratic_is_found_exactly():
    u = samples(40)
    found = fit(Terms(N, most_full=100), u, bowl(u), best_weight=20.0, last=10)
    assert found is not None
    assert found.f == pytest.approx(MINIMUM_OF_A_LINE, abs=1e-6)
    torch.testing.assert_close(found.g, G, atol=1e-6, rtol=0)
    torch.testing.assert_close(found.H, H, atol=1e-6, rtol=0)
    torch.testing.assert_close(found.left_out, bowl(u)[-10:], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("renders", "terms"), [(6, None), (7, 6), (12, 6), (13, 11), (23, 11), (24, 21)], ids=lambda value: str(value)
)
def test_there_are_as_many_terms_as_renders_can_tell(renders, terms):
    columns = Terms(N, most_full=21).of(samples(renders))
    assert (columns if columns is None else columns.shape[1]) == terms


def test_the_curvature_stays_diagonal_where_a_full_one_has_too_many_terms():
    columns = Terms(N, most_full=20).of(samples(1000))
    assert columns is not None and columns.shape[1] == 2 * N + 1


def test_a_render_that_is_left_out_is_predicted_by_a_fit_to_the_others():
    u = samples(30)
    losses = bowl(u) + torch.randn(30, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    terms = Terms(N, most_full=100)
    found = fit(terms, u, losses, best_weight=1.0, last=1)
    others = fit(terms, u[:-1], losses[:-1], best_weight=1.0, last=1)
    assert found is not None and others is not None
    model = Quadratic(torch.zeros(N, dtype=torch.float64), others.f, others.g, others.H)
    torch.testing.assert_close(found.left_out, model(u[-1:]), atol=1e-6, rtol=0)


def test_renders_of_one_point_tell_no_quadratic():
    u = torch.zeros(40, N, dtype=torch.float64)
    assert fit(Terms(N, most_full=100), u, torch.arange(40.0, dtype=torch.float64), best_weight=20.0, last=5) is None


def test_weights_fall_in_equal_steps_with_rank():
    losses = torch.tensor([3.0, 1.0, 2.0], dtype=torch.float64)
    assert weights_by_rank(losses, 20.0).tolist() == [1.0, 20.0, 10.5]


def test_the_gradient_is_that_of_the_model():
    model = Quadratic(torch.ones(N, dtype=torch.float64), 2.0, G, H)
    theta = samples(1)[0].requires_grad_()
    (slope,) = torch.autograd.grad(model(theta[None])[0], theta)
    torch.testing.assert_close(model.gradient(theta.detach()), slope)
