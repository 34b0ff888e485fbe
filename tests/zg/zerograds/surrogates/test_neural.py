"""The neural surrogate: what it asks for, when σ grows and shrinks, when a step is taken back, and a resumed run."""

import copy
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from zg.problem import Problem
from zg.space import Block, ParameterSpace
from zg.zerograds.surrogates.neural import Neural, NeuralSettings

SIGMA = 0.05


def make(n: int = 4, seed: int = 0, high: float | None = None, **settings: object) -> Neural:
    """From 0, where the bowl is at 0.5."""
    space = ParameterSpace(x=Block(torch.zeros(n), high=high))
    problem = Problem.of_space(space, seed=seed, noisy=False)
    return Neural(problem, space.init, SIGMA, NeuralSettings(**settings))


def bowl(theta: Tensor) -> Tensor:
    """Σ (θ − 0.5)²."""
    return (theta - 0.5).square().sum(1)


def iterate(surrogate: Neural, loss: Callable[[Tensor], Tensor] = bowl, iterations: int = 1) -> list[Tensor]:
    """What is asked in these iterations."""
    asked = []
    for _ in range(iterations):
        asked.append(surrogate.ask())
        losses = loss(asked[-1]).double()
        surrogate.tell(asked[-1], losses, losses.isfinite())
    return asked


def judge(surrogate: Neural, *at_theta: float) -> float:
    """σ after an iteration over σ before, if these are the losses at θ."""
    before, asked = surrogate.sigma, surrogate.ask()
    losses = bowl(asked).double()
    losses[: len(at_theta)] = torch.tensor(at_theta)
    surrogate.tell(asked, losses, losses.isfinite())
    return surrogate.sigma / before


@pytest.mark.parametrize(("n", "pairs"), [(1, 2), (6, 7), (40, 10)])
def test_theta_is_asked_for_and_as_many_antithetic_pairs_as_suit_n(n, pairs):
    surrogate = make(n)
    asked = surrogate.ask()
    assert asked.shape == (2 + 2 * pairs, n)
    assert torch.equal(asked[:2], surrogate.theta.expand(2, -1))
    offsets = asked[2:] - surrogate.theta
    assert torch.allclose(offsets[:pairs], -offsets[pairs:])


def test_samples_have_the_standard_deviation_sigma_about_theta():
    surrogate = make(100, pairs=100)
    assert float((surrogate.ask()[2:] - surrogate.theta).std()) == pytest.approx(SIGMA, rel=0.02)


def test_theta_is_rendered_once_an_iteration_after_two_equal_losses():
    surrogate = make(pairs=3)
    assert [len(asked) for asked in iterate(surrogate, iterations=3)] == [8, 7, 7]
    assert surrogate.status()["noise"] == 0


def test_theta_is_rendered_twice_for_as_long_as_its_losses_differ():
    surrogate = make(pairs=3)
    asked = iterate(surrogate, lambda theta: bowl(theta) + 0.01 * (torch.arange(len(theta)) % 2), iterations=4)
    assert [len(batch) for batch in asked] == [8, 8, 8, 8]
    assert surrogate.status()["noise"] == pytest.approx(0.01 / math.sqrt(2))


@pytest.mark.parametrize(
    ("part", "factor"),
    [(1.0, 1.2), (0.6, 1.2), (0.3, 1.0), (0.05, 0.7), (-1.0, 0.7)],
    ids=["as predicted", "most of it", "a part of it", "hardly any", "the loss rises"],
)
def test_sigma_follows_the_decrease_that_is_seen_over_the_one_that_was_predicted(part, factor):
    surrogate = make()
    iterate(surrogate)
    state = surrogate.state
    assert state.predicted_decrease > 0
    assert judge(surrogate, state.loss - part * state.predicted_decrease) == pytest.approx(factor)


def test_sigma_grows_while_noise_hides_the_decrease():
    surrogate = make()
    iterate(surrogate)
    state = surrogate.state
    state.noise = 2 * state.predicted_decrease
    assert judge(surrogate, state.loss, state.loss) == pytest.approx(1.2)


def test_the_noise_follows_slowly_what_two_losses_of_theta_show():
    surrogate = make()
    judge(surrogate, 1.0, 3.0)
    assert surrogate.state.noise == pytest.approx(math.sqrt(2))
    judge(surrogate, 1.0, 1.0)
    assert surrogate.state.noise == pytest.approx(math.sqrt(0.9 * 2))


def test_a_step_that_raises_the_loss_is_taken_back():
    surrogate = make()
    start = surrogate.theta
    iterate(surrogate)
    assert not torch.equal(surrogate.theta, start)
    judge(surrogate, surrogate.state.loss + 1)
    assert torch.equal(surrogate.recommend(), start)


def test_a_rise_within_the_noise_is_accepted():
    surrogate = make()
    judge(surrogate, 1.0, 1.5)
    stepped = surrogate.theta
    judge(surrogate, 1.6, 1.7)
    assert torch.equal(surrogate.recommend(), stepped)


