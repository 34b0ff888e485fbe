"""What people type: bounds, x0, whole numbers, several losses, callbacks of SciPy, words for the default."""

import math

import numpy as np
import pytest
import scipy.optimize
import torch

import zg
from zg.losses import Weighted
from zg.spaces import make_space


def sphere(x):
    return float(((np.asarray(x) - 0.3) ** 2).sum())


@pytest.mark.parametrize(
    ("given", "start", "low", "high", "discrete"),
    [
        ({"init": [1.0, 2.0], "bounds": (0, 5)}, [1, 2], [0, 0], [5, 5], [False, False]),
        ({"init": [1.0, 2.0], "bounds": [(0, None), (None, 5)]}, [1, 2], [0, -math.inf], [math.inf, 5], [False] * 2),
        ({"bounds": [(0, 1), (2, 6)]}, [0.5, 4], [0, 2], [1, 6], [False, False]),
        ({"bounds": np.array([[0, 1], [2, 6]])}, [0.5, 4], [0, 2], [1, 6], [False, False]),
        ({"bounds": scipy.optimize.Bounds([0, 2], [1, 6])}, [0.5, 4], [0, 2], [1, 6], [False, False]),
        ({"bounds": [(0, 1), (1, 6)], "integer": [False, True]}, [0.5, 4], [0, 1], [1, 6], [False, True]),
        ({"bounds": [(0, 1), (1, 6)], "integer": [1]}, [0.5, 4], [0, 1], [1, 6], [False, True]),
        ({"init": [1.0, 2.0], "integer": True}, [1, 2], [-math.inf] * 2, [math.inf] * 2, [True, True]),
        ({"bounds": {"a": (0, 1), "b": (1, 6)}, "integer": ["b"]}, [0.5, 4], [0, 1], [1, 6], [False, True]),
        ({"init": {"a": 0.2, "b": 3}, "bounds": {"b": (1, 6)}}, [0.2, 3], [-math.inf, 1], [math.inf, 6], [False] * 2),
    ],
)
def test_a_space_follows_from_start_bounds_and_whole_numbers(given, start, low, high, discrete):
    space = make_space(given.get("init"), None, given.get("bounds"), given.get("integer"))
    assert space.to_user(space.init).tolist() == start
    assert (space.low_user.tolist(), space.high_user.tolist()) == (low, high)
    assert space.discrete.tolist() == discrete


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "init must be given if space and bounds are not"),
        ({"x0": [1.0], "init": [2.0]}, "init and x0 exclude each other, got both"),
        ({"bounds": [(0, 1), (0, None)]}, "bounds must be finite where there is no start"),
        ({"x0": [1.0], "bounds": [(0, 1), (0, 1)]}, "bounds must be one pair, or 1, one for each parameter, got 2"),
        ({"x0": [1.0], "bounds": [(0, 1, 2)]}, "bounds must be a pair (low, high), or a pair for each parameter"),
        ({"x0": [1.0], "integer": [0, 0]}, "integer must be True, 1 flags, or distinct positions from 0 to 0"),
        ({"x0": {"a": 1.0}, "bounds": {"b": (0, 1)}}, "bounds must have names of init, ['a'], got ['b']"),
        ({"x0": {"a": 1.0}, "integer": ["b"]}, "integer must have names of parameters, ['a'], got ['b']"),
        ({"space": zg.Block(1.0), "bounds": (0, 1)}, "bounds and integer are part of space"),
        ({"space": {"mast": (0, 1)}}, "space.mast must be a Block, got (0, 1); bounds are bounds={'mast': (0, 1)}, or"),
        ({"space": {"mast": 0.5}}, "space.mast must be a Block, got 0.5; a start alone is init={'mast': …}"),
        ({"bounds": {"mast": (1, 0)}}, "space.mast.low must be below high = 0, got 1"),
        ({"x0": {"mast": 3}, "space": {"mast": zg.Block(0, high=1)}}, "space.mast.init must be inside its bounds"),
        ({"x0": [1.0], "method": "tpe"}, "method 'tpe' is unknown; what comes nearest here is 'zerograds'"),
        ({"x0": [1.0], "method": 3}, "method must be a name, a name with settings, or a Method, got 3"),
        ({"x0": [1.0], "constraints": 3}, "constraints must be a function, got int"),
        ({"x0": [1.0], "callback": 3}, "callback must be a function, got int"),
    ],
)
def test_a_wrong_way_in_is_refused_in_one_line(settings, message):
    with pytest.raises(zg.SettingError) as refused:
        zg.optimize(sphere, max_renders=5, **settings)
    assert message in str(refused.value)


def test_minimize_takes_bounds_or_a_space_without_a_start():
    by_bounds = zg.minimize(sphere, bounds=[(-2, 3), (-1, 4)], max_renders=60, curve_points=0)
    assert by_bounds.theta == pytest.approx(torch.full((2,), 0.3).double(), abs=1e-2)
    by_space = zg.minimize(sphere, space=zg.Block([1.0, 1.0], low=-2, high=4), max_renders=60, curve_points=0)
    assert by_space.loss < 1e-3
    seen = []
    zg.minimize(lambda a, n: seen.append(n) or a, bounds={"a": (0, 1), "n": (1, 6)}, integer=["n"], max_renders=9)
    assert all(isinstance(int(n), int) and n == int(n) and np.asarray(n).dtype.kind == "i" for n in seen)


