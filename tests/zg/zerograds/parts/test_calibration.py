"""Calibration before the first step: a radius at which the model holds."""

import math

import pytest
import torch

from zg.seeding import make_generator
from zg.zerograds.parts.calibration import Calibration, CalibrationSettings
from zg.zerograds.parts.directions import CrossedDirections

RADIUS = 0.05 * math.sqrt(300)
ROUNDS = CalibrationSettings().rounds


def calibrated(loss, count=20):
    """A calibration after at most `count` batches; `loss` maps θ [B, n] and the batch's number to losses [B]."""
    theta, generator = torch.zeros(300, dtype=torch.float64), make_generator(0, "test")
    calibration = Calibration.of_guess(RADIUS, CalibrationSettings())
    directions, buffer = CrossedDirections(len(theta), generator, theta.dtype), theta.new_empty(36, len(theta))
    for number in range(count):
        if not calibration.is_over:
            losses = loss(calibration.ask(theta, directions, buffer), number)
            calibration.tell(losses, losses.isfinite())
    return calibration


def bowl(theta, number=0):
    return (theta - 0.5).square().sum(1)


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

    calibration = calibrated(loss, count=1)
    assert calibration.is_over and calibration.radius == RADIUS
    assert calibration.noisy == (trouble == "noise")


def test_a_batch_that_the_budget_cut_does_not_change_the_calibration():
    theta, generator = torch.zeros(300, dtype=torch.float64), make_generator(0, "test")
    calibration = Calibration.of_guess(RADIUS, CalibrationSettings())
    rows = calibration.ask(theta, CrossedDirections(300, generator, theta.dtype), theta.new_empty(36, 300))
    before = calibration.state_dict()
    calibration.tell(bowl(rows[:5]), torch.ones(5, dtype=torch.bool))
    assert calibration.state_dict() == before