def test_a_failed_render_of_theta_takes_the_step_back_and_narrows_sigma():
    surrogate = make()
    start = surrogate.theta
    iterate(surrogate)
    assert judge(surrogate, math.nan) == pytest.approx(0.7)
    assert torch.equal(surrogate.recommend(), start)


def test_on_a_plateau_sigma_doubles_and_theta_stays():
    surrogate = make()
    start = surrogate.theta
    iterate(surrogate, lambda theta: torch.ones(len(theta)), iterations=3)
    assert surrogate.sigma == SIGMA * 2**3
    assert torch.equal(surrogate.theta, start)


def test_a_sigma_that_rounding_drowns_restarts_twice_as_wide_each_time():
    surrogate = make()
    restarts = []
    for _ in range(2):
        iterate(surrogate)
        surrogate.state.sigma = 1e-9
        restarts.append(judge(surrogate, surrogate.state.loss - 0.3 * surrogate.state.predicted_decrease) * 1e-9)
    assert restarts == pytest.approx([2 * SIGMA, 4 * SIGMA])
    assert not surrogate.converged


def test_a_step_stays_inside_the_ball_that_the_samples_fill():
    surrogate = make(n=9)
    steps = []
    for _ in range(20):
        iterate(surrogate)
        steps.append(surrogate.status()["step"] / (surrogate.sigma * math.sqrt(9)))
    assert 0.9 < max(steps) <= 1 + 1e-9


def test_a_step_stays_inside_the_bounds():
    surrogate = make(high=0.1)
    iterate(surrogate, iterations=10)
    assert torch.allclose(surrogate.recommend(), torch.full((4,), 0.1).double())


def test_the_memory_holds_the_last_samples_of_the_window():
    surrogate = make(pairs=5, window=25)
    asked = iterate(surrogate, iterations=4)
    assert torch.equal(surrogate.state.samples, torch.cat([batch[-11:] for batch in asked])[-25:])
    assert torch.equal(surrogate.state.losses, bowl(surrogate.state.samples))


def test_failed_samples_are_left_out_of_the_fit():
    surrogate = make()
    iterate(surrogate, lambda theta: torch.where(torch.arange(len(theta)) > 4, torch.nan, bowl(theta)), iterations=3)
    assert surrogate.predict(surrogate.ask()).isfinite().all()
    assert float(bowl(surrogate.theta[None])) < 1


@pytest.mark.parametrize("told", [1, 2, 3])
def test_a_batch_that_the_budget_cut_is_learned_from(told):
    surrogate = make()
    iterate(surrogate, iterations=3)
    asked = surrogate.ask()[:told]
    surrogate.tell(asked, bowl(asked), torch.ones(told, dtype=torch.bool))
    assert surrogate.state.samples[-1].equal(asked[-1])
    assert bowl(surrogate.recommend()[None]).isfinite()


@pytest.mark.parametrize("seed", range(2))
def test_the_neural_surrogate_descends_a_quadratic_to_a_thousandth_in_40_iterations(seed):
    surrogate = make(seed=seed)
    iterate(surrogate, iterations=40)
    assert float(bowl(surrogate.recommend()[None])) < 1e-3


def test_its_gradient_is_that_of_its_prediction():
    surrogate = make()
    iterate(surrogate, iterations=5)
    theta, step = surrogate.theta, 1e-6 * torch.eye(4, dtype=torch.float64)
    differences = (surrogate.predict(theta + step) - surrogate.predict(theta - step)) / 2e-6
    assert torch.allclose(surrogate.gradient(theta), differences, rtol=1e-5)


def noisy_bowl(theta: Tensor) -> Tensor:
    """The bowl under noise that θ and the row in the batch decide; a tenth of the renders fail."""
    noise = (1e4 * theta.sum(1) + torch.arange(len(theta))).sin()
    return torch.where(noise > 0.95, torch.nan, bowl(theta) + 0.01 * noise)


@pytest.mark.parametrize("loss", [bowl, noisy_bowl])
@pytest.mark.parametrize("iterations", [0, 1, 7])
def test_killed_and_resumed_goes_on_with_the_same_bits(loss, iterations, tmp_path: Path):
    whole = make(window=40)
    iterate(whole, loss, iterations)
    saved = {"surrogate": copy.deepcopy(whole.state_dict()), "random": whole.problem.generator.get_state()}
    torch.save(saved, tmp_path / "state")
    expected = iterate(whole, loss, 8)

    saved = torch.load(tmp_path / "state", weights_only=True)
    resumed = make(window=40)
    resumed.load_state_dict(saved["surrogate"])
    resumed.problem.generator.set_state(saved["random"])
    assert all(torch.equal(*pair) for pair in zip(iterate(resumed, loss, 8), expected, strict=True))
    assert torch.equal(resumed.recommend(), whole.recommend())
    assert torch.equal(resumed.predict(expected[-1]), whole.predict(expected[-1]))
    assert (resumed.sigma, resumed.status()) == (whole.sigma, whole.status())
