"""Each option of the published algorithm does what it says: known answers, one iteration at a time."""

import copy
from dataclasses import asdict, replace
from itertools import islice

import pytest
import torch

from tests.zg.zerograds.plain_published import Plain
from zg.config.build import instantiate, parse
from zg.config.compose import compose, read_yaml
from zg.config.registry import CONFIGS
from zg.errors import SettingError
from zg.ledger import Evaluation, Ledger
from zg.problem import Problem
from zg.seeding import make_generator
from zg.space import Block, ParameterSpace
from zg.zerograds.published import PaperZeroGrads


def started(n=3, scale=1.0, max_renders=10**6, **settings):
    """The method, built for n parameters from 0."""
    space = ParameterSpace(x=Block(torch.zeros(n), scale=scale))
    method = PaperZeroGrads(**settings)
    method.start(Problem.of_space(space, seed=0, max_renders=max_renders), Ledger(max_renders, space.init.clone()))
    return method


def told(method, losses=None):
    """One iteration, on Σ θ² or with the losses given; what was asked."""
    asked = method.ask()
    losses = asked.square().sum(1) if losses is None else losses
    method.tell(asked[: len(losses)], Evaluation(losses, losses.isfinite()))
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
    assert int(method.adam_theta.state[method.theta]["step"]) == k_theta
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


def test_the_quadratic_surrogate_drives_theta():
    """From 0 to (1, 1, 1), where the loss is lowest."""
    method = started(surrogate="quadratic", lr_theta=0.05, lr_phi=0.05)
    for _ in range(200):
        asked = method.ask()
        losses = (asked - 1).square().sum(1)
        method.tell(asked, Evaluation(losses, losses.isfinite()))
    assert float((method.recommend() - 1).square().sum()) < 1e-3


def test_a_quadratic_surrogate_that_memory_forbids_is_refused():
    with pytest.raises(SettingError, match="must be neural above 16,384 parameters, got quadratic for 20,000"):
        started(20_000, surrogate="quadratic")
    with pytest.raises(SettingError, match="surrogate must be neural or quadratic, got 'cubic'"):
        PaperZeroGrads(surrogate="cubic")


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


PLAIN = Plain(
    sigma=0.1,
    batch=4,
    inner_sigma=0.1,
    lr_theta=0.01,
    lr_phi=1e-3,
    k_theta=2,
    k_phi=5,
    hidden=24,
    layers=4,
    frequencies=3,
)


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"criterion": "scale_independent"},
        {"frequencies": 0, "layers": 2, "inner_sigma": 0.0},
        {"k_theta": 1, "k_phi": 1, "batch": 1, "lr_phi": 0.01},
    ],
)
def test_the_trajectory_is_that_of_the_algorithm_written_down_line_by_line(changed):
    """Within rounding, which a division by small losses magnifies."""
    plain, n = replace(PLAIN, **changed), 30
    method = started(n, single=True, **asdict(plain))
    expected = plain.steps(lambda x: (x - 0.5).square().mean(1), torch.zeros(n), make_generator(0, "method"))
    for theta in islice(expected, 40):
        asked = method.ask()
        losses = (asked * method.space.scale - 0.5).square().mean(1)
        method.tell(asked, Evaluation(losses, losses.isfinite()))
        assert method.theta.dtype == torch.float32
        assert float((method.theta.detach() - theta).norm()) <= 1e-5 * float(theta.norm())
    assert torch.equal(method.last().float(), method.theta.detach())


def test_theta_has_the_precision_of_the_task_unless_it_is_to_be_single():
    assert started().theta.dtype == torch.float64
    method = started(single=True)
    told(method)
    assert method.theta.dtype == method.samples.dtype == torch.float32


def test_an_unknown_criterion_is_told():
    with pytest.raises(SettingError, match="criterion 'hubber' is unknown; did you mean 'huber'"):
        started(criterion="hubber")
    with pytest.raises(SettingError, match="criterion must be mse, l1 or huber for a quadratic"):
        started(criterion="scale_independent", surrogate="quadratic")


def test_failed_samples_are_left_out_of_the_fit():
    method = started()
    losses = torch.where(torch.arange(21) % 2 == 0, torch.nan, 7.0).double()
    for _ in range(3):
        told(method, losses)
    assert method.theta.isfinite().all() and method.predict(method.theta.detach()[None]).isfinite().all()


def test_an_iteration_without_a_valid_sample_moves_theta_and_leaves_the_surrogate():
    method = started()
    told(method)
    before, theta = copy.deepcopy(method.surrogate.state_dict()), method.theta.detach().clone()
    told(method, torch.full((21,), torch.nan).double())
    assert not torch.equal(method.theta.detach(), theta)
    assert all(torch.equal(value, before[name]) for name, value in method.surrogate.state_dict().items())


@pytest.mark.parametrize("renders", [5, 20])
def test_a_batch_that_the_budget_cut_is_fitted_and_has_no_centre(renders):
    method = started()
    told(method, torch.ones(renders, dtype=torch.float64))
    assert method.best_loss == torch.inf
    assert method.status()["fit_error"] > 0


@pytest.mark.parametrize("settings", [{}, {"memory": False}, {"surrogate": "quadratic", "order": "phi_first"}])
def test_killed_and_resumed_goes_on_with_the_same_bits(settings, tmp_path):
    whole = started(lr_theta=0.02, **settings)
    for _ in range(3):
        told(whole)
    torch.save({"method": whole.state(), "random": whole.generator.get_state()}, tmp_path / "state")
    expected = [told(whole) for _ in range(5)]

    saved = torch.load(tmp_path / "state", weights_only=True)
    resumed = started(lr_theta=0.02, **settings)
    resumed.load_state(saved["method"])
    resumed.generator.set_state(saved["random"])
    assert all(torch.equal(told(resumed), asked) for asked in expected)
    assert torch.equal(resumed.recommend(), whole.recommend())
    assert resumed.status() == whole.status()


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
    config = compose(read_yaml(CONFIGS / "paper" / f"{name}.yaml"))
    method = instantiate("model", parse(config)["model"])
    sigma, batch, lr_phi, lr_theta, k_phi, k_theta, iterations = published[name]
    settings = method.settings
    assert (settings.sigma, settings.batch, settings.lr_theta) == (sigma, batch, lr_theta)
    assert (method.model.lr, settings.k_phi, settings.k_theta) == (lr_phi, k_phi, k_theta)
    assert settings.theta_first and settings.antithetic
    assert config["max_renders"] == iterations * (2 * batch + 1)
