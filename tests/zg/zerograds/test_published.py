"""Each option of the published algorithm does what it says: known answers, one iteration at a time."""

import math
from pathlib import Path

import pytest
import torch

from tests.problems import Quadratic
from zg.config.build import instantiate, parse
from zg.config.compose import compose, read_yaml
from zg.errors import SettingError
from zg.objective import Evaluation, Objective
from zg.seeding import make_generator
from zg.zerograds.published import PaperZeroGrads
from zg.zerograds.surrogates.paper_surrogates import PaperSurrogate, PositionalEncoding


def started(n=3, scale=1.0, **settings):
    task = Quadratic(n)
    task.setup()
    task.space.scale *= scale
    method = PaperZeroGrads(**settings)
    method.objective = Objective(task, 10**6)
    method.start(task.space)
    return method


def told(method, losses=None):
    asked = method.ask()
    losses = asked.square().sum(1) if losses is None else losses
    method.tell(asked, Evaluation(losses, losses.isfinite()))
    return asked


@pytest.mark.parametrize(("antithetic", "renders"), [(True, 21), (False, 11)])
def test_antithetic_draws_come_twice_once_negated(antithetic, renders):
    method = started(antithetic=antithetic, inner_sigma=0)
    offsets = method.ask()[:-1] - method.theta.detach()
    assert len(offsets) + 1 == renders
    assert torch.equal(offsets[:10], -offsets[10:]) if antithetic else float(offsets.sum(0).abs().max()) > 1e-3


@pytest.mark.parametrize("inner_sigma", [0.0, 0.1, 0.5])
def test_smoothing_renders_beside_the_samples(inner_sigma):
    method = started(batch=4000, sigma=0.2, inner_sigma=inner_sigma)
    rendered = method.ask()
    beside = rendered[:-1] - method.samples
    assert float(beside.std()) == pytest.approx(inner_sigma * 0.2, rel=0.03, abs=1e-12)
    assert float((method.samples - method.theta.detach()).std()) == pytest.approx(0.2, rel=0.03)
    assert torch.equal(rendered[-1], method.theta.detach())


@pytest.mark.parametrize(("k_theta", "k_phi"), [(1, 3), (4, 10)])
def test_inner_steps_are_counted(k_theta, k_phi):
    method = started(k_theta=k_theta, k_phi=k_phi)
    told(method)
    assert int(method.optimizer_theta.state[method.theta]["step"]) == k_theta
    parameter = next(method.surrogate.parameters())
    assert int(method.surrogate.optimizer.state[parameter]["step"]) == k_phi


def test_theta_steps_before_the_surrogate_has_seen_the_samples_or_after():
    """The gradients agree only with the surrogate of the right moment."""
    moved = {}
    for order in ("theta_first", "phi_first"):
        method = started(order=order, lr_phi=0.1)
        before = method.surrogate.gradient(method.theta.detach()).clone()
        told(method, torch.linspace(5, 9, 21, dtype=torch.float64))
        moved[order] = torch.equal(method.theta.grad, before)
    assert moved == {"theta_first": True, "phi_first": False}


def test_log_space_is_fitted_and_undone():
    settings = {"hidden": 16, "layers": 2, "frequencies": 0, "input_scale": 1.0, "criterion": "mse", "lr": 1e-2}
    surrogate = PaperSurrogate(2, "neural", log_space=True, generator=make_generator(0, "test"), **settings)
    samples = torch.rand(64, 2, generator=make_generator(1, "test"))
    losses = torch.full((64,), 999.0)
    surrogate.fit(samples, losses, torch.ones(64), 400)
    assert float(surrogate.network(samples).mean()) == pytest.approx(math.log(1000), rel=0.02)
    assert float(surrogate(samples).mean()) == pytest.approx(999, rel=0.15)


@pytest.mark.parametrize(("criterion", "centre"), [("mse", 25.0), ("l1", 0.0)])
def test_the_criterion_decides_what_an_outlier_weighs(criterion, centre):
    """Three losses of 0 and one of 100 at the same place: mean 25, median 0."""
    settings = {"hidden": 16, "layers": 1, "frequencies": 0, "input_scale": 1.0, "log_space": False, "lr": 1e-2}
    surrogate = PaperSurrogate(1, "neural", criterion=criterion, generator=make_generator(0, "test"), **settings)
    samples = torch.zeros(4, 1)
    surrogate.fit(samples, torch.tensor([0.0, 0.0, 0.0, 100.0]), torch.ones(4), 3000)
    assert float(surrogate(samples)[0].detach()) == pytest.approx(centre, abs=1.0)


