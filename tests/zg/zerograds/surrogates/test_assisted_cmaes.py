"""Surrogate-assisted CMA-ES: how many samples are rendered, when the model is believed, and what a run finds."""

import math

import pytest
import torch
from torch import Tensor

from tests.problems import Kinks, Noisy, Quadratic, Rastrigin, Steps
from zg.budget import Budget
from zg.problem import Problem
from zg.run.run import run
from zg.space import Block, ParameterSpace
from zg.task import Task
from zg.zerograds.method import ZeroGrads
from zg.zerograds.surrogates.assisted_cmaes import AssistedCMAES, AssistedCMAESSettings, kendall


def make(n: int, sigma: float = 0.1, **settings: object) -> AssistedCMAES:
    space = ParameterSpace(x=Block(torch.zeros(n)))
    return AssistedCMAES(Problem.of_space(space), space.init, sigma, AssistedCMAESSettings(**settings))


def renders_of(surrogate: AssistedCMAES, loss, renders: int) -> tuple[int, Tensor]:
    """Iterations that a number of renders is enough for, and all θ that were rendered."""
    iterations, asked = 0, []
    while sum(map(len, asked)) < renders:
        asked.append(surrogate.ask())
        losses = loss(asked[-1])
        surrogate.tell(asked[-1], losses, losses.isfinite())
        iterations += len(surrogate.state.samples) == 0
    return iterations, torch.cat(asked)


def bowl(theta: Tensor) -> Tensor:
    return (theta - 0.3).square() @ torch.logspace(0, 4, theta.shape[1], dtype=theta.dtype)


def test_most_samples_are_never_rendered_on_a_quadratic():
    surrogate = make(4)
    renders_of(surrogate, bowl, 60)  # the model has all its terms
    iterations, _ = renders_of(surrogate, bowl, 30)
    assert iterations * surrogate.state.schedule.population > 3 * 30
    assert bowl(surrogate.recommend()[None]).item() < 1e-9


def test_every_sample_is_rendered_where_the_model_explains_nothing():
    """The loss is a hash of θ: no model of past renders predicts the next one."""
    surrogate = make(4)
    population = surrogate.state.schedule.population

    def noise_of(theta: Tensor) -> Tensor:
        return (theta.sum(1) * 1e7).sin()

    iterations, _ = renders_of(surrogate, noise_of, 50 * population)
    assert iterations <= 1.3 * 50


def test_a_surrogate_that_is_never_believed_renders_every_sample_of_cma_es():
    surrogate = make(4, agreement=1.1, kept_promise=math.inf)
    iterations, _ = renders_of(surrogate, bowl, 20 * surrogate.state.schedule.population)
    assert iterations == 20, "one iteration for each 1 × λ renders"


def test_the_model_of_a_quadratic_predicts_its_loss_and_gradient_near_the_mean():
    surrogate = make(3)
    renders_of(surrogate, bowl, 80)
    near = surrogate.state.distribution.mean + 1e-3 * torch.randn(
        20, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    torch.testing.assert_close(surrogate.predict(near), bowl(near), rtol=1e-3, atol=1e-9)
    theta = near[0].requires_grad_()
    (slope,) = torch.autograd.grad(bowl(theta[None])[0], theta)
    torch.testing.assert_close(surrogate.gradient(theta.detach()), slope, rtol=1e-2, atol=1e-6)


def test_failed_renders_are_ranked_last_and_not_learned():
    surrogate = make(3)

    def half_fails(theta: Tensor) -> Tensor:
        return torch.where(theta[:, 0] < 0, math.inf, bowl(theta))

    renders_of(surrogate, half_fails, 300)
    assert surrogate.state.past_losses.isfinite().all()
    assert half_fails(surrogate.recommend()[None]).item() < 1e-6


def test_the_gaussian_stays_inside_the_box():
    space = ParameterSpace(x=Block(torch.full((2,), 0.5), low=0.0, high=1.0))
    surrogate = AssistedCMAES(Problem.of_space(space), space.init, 5.0)
    surrogate.tell(theta := surrogate.ask(), losses := bowl(theta), losses.isfinite())
    widths = surrogate.state.distribution.sigma * surrogate.state.distribution.coordinate_widths()
    box = surrogate.problem.high - surrogate.problem.low
    assert (widths <= surrogate.settings.width_in_box * box * (1 + 1e-9)).all()


def test_a_shape_that_is_taken_over_is_that_of_the_valley():
    surrogate = make(2)
    H = torch.tensor([[100.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    surrogate.take_shape(0.01, H)
    widths = surrogate.state.distribution.coordinate_widths()
    assert float(widths[1] / widths[0]) == pytest.approx(10.0)


def test_kendalls_tau_counts_pairs_in_order():
    a = torch.tensor([1.0, 2.0, 3.0])
    assert kendall(a, a) == 1.0 and kendall(a, -a) == -1.0
    assert kendall(a, torch.tensor([1.0, 3.0, 2.0])) == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("task", "renders", "target"),
    [
        (Quadratic(6, condition=1e4), 400, 1e-8),
        (Kinks(4), 2000, 1e-3),
        (Steps(), 3000, 1e-3),
        (Rastrigin(2), 4000, 1.0),
        (Noisy(4), 2000, 0.12),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, float | int) else str(value),
)
def test_a_run_ends_near_the_minimum(task, renders, target):
    result = run(task, ZeroGrads(surrogate="assisted_cmaes", sigma=0.1), Budget(renders), seed=1)
    assert result.loss < target


class Fittings(Task):
    """Two reals, an integer and a choice of four, each of which has its own best reals."""

    def build(self) -> None:
        self.space = ParameterSpace(
            place=Block([0.5, 0.5], low=0.0, high=1.0),
            count=Block(3, low=1, high=12, kind="integer"),
            wood=Block("oak", choices=["oak", "ash", "elm", "fir"]),
        )
        self.best = torch.tensor([[0.2, 0.3], [0.7, 0.2], [0.3, 0.8], [0.8, 0.7]], dtype=torch.float64)
        self.floor = torch.tensor([0.6, 0.4, 0.0, 0.8], dtype=torch.float64)

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        parts = self.space.split(x)
        wood = parts["wood"].argmax(-1).reshape(len(x))
        place = (parts["place"] - self.best[wood]).square().sum(1)
        return place + self.floor[wood] + 0.01 * (parts["count"].reshape(len(x)) - 9).square()


def test_a_choice_an_integer_and_reals_are_found_together_in_150_renders():
    losses = [run(Fittings(), ZeroGrads(), Budget(150), seed=seed).loss for seed in range(5)]
    assert max(losses) < 1e-6
