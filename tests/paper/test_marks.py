"""What is called best, tied and untold, on columns whose answer is known."""

import math

import numpy as np
import pytest

from paper.marks import BEST, LOWEST, TIED, can_tell, holm, marks, middle


def test_the_best_is_told_from_the_worse_and_tied_with_its_like():
    random = np.random.default_rng(0)
    values = {"good": random.uniform(1, 2, 8), "alike": random.uniform(1, 2, 8), "bad": random.uniform(10, 20, 8)}
    found = marks(values)
    assert sorted(found.values()) == [BEST, TIED]
    assert "bad" not in found


def test_few_seeds_call_nothing_best():
    values = {"good": [1, 2, 1], "bad": [1000, 1001, 1002]}
    assert not can_tell(3, 3)
    assert marks(values | {"worse": [2000, 2001, 2002]}) == {"good": LOWEST}
    assert marks({"good": [1.0], "bad": [2.0]}) == {"good": LOWEST}


def test_failed_runs_count_as_infinite_and_a_method_of_only_those_is_never_marked():
    values = {"good": [1.0] * 6, "broken": [math.inf] * 6, "nan": [math.nan] * 6}
    assert marks(values) == {"good": BEST}
    assert marks({"a": [math.inf] * 6, "b": [math.inf] * 6}) == {}


def test_ties_among_one_methods_seeds_do_not_hide_the_best():
    """All of 1 to 4 below all of 100: one of the 252 ways to share out ten ranks, with a tie or without."""
    values = {"good": [1, 2, 3, 4, 4]} | {f"bad{k}": [100 + k, 101, 102, 103, 103] for k in range(11)}
    assert marks(values) == {"good": BEST}


def test_equal_columns_are_tied():
    assert marks({"a": [0.0] * 8, "b": [0.0] * 8}) == {"a": BEST, "b": TIED}


def test_holm_against_an_example_worked_by_hand():
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "c": 0.06, "b": 0.06})


def test_the_interval_holds_the_median_and_one_seed_has_none():
    found = middle([1, 2, 3, 4, 100])
    assert found.value == 3
    assert 1 <= found.low <= 3 <= found.high <= 100
    assert middle([7.0]) == (7.0, None, None)
    assert middle([1.0, math.inf, math.inf]).value == math.inf
