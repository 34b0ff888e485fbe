"""CMA-ES with coordinate widths: what ranks are blind to, restarts, integers, and what a run finds."""

import copy
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.problems import Kinks, Quadratic, Rastrigin, Sphere
from zg.budget import Budget
from zg.problem import Problem
from zg.run.run import run
from zg.space import Block, ParameterSpace
from zg.task import Task
from zg.zerograds.method import ZeroGrads
from zg.zerograds.parts.cma_rates import default_population, strategy_parameters
from zg.zerograds.surrogates.dd_cmaes import DDCMAES, DDCMAESSettings


class Weave(Task):
    """Stakes across and down a disc: two integers and a radius, against a picture. Others look much the same."""

    def build(self) -> None:
        draw = torch.rand(3, generator=self.generator("start"), dtype=torch.float64)
        self.space = ParameterSpace(
            stakes=Block((8 + 20 * draw[:2]).round(), low=4, high=40, kind="integer"),
            radius=Block(0.3 + 0.6 * draw[2:], low=0.2, high=1.0),
        )
        line = (torch.arange(64) + 0.5) / 32 - 1
        self.down, self.across = torch.meshgrid(line, line, indexing="ij")
        self.solution = torch.tensor([17.0, 23.0, 0.6], dtype=torch.float64)
        self.set_reference(self.render(self.solution[None])[0])

    def render(self, x, *seeds):
        down, across, radius = (x[:, k, None, None].float() for k in range(3))
        upright = ((torch.asin((self.across / radius).clamp(-1, 1)) + math.pi / 2) * down).cos() > 0.3
        lying = ((self.down + 1) * across * math.pi / 2).cos() > 0.3
        image = torch.where(upright, 0.9, torch.where(lying, 0.5, 0.15))
        return torch.where(self.across.abs() < radius, image, 0.0)[:, None]


def make(space: ParameterSpace, noisy: bool = False, sigma: float = 0.05, **settings: object) -> DDCMAES:
    return DDCMAES(Problem.of_space(space, noisy=noisy), space.init, sigma, DDCMAESSettings(**settings))


def iterate(surrogate: DDCMAES, loss, batches: int) -> Tensor:
    """The samples of `batches` iterations, whose losses are `loss` of x [B, n]."""
    asked = []
    for _ in range(batches):
        asked.append(surrogate.ask())
        losses = loss(surrogate.problem.space.to_user(asked[-1]))
        surrogate.tell(asked[-1], losses, losses.isfinite())
    return torch.cat(asked)


def descend(transform, batches=40):
    """The samples of `batches` iterations on a quadratic whose losses went through `transform`."""
    task = Quadratic(4, condition=10.0)
    task.setup()
    surrogate = make(task.space)
    return iterate(surrogate, lambda x: transform(task.render(x)), batches), surrogate, task


def test_the_rates_are_the_published_ones():
    """For n = 10 and λ = 10: μ_w of Hansen (2016), and c₁ = 1 / (2 (m/n + 1) (n + 1)^¾ + μ_w / 2)."""
    rates = strategy_parameters(10, default_population(10))
    positive = rates.weights.clamp_min(0)
    assert float(positive.sum()) == pytest.approx(1) and float(rates.weights.sum()) == pytest.approx(0, abs=1e-12)
    assert rates.mu_eff == pytest.approx(float(1 / positive.square().sum())) == pytest.approx(3.167, abs=1e-3)
    assert rates.D.rank_one == pytest.approx(1 / (4 * 11**0.75 + rates.mu_eff / 2))
    assert rates.C.rank_one == pytest.approx(1 / (13 * 11**0.75 + rates.mu_eff / 2))
    assert rates.C.rank_one + rates.C.rank_mu < 1


def test_only_the_order_of_losses_counts():
    plain, _, _ = descend(lambda losses: losses)
    assert torch.equal(plain, descend(lambda losses: losses.log())[0])
    assert torch.equal(plain, descend(lambda losses: 1e6 * losses**3 - 5)[0])


def test_the_gradient_of_the_model_points_like_that_of_a_quadratic():
    """On a quadratic the covariance becomes the inverse curvature."""
    _, surrogate, task = descend(lambda losses: losses, batches=120)
    distribution = surrogate.state.distribution
    theta = distribution.mean + 3 * distribution.sigma
    cosine = torch.cosine_similarity(surrogate.gradient(theta), task.true_gradient(theta), dim=0)
    assert float(cosine) > 0.9


def test_the_start_is_rendered_and_nothing_worse_is_recommended():
    _, surrogate, task = descend(lambda losses: losses, batches=1)
    assert float(task.render(surrogate.recommend()[None])) <= float(task.render(task.space.init[None]))


