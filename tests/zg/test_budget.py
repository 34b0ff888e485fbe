"""When a run ends, and with which stop reason."""

import pytest
import torch

from zg.budget import Budget
from zg.errors import SettingError
from zg.ledger import Ledger


def reason(budget, seconds=0.0, **counted):
    """The stop reason of a run with these values in its ledger."""
    ledger = Ledger(budget.max_renders, torch.zeros(1))
    for name, value in counted.items():
        setattr(ledger, name, value)
    return budget.stop_reason(ledger, seconds)


def test_no_limit_reached_gives_no_stop_reason():
    budget = Budget(1000, max_seconds=10, target_loss=0.1, patience=100)
    assert reason(budget, seconds=9.9, renders=999, improved_at=950, best_loss=0.11, failed=499) is None


@pytest.mark.parametrize(
    ("budget", "counted", "expected"),
    [
        (Budget(10), {"renders": 9}, None),
        (Budget(10), {"renders": 10}, "budget"),
        (Budget(10, max_seconds=2), {"seconds": 1.9}, None),
        (Budget(10, max_seconds=2), {"seconds": 2.0}, "time"),
        (Budget(10, target_loss=0.1), {"best_loss": 0.11}, None),
        (Budget(10, target_loss=0.1), {"best_loss": 0.1}, "target"),
        (Budget(10, target_loss=0), {"best_loss": 0.0}, "target"),
        (Budget(10, target_loss=-5.0), {"best_loss": -6.0}, "target"),
        (Budget(100, patience=20), {"renders": 39, "improved_at": 20}, None),
        (Budget(100, patience=20), {"renders": 40, "improved_at": 20}, "no progress"),
        (Budget(100), {"renders": 40, "failed": 20}, None),
        (Budget(100), {"renders": 40, "failed": 21}, "failed renders"),
        (Budget(100, max_failed=0.1), {"renders": 40, "failed": 5}, "failed renders"),
        (Budget(100, max_failed=1), {"renders": 40, "failed": 40}, None),
    ],
)
def test_a_limit_gives_its_stop_reason_exactly_when_it_is_reached(budget, counted, expected):
    assert reason(budget, **counted) == expected


def test_the_fraction_of_failed_renders_is_checked_from_20_renders_on():
    assert reason(Budget(100), renders=19, failed=19) is None
    assert reason(Budget(100), renders=20, failed=19) == "failed renders"


def test_with_several_limits_reached_the_target_is_the_stop_reason():
    budget = Budget(30, max_seconds=1, target_loss=0.1, patience=5)
    everything = {"renders": 30, "failed": 29, "best_loss": 0.0, "improved_at": 1}
    assert reason(budget, seconds=9, **everything) == "target"
    assert reason(budget, seconds=9, **everything | {"best_loss": 1.0}) == "budget"
    assert reason(budget, seconds=9, **everything | {"best_loss": 1.0, "renders": 29}) == "time"
    assert reason(budget, **everything | {"best_loss": 1.0, "renders": 29}) == "failed renders"


def test_limits_that_are_none_never_stop_a_run():
    assert reason(Budget(100), seconds=1e9, renders=99, failed=40, best_loss=-1e9) is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_renders": 0}, "max_renders must be > 0, got 0"),
        ({"max_renders": 2.5}, "max_renders must be a whole number, got 2.5"),
        ({"max_seconds": 0}, "max_seconds must be > 0, got 0"),
        ({"max_seconds": float("inf")}, "max_seconds must be a finite number, got inf"),
        ({"patience": -1}, "patience must be > 0, got -1"),
        ({"patience": True}, "patience must be a whole number, got True"),
        ({"target_loss": "low"}, "target_loss must be a number, got 'low'"),
        ({"max_failed": 0}, "max_failed must be > 0, got 0"),
        ({"max_failed": 1.5}, "max_failed must be a fraction of at most 1, got 1.5"),
    ],
)
def test_a_limit_out_of_range_raises_a_setting_error(settings, message):
    with pytest.raises(SettingError) as refused:
        Budget(**settings)
    assert str(refused.value) == message
