"""Constraints g ≤ 0: what is told to methods, what is returned, and what a checkpoint holds."""

import math

import numpy as np
import pytest
import torch

import zg
from zg.constraints import ranked
from zg.ledger import Ledger


def line(x):
    """The lowest point of a line on the unit disc is (−1, −1) / √2."""
    return float(x[0] + x[1])


def disc(x):
    return x @ x - 1


@pytest.mark.parametrize("method", ["auto", "cmaes", "snes", "bfgs", "bobyqa", "genetic"])
def test_the_best_feasible_point_is_returned(method):
    result = zg.minimize(line, [0.5, 0.5], constraints=disc, method=method, max_renders=400, curve_points=0)
    assert disc(result.theta.numpy()) <= 0
    assert result.row["metric_violation"] == 0
    assert result.row["metric_constraint_0"] == pytest.approx(disc(result.theta.numpy()))
    assert result.loss == pytest.approx(-math.sqrt(2), abs=0.08)


def test_the_augmented_lagrangian_copes_with_units_that_differ():
    def g(x):
        return [1e-3 * (x[0] ** 2 - x[1]), 1e3 * (x[0] + x[1] - 2)]

    def f(x):
        return 1e4 * ((x[0] - 2) ** 2 + (x[1] - 1) ** 2)

    result = zg.minimize(f, [0.0, 0.0], constraints=g, max_renders=400, curve_points=0)
    assert result.theta == pytest.approx(torch.ones(2).double(), abs=0.02)
    assert max(g(result.theta.numpy())) <= 0


@pytest.mark.parametrize("seed", [1, 2])
def test_a_corner_of_two_constraints_is_met_closely(seed):
    """A stage that begins with a wide σ at the corner finds nothing lower, and then the multipliers run away."""
    result = zg.minimize(
        lambda x: float((x[0] - 2) ** 2 + (x[1] - 1) ** 2),
        [0.5, 0.5],
        constraints=lambda x: [x[0] ** 2 - x[1], x[0] + x[1] - 2],
        max_renders=1000,
        curve_points=0,
        seed=seed,
    )
    assert 0 <= result.loss - 1 < 1e-6
    assert result.row["metric_violation"] == 0


def test_constraints_that_do_not_bind_change_nothing_of_the_minimum():
    result = zg.minimize(lambda x: float(x @ x), [1.0, 1.0], constraints=lambda x: x - 5, max_renders=300)
    assert result.loss < 1e-8
    assert {"violation", "constraint_0", "constraint_1"} <= set(result.history.columns)


def test_named_parameters_reach_the_constraints_and_a_start_outside_is_left():
    def g(a, n):
        return 3 - n

    space = {"a": zg.Block(0.5, low=0, high=1), "n": zg.Block(0, low=0, high=9, kind="integer")}
    result = zg.optimize(lambda a, n: a + n, space=space, constraints=g, max_renders=150, curve_points=0)
    assert result.theta.tolist() == pytest.approx([0, 3], abs=0.05)


def test_without_a_feasible_point_the_least_violating_one_is_returned_with_a_warning():
    with pytest.warns(UserWarning, match="no x met the constraints; that of the result has the violation 1"):
        result = zg.minimize(line, [3.0, 3.0], constraints=lambda x: 1 + x @ x, max_renders=300, curve_points=0)
    assert result.row["best_loss"] == math.inf
    assert result.row["metric_violation"] == pytest.approx(1, abs=0.02)


def test_a_picture_with_constraints_is_matched_by_the_loss():
    reference = np.full((4, 4), 0.9)

    def render(x):
        return x[0] + np.zeros((4, 4))

    result = zg.optimize(render, [0.2], reference=reference, constraints=lambda x: x[0] - 0.6, max_renders=120)
    assert result.row["feedback"] == "loss"
    assert result.theta.item() == pytest.approx(0.6, abs=1e-2) and result.theta.item() <= 0.6
    with pytest.raises(zg.SettingError, match="feedback must be loss"):
        zg.optimize(render, [0.2], reference=reference, constraints=disc, feedback="image")
    with pytest.raises(zg.SettingError, match="method must be told losses where there are constraints"):
        zg.optimize(render, [0.2], reference=reference, constraints=disc, method="fr22_image")


def test_ranks_put_feasible_points_first_and_then_smaller_violations():
    losses = torch.tensor([3.0, -1e6, 2.0, 5.0, 0.0]).double()
    g = torch.tensor([[-1.0, 0.0], [1e-9, -1.0], [0.5, 0.5], [-2.0, -2.0], [math.nan, 0.0]]).double()
    assert ranked(losses, g).argsort().tolist() == [0, 3, 1, 2, 4]


def test_the_ledger_keeps_the_smallest_violation_and_then_the_lowest_loss():
    ledger = Ledger(9, torch.zeros(1))
    theta = torch.arange(4.0)[:, None]
    ledger.account(theta[:2], torch.tensor([1.0, 0.0]).double(), torch.tensor([[2.0], [3.0]]).double())
    assert (ledger.best_theta.item(), ledger.best_violation, ledger.best_loss) == (0, 2, math.inf)
    ledger.account(theta[2:], torch.tensor([9.0, 4.0]).double(), torch.tensor([[0.0], [-1.0]]).double())
    assert (ledger.best_theta.item(), ledger.best_violation, ledger.best_loss) == (3, 0, 4)


@pytest.mark.parametrize("method", ["zerograds", "cmaes"])
def test_a_resumed_run_ends_on_the_same_bits(method, tmp_path):
    def run(renders, folder, **options):
        return zg.minimize(
            line, [0.5, 0.5], constraints=disc, method=method, max_renders=renders, folder=folder, **options
        )

    whole = run(240, tmp_path / "whole")
    calls = []

    def stop(loop):
        calls.append(loop.renders)
        return loop.renders > 130

    run(240, tmp_path / "parts", callback=stop)
    resumed = run(240, tmp_path / "parts", resume=True)
    assert calls[-1] < 240 == resumed.renders
    assert torch.equal(resumed.theta, whole.theta)


def test_a_constraint_that_returns_no_numbers_is_refused():
    for returned, message in (("wide", "must be numbers"), ([], "one value or more")):
        with pytest.raises(zg.SettingError, match=message):
            zg.minimize(line, [0.5, 0.5], constraints=lambda x, returned=returned: returned, max_renders=9)


@pytest.mark.parametrize("batched", [False, True])
def test_a_constraint_that_returns_truths_is_refused(batched):
    """True counts as 1, violated, where people mean that it is met."""
    with pytest.raises(zg.SettingError, match=r"constraints must return g, a number that is ≤ 0 .*, got True or False"):
        zg.minimize(
            lambda x: (x**2).sum(-1), np.zeros(2), constraints=lambda x: x[..., 0] < 1, batched=batched, max_renders=20
        )
