"""The objective: counted renders, the budget, failed renders and measurements."""

import math

import pytest
import torch

from tests.problems import Noisy, Quadratic, Sphere, Stripes, Troubled
from zg.errors import SettingError
from zg.objective import Objective


def objective_of(task, max_renders=100, seed=0):
    task.setup()
    return Objective(task, max_renders, seed)


def test_the_budget_is_met_exactly_and_the_last_batch_is_cut():
    objective = objective_of(Quadratic(), max_renders=25)
    theta = torch.zeros(10, 4, dtype=torch.float64)
    assert [len(objective.evaluate(theta, i).losses) for i in range(4)] == [10, 10, 5, 0]
    assert objective.ledger.renders == 25
    assert objective.ledger.exhausted


def test_an_exception_in_a_batch_fails_only_the_render_that_raises():
    objective = objective_of(Troubled(raises_above=1.0))
    theta = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.5, 0.5]], dtype=torch.float64)
    evaluation = objective.evaluate(theta, 0)
    assert evaluation.valid.tolist() == [True, False, True]
    assert evaluation.losses[2] == 0
    assert (objective.ledger.renders, objective.ledger.failed) == (3, 1)
    assert objective.ledger.last_error == "RuntimeError: the renderer gave up"


def test_a_nan_render_is_invalid_and_ranks_last():
    objective = objective_of(Troubled(nan_above=1.0))
    evaluation = objective.evaluate(torch.tensor([[0.0, 2.0], [0.5, 0.0], [9.0, 0.0]], dtype=torch.float64), 0)
    assert evaluation.valid.tolist() == [False, True, True]
    assert evaluation.losses[0].isnan()
    assert evaluation.ranked()[0] == evaluation.losses[2]
    assert objective.ledger.best_loss == pytest.approx(0.25)


def test_measure_does_not_change_the_ledger():
    objective = objective_of(Noisy())
    theta = torch.zeros(1, 4, dtype=torch.float64)
    objective.evaluate(theta, 0)
    before = objective.ledger.state()
    assert objective.measure(theta[0], "a")[0] == objective.measure(theta[0], "a")[0]
    assert objective.measure(theta[0], "a")[0] != objective.measure(theta[0], "b")[0]
    after = objective.ledger.state()
    assert torch.equal(after.pop("best_theta"), before.pop("best_theta"))
    assert after == before


def test_render_seeds_depend_on_the_run_seed_and_the_render_number_only():
    theta = torch.zeros(6, 4, dtype=torch.float64)
    whole = objective_of(Noisy()).evaluate(theta, 0).losses
    parts = objective_of(Noisy())
    halves = torch.cat([parts.evaluate(theta[:3], 0).losses, parts.evaluate(theta[3:], 1).losses])
    assert torch.equal(whole, halves)
    assert len(set(whole.tolist())) > 1
    assert not torch.equal(whole, objective_of(Noisy(), seed=1).evaluate(theta, 0).losses)


def test_evaluate_returns_images_only_if_asked_for():
    objective = objective_of(Stripes())
    theta = objective.space.to_scaled(objective.task.solution)[None]
    evaluation = objective.evaluate(theta, 0, images=True)
    assert evaluation.images is not None
    assert torch.equal(evaluation.images[0], objective.task.reference())
    assert evaluation.losses[0] == 0
    assert objective.evaluate(theta, 0).images is None


def test_a_render_of_the_wrong_shape_raises_a_setting_error():
    class Wrong(Stripes):
        def render(self, x, *seeds):
            images = super().render(x)
            return images if len(images) == 1 else images[..., :-1]

    with pytest.raises(SettingError, match=r"render must return shape \[2, 1, 12, 16\].*got \[2, 1, 12, 15\]"):
        objective_of(Wrong()).evaluate(torch.zeros(2, 2, dtype=torch.float64), 0)


def test_all_renders_of_a_failed_batch_rank_equal():
    evaluation = objective_of(Troubled(nan_above=-9.0)).evaluate(torch.zeros(3, 2, dtype=torch.float64), 0)
    assert evaluation.ranked().tolist() == [math.inf] * 3


def test_a_budget_below_one_raises_a_setting_error():
    with pytest.raises(SettingError, match="max_renders must be at least 1, got 0"):
        objective_of(Quadratic(), max_renders=0)


@pytest.mark.parametrize("noisy, renders", [(False, 2), (True, 3)])
def test_measuring_the_same_theta_twice_renders_once_unless_the_task_is_noisy(noisy, renders):
    task = Sphere()
    task.noisy = noisy
    task.setup()
    objective = Objective(task, 10)
    theta = task.space.init
    first = objective.measure(theta, "1")
    assert objective.measure(theta.clone(), "2")[0] == first[0]
    assert objective.measure(theta + 0.1, "3")[0] != first[0]
    assert len(task.rendered()) == renders and objective.ledger.renders == 0


def test_a_task_that_returns_truths_as_losses_is_refused():
    class Truth(Quadratic):
        def render(self, x, *seeds):
            return super().render(x) < 1

    with pytest.raises(SettingError, match="got True or False for B = 2"):
        objective_of(Truth()).evaluate(torch.zeros(2, 4, dtype=torch.float64), 0)
