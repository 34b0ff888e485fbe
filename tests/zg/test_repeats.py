"""An x of counts, switches or choices that was rendered before is not rendered again."""

import math

import numpy as np
import pytest
import torch

import zg
from tests.problems import Quadratic
from zg.objective import Objective


class Counts(zg.Task):
    """The squared distance to (3, 1), of two counts; `rendered` has every x. It fails at 7."""

    def __init__(self, is_odd: bool = False) -> None:
        super().__init__()
        self.is_odd = is_odd
        self.rendered: list[list[float]] = []

    def build(self) -> None:
        self.space = zg.ParameterSpace(counts=zg.Block([9.0, 9.0], low=0, high=9, kind="integer"))

    def render(self, x):
        self.rendered += x.tolist()
        losses = ((x - torch.tensor([3.0, 1.0], dtype=x.dtype)) ** 2).sum(1).double()
        losses += len(self.rendered) if self.is_odd else 0
        return torch.where((x == 7).any(1), torch.nan, losses)


def objective_of(task, max_renders=100):
    task.setup()
    return Objective(task, max_renders)


def ask(objective, *rows):
    """The losses of these x."""
    space = objective.space
    scaled = torch.stack([space.to_scaled(torch.tensor(row, dtype=torch.float64)) for row in rows])
    return objective.evaluate(scaled, 0).losses.tolist()


def test_the_first_repeat_is_rendered_again_and_later_ones_are_looked_up():
    objective = objective_of(Counts())
    assert ask(objective, [3, 1], [4, 1]) == [0, 1]
    assert ask(objective, [3, 1]) == [0]
    assert objective.ledger.renders == 3, "the first repeat tells whether there is noise"
    assert ask(objective, [4, 1], [5, 1], [5, 1], [3, 1]) == [1, 4, 4, 0]
    assert objective.task.rendered[3:] == [[5, 1]]
    assert (objective.ledger.renders, objective.ledger.repeats) == (4, 3)


def test_a_noisy_function_that_did_not_say_so_is_rendered_every_time():
    objective = objective_of(Counts(is_odd=True))
    for _ in range(4):
        ask(objective, [3, 1], [4, 1])
    assert objective.ledger.renders == 8
    assert objective.ledger.repeats == 0


def test_a_failed_render_is_tried_again():
    objective = objective_of(Counts())
    ask(objective, [3, 1], [3, 1])
    assert math.isnan(ask(objective, [7, 0])[0])
    assert math.isnan(ask(objective, [7, 0])[0])
    assert (objective.ledger.renders, objective.ledger.failed) == (4, 2)
    assert all(math.isnan(loss) for loss in ask(objective, [7, 1], [7, 1]))
    assert (objective.ledger.renders, objective.ledger.failed) == (5, 3), "twice in a batch, it was rendered once"


def test_the_budget_counts_renders_and_cuts_a_batch_before_the_first_one_too_many():
    objective = objective_of(Counts(), max_renders=4)
    ask(objective, [3, 1], [3, 1])
    assert ask(objective, [3, 1], [0, 1], [3, 1], [1, 1], [3, 1], [2, 1], [3, 1]) == [0, 9, 0, 4, 0]
    assert objective.ledger.exhausted


def distance(x):
    return float(((x - 2) ** 2).sum())


@pytest.mark.parametrize("method", ["zerograds", "cmaes", "genetic", "simulated_annealing"])
def test_every_method_ends_where_it_asks_for_nothing_new(method):
    start = np.array([0, 4])
    result = zg.minimize(distance, start, integer=True, bounds=(0, 4), method=method, max_renders=2000)
    assert result.loss == 0
    assert result.renders <= 30, "25 x, and a batch until an x has come twice"
    assert result.stop_reason == "nothing new"


def test_a_resumed_run_knows_what_was_rendered():
    first = objective_of(Counts())
    ask(first, [3, 1], [3, 1], [5, 1])
    second = objective_of(Counts())
    second.repeats.load_state(first.repeats.state())
    assert ask(second, [5, 1]) == [4]
    assert second.task.rendered == []


def test_real_parameters_are_rendered_each_time():
    objective = objective_of(Quadratic())
    for _ in range(3):
        objective.evaluate(objective.start[None], 0)
    assert objective.ledger.renders == 3
