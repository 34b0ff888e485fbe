"""Verdicts on rows that were made up so that the answer is known, and the claims as they are written."""

from pathlib import Path

import numpy as np
import pytest

from baselines.compare.rows import Run
from paper import claims
from paper.plan import methods_of
from paper.rows import Material


def run(method, seed, final, task="texture", initial=1.0):
    row = {"task": task, "method": method, "seed": seed, "init_loss": initial, "final_loss": final, "max_renders": 99}
    return Run(row | {"stop_reason": "budget", "feedback": "loss"}, Path(), None)


def material(losses, **more):
    runs = [run(method, seed, loss) for method, several in losses.items() for seed, loss in enumerate(several)]
    return Material(Path(), {"published": runs}, **more)


ORDERED = {"zerograds-paper": [1e-4] * 3, "spsa": [1e-2] * 3, "fr22": [2e-2] * 3}
ORDERED |= {"simulated_annealing": [0.5] * 3, "genetic": [0.4] * 3}


def verdict(found, claim, view="as published"):
    return next(one for one in claims.judge(found) if (one.claim, one.view) == (claim, view))


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, claims.REPRODUCED),
        ({"genetic": [1e-3] * 3}, claims.PARTLY),
        ({"zerograds-paper": [0.9] * 3, "spsa": [0.8] * 3, "fr22": [0.7] * 3}, claims.NOT),
        ({"zerograds-paper": [0.45] * 3}, claims.NOT),
        ({name: [0.99 - 0.01 * place] * 3 for place, name in enumerate(reversed(ORDERED))}, claims.UNTESTED),
    ],
)
def test_a_claim_is_judged_by_the_order_of_its_methods(changed, expected):
    assert verdict(material(ORDERED | changed), "texture").verdict == expected


def test_what_has_no_rows_is_not_tested_and_a_pair_without_rows_is_no_proof():
    assert verdict(material(ORDERED), "caustic").verdict == claims.UNTESTED
    assert verdict(material(ORDERED), "texture", "the default, all tuned").verdict == claims.UNTESTED
    some = {name: values for name, values in ORDERED.items() if name != "genetic"}
    assert verdict(material(some), "texture").verdict == claims.PARTLY


def test_the_claim_about_memory_is_judged_seed_by_seed():
    def rows(with_memory, without):
        both = {"with memory": with_memory, "without memory": without}
        about = {"task": "toy", "seed": 0, "error": ""}
        return [about | {"memory": name, "variance": value} for name, value in both.items()]

    assert verdict(material({}, variance=rows(0.1, 2.0)), "hysteresis").verdict == claims.REPRODUCED
    assert verdict(material({}, variance=rows(2.0, 0.1)), "hysteresis").verdict == claims.NOT
    other = [row | {"seed": 1} for row in rows(2.0, 0.1)]
    assert verdict(material({}, variance=rows(0.1, 2.0) + other), "hysteresis").verdict == claims.PARTLY


def test_a_full_covariance_that_cannot_run_where_its_separable_form_does():
    rows = [{"method": "cmaes-full", "n": 1_000_000, "error": "ImportError: no module named cma"}]
    assert verdict(material({}, cost=rows), "cmaes_texture", "any").verdict == claims.UNTESTED
    rows = [{"method": "cmaes-full", "n": 1_000_000, "error": "cannot run: too large"}]
    assert verdict(material({}, cost=rows), "cmaes_texture", "any").verdict == claims.REPRODUCED
    rows.append({"method": "cmaes", "n": 1_000_000, "error": ""})
    found = verdict(material({}, cost=rows), "cmaes_texture", "any")
    assert found.verdict == claims.PARTLY
    assert f"{8 * 3 * 196_608**2 / 1e9:.3g} GB" in found.numbers


def test_every_method_that_a_claim_names_is_one():
    tiers = [tier for claim in claims.read_claims() for tier in claim.get("order", [])]
    assert set(np.concatenate(tiers)) - {"ours"} <= set(methods_of())
