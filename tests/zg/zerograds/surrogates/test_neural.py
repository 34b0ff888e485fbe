import pytest
import torch

from tests.problems import Quadratic
from zg.sampling import antithetic
from zg.seeding import make_generator
from zg.zerograds.surrogates.neural import LocalNetwork

WINDOW = 80


def fitted(shift=0.0, scale=1.0, loss_scale=1.0, loss_shift=0.0, renders=2000, seed=0):
    """The cosine of the surrogate's gradient with the true one, on a 10-d quadratic seen from a fixed θ."""
    task = Quadratic(10, condition=10.0)
    task.setup()
    generator = make_generator(seed, "test")
    surrogate = LocalNetwork(10, hidden=64, layers=2, lr=3e-3, generator=generator, dtype=torch.float64)
    theta = task.space.init
    surrogate.stand(theta * scale + shift, 0.05 * scale)
    samples = torch.empty(0, 10, dtype=torch.float64)
    for _ in range(renders // 20):
        samples = torch.cat([samples, theta + 0.05 * antithetic(10, 10, generator, torch.float64)])[-WINDOW:]
        losses = loss_scale * task.render(samples) + loss_shift
        surrogate.fit(samples * scale + shift, losses, torch.ones_like(losses), steps=20)
    gradient = surrogate.gradient(theta * scale + shift)
    return float(torch.cosine_similarity(gradient, task.true_gradient(theta), dim=0)), gradient


@pytest.mark.parametrize("seed", range(3))
def test_its_gradient_is_that_of_a_quadratic_within_2000_renders(seed):
    assert fitted(seed=seed)[0] > 0.99


def test_it_does_not_care_about_the_units_of_theta_or_loss():
    cosine, gradient = fitted(renders=400)
    shifted, moved = fitted(renders=400, shift=100.0, scale=8.0, loss_scale=1e6, loss_shift=1e7)
    assert shifted == pytest.approx(cosine, abs=1e-3)
    assert torch.allclose(moved, gradient * 1e6 / 8, rtol=0.05, atol=float(gradient.abs().max()) * 1e6 / 8 * 0.02)