@pytest.mark.parametrize("method", [None, "auto", "Default", "CMA-ES", "Random Search"])
def test_words_for_a_method_are_understood(method):
    result = zg.minimize(sphere, [1.0, 2.0], method=method, max_renders=20, curve_points=0)
    wanted = {"CMA-ES": "cmaes", "Random Search": "random_search"}.get(method, "zerograds")
    assert result.row["method"] == wanted


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("nelder-mead", "nearest here is 'bobyqa'"),
        ("L-BFGS-B", "nearest here is 'bfgs'"),
        ("cma", "nearest here is 'cmaes'"),
        ("adam", "method 'adam' needs derivatives"),
        ("wonder", "known: "),
    ],
)
def test_an_unknown_method_is_answered_with_a_known_one(word, hint):
    with pytest.raises(zg.SettingError) as refused:
        zg.minimize(sphere, [1.0], method=word, max_renders=5)
    assert hint in str(refused.value)


def test_callbacks_of_scipy_get_what_scipy_gives():
    results, points = [], []

    def with_result(*, intermediate_result):
        results.append(intermediate_result)

    def with_x(xk):
        points.append(xk)
        if len(points) == 3:
            raise StopIteration

    zg.minimize(sphere, [1.0, 2.0], method="es", callback=with_result, max_renders=60, curve_points=0)
    assert [one.nfev for one in results] == [20, 40, 60]
    assert all(one.fun == pytest.approx(sphere(one.x)) for one in results)
    stopped = zg.minimize(sphere, [1.0, 2.0], method="es", callback=with_x, max_renders=200, curve_points=0)
    assert stopped.renders == 60 and stopped.stop_reason == "callback"
    assert all(isinstance(x, np.ndarray) and x.shape == (2,) for x in points)


def test_each_of_several_losses_is_logged_without_its_weight():
    reference = np.linspace(0, 1, 64).reshape(8, 8)
    darker = (lambda images, reference: (reference - images).clamp_min(0).flatten(1).mean(1).double(), 0.25)
    result = zg.optimize(
        lambda x: x[0] + 0 * reference,
        init=np.array([0.1]),
        reference=reference,
        loss={"mse": 2.0, "darker": darker},
        max_renders=20,
        curve_points=3,
    )
    row = result.row
    assert row["final_loss"] == pytest.approx(2 * row["metric_loss_mse"] + 0.25 * row["metric_loss_darker"])
    assert {"loss_mse", "loss_darker"} <= set(result.history.columns)
    assert list(Weighted({"mse": 1, "multiscale": 0}).weights.values()) == [1, 0]


def parts(x):
    return {"fit": float(((x - 1) ** 2).sum()), "length": float(abs(x).sum())}


@pytest.mark.parametrize("places", [{}, {"workers": 2, "pool": "processes"}])
def test_losses_that_a_function_returns_by_name_are_weighted_and_logged(places):
    weights = {"length": 0.1, "fit": 1.0}
    result = zg.minimize(parts, [0.0, 0.0], loss=weights, max_renders=60, curve_points=3, **places)
    assert result.theta == pytest.approx(torch.full((2,), 0.95).double(), abs=1e-3)
    told = {name: result.row[f"metric_loss_{name}"] for name in weights}
    assert told == pytest.approx(parts(result.theta.numpy()))
    assert result.loss == pytest.approx(told["fit"] + 0.1 * told["length"])
    assert {"loss_fit", "loss_length"} <= set(result.history.columns)


def test_named_losses_of_a_batch_and_failed_ones_are_understood():
    batched = zg.minimize(
        lambda x: {"a": (x**2).sum(1), "b": abs(x).sum(1)}, [1.0, 1.0], loss={"a": 1, "b": 0}, batched=True
    )
    assert batched.loss < 1e-6
    with pytest.warns(UserWarning, match="renders failed"):
        zg.minimize(lambda x: None if x[0] > 1 else parts(x), [0.9, 0.9], loss={"fit": 1, "length": 0}, max_renders=40)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (None, "losses by name need weights: loss={'fit': 1.0, 'length': 1.0}"),
        ({"fit": 1.0}, "the returned losses must have the names of loss, ['fit'], got ['fit', 'length']"),
        ({"fit": 1.0, "length": -1}, "loss.length must be a weight ≥ 0, or a function and its weight, got -1"),
        ({"fit": (max, 1.0), "length": 1.0}, "loss.fit must be a weight where render returns the losses"),
        ("mse", "loss of minimize must be weights of what f returns by name, got 'mse'"),
    ],
)
def test_weights_that_do_not_fit_the_returned_losses_are_refused(loss, message):
    with pytest.raises(zg.SettingError) as refused:
        zg.minimize(parts, [0.0, 0.0], max_renders=9, **({} if loss is None else {"loss": loss}))
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ({"mse": -1}, "loss.mse must be a weight ≥ 0, or a function and its weight, got -1"),
        ({"mze": 1}, "loss 'mze' is unknown; did you mean 'mse'?"),
        ({}, "loss must have at least one loss, got none"),
    ],
)
def test_a_wrong_sum_of_losses_is_refused(loss, message):
    with pytest.raises(zg.SettingError, match=message.replace("?", r"\?")):
        zg.optimize(lambda x: np.zeros((4, 4)), [0.0], reference=np.zeros((4, 4)), loss=loss)
