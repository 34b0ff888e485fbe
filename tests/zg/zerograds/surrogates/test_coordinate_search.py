"""Coordinate search: renders until all coordinates are right, bounds, noise, and what is refused."""

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from zg.budget import Budget
from zg.errors import SettingError
from zg.problem import Problem
from zg.run.run import run
from zg.space import Block, ParameterSpace
from zg.task import Task
from zg.zerograds.method import ZeroGrads
from zg.zerograds.surrogates.coordinate_search import CoordinateSearch, CoordinateSearchSettings


class Lamps(Task):
    """300 lamps in a row, each of which lights its neighbours a little."""

    def __init__(self, glow: float = 0.1, noise: float = 0.0) -> None:
        super().__init__()
        self.glow, self.level, self.noisy = glow, noise, noise > 0

    def build(self) -> None:
        hidden = torch.rand(300, generator=torch.Generator().manual_seed(5)) < 0.4
        self.solution = hidden.double()
        start = torch.rand(300, generator=self.generator("start"), dtype=torch.float64)
        self.space = ParameterSpace(lamps=Block(start, kind="binary"))

    def render(self, x, *seeds):
        off = x - self.solution
        seen = off + self.glow * (off.roll(1, -1) + off.roll(-1, -1))
        draws = [torch.randn((), generator=torch.Generator().manual_seed(int(seed))) for seed in (seeds or [[]])[0]]
        return seen.square().mean(1) + (self.level * torch.stack(draws) if draws else 0.0)


class Integers(Task):
    """150 integers from 0 to 30, far from where they should be."""

    def build(self) -> None:
        self.solution = torch.arange(150, dtype=torch.float64) % 31
        self.space = ParameterSpace(numbers=Block(torch.full((150,), 15.0), low=0, high=30, kind="integer"))

    def render(self, x, *seeds):
        return (x - self.solution).square().mean(1)


def make(n: int, **settings: object) -> CoordinateSearch:
    """Of n integers from 0 to 30, at 15."""
    problem = Problem.of_space(ParameterSpace(x=Block(torch.full((n,), 15.0), low=0, high=30, kind="integer")))
    return CoordinateSearch(problem, problem.space.init, 0.05, CoordinateSearchSettings(**settings))


def iterate(surrogate: CoordinateSearch, loss: Callable[[Tensor], Tensor], iterations: int) -> list[Tensor]:
    """What is asked in these iterations, whose losses are `loss` of x [B, n]."""
    asked = []
    for _ in range(iterations):
        asked.append(surrogate.ask())
        losses = loss(surrogate.problem.space.to_user(asked[-1]))
        surrogate.tell(asked[-1], losses, losses.isfinite())
    return asked


@pytest.mark.parametrize("seed", range(3))
def test_all_lamps_are_right_after_few_sweeps(seed):
    result = run(Lamps(), ZeroGrads(), Budget(2000), seed=seed)
    assert result.loss == 0
    assert result.stop_reason == "converged"
    assert result.renders < 5 * 300


def test_a_little_noise_does_not_turn_lamps():
    result = run(Lamps(noise=1e-4), ZeroGrads(), Budget(2000))
    assert result.row["metric_theta_error"] <= 2


def test_integers_far_off_are_reached_by_doubling_steps():
    result = run(Integers(), ZeroGrads(), Budget(4000))
    assert result.loss == 0


def test_real_parameters_are_refused():
    task = Lamps()
    task.build = lambda: setattr(task, "space", ParameterSpace(x=Block(torch.zeros(3)), y=Block(1.0, kind="binary")))
    with pytest.raises(SettingError, match="surrogate 'coordinate_search' must have integers or binaries alone"):
        run(task, ZeroGrads(surrogate="coordinate_search"), Budget(20))


def test_the_start_is_rendered_twice_then_each_coordinate_is_changed_once_a_sweep():
    surrogate = make(40)
    start, *blocks = iterate(surrogate, lambda x: torch.ones(len(x)).double(), 3)
    assert torch.equal(start, surrogate.theta.expand(2, -1))
    assert [len(block) for block in blocks] == [30, 10]
    changed = torch.cat(blocks) != surrogate.theta
    assert (changed.sum(0) == 1).all() and (changed.sum(1) == 1).all()


def test_changes_that_help_are_tried_together_all_of_them_and_the_better_half():
    surrogate = make(5)
    start = surrogate.theta.clone()
    _, single, together = iterate(surrogate, lambda x: (x - 15).abs().neg().sum(1), 3)
    assert torch.equal(together[0], start + (single - start).sum(0))
    assert ((together[1] - start) != 0).sum() == 3
    assert torch.equal(surrogate.theta, together[0])


def test_a_step_doubles_where_it_helped_and_else_is_reversed():
    surrogate = make(2)
    surrogate.state.steps = torch.tensor([1.0, 1.0], dtype=torch.float64)
    iterate(surrogate, lambda x: x[:, 1] - x[:, 0], 2)
    assert surrogate.state.steps.tolist() == [2, -1]
    assert surrogate.gradient(surrogate.theta).tolist() == pytest.approx([-30, 30])


def test_a_decrease_within_the_noise_of_the_start_does_not_count():
    surrogate = make(3)
    start = surrogate.theta.clone()
    surrogate.tell(surrogate.ask(), torch.tensor([1.0, 1.1]).double(), torch.tensor([True, True]))
    surrogate.tell(surrogate.ask(), torch.tensor([0.85, 0.82, 1.0]).double(), torch.tensor([True] * 3))
    assert torch.equal(surrogate.theta, start)
    surrogate.tell(surrogate.ask(), torch.tensor([0.85, 0.75, 1.0]).double(), torch.tensor([True] * 3))
    assert not torch.equal(surrogate.theta, start)


def test_coordinate_search_has_converged_after_two_sweeps_that_found_nothing():
    surrogate = make(20)
    iterate(surrogate, lambda x: (x - 15).square().sum(1), 2)
    assert not surrogate.converged
    iterate(surrogate, lambda x: (x - 15).square().sum(1), 1)
    assert surrogate.converged


@pytest.mark.parametrize("iterations", [1, 4, 7])
def test_killed_and_resumed_goes_on_with_the_same_bits(iterations: int, tmp_path: Path):
    def loss(x: Tensor) -> Tensor:
        return ((x - torch.arange(70) % 31).square() * torch.linspace(1, 2, 70)).sum(1)

    whole = make(70)
    iterate(whole, loss, iterations)
    saved = {"surrogate": copy.deepcopy(whole.state_dict()), "random": whole.problem.generator.get_state()}
    torch.save(saved, tmp_path / "state")
    expected = iterate(whole, loss, 30)

    saved = torch.load(tmp_path / "state", weights_only=True)
    resumed = make(70)
    resumed.load_state_dict(saved["surrogate"])
    resumed.problem.generator.set_state(saved["random"])
    assert all(torch.equal(*pair) for pair in zip(iterate(resumed, loss, 30), expected, strict=True))
    assert torch.equal(resumed.predict(expected[-1]), whole.predict(expected[-1]))
    assert (resumed.sigma, resumed.status()) == (whole.sigma, whole.status())
