import pytest
import torch

from tasks.toy import Toy
from zg.budget import Budget
from zg.pictures import one_plot
from zg.run.run import run
from zg.task import RunView
from zg.zerograds.method import ZeroGrads


@pytest.fixture(scope="module")
def toy():
    task = Toy()
    task.setup()
    return task


def test_the_loss_is_zero_at_both_roots_and_small_between_them(toy):
    roots = toy.render(torch.tensor([[4.0], [4.116]], dtype=torch.float64))
    assert roots.max() < 1e-6
    between = toy.render(torch.linspace(4, 4.116, 50, dtype=torch.float64)[:, None])
    assert between.max() < 5e-4


def test_a_barrier_separates_the_solution_from_a_second_basin(toy):
    barrier, basin = toy.render(torch.tensor([[5.0], [5.9]], dtype=torch.float64)).tolist()
    assert barrier == pytest.approx(4)
    assert basin == pytest.approx(0.8, abs=0.05)


def test_the_search_starts_at_1_1(toy):
    assert toy.space.to_user(toy.space.init).tolist() == pytest.approx([1.1])


@pytest.mark.parametrize("seed", range(10))
def test_the_default_method_solves_the_toy_within_2000_renders(seed):
    result = run(Toy(), ZeroGrads(), Budget(2000, target_loss=1e-9), seed=seed)
    assert result.loss < 1e-4
    assert result.stop_reason in ("target", "converged")


@pytest.mark.parametrize(("sigma", "is_enlarged"), [(0.08, False), (0.02, True), (1e-30, True)])
def test_the_surrogate_is_drawn_where_it_was_used_and_enlarged_where_that_is_narrow(toy, sigma, is_enlarged):
    view = RunView("ZeroGrads", 9, torch.tensor([3.0]), 12.0, [], sigma, lambda x: x[:, 0].square())
    axes = one_plot()[1]
    toy._draw_run(axes, 3.0, view)
    surrogate = next(line for line in axes.lines if line.get_label() == "surrogate").get_xdata()
    assert (surrogate[0], surrogate[-1]) == pytest.approx((3 - 2 * 10 * sigma, 3 + 2 * 10 * sigma))
    assert bool(axes.child_axes) is is_enlarged
    for inset in axes.child_axes:
        assert inset.get_xlim()[1] - inset.get_xlim()[0] == pytest.approx(max(4 * 10 * sigma, 0.02))
