"""The probe radius: when it widens, when it narrows, by what factor."""

import pytest

from zg.zerograds.parts.radius import ProbeRadius, RadiusSettings
from zg.zerograds.parts.slopes import SlopeEstimator, SlopeSettings

SETTINGS = RadiusSettings()


def adapted(is_plateau=False, has_stepped=True, noisy=False, count=10, times=1, **slopes):
    """A radius of 1 after it was adapted to these measurements."""
    radius = ProbeRadius.of_guess(1.0, SETTINGS)
    for _ in range(times):
        radius.adapt(SlopeEstimator(SlopeSettings(), **slopes), is_plateau, has_stepped, noisy, count)
    return radius.radius


def test_the_radius_doubles_where_all_losses_are_equal():
    assert adapted(is_plateau=True, count=0) == SETTINGS.plateau


def test_the_radius_is_kept_during_the_first_blocks():
    assert adapted(has_stepped=False, count=SETTINGS.first_blocks) == 1
    assert adapted(has_stepped=False, count=SETTINGS.first_blocks + 1) == SETTINGS.widen


@pytest.mark.parametrize("noisy", [False, True])
def test_without_a_step_the_radius_widens_to_three_times_where_the_loss_last_fell(noisy):
    assert adapted(has_stepped=False, noisy=noisy, times=50) == SETTINGS.lost


def test_without_a_step_the_radius_does_not_widen_where_noise_grows_with_the_loss():
    assert adapted(has_stepped=False, noisy=True, innovation_near=1.0, innovation_far=2.0) < 1


def test_noise_widens_it_and_curvature_narrows_it():
    assert adapted(innovation_near=2.0, innovation_far=1.0) == pytest.approx(2**0.1)
    assert adapted(innovation_near=1e9, innovation_far=1.0) == SETTINGS.widen
    assert adapted(innovation_near=1.0, innovation_far=1e9) == pytest.approx(1 / SETTINGS.narrow)


def test_without_noise_it_narrows_until_slopes_are_seen_beside_curvature():
    steep = {"innovation_near": 1.0, "innovation_far": 1.0, "curvature": 100.0, "slope_square": 1.0}
    assert adapted(**steep) == pytest.approx(1 / SETTINGS.narrow_for_slope)
    assert adapted(times=200, **steep) == pytest.approx(SETTINGS.curvature_limit / 100)
    assert adapted(noisy=True, **steep) == 1


def test_beyond_a_hundred_times_the_first_it_widens_only_in_a_bowl():
    noise = {"innovation_near": 1e9, "innovation_far": 1.0}
    assert adapted(times=100, **noise) == SETTINGS.widest
    assert adapted(times=100, **noise, rise_near=1.0, rise_far=4.0) > 1e6


def test_the_radius_narrows_after_a_failed_centre_and_where_the_loss_has_not_fallen():
    radius = ProbeRadius.of_guess(1.0, SETTINGS)
    radius.narrow_after_failure()
    assert radius.radius == SETTINGS.failed_centre
    radius.narrow_without_progress()
    assert radius.radius == SETTINGS.failed_centre / SETTINGS.nearer


def test_the_radius_returns_to_the_radius_of_the_lowest_mean():
    radius = ProbeRadius.of_guess(1.0, SETTINGS)
    radius.radius = 2.0
    radius.remember_lowest()
    radius.radius = 7.0
    radius.return_to_lowest()
    assert radius.radius == 2
