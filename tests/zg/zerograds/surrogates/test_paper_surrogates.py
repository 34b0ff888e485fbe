"""The paper's surrogates, NP and QP: known answers of what they fit."""

import math
from dataclasses import replace

import pytest
import torch

from tests.tasks.golden import DEVICES
from zg.errors import SettingError
from zg.seeding import make_generator
from zg.zerograds.surrogates.paper_surrogates import PaperSurrogate, PaperSurrogateSettings, PositionalEncoding

NEURAL = PaperSurrogateSettings(
    kind="neural", hidden=16, layers=2, frequencies=0, input_scale=1.0, log_space=False, criterion="mse", lr=1e-2
)


def make(n, device="cpu", **settings):
    return PaperSurrogate(n, replace(NEURAL, **settings), make_generator(0, "test", device=device))


def test_log_space_is_fitted_and_undone():
    surrogate = make(2, log_space=True)
    samples = torch.rand(64, 2, generator=make_generator(1, "test"))
    losses = torch.full((64,), 999.0)
    surrogate.fit(samples, losses, torch.ones(64), 400)
    assert float(surrogate.network(samples).mean().detach()) == pytest.approx(math.log(1000), rel=0.02)
    assert float(surrogate(samples).mean().detach()) == pytest.approx(999, rel=0.15)


@pytest.mark.parametrize(("criterion", "centre"), [("mse", 25.0), ("l1", 0.0)])
def test_the_criterion_decides_what_an_outlier_weighs(criterion, centre):
    """Three losses of 0 and one of 100 at the same place: mean 25, median 0."""
    surrogate = make(1, layers=1, criterion=criterion)
    samples = torch.zeros(4, 1)
    surrogate.fit(samples, torch.tensor([0.0, 0.0, 0.0, 100.0]), torch.ones(4), 3000)
    assert float(surrogate(samples)[0].detach()) == pytest.approx(centre, abs=1.0)


@pytest.mark.parametrize("device", DEVICES)
def test_the_quadratic_surrogate_learns_a_quadratic(device):
    """QP on Σ i xᵢ² + x₀ - 2: its gradient at a point that it has not seen is the true one."""
    surrogate = make(3, device, kind="quadratic")
    samples = torch.randn(256, 3, generator=make_generator(0, "test")).to(device)
    weights = torch.tensor([1.0, 2.0, 3.0], device=device)
    losses = samples.square() @ weights + samples[:, 0] - 2
    surrogate.fit(samples, losses, torch.ones(256, device=device), 2000)
    point = torch.tensor([0.4, -0.8, 1.2], device=device)
    true = 2 * weights * point + torch.tensor([1.0, 0, 0], device=device)
    assert torch.allclose(surrogate.gradient(point), true, atol=1e-2)
    surrogate.forget(make_generator(0, "test"))
    assert not surrogate(samples).any()


def test_a_network_that_forgets_is_as_a_new_one_that_the_same_generator_draws():
    surrogate, samples = make(3), torch.rand(8, 3, generator=make_generator(1, "test"))
    new = surrogate(samples).detach()
    surrogate.fit(samples, torch.arange(8.0), torch.ones(8), 10)
    assert not torch.equal(surrogate(samples), new)
    surrogate.forget(make_generator(0, "test"))
    assert torch.equal(surrogate(samples), new)
    assert not surrogate.optimizer.state


def test_the_encoding_keeps_its_input_and_adds_waves():
    encoded = PositionalEncoding(2)(torch.tensor([[0.3, -1.0]]))
    x = torch.tensor([0.3, -1.0])
    assert torch.allclose(encoded[0], torch.cat([x, x.sin(), x.cos(), (2 * x).sin(), (2 * x).cos()]))


@pytest.mark.parametrize(("frequencies", "inputs"), [(0, 3), (6, 39)])
def test_the_first_layer_sees_what_is_encoded(frequencies, inputs):
    assert next(make(3, frequencies=frequencies).network.parameters()).shape == (16, inputs)


def test_input_scale_divides_what_the_surrogate_sees():
    one, four = (make(3, input_scale=scale) for scale in (1.0, 4.0))
    theta = torch.tensor([[0.4, -0.8, 1.2]])
    assert torch.allclose(one(theta / 4), four(theta))


def test_an_unknown_criterion_is_told():
    with pytest.raises(SettingError, match="criterion 'hubber' is unknown; did you mean 'huber'"):
        make(3, criterion="hubber")


def test_a_quadratic_that_memory_forbids_is_refused():
    with pytest.raises(SettingError, match="must be neural above 16,384 parameters, got quadratic for 20,000"):
        make(20_000, kind="quadratic")