def test_the_quadratic_surrogate_learns_a_quadratic():
    """QP on Σ i xᵢ² + x₀ - 2: its gradient at a point that it has not seen is the true one."""
    surrogate = started(surrogate="quadratic", lr_phi=1e-2).surrogate
    samples = torch.randn(256, 3, generator=make_generator(0, "test"))
    weights = torch.tensor([1.0, 2.0, 3.0])
    surrogate.fit(samples, samples.square() @ weights + samples[:, 0] - 2, torch.ones(256), 2000)
    point = torch.tensor([0.4, -0.8, 1.2])
    assert torch.allclose(surrogate.gradient(point), 2 * weights * point + torch.tensor([1.0, 0, 0]), atol=1e-2)
    surrogate.forget(make_generator(0, "test"))
    assert not surrogate(samples).any()


def test_the_quadratic_surrogate_drives_theta():
    """From 0 to (1, 1, 1), where the loss is lowest."""
    method = started(surrogate="quadratic", lr_theta=0.05, lr_phi=0.05)
    for _ in range(200):
        losses = (method.ask() - 1).square().sum(1)
        method.tell(method.samples, Evaluation(losses, losses.isfinite()))
    assert float((method.recommend() - 1).square().sum()) < 1e-3


def test_a_quadratic_surrogate_that_memory_forbids_is_refused():
    with pytest.raises(SettingError, match="must be neural above 16,384 parameters, got quadratic for 20,000"):
        started(20_000, surrogate="quadratic")
    with pytest.raises(SettingError, match="surrogate must be neural or quadratic, got 'cubic'"):
        PaperZeroGrads(surrogate="cubic")


def test_the_encoding_keeps_its_input_and_adds_waves():
    encoded = PositionalEncoding(2)(torch.tensor([[0.3, -1.0]]))
    x = torch.tensor([0.3, -1.0])
    assert torch.allclose(encoded[0], torch.cat([x, x.sin(), x.cos(), (2 * x).sin(), (2 * x).cos()]))
    for frequencies, inputs in ((0, 3), (6, 39)):
        first = next(started(frequencies=frequencies).surrogate.network.parameters())
        assert first.shape[1] == inputs


def test_input_scale_divides_what_the_surrogate_sees():
    one, four = (started(input_scale=scale).surrogate for scale in (1.0, 4.0))
    theta = torch.tensor([[0.4, -0.8, 1.2]])
    assert torch.allclose(one(theta / 4), four(theta))


def test_steps_and_sigma_are_in_the_users_units():
    near, far = (started(scale=scale, inner_sigma=0) for scale in (1.0, 8.0))
    spread = [float((m.ask()[:-1] * m.space.scale - m.theta.detach()).std()) for m in (near, far)]
    assert spread[0] == pytest.approx(spread[1], rel=0.3)


def test_the_best_centre_is_recommended():
    method = started()
    start = method.theta.detach().clone()
    losses = torch.ones(21, dtype=torch.float64)
    told(method, losses)
    assert not torch.equal(method.theta.detach(), start)
    losses[-1] = 2.0
    told(method, losses)
    assert torch.equal(method.recommend(), start)


def test_an_unknown_criterion_is_told():
    with pytest.raises(SettingError, match="criterion 'hubber' is unknown; did you mean 'huber'"):
        started(criterion="hubber")


@pytest.mark.parametrize("name", ["toy", "rosenbrock", "texture", "caustic", "mlp"])
def test_published_settings_are_there(name):
    """σ, batch, learning rates, inner steps and renders, as in the table of the published experiments."""
    published = {
        "toy": (0.33, 10, 1e-3, 5e-4, 3, 3, 6000),
        "rosenbrock": (0.33, 4, 1e-3, 5e-4, 3, 1, 10_000),
        "caustic": (0.0125, 10, 1e-4, 1e-4, 3, 1, 100_000),
        "mlp": (0.025, 10, 1e-4, 1.25e-5, 10, 4, 5000),
        "texture": (0.025, 20, 1e-4, 1e-5, 3, 1, 100_000),
    }
    config = compose(read_yaml(Path(__file__).parents[2] / "configs" / "paper" / f"{name}.yaml"))
    method = instantiate("model", parse(config)["model"])
    sigma, batch, lr_phi, lr_theta, k_phi, k_theta, iterations = published[name]
    assert (method.sigma, method.batch, method.lr_phi, method.lr_theta) == (sigma, batch, lr_phi, lr_theta)
    assert (method.k_phi, method.k_theta, method.order, method.antithetic) == (k_phi, k_theta, "theta_first", True)
    assert config["max_renders"] == iterations * (2 * batch + 1)
