"""Calibration before the first step: a radius at which the model holds, units in which blocks have equal curvature."""

import math

import pytest
import torch

from tests.problems import Layers
from zg.budget import Budget
from zg.run.run import run
from zg.seeding import make_generator
from zg.zerograds.method import ZeroGrads
from zg.zerograds.parts.calibration import Calibration, CalibrationSettings
from zg.zerograds.parts.directions import CrossedDirections

RADIUS = 0.05 * math.sqrt(300)
ROUNDS = CalibrationSettings().rounds


def calibrated(loss, block_sizes=(300,), count=20):
    """A calibration after at most `count` batches; `loss` maps θ [B, n] and the batch's number to losses [B]."""
    theta, generator = torch.zeros(sum(block_sizes), dtype=torch.float64), make_generator(0, "test")
    calibration = Calibration.of_blocks(theta, RADIUS, block_sizes, CalibrationSettings())
    directions, buffer = CrossedDirections(len(theta), generator, theta.dtype), theta.new_empty(36, len(theta))
    for number in range(count):
        if not calibration.is_over:
            losses = loss(calibration.ask(theta, directions, buffer), number)
            calibration.tell(losses, losses.isfinite())
    return calibration


def bowl(theta, number=0):
    return (theta - 0.5).square().sum(1)


def uneven(theta, number=0):
    """A bowl that is a hundred times as steep along its last 200 coordinates."""
    return bowl(theta) + 99 * bowl(theta[:, -200:])


def ridges(theta, number=0):
    """Ridges along 50 of the first 100 coordinates and valleys along the others: their mean curvature is 0."""
    return bowl(theta[:, 100:]) + (theta[:, :50].square() - theta[:, 50:100].square()).sum(1)


def test_a_radius_at_which_the_model_holds_is_kept():
    calibration = calibrated(bowl)
    assert (calibration.radius, calibration.rounds, calibration.is_over) == (RADIUS, 1, True)


def test_where_the_model_holds_at_no_radius_the_guess_is_kept():
    def chance(theta, number):
        losses = torch.rand(len(theta), generator=make_generator(number, "chance")).double()
        losses[:2] = 0.5
        return losses

    assert calibrated(chance, count=ROUNDS - 1).radius < 0.02 * RADIUS
    rough = calibrated(chance, count=ROUNDS)
    assert (rough.radius, rough.rounds, rough.is_over) == (RADIUS, ROUNDS, True)


def test_where_the_loss_is_flat_the_radius_is_widened():
    plateau = calibrated(lambda theta, number: (theta.norm(dim=1) > 5 * RADIUS).double())
    assert plateau.radius > RADIUS


@pytest.mark.parametrize("trouble", ["noise", "failed centre"])
def test_noise_or_a_failed_centre_ends_the_calibration_at_the_guess(trouble):
    def loss(theta, number):
        losses = torch.rand(len(theta)).double() if trouble == "noise" else bowl(theta)
        losses[1] = losses[1] if trouble == "noise" else torch.nan
        return losses

    calibration = calibrated(loss, (100, 200), count=1)
    assert calibration.is_over and calibration.radius == RADIUS
    assert calibration.noisy == (trouble == "noise")


@pytest.mark.parametrize("steep", [1.0, 30.0])
def test_blocks_have_equal_curvature_in_their_units(steep):
    first, last = calibrated(lambda theta, number: steep * uneven(theta), (100, 200)).unit[[0, -1]].tolist()
    assert first / last == pytest.approx(10, rel=0.01)
    assert first ** (1 / 3) * last ** (2 / 3) == pytest.approx(1)


def test_units_are_measured_even_where_ridges_and_valleys_cancel():
    first, last = calibrated(ridges, (100, 200)).unit[[0, -1]].tolist()
    assert 1 < first / last < 8


@pytest.mark.parametrize("block_sizes", [(300,), (1,) * 300])
def test_one_block_or_very_many_keep_their_units(block_sizes):
    asked = []

    def loss(theta, number):
        asked.append(len(theta))
        return uneven(theta)

    assert calibrated(loss, block_sizes).unit.tolist() == [1]
    assert asked == [34]


def test_on_a_flat_loss_blocks_keep_their_units():
    assert calibrated(lambda theta, number: theta.new_zeros(len(theta)), (100, 200)).unit.tolist() == [1]


def test_a_block_without_a_valid_loss_keeps_its_unit():
    def loss(theta, number):
        return uneven(theta).where(theta[:, 0] == 0, torch.nan) if number > 0 else uneven(theta)

    unit = calibrated(loss, (50, 50, 200)).unit[[0, 50, 100]].tolist()
    assert unit == pytest.approx([1, 10**0.8, 10**-0.2], rel=0.01)


def test_a_batch_that_the_budget_cut_does_not_change_the_calibration():
    theta, generator = torch.zeros(300, dtype=torch.float64), make_generator(0, "test")
    calibration = Calibration.of_blocks(theta, RADIUS, (100, 200), CalibrationSettings())
    directions = CrossedDirections(300, generator, theta.dtype)
    for _ in range(2):  # at the radius, then at the blocks
        rows = calibration.ask(theta, directions, theta.new_empty(36, 300))
        before = calibration.state_dict()
        calibration.tell(bowl(rows[:5]), torch.ones(5, dtype=torch.bool))
        assert calibration.state_dict() == before
        calibration.tell(bowl(rows), torch.ones(len(rows), dtype=torch.bool))


@pytest.mark.parametrize("seed", range(3))
def test_blocks_in_units_of_their_own_are_solved_as_soon_as_blocks_in_equal_units(seed):
    result = run(Layers(), ZeroGrads(), Budget(4000), seed=seed)
    assert result.loss < 1e-5 * result.row["init_loss"]
