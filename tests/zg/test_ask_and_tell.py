"""What an optimizer that is asked and told says of itself. How it is asked and told: test_api.py."""

import itertools

import pytest

import zg
from zg import ask_and_tell

SPACE = {"a": zg.Block([2.0, 1.0]), "k": zg.Block(3, low=0, high=9, kind="integer")}


def loss(x):
    return float((x[0] - 1) ** 2 + x[1] ** 2 + (x[2] - 5) ** 2)


def driven(optimizer, renders):
    while optimizer.renders < renders:
        optimizer.tell([loss(x) for x in optimizer.ask()])
    return optimizer


def test_the_best_is_the_lowest_loss_with_its_parameters_by_name():
    optimizer = zg.Optimizer(SPACE)
    with pytest.raises(zg.SettingError, match="best must follow a loss"):
        _ = optimizer.best
    best = driven(optimizer, 80).best
    assert best.loss == loss(best.x) < 2.0
    assert int(best.params["k"]) == best.x[2] and not best.params["k"].is_floating_point()
    assert best.params["a"].tolist() == best.x[:2].tolist()


def test_the_history_has_a_row_for_each_batch_and_goes_with_the_state():
    optimizer = driven(zg.Optimizer(SPACE, "es"), 60)
    history = optimizer.history
    assert {"renders", "batch_loss", "best_loss", "sigma"} <= set(history.columns)
    assert history["renders"].iloc[-1] == optimizer.renders
    assert history["best_loss"].is_monotonic_decreasing
    other = zg.Optimizer(SPACE, "es")
    other.load_state_dict(optimizer.state_dict())
    assert driven(other, 90).history.equals(driven(optimizer, 90).history)


def test_a_long_history_is_thinned_out(monkeypatch):
    monkeypatch.setattr(ask_and_tell, "MOST_ROWS", 20)
    optimizer = driven(zg.Optimizer(SPACE, {"name": "random_search", "batch": 1}), 500)
    renders = optimizer.history["renders"].tolist()
    assert 10 <= len(renders) <= 20
    assert len({b - a for a, b in itertools.pairwise(renders)}) == 1, "evenly spaced"
