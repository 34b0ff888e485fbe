"""Many counts or switches: renders until all are right, bounds, noise, and what is refused."""

import pytest
import torch

from zg.errors import SettingError
from zg.method import Budget
from zg.run.run import run
from zg.space import Block, ParameterSpace
from zg.task import Task
from zg.zerograds.method import ZeroGrads


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


class Counts(Task):
    """150 counts from 0 to 30, far from where they should be."""

    def build(self) -> None:
        self.solution = torch.arange(150, dtype=torch.float64) % 31
        self.space = ParameterSpace(counts=Block(torch.full((150,), 15.0), low=0, high=30, kind="integer"))

    def render(self, x, *seeds):
        return (x - self.solution).square().mean(1)


@pytest.mark.parametrize("seed", range(3))
def test_all_lamps_are_right_after_few_sweeps(seed):
    result = run(Lamps(), ZeroGrads(), Budget(2000), seed=seed)
    assert result.loss == 0
    assert result.stop_reason == "converged"
    assert result.renders < 5 * 300


def test_a_little_noise_does_not_turn_lamps():
    result = run(Lamps(noise=1e-4), ZeroGrads(), Budget(2000))
    assert result.row["metric_theta_error"] <= 2


def test_counts_far_off_are_reached_by_doubling_steps():
    result = run(Counts(), ZeroGrads(), Budget(4000))
    assert result.loss == 0


def test_real_parameters_are_refused():
    task = Lamps()
    task.build = lambda: setattr(task, "space", ParameterSpace(x=Block(torch.zeros(3)), y=Block(1.0, kind="binary")))
    with pytest.raises(SettingError, match="surrogate 'switched' must have counts or switches alone"):
        run(task, ZeroGrads(surrogate="switched"), Budget(20))
