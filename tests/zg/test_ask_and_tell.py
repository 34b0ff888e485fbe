"""What an optimizer that is asked and told says of itself. How it is asked and told: test_api.py."""

import itertools

import numpy as np
import pytest
import torch

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
    assert best.params["k"] == best.x[2] and isinstance(best.params["k"], int)
    assert best.params["a"].tolist() == best.x[:2].tolist()


@pytest.mark.parametrize("start", [2.0, np.array([2.0, 1.0]), torch.tensor([2.0, 1.0]), {"a": np.zeros(2), "k": 3}])
def test_an_x_by_name_is_as_that_of_a_result(start):
    result = zg.minimize(lambda *x, **named: 1.0, x0=start, max_renders=2)
    optimizer = zg.Optimizer(x0=start)
    x = optimizer.ask(1)[0]
    optimizer.tell([1.0])
    optimizer.tell([1.0] * len(optimizer.ask()))
    for params in (optimizer.params(x), optimizer.best.params, optimizer.params(optimizer.recommend())):
        assert params.keys() == result.params.keys()
        assert [type(value) for value in params.values()] == [type(value) for value in result.params.values()]


def test_an_x_by_name_has_choices_and_shapes_as_the_space_describes_them():
    blocks = {"kinds": zg.Block([4.5, 2], kind=["real", "integer"]), "wood": zg.Block("ash", choices=["oak", "ash"])}
    optimizer = zg.Optimizer(blocks)
    params = optimizer.params(optimizer.ask().numpy()[0])
    assert params["wood"] == "ash" and params["kinds"].tolist() == [4.5, 2]
    with pytest.raises(zg.SettingError, match=r"x must be one row of ask, 4 numbers, got shape \[2\]"):
        optimizer.params([1.0, 2.0])


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


def test_bounds_whole_numbers_and_constraints_are_given_as_in_a_call():
    optimizer = zg.Optimizer(bounds={"a": (-2, 2), "k": (0, 9)}, integer=["k"], constraints=lambda x: 3 - x[1])
    assert optimizer.space.to_user(optimizer.space.init).tolist() == [0, 4]
    while optimizer.renders < 150:
        optimizer.tell([float((x[0] - 1) ** 2 + x[1]) for x in optimizer.ask()])
    assert optimizer.recommend().tolist() == pytest.approx([1, 3], abs=0.05)
    assert optimizer.best.params["k"] == 3 and optimizer.history["violation"].iloc[-1] == 0
    with pytest.raises(zg.SettingError, match="init and x0 exclude each other"):
        zg.Optimizer(init=[0.0], x0=[1.0])
    with pytest.raises(zg.SettingError, match="method must be told losses where there are constraints"):
        zg.Optimizer(x0=[0.5], method="zerograds-image", reference=[[0.0]], constraints=lambda x: x[0])


def test_several_losses_are_told_by_name_and_each_is_in_the_history():
    optimizer = zg.Optimizer(x0=[2.0, 1.0], loss={"place": 1.0, "size": 0.5})

    def each(x):
        return {"place": float((x[0] - 1) ** 2), "size": float(x[1] ** 2)}

    while optimizer.renders < 60:
        optimizer.tell([None if x[1] > 3 else each(x) for x in optimizer.ask(2)])
    last = optimizer.history.iloc[-1]
    assert last["best_loss"] == last["loss_place"] + 0.5 * last["loss_size"] < 0.1
    assert {"place": last["loss_place"], "size": last["loss_size"]} == each(optimizer.best.x)
    other = zg.Optimizer(x0=[2.0, 1.0], loss={"place": 1.0, "size": 0.5})
    other.load_state_dict(optimizer.state_dict())
    other.tell([{"place": 9.0, "size": 9.0}] * len(other.ask()))
    assert other.history.iloc[-1]["loss_place"] == last["loss_place"]
    with pytest.raises(zg.SettingError, match="the returned losses must have the names"):
        other.tell([1.0] * len(other.ask()))


def test_several_losses_of_told_images_are_in_the_history():
    reference = np.array([[0.9, 0.5, 0.1]])
    optimizer = zg.Optimizer(x0=[0.2, 0.4], reference=reference, loss={"mse": 1.0, "relative_mse": 0.1})
    while optimizer.renders < 9:
        optimizer.tell(images=[x[0] - x[1] * np.arange(3.0)[None] for x in optimizer.ask().numpy()])
    last = optimizer.history.iloc[-1]
    assert last["best_loss"] == pytest.approx(last["loss_mse"] + 0.1 * last["loss_relative_mse"])
