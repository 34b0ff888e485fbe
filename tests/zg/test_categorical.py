"""Categorical parameters: values without an order, one-hot in x, scores in θ."""

import sys

import numpy as np
import pytest
import torch

import zg
from tasks.external import External
from tests.methods import CASES, find

SHADES = ["mirror", "glass", "phong", "lambert"]
# NGOpt takes seconds for 40 renders; other optimisers of Nevergrad are tried.
SLOW = ("nevergrad", "nevergrad, in batches")
COST = {"mirror": 2.0, "glass": 0.7, "phong": 1.0, "lambert": 0.0}
SPACE = {
    "count": zg.Block(20, low=1, high=40, kind="integer"),
    "shade": zg.Block("mirror", choices=SHADES),
    "size": zg.Block([0.8, 0.1], low=0, high=1),
}


def cost(count, shade, size):
    return COST[shade] + 0.01 * (count - 7) ** 2 + float(((size - 0.3) ** 2).sum())


def found(result) -> str:
    return zg.ParameterSpace(SPACE).values(result.theta)["shade"]


def test_x_is_one_hot_and_the_highest_score_is_the_value():
    space = zg.ParameterSpace(SPACE)
    assert space.n == 7
    assert space.to_user(space.init).tolist() == pytest.approx([20, 1, 0, 0, 0, 0.8, 0.1])
    theta = torch.tensor([[0.5, 0.1, 0.4, 3.0, 0.2, 0.0, 0.0], [0.5, 0.9, 0.9, 0.0, -2.0, 0.0, 0.0]]).double()
    assert space.to_user(theta)[:, 1:5].tolist() == [[0, 0, 1, 0], [1, 0, 0, 0]]
    assert torch.equal(space.to_user(space.to_scaled(space.to_user(theta))), space.to_user(theta))
    assert torch.equal(space.to_user(space.settled(theta)), space.to_user(theta))
    x = space.to_user(theta)[0]
    assert torch.equal(space.point(space.values(x)), x)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"init": "red", "choices": ["red"]}, ".choices must be a list of two or more values"),
        ({"init": "red", "choices": ["red", "red"]}, ".choices must be values that differ"),
        ({"init": "rad", "choices": ["red", "blue"]}, " has no choice 'rad'; did you mean 'red'?"),
        ({"init": "red", "choices": ["red", "blue"], "low": 0.5}, ".low must be left out where kind is categorical"),
        ({"init": "red", "kind": "categorical"}, ".choices must be a list of two or more values"),
        ({"init": 1, "choices": [1, 2], "kind": "integer"}, ".kind must be categorical where there are choices"),
        ({"init": [1, 2], "kind": ["real", "categorical"]}, "one for the whole block where it is categorical"),
        ({"init": [1, 2], "kind": ["real"]}, ".kind must be one kind, or 2, one for each coordinate"),
    ],
)
def test_a_wrong_categorical_block_is_refused_with_its_setting(settings, message):
    with pytest.raises(zg.SettingError) as refused:
        zg.Block(**settings)
    assert message in str(refused.value)


def test_kinds_may_differ_within_a_block():
    space = zg.ParameterSpace(
        x=zg.Block([0.3, 4.0, 1.0], low=[0, 0, 0], high=[1, 9, 1], kind=["real", "integer", "binary"])
    )
    assert space.to_user(space.init + 0.07).tolist() == pytest.approx([0.37, 5, 1])


TOLD_LOSSES = [case for case, (name, _) in CASES.items() if find(name).feedback == "loss" and case not in SLOW]


@pytest.mark.parametrize("case", TOLD_LOSSES)
def test_every_method_renders_choices_and_recommends_one(case):
    seen = set()
    name, settings = CASES[case]

    def f(**x):
        seen.add(x["shade"])
        return cost(**x)

    result = zg.optimize(f, space=SPACE, method={"name": name, **settings}, max_renders=40, curve_points=0)
    assert seen <= set(SHADES)
    assert found(result) in SHADES


@pytest.mark.parametrize("name", ["zerograds", "cmaes", "snes", "genetic"])
def test_the_best_choice_is_found_among_numbers_and_integers(name):
    result = zg.optimize(cost, space=SPACE, method=name, max_renders=400, curve_points=0)
    assert found(result) == "lambert"
    assert result.loss < 0.05


def test_many_choices_are_searched_one_at_a_time():
    goal = np.random.default_rng(0).choice(list("abcd"), 40)
    block = zg.Block(["a"] * 40, choices=list("abcd"))
    result = zg.minimize(lambda x: float((x != goal).mean()), space=block, max_renders=700, curve_points=0)
    assert result.row["resolved"] == "coordinate_search" or result.loss == 0
    assert result.loss == 0


def test_a_surrogate_of_the_picture_finds_the_choice():
    y, x = np.mgrid[0:12, 0:12] / 11
    pictures = {"across": x, "down": y, "both": x * y}

    def render(kind, level):
        return level * pictures[kind]

    space = {"kind": zg.Block("both", choices=list(pictures)), "level": zg.Block(0.4, low=0, high=1)}
    result = zg.optimize(render, space=space, target={"kind": "down", "level": 0.8}, max_renders=80, curve_points=0)
    assert result.row["feedback"] == "image"
    assert zg.ParameterSpace(space).values(result.theta)["kind"] == "down"


def test_a_function_gets_the_choice_of_whatever_type_it_is():
    seen = []
    values = [None, (1, 2), 3.5]
    zg.minimize(lambda x: seen.append(x) or 0.0, space=zg.Block((1, 2), choices=values), max_renders=20, curve_points=0)
    assert seen[0] == (1, 2)
    assert {type(value) for value in seen} <= {type(None), tuple, float}


def test_a_program_gets_the_choice_as_a_word(tmp_path):
    program = (
        "import json, sys, numpy; shade = json.load(sys.stdin)['shade'];"
        "numpy.save(sys.argv[1], numpy.full((4, 4), {'dark': 0.1, 'light': 0.9}[shade]))"
    )
    task = External(
        [sys.executable, "-c", program, "{output}"],
        space={"shade": {"init": "dark", "choices": ["dark", "light"]}},
        shape=[1, 4, 4],
        target={"shade": "light"},
        format="npy",
    )
    try:
        task.setup()
        assert task.solution.tolist() == [0, 1]
        assert task.reference().unique().item() == pytest.approx(0.9)
    finally:
        task.close()
