"""Slopes and curvature from one-sided probes, and the gain for noise."""

import math

import pytest
import torch

from zg.zerograds.parts.directions import CrossedDirections
from zg.zerograds.parts.slopes import Probes, SlopeEstimator, SlopeSettings

N, RADIUS = 320, 0.5  # at 320 a direction has length 1
GRADIENT = torch.linspace(-1, 1, N, dtype=torch.float64)


def measured(curvature=0.0, centre=0.0, noise=0.0, blocks=20, g=None, missing=0):
    """An estimator after blocks of GRADIENT·s + curvature |s|² / 2; the last block's slopes, true slopes and gains.

    centre: added to the loss of every probe, as if that of the centre were too low. noise: deviation of a loss. g: what
    the innovation is counted from, by default 0. missing: how many probes of a block fail.
    """
    generator = torch.Generator().manual_seed(0)
    directions, slopes = CrossedDirections(N, generator, torch.float64), SlopeEstimator(SlopeSettings())
    for count in range(blocks):
        probes = Probes(directions.draw(40), RADIUS, first=count % 2)
        directions.advance(40)
        truth, lengths = probes.directions.along(GRADIENT), probes.lengths
        rise = truth * lengths + 0.5 * curvature * lengths.square() + centre
        rise = rise + noise * torch.randn(40, generator=generator, dtype=torch.float64)
        valid = None if not missing else torch.arange(40) >= missing
        if valid is not None:
            rise = torch.where(valid, rise, torch.nan)
        y = slopes.slopes(probes, rise, valid, count)
        innovation = y - (torch.zeros_like(y) if g is None else probes.directions.along(g))
        gains = slopes.gains(probes, innovation, valid, count)
    return slopes, y, truth, gains


@pytest.mark.parametrize("first", [0, 1])
def test_probes_lie_at_one_radius_and_at_two_in_turn(first):
    block = CrossedDirections(N, torch.Generator().manual_seed(0), torch.float64).draw(5)
    probes, x = Probes(block, RADIUS, first), torch.arange(5)
    assert probes.lengths.tolist() == [RADIUS * (1 + (k + first) % 2) for k in range(5)]
    near, far = probes.split(x, None)
    assert (probes.lengths[near] == RADIUS).all() and (probes.lengths[far] == 2 * RADIUS).all()
    near, far = probes.split(x, x != 1)
    assert sorted([*near.tolist(), *far.tolist()]) == [0, 2, 3, 4]


def test_slopes_of_a_linear_loss_are_exact_up_to_the_chance_in_the_curvature():
    slopes, y, truth, gains = measured()
    assert (y - truth).square().mean() < 0.1 * truth.square().mean()
    assert slopes.slope_square == pytest.approx(float(GRADIENT.square().mean()), rel=0.5)
    assert gains.min() > 0.9


def test_the_curvature_of_a_bowl_is_measured():
    slopes, *_ = measured(curvature=30.0)
    assert slopes.curvature == pytest.approx(30, rel=0.1)
    assert slopes.rise_far > 2 * slopes.rise_near > 0


def test_an_error_of_the_centre_is_taken_out_only_beyond_chance():
    assert measured()[0].offset == 0
    assert measured(centre=20.0)[0].offset == pytest.approx(20, rel=0.1)


def test_loud_noise_lowers_the_gain_more_at_the_narrow_radius():
    *_, gains = measured(noise=3.0)
    assert 0 < gains.min() < 0.2
    assert gains.max() / gains.min() == pytest.approx(4, rel=0.5)


def test_a_failed_probe_has_no_slope_and_spoils_no_other():
    _, y, _, gains = measured(curvature=30.0, missing=12)
    assert y[:12].tolist() == [0] * 12
    assert y.isfinite().all() and gains.isfinite().all()


def test_a_block_of_failed_probes_leaves_the_means_alone():
    slopes, *_ = measured(curvature=30.0, missing=40)
    assert slopes.curvature == slopes.innovation_near == slopes.rise_near == 0
    assert math.isfinite(slopes.slope_square)