def test_sigma_doubles_on_a_plateau_and_halves_where_every_render_fails():
    surrogate = make(ParameterSpace(x=Block(torch.zeros(3))))
    iterate(surrogate, lambda x: torch.ones(len(x)), 1)
    assert surrogate.sigma == pytest.approx(0.1)
    iterate(surrogate, lambda x: torch.full((len(x),), math.nan), 2)
    assert surrogate.sigma == pytest.approx(0.025)


def starts(depth: float) -> list[tuple[float, int]]:
    """First σ and λ of each start in a bowl of loss 1 at 0, beside another that is 1.5 away and lower by `depth`."""

    def loss(x: Tensor) -> Tensor:
        other = (x - torch.tensor([1.5, 0.0])).square().sum(1) - depth
        return torch.minimum(x.square().sum(1), other) + 1

    surrogate, found = make(ParameterSpace(x=Block(torch.full((2,), 0.1)))), []
    for _ in range(800):
        iterate(surrogate, loss, 1)
        schedule = surrogate.state.schedule
        if (schedule.start_sigma, schedule.population) not in found:
            found.append((schedule.start_sigma, schedule.population))
    return found


def test_each_restart_is_three_times_wider_until_a_hundred_times_the_first_sigma():
    sigmas = [sigma for sigma, _ in starts(depth=0.0)]
    assert sigmas[:6] == pytest.approx([0.05, 0.15, 0.45, 1.35, 4.05, 5.0])


def test_a_restart_takes_twice_the_samples_after_one_that_found_something_lower_or_at_the_largest_sigma():
    nothing, lower = starts(depth=0.0), starts(depth=0.5)
    assert [population for sigma, population in nothing if sigma < 5] == [6] * 5
    assert [population for sigma, population in nothing if sigma == 5][:3] == [6, 12, 24]
    assert next(population for sigma, population in lower if sigma == 5) == 12


def test_under_noise_the_samples_double_and_the_mean_is_recommended():
    surrogate = make(ParameterSpace(x=Block(torch.ones(2))), noisy=True)
    draw, populations = torch.Generator().manual_seed(3), []
    for _ in range(120):
        iterate(surrogate, lambda x: x.square().sum(1) + torch.randn(len(x), generator=draw), 1)
        populations.append(surrogate.state.schedule.population)
    assert sorted({*populations})[:3] == [6, 12, 24] and populations == sorted(populations)
    assert surrogate.state.schedule.start_sigma == 0.05
    assert surrogate.recommend() is surrogate.state.distribution.mean


def test_without_restarts_one_gaussian_goes_on():
    surrogate = make(ParameterSpace(x=Block(torch.ones(2))), restarts=False)
    iterate(surrogate, lambda x: x.square().sum(1) + 1, 400)
    assert surrogate.state.schedule.start_sigma == 0.05 and surrogate.sigma < 1e-6


def test_without_a_learned_shape_the_gaussian_stays_round():
    surrogate = make(ParameterSpace(x=Block(torch.ones(2))), learns_shape=False)
    iterate(surrogate, lambda x: x[:, 0].square() + 100 * x[:, 1].square(), 50)
    assert torch.equal(surrogate.state.distribution.coordinate_widths(), torch.ones(2))


def test_neighbours_of_the_best_change_one_integer_and_none_is_tried_twice():
    surrogate = make(ParameterSpace(x=Block(torch.zeros(2)), count=Block([5, 5, 5], low=1, high=9, kind="integer")))
    tried, start, population = [], surrogate.theta, surrogate.state.schedule.population
    for iteration in range(20):
        asked = surrogate.ask()
        changes = 8 * (asked[population:] - start)
        assert (changes[:, :2] == 0).all() and ((changes[:, 2:].abs() > 0.5).sum(1) == 1).all()
        if iteration > 0:  # until the start has a loss there is no best θ
            tried += [tuple(row) for row in changes.round().tolist()]
        losses = torch.linspace(1, 2, len(asked), dtype=torch.float64)
        losses[0] = 1.0 if iteration else 0.0  # the first of all is the start
        surrogate.tell(asked, losses, losses.isfinite())
    assert len(tried) == len(set(tried)) == 24  # all 3 · 8 of them


def test_integers_stay_as_wide_as_a_step_and_as_narrow_as_the_box_however_long_it_goes_on():
    surrogate = make(ParameterSpace(count=Block([5, 5, 5, 5], low=1, high=9, kind="integer")), restarts=False)
    iterate(surrogate, lambda x: 1 + (x[:, :3] - 2).square().sum(1), 400)  # the last one does not matter
    d = surrogate.state.distribution
    steps = 8 * d.sigma * d.coordinate_widths()
    assert (steps >= 0.299).all() and (steps <= 2.401).all()
    assert 0.03 < surrogate.sigma < 0.3


