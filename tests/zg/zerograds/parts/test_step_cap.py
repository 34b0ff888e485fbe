"""The cap on steps: where it starts, when it grows, when it shrinks."""

import math

import pytest

from zg.zerograds.parts.step_cap import StepCap, StepCapSettings

SETTINGS = StepCapSettings()


def started():
    cap = StepCap(SETTINGS)
    cap.start(slope=10.0, curvature=2.0)
    return cap


def test_the_cap_starts_at_a_small_part_of_the_step_that_the_first_slopes_imply():
    assert started().cap == pytest.approx(SETTINGS.first * 10 / 2)


def test_the_cap_grows_by_e_squared_in_a_sweep():
    cap = started()
    for _ in range(20):
        cap.grow(False, 50, 1000)
    assert cap.cap / started().cap == pytest.approx(math.exp(2))


def test_the_cap_at_most_doubles_in_a_block_unless_the_loss_is_isotropic():
    slow, fast = started(), started()
    slow.grow(False, 1000, 100)
    fast.grow(True, 1000, 100)
    assert [slow.cap / started().cap, fast.cap / started().cap] == pytest.approx([2, 4])


def test_after_a_rise_it_is_half_of_the_step():
    cap = started()
    cap.shrink_after_rise(0.01)
    assert cap.cap == 0.005


def test_frozen_by_noise_it_is_half_of_the_mean_step_and_grows_no_more():
    cap = started()
    for count in range(5):
        cap.observe(0.04, count)
    cap.freeze()
    cap.grow(True, 50, 1000)
    assert cap.cap == pytest.approx(0.02)
