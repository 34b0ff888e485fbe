"""The network in local coordinates: how exact its gradient is, which units it depends on, and how weights are drawn."""

import pytest
import torch
from torch import nn

from tests.problems import Quadratic
from zg.sampling import antithetic
from zg.seeding import make_generator
from zg.zerograds.parts.network import LocalNetwork, make_linear

WINDOW = 80


def make(n=10, **settings):
    known = {"hidden": 64, "layers": 2, "lr": 3e-3, "outlier": 5.0, "dtype": torch.float64}
    known = {"generator": make_generator(0, "test")} | known
    return LocalNetwork(n, **known | settings)


def fitted(shift=0.0, scale=1.0, loss_scale=1.0, loss_shift=0.0, renders=2000, seed=0):
    """The cosine of the surrogate's gradient with the true one, on a 10-d quadratic seen from a fixed θ."""
    task = Quadratic(10, condition=10.0)
    task.setup()
    generator = make_generator(seed, "test")
    network = make(generator=generator)
    theta = task.space.init
    network.move_to(theta * scale + shift, 0.05 * scale)
    samples = torch.empty(0, 10, dtype=torch.float64)
    for _ in range(renders // 20):
        samples = torch.cat([samples, theta + 0.05 * antithetic(10, 10, generator, torch.float64)])[-WINDOW:]
        losses = loss_scale * task.render(samples) + loss_shift
        network.fit(samples * scale + shift, losses, torch.ones_like(losses), steps=20)
    gradient = network.gradient(theta * scale + shift)
    return float(torch.cosine_similarity(gradient, task.true_gradient(theta), dim=0)), gradient


@pytest.mark.parametrize("seed", range(3))
def test_its_gradient_is_that_of_a_quadratic_within_2000_renders(seed):
    assert fitted(seed=seed)[0] > 0.99


def test_the_network_does_not_depend_on_the_units_of_theta_or_loss():
    cosine, gradient = fitted(renders=400)
    shifted, moved = fitted(renders=400, shift=100.0, scale=8.0, loss_scale=1e6, loss_shift=1e7)
    assert shifted == pytest.approx(cosine, abs=1e-3)
    assert torch.allclose(moved, gradient * 1e6 / 8, rtol=0.05, atol=float(gradient.abs().max()) * 1e6 / 8 * 0.02)


def test_samples_of_little_weight_are_fitted_little():
    """Two losses at one place: the fit is their weighted mean."""
    network, losses = make(n=1), torch.tensor([0.0, 1.0], dtype=torch.float64)
    network.fit(torch.zeros(2, 1).double(), losses, torch.tensor([3.0, 1.0]).double(), steps=300)
    assert float(network(torch.zeros(1, 1).double()).detach()) == pytest.approx(0.25, abs=1e-3)


@pytest.mark.parametrize(("outlier", "low"), [(5.0, True), (100.0, False)])
def test_one_very_bad_sample_counts_as_a_bad_one(outlier, low):
    """Losses of 0 at one place, but for one of a million that is 10 deviations from their mean of 10,000."""
    losses = torch.zeros(100, dtype=torch.float64)
    losses[0] = 1e6
    network = make(n=1, outlier=outlier)
    network.fit(torch.zeros(100, 1).double(), losses, torch.ones(100).double(), steps=500)
    assert (float(network(torch.zeros(1, 1).double()).detach()) < 8000) == low


def test_equal_losses_are_fitted_exactly_from_the_start():
    network = make(n=2)
    fit_error = network.fit(torch.rand(5, 2).double(), torch.full((5,), 7.0).double(), torch.ones(5).double(), steps=1)
    assert fit_error < 1e-300
    assert network(torch.rand(3, 2).double()).tolist() == [7, 7, 7]


def test_weights_are_drawn_as_pytorch_does_and_from_the_given_generator_alone():
    before = torch.get_rng_state()
    layer = make_linear(400, 300, make_generator(0, "test"), torch.float32).requires_grad_(False)
    again = make_linear(400, 300, make_generator(0, "test"), torch.float32)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(layer.weight, again.weight) and torch.equal(layer.bias, again.bias)
    default = nn.Linear(400, 300).requires_grad_(False)
    torch.set_rng_state(before)
    assert float(layer.weight.abs().max()) == pytest.approx(float(default.weight.abs().max()), rel=1e-3)
    assert float(layer.weight.std()) == pytest.approx(float(default.weight.std()), rel=0.01)
    assert float(layer.bias.std()) == pytest.approx(float(default.bias.std()), rel=0.15)