def test_as_many_neighbours_as_samples_are_tried_once_the_integers_are_as_narrow_as_they_may_be():
    space = ParameterSpace(count=Block([50.0] * 12, low=1, high=99, kind="integer"))
    wide, narrow = make(space, sigma=0.05), make(space, sigma=0.001)
    for surrogate in (wide, narrow):
        asked = surrogate.ask()
        surrogate.tell(asked, torch.arange(len(asked), dtype=torch.float64), torch.ones(len(asked), dtype=torch.bool))
    population = narrow.state.schedule.population
    assert len(wide.ask()) == math.ceil(1.25 * population) and len(narrow.ask()) == 2 * population


@pytest.mark.parametrize("noisy", [False, True])
def test_killed_and_resumed_goes_on_with_the_same_bits(noisy: bool, tmp_path: Path):
    """Through restarts, in another object that was made elsewhere and with another σ."""
    task = Sphere()
    task.setup()
    loss = lambda x: (x - task.solution).square().sum(1).round(decimals=2)  # noqa: E731
    whole = make(task.space, noisy)
    iterate(whole, loss, 90)
    saved = {"surrogate": copy.deepcopy(whole.state_dict()), "random": whole.problem.generator.get_state()}
    torch.save(saved, tmp_path / "state")
    expected = iterate(whole, loss, 60)

    saved = torch.load(tmp_path / "state", weights_only=True)
    resumed = make(task.space, noisy, sigma=1.0)
    resumed.load_state_dict(saved["surrogate"])
    resumed.problem.generator.set_state(saved["random"])
    assert torch.equal(iterate(resumed, loss, 60), expected)
    assert torch.equal(resumed.predict(expected[:5]), whole.predict(expected[:5]))
    assert (resumed.sigma, resumed.status()) == (whole.sigma, whole.status())
    assert whole.state.schedule.population > 9 or whole.state.schedule.start_sigma > 0.05


@pytest.mark.parametrize("sigma", [0.005, 0.05, 0.5])
def test_a_loss_with_kinks_is_solved_in_4000_renders_from_any_sigma(sigma):
    result = run(Kinks(10), ZeroGrads(sigma=sigma, surrogate="dd_cmaes"), Budget(4000, target_loss=1e-4))
    assert result.stop_reason == "target"


class Uneven(Kinks):
    """Kinks whose scales differ by 10,000."""

    def render(self, x, *seeds):
        return ((x - 0.5).abs() * torch.logspace(0, 4, self.n, dtype=torch.float64)).sum(1)


def test_each_coordinate_gets_a_width_of_its_own():
    method = ZeroGrads(surrogate="dd_cmaes")
    result = run(Uneven(10), method, Budget(4000))
    assert result.loss < 1e-4 * result.row["init_loss"]
    widths = method.surrogate.state.distribution.coordinate_widths()
    assert float(widths[0] / widths[-1]) > 100


def test_restarts_use_the_rest_of_the_budget_to_find_a_lower_minimum():
    """At the minimum nearest to the start the loss is 20 to 60."""
    losses = sorted(run(Rastrigin(), ZeroGrads(), Budget(6000), seed=seed).loss for seed in range(3))
    assert losses[1] < 2


@pytest.mark.parametrize("seed", [1, 3])
def test_ripples_are_crossed_with_a_sigma_that_stays_large(seed):
    result = run(Rastrigin(20), ZeroGrads(), Budget(20000), seed=seed)
    assert result.loss < 0.1 * result.row["init_loss"]


@pytest.mark.slow  # nine runs; the two above are their quick relatives
@pytest.mark.parametrize("sigma, share", [(0.005, 0.25), (0.05, 0.06), (0.5, 0.06)])
def test_ripples_are_crossed_from_any_first_sigma(sigma, share):
    """σ stays large while the best sample is luck, and where nothing lower was found it restarts with a larger σ."""
    runs = [run(Rastrigin(20), ZeroGrads(sigma=sigma), Budget(20000), seed=seed) for seed in range(3)]
    assert sorted(result.loss / result.row["init_loss"] for result in runs)[1] < share


def test_integers_are_found_exactly():
    right = 0
    for seed in range(5):
        task = Weave()
        found = run(task, ZeroGrads(), Budget(2000), seed=seed).theta
        right += torch.equal(found[:2], task.solution[:2])
    assert right >= 4


def test_integers_binaries_and_reals_are_found_together():
    task = Sphere()
    found = run(task, ZeroGrads(), Budget(1500)).theta
    assert torch.equal(found[3:], task.solution[3:])
    assert torch.allclose(found[:3], task.solution[:3], atol=5e-3)
    assert task.violations() == 0
