"""Units of blocks: equal curvature in them, the mean unit for a block that shows nothing, and measured again."""

import math

import pytest
import torch

from tests.problems import Layers
from zg.budget import Budget
from zg.problem import Problem
from zg.run.run import run
from zg.space import Block, ParameterSpace
from zg.zerograds.method import ZeroGrads
from zg.zerograds.parts.block_units import BlockUnits, BlockUnitsSettings

RADIUS = 0.05 * math.sqrt(300)
SETTINGS = BlockUnitsSettings()


def problem(sizes, boxed=False):
    """Blocks of these sizes around 0, in a box from -1 to 1 or without bounds."""
    bounds = {"low": -0.5, "high": 0.5} if boxed else {}
    blocks = {f"block{number}": Block(torch.zeros(size), **bounds) for number, size in enumerate(sizes)}
    return Problem.of_space(ParameterSpace(blocks))


def measured(loss, sizes, boxed=False, units=None, theta=None):
    """Units after one measurement at θ; `loss` maps θ [B, n] to losses [B]."""
    one = problem(sizes, boxed)
    theta = torch.zeros(sum(sizes), dtype=torch.float64) if theta is None else theta
    units = units or BlockUnits.of_problem(one, theta, SETTINGS, wanted=True)
    buffer = theta.new_empty(36, len(theta))
    while not units.is_over:
        losses = loss(units.ask(theta, RADIUS, one.generator, buffer))
        units.tell(losses, losses.isfinite())
    return units


def bowl(theta):
    return (theta - 0.5).square().sum(1)


def uneven(theta):
    """A bowl that is a hundred times as steep along its last 200 coordinates."""
    return bowl(theta) + 99 * bowl(theta[:, -200:])


def ridges(theta):
    """Ridges along 50 of the first 100 coordinates and valleys along the others: their mean curvature is 0."""
    return bowl(theta[:, 100:]) + (theta[:, :50].square() - theta[:, 50:100].square()).sum(1)


def grey(theta):
    """Places [100] tell nothing while the colours [200] are 0."""
    return bowl(theta[:, 100:]) + bowl(theta[:, :100]) * theta[:, 100:].square().sum(1)


@pytest.mark.parametrize("steep", [1.0, 30.0])
def test_blocks_have_equal_curvature_in_their_units(steep):
    first, last = measured(lambda theta: steep * uneven(theta), (100, 200)).unit[[0, -1]].tolist()
    assert first / last == pytest.approx(10, rel=0.01)
    assert first ** (1 / 3) * last ** (2 / 3) == pytest.approx(1)


def test_units_are_measured_even_where_ridges_and_valleys_cancel():
    first, last = measured(ridges, (100, 200)).unit[[0, -1]].tolist()
    assert 1 < first / last < 8


def test_a_block_that_shows_nothing_at_a_saddle_has_the_mean_unit():
    assert measured(lambda theta: bowl(theta[:, 100:]), (100, 200)).unit.tolist() == [1]
    assert measured(lambda theta: bowl(theta[:, 100:]) + 1e-9 * theta.sum(1), (100, 200)).unit.tolist() == [1]


def test_a_block_in_a_box_is_trusted_to_be_a_little_flatter_than_others_and_no_more():
    assert measured(uneven, (100, 200)).units[0] > SETTINGS.longest_in_box
    assert measured(uneven, (100, 200), boxed=True).unit.tolist() == [1]
    by_four = measured(lambda theta: bowl(theta) + 3 * bowl(theta[:, -200:]), (100, 200), boxed=True).units
    assert by_four[0] / by_four[1] == pytest.approx(2, rel=0.01)


def test_after_a_sweep_units_are_measured_again_and_change_by_a_limited_factor():
    units = measured(grey, (100, 200))
    assert units.unit.tolist() == [1]
    units.observe(150)
    assert units.is_over
    units.observe(151)
    assert not units.is_over
    bright = torch.cat([torch.zeros(100), torch.full((200,), 2.0)]).double()
    change = measured(grey, (100, 200), units=units, theta=bright)
    assert change.units[0] == pytest.approx(1 / SETTINGS.change)


@pytest.mark.parametrize("sizes", [(300,), (1,) * 300])
def test_one_block_or_very_many_keep_their_units(sizes):
    units = measured(uneven, sizes)
    assert units.is_over and units.unit.tolist() == [1]
    units.observe(10**6)
    assert units.is_over


def test_on_a_flat_loss_blocks_keep_their_units():
    assert measured(lambda theta: theta.new_zeros(len(theta)), (100, 200)).unit.tolist() == [1]


def test_a_block_without_a_valid_loss_keeps_its_unit():
    def loss(theta):
        return uneven(theta).where(theta[:, 0] == 0, torch.nan)

    unit = measured(loss, (50, 50, 200)).unit[[0, 50, 100]].tolist()
    assert unit == pytest.approx([1, 10**0.8, 10**-0.2], rel=0.01)


def test_a_batch_that_the_budget_cut_changes_nothing():
    one, theta = problem((100, 200)), torch.zeros(300, dtype=torch.float64)
    units = BlockUnits.of_problem(one, theta, SETTINGS, wanted=True)
    rows = units.ask(theta, RADIUS, one.generator, theta.new_empty(36, 300))
    before = units.state_dict()
    units.tell(bowl(rows[:5]), torch.ones(5, dtype=torch.bool))
    assert units.state_dict() == before


@pytest.mark.parametrize("seed", range(3))
def test_blocks_in_units_of_their_own_are_solved_as_soon_as_blocks_in_equal_units(seed):
    result = run(Layers(), ZeroGrads(), Budget(4000), seed=seed)
    assert result.loss < 1e-5 * result.row["init_loss"]
