"""Verdicts on rows that were made up so that the answer is known, and the claims as they are written."""

from pathlib import Path

import numpy as np
import pytest

from baselines.compare.rows import Run
from paper import claims
from paper.experiments import Experiment, experiment_of, percent
from paper.plan import methods_of
from paper.rows import Material

# A tenth of the renders of the paper's texture.
RENDERS = 410_000


def run(method, seed, final, task="texture", initial=1.0, **more):
    row = {"task": task, "method": method, "seed": seed, "init_loss": initial, "final_loss": final}
    row |= {"renders": RENDERS, "max_renders": RENDERS, "stop_reason": "budget", "feedback": "loss"} | more
    return Run(row, Path(), None)


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


def several(task="texture", **more):
    """Runs in the claimed order of the texture."""
    return [
        run(method, seed, loss, task, **more) for method, losses in ORDERED.items() for seed, loss in enumerate(losses)
    ]


@pytest.mark.parametrize(
    ("renders", "reason", "expected"),
    [
        (410_000, "budget", "reproduced"),
        (409_999, "budget", "not tested (10 %)"),
        (41_000, "time", "not tested (1 %)"),
        (41_000, "converged", "reproduced"),
    ],
)
def test_below_a_tenth_of_the_papers_renders_nothing_is_tested(renders, reason, expected):
    """A method that converged would not have moved any more."""
    runs = [*several(), run("fr22", 3, 0.02, renders=renders, stop_reason=reason)]
    found = verdict(Material(Path(), {"published": runs}), "texture")
    assert found.verdict == expected
    assert f"{renders:,}" in found.numbers and "of the paper's 4,100,000" in found.numbers


def test_a_failed_run_does_not_lower_the_share():
    runs = [*several(), run("genetic", 3, None, renders=0, stop_reason="error")]
    assert verdict(Material(Path(), {"published": runs}), "texture").verdict == claims.REPRODUCED


def test_our_variant_of_an_experiment_is_no_test_of_what_was_published():
    losses = {"zerograds-paper": 1e-4, "zerograds": 1e-4}
    runs = [run(name, seed, loss, "mlp") for name, loss in losses.items() for seed in range(3)]
    found = Material(Path(), {"published": runs}, tasks=[{"task": "mlp", "n": 35152, "error": ""}])
    assert verdict(found, "scales").verdict == "not tested (our variant)"
    default = verdict(found, "scales", "the default")
    assert default.verdict == claims.REPRODUCED
    assert "our variant of the experiment" in default.numbers


@pytest.mark.parametrize(
    ("task", "renders", "is_released"),
    [
        ("toy", 126_000, True),
        ("rosenbrock", 90_000, False),
        ("rosenbrock_released", 90_000, True),
        ("rosenbrock10", 90_000, False),
        ("texture16", 4_100_000, True),
        ("caustic", 2_100_000, False),
        ("caustic_released", 2_100_000, True),
        ("mlp_released", 105_000, True),
        ("led_display_released", 7500, True),
    ],
)
def test_a_task_is_an_experiment_of_the_paper_or_a_variant(task, renders, is_released):
    assert experiment_of(task) == Experiment(renders, is_released)


def test_the_renders_of_what_was_not_released_are_not_known():
    assert experiment_of("mesh") is experiment_of("somebodys own task") is None


@pytest.mark.parametrize(
    ("part", "said"), [(1.0, "100 %"), (1.2e-9, "1.2e-07 %"), (0.015, "1.5 %"), (0.0999, "10 %"), (2.5, "250 %")]
)
def test_a_share_is_said_in_percent(part, said):
    assert percent(part) == said


def test_the_claim_about_memory_is_judged_seed_by_seed():
    def rows(with_memory, without, iterations=100):
        both = {"with memory": with_memory, "without memory": without}
        about = {"task": "toy", "seed": 0, "error": "", "iterations": iterations}
        return [about | {"memory": name, "variance": value} for name, value in both.items()]

    assert verdict(material({}, variance=rows(0.1, 2.0)), "hysteresis").verdict == claims.REPRODUCED
    assert verdict(material({}, variance=rows(2.0, 0.1)), "hysteresis").verdict == claims.NOT
    assert verdict(material({}, variance=rows(0.1, 2.0, 99)), "hysteresis").verdict == claims.UNTESTED
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
