"""The table by which the default chooses: for each situation the surrogate and its first σ."""

from dataclasses import replace

import pytest
import torch

from zg.problem import Problem
from zg.space import Block, ParameterSpace
from zg.zerograds.choose import (
    FEW,
    FEWEST,
    FULL,
    RENDERS_PER_PARAMETER,
    SIGMA_BEYOND,
    SIGMA_RANKED,
    SOME,
    SWEPT,
    TABLE,
    Situation,
    choose,
)
from zg.zerograds.surrogates import SURROGATES


def start(n, noisy=False, any_discrete=False, all_discrete=False, **facts):
    return Situation(n, noisy, any_discrete, all_discrete, **facts)


def work(present, n=10, **facts):
    return replace(start(n), present=present, **facts)


MANY = {"present": "sketched_gradient", "n": 200, "renders": 16 * 200}
# situation -> surrogate and its first σ over the user's (None: that of the surrogate before), or no hand-over.
CASES = {
    "many integers or binaries": (start(129, any_discrete=True, all_discrete=True), ("coordinate_search", 1.0)),
    "many integers or binaries, noise": (
        start(129, noisy=True, any_discrete=True, all_discrete=True),
        ("coordinate_search", 1.0),
    ),
    "many": (start(129), ("sketched_gradient", 1.0)),
    "many, noise": (start(129, noisy=True), ("sketched_gradient", 1.0)),
    "many, some of them discrete": (start(129, any_discrete=True), ("sketched_gradient", 1.0)),
    "many, some of them choices": (start(129, any_discrete=True, any_categorical=True), ("dd_cmaes", 1.0)),
    "a million": (start(10**6), ("sketched_gradient", 1.0)),
    "few, some of them discrete": (start(128, any_discrete=True), ("assisted_cmaes", 1.0)),
    "few, all discrete": (start(128, any_discrete=True, all_discrete=True), ("assisted_cmaes", 1.0)),
    "few, discrete, noise": (start(5, noisy=True, any_discrete=True), ("dd_cmaes", 1.0)),
    "few, noise": (start(128, noisy=True), ("bayesian_quadratic", 1.0)),
    "few": (start(128), ("quasi_newton", 1.0)),
    "more than a model of past renders is for": (start(11), ("quasi_newton", 1.0)),
    "fewest": (start(10), ("two_searches", 2.0)),
    "one": (start(1), ("two_searches", 2.0)),
    "many, enough renders": (work(**MANY), ("quasi_newton", None)),
    "many, too few renders": (work(**MANY | {"renders": 16 * 200 - 1}), None),
    "512, enough renders": (work(**MANY | {"n": 512, "renders": 16 * 512}), ("quasi_newton", None)),
    "more than n × n numbers allow": (work(**MANY | {"n": 513, "renders": 10**6}), None),
    "many, enough renders, noise": (work(**MANY, noisy=True), None),
    "many, enough renders, discrete": (work(**MANY, any_discrete=True), None),
    "many, converged": (work(**MANY | {"renders": 100}, converged=True), None),
    "differences at work": (work("quasi_newton", n=41, renders=10**6), None),
    "differences at work, too few renders": (work("quasi_newton", n=40, renders=40 * 40 - 1), None),
    "differences at work, enough renders": (work("quasi_newton", n=40, renders=40 * 40), ("two_searches", 2.0)),
    "differences converged": (work("quasi_newton", n=40, converged=True), ("two_searches", 3.0)),
    "differences failed": (work("quasi_newton", n=40, failed=True), ("two_searches", 2.0)),
    "differences converged, no full model": (work("quasi_newton", n=128, converged=True), ("assisted_cmaes", 3.0)),
    "differences failed, no full model": (work("quasi_newton", n=128, failed=True), ("assisted_cmaes", 1.0)),
    "differences converged, no model": (work("quasi_newton", n=129, converged=True), ("dd_cmaes", 3.0)),
    "differences failed, no model": (work("quasi_newton", n=129, failed=True), ("dd_cmaes", 1.0)),
    "differences converged and failed": (work("quasi_newton", converged=True, failed=True), ("two_searches", 3.0)),
    "two searches converged": (work("two_searches", converged=True, failed=True, renders=10**6), None),
    "ranks converged": (work("dd_cmaes", converged=True, failed=True, renders=10**6), None),
    "regression failed": (work("bayesian_quadratic", converged=True, failed=True, renders=10**6), None),
    "coordinates converged": (work("coordinate_search", n=300, converged=True, failed=True, renders=10**6), None),
}


@pytest.mark.parametrize("case", CASES)
def test_the_table_says_which_surrogate_runs_and_from_which_sigma(case):
    situation, expected = CASES[case]
    rule = choose(situation)
    assert (rule and (rule.surrogate, rule.sigma)) == expected


def test_every_row_of_the_table_is_needed():
    followed = [choose(situation) for situation, _ in CASES.values()]
    for rule in TABLE:
        assert any(found is rule for found in followed), rule.because


def test_the_table_names_surrogates_that_exist():
    for rule in TABLE:
        assert rule.surrogate in SURROGATES
        assert rule.present in ("", *SURROGATES)


def test_the_numbers_of_the_table_are_those_of_the_cases():
    assert (FEWEST, FULL, SWEPT, FEW, SOME) == (10, 40, 40, 128, 512)
    assert (RENDERS_PER_PARAMETER, SIGMA_RANKED, SIGMA_BEYOND) == (16, 2.0, 3.0)


@pytest.mark.parametrize(
    ("blocks", "noisy", "surrogate"),
    [
        ({"x": Block(torch.zeros(128))}, False, "quasi_newton"),
        ({"x": Block(torch.zeros(128))}, True, "bayesian_quadratic"),
        ({"x": Block(torch.zeros(3)), "count": Block(2, low=0, high=9, kind="integer")}, True, "dd_cmaes"),
        ({"x": Block(torch.zeros(3)), "count": Block(2, low=0, high=9, kind="integer")}, False, "assisted_cmaes"),
        ({"x": Block(torch.zeros(128)), "switch": Block(0.0, kind="binary")}, False, "sketched_gradient"),
        ({"switch": Block(torch.zeros(129), kind="binary")}, False, "coordinate_search"),
    ],
    ids=["real", "noisy", "mixed, noisy", "mixed", "129 with a binary", "129 binaries"],
)
def test_the_situation_is_read_from_the_problem(blocks, noisy, surrogate):
    problem = Problem.of_space(ParameterSpace(blocks), noisy=noisy)
    rule = choose(Situation.at_start(problem))
    assert rule is not None and rule.surrogate == surrogate
