"""Two searches: when the second one renders, when it is given up, and when it takes the place of the first."""

import pytest
import torch
from torch import Tensor

from zg.problem import Problem
from zg.space import Block, ParameterSpace
from zg.zerograds.surrogates.two_searches import TwoSearches


def make(n: int, low: float = 0.0, high: float = 1.0) -> TwoSearches:
    space = ParameterSpace(x=Block(torch.full((n,), 0.8), low=low, high=high))
    return TwoSearches(Problem.of_space(space), space.init, 0.1)


def drive(surrogate: TwoSearches, loss, renders: int) -> Tensor:
    """Run that number of renders; whether each was one of the second search [renders]."""
    seconds: list[bool] = []
    while len(seconds) < renders:
        is_second, theta = surrogate._is_second_next, surrogate.ask()
        losses = loss(theta)
        surrogate.tell(theta, losses, losses.isfinite())
        seconds += [is_second] * len(theta)
    return torch.tensor(seconds[:renders])


def bowl(theta: Tensor) -> Tensor:
    return (theta - 0.7).square() @ torch.logspace(0, 3, theta.shape[1], dtype=theta.dtype)


def far_basin(theta: Tensor) -> Tensor:
    """A shallow minimum near the start, and a deep one at 0.15 that does not show from there."""
    return torch.minimum(0.5 + (theta - 0.75).square().sum(1), 10 * (theta - 0.15).square().sum(1))


def test_a_search_that_gains_has_all_renders():
    surrogate = make(3)
    assert not drive(surrogate, bowl, 80).any()
    assert bowl(surrogate.recommend()[None]).item() < 1e-4


def test_both_searches_render_alike_once_the_first_has_settled_and_gains_no_more():
    surrogate = make(3)
    drive(surrogate, lambda theta: 1 + bowl(theta), 300)
    shares = drive(surrogate, lambda theta: 1 + bowl(theta), 300)
    assert 0.4 < float(shares.double().mean()) < 0.6


def test_a_lower_minimum_far_away_is_found():
    surrogate = make(3)
    drive(surrogate, far_basin, 600)
    assert far_basin(surrogate.recommend()[None]).item() < 1e-6
    assert (surrogate.theta - 0.15).abs().max() < 1e-2


@pytest.mark.parametrize(
    "change",
    [
        {"settled_at": -1.0},
        {"renders_second": 10**6},
    ],
    ids=["settled at a higher loss", "took too long"],
)
def test_a_second_search_that_leads_nowhere_begins_at_another_place(change):
    surrogate = make(3)
    while not surrogate._is_second_next or surrogate.state.second.sigma > 0.05:
        drive(surrogate, lambda theta: 1 + bowl(theta), 1)
    for name, value in change.items():
        setattr(surrogate.state, name, value)
    before = surrogate.state.second
    while surrogate.state.second is before:
        assert surrogate.state.renders_second < 10**6 + 100
        drive(surrogate, lambda theta: 1 + bowl(theta), 1)
    assert surrogate.state.renders_second == 0
    assert surrogate.state.second.sigma == pytest.approx(0.2)


def test_without_bounds_the_second_search_begins_within_ten_sigma_of_the_start():
    surrogate = make(4, -float("inf"), float("inf"))
    for _ in range(20):
        surrogate._begin_second()
        assert (surrogate.state.second.theta - 0.8).abs().max() <= 1.0


def test_the_state_restores_both_searches_with_the_same_bits():
    first, second = make(3), make(3)
    drive(first, far_basin, 150)
    second.load_state_dict(first.state_dict())
    second.problem.generator.set_state(first.problem.generator.get_state())
    drive(first, far_basin, 200)
    drive(second, far_basin, 200)
    assert torch.equal(first.theta, second.theta)
    assert torch.equal(first.state.second.theta, second.state.second.theta)
