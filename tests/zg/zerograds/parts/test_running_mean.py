"""The running mean: plain at first, exponential later."""

import pytest

from zg.zerograds.parts.running_mean import running_mean


def mean_of(values, over=10):
    mean = 0.0
    for count, value in enumerate(values):
        mean = running_mean(mean, value, count, over)
    return mean


def test_the_mean_of_few_numbers_is_plain():
    assert mean_of([1, 2, 6, 7]) == pytest.approx(4)


def test_after_many_numbers_a_new_one_counts_as_one_of_ten():
    assert mean_of([1.0] * 50 + [2.0]) == pytest.approx(1.1)
