"""The look before the first step: radii at which a linear model holds, units in which blocks bend alike."""

import math

import pytest
import torch

from tests.problems import Layers
from zg.method import Budget
from zg.run.run import run
from zg.seeding import make_generator
from zg.zerograds.method import ZeroGrads
from zg.zerograds.parts.calibration import Calibration
from zg.zerograds.parts.directions import CrossedDirections

RADIUS = 0.05 * math.sqrt(300)


def looked(loss, blocks=(300,), count=20):
    """A look after at most `count` times, on `loss`, which maps θ [B, n] and the time's number to losses [B]."""
    theta, generator = torch.zeros(sum(blocks), dtype=torch.float64), make_generator(0, "test")
    look, directions = Calibration(theta, RADIUS, blocks), CrossedDirections(len(theta), generator, theta.dtype)
    room = theta.new_empty(36, len(theta))
    for number in range(count):
        if not look.over:
            losses = loss(look.ask(theta, directions, room), number)
            look.tell(losses, losses.isfinite())
    return look


def bowl(theta, number=0):
    return (theta - 0.5).square().sum(1)


def uneven(theta, number=0):
    """A bowl that is a hundred times as steep along its last 200 coordinates."""
    return bowl(theta) + 99 * bowl(theta[:, -200:])


def ridges(theta, number=0):
    """Along the first 100 coordinates as many ridges as valleys, so that no mean of them bends."""
    return bowl(theta[:, 100:]) + (theta[:, :50].square() - theta[:, 50:100].square()).sum(1)


def test_a_sigma_at_which_the_model_holds_is_kept_and_where_none_does_too():
    wide = looked(bowl)
    assert (wide.radius, wide.looks) == (wide.guess, Calibration.LOOKS)

    def chance(theta, number):
        losses = torch.rand(len(theta), generator=make_generator(number, "chance")).double()
        losses[:2] = 0.5
        return losses

    rough = looked(chance, count=Calibration.LOOKS - 1)
    assert rough.radius < 0.02 * rough.guess
    rough = looked(chance, count=Calibration.LOOKS)
    assert (rough.radius, rough.looks) == (rough.guess, Calibration.LOOKS)


def test_noise_ends_the_look():
    assert looked(lambda theta, number: torch.rand(len(theta)).double(), count=1).noisy


@pytest.mark.parametrize("steep", [1.0, 30.0])
def test_blocks_bend_alike_in_their_units(steep):
    first, last = looked(lambda theta, number: steep * uneven(theta), (100, 200)).unit[[0, -1]].tolist()
    assert first / last == pytest.approx(10, rel=0.01)
    assert first ** (1 / 3) * last ** (2 / 3) == pytest.approx(1)


def test_units_are_measured_even_where_ridges_and_valleys_cancel():
    first, last = looked(ridges, (100, 200)).unit[[0, -1]].tolist()
    assert 1 < first / last < 8


@pytest.mark.parametrize("blocks", [(300,), (1,) * 300])
def test_one_block_or_very_many_are_left_as_they_are(blocks):
    asked = []

    def loss(theta, number):
        asked.append(len(theta))
        return uneven(theta)

    assert looked(loss, blocks).unit.tolist() == [1]
    assert asked == [34]


def test_a_flat_loss_and_a_block_without_a_loss_leave_units_as_they_are():
    assert looked(lambda theta, number: theta.new_zeros(len(theta)), (100, 200)).unit.tolist() == [1]

    def loss(theta, number):
        return uneven(theta).where(theta[:, 0] == 0, torch.nan) if number > 0 else uneven(theta)

    assert looked(loss, (50, 50, 200)).unit[[0, 50, 100]].tolist() == pytest.approx([1, 10**0.8, 10**-0.2], rel=0.01)


@pytest.mark.parametrize("seed", range(3))
def test_blocks_in_units_of_their_own_are_done_as_soon_as_alike_ones(seed):
    result = run(Layers(), ZeroGrads(), Budget(4000), seed=seed)
    assert result.loss < 1e-5 * result.row["init_loss"]
