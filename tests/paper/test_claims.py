"""Verdicts on rows that were made up so that the answer is known, and the claims as they are written."""

from pathlib import Path

import numpy as np
import pytest
import torch

from baselines.compare import statistics
from baselines.compare.rows import Run
from paper import claims
from paper.experiments import Experiment, experiment_of, percent
from paper.pairs import compare
from paper.plan import methods_of
from paper.rows import Material, read
from paper.variance import loss_gradient
from tests.problems import Quadratic
from zg.objective import Objective

# A tenth of the renders of the paper's texture.
RENDERS = 410_000


def run(method, seed, final, task="texture", initial=1.0, **more):
    row = {"task": task, "method": method, "seed": seed, "init_loss": initial, "final_loss": final}
    row |= {"renders": RENDERS, "max_renders": RENDERS, "stop_reason": "budget", "feedback": "loss"} | more
    return Run(row, Path(), None)


# {method: the share of the initial loss that it leaves}, in the claimed order of the texture.
ORDERED = {"zerograds-paper": 1e-4, "spsa": 0.2, "fr22": 0.3, "simulated_annealing": 0.5, "genetic": 0.4}


def several(shares=ORDERED, task="texture", **more):
    """Runs of six seeds with starts of their own. No two of them are alike."""
    random = np.random.default_rng(0)
    return [
        run(method, seed, share * (1 + seed) * random.uniform(0.99, 1.01), task, 1.0 + seed, **more)
        for method, share in shares.items()
        for seed in range(6)
    ]


def material(shares, **more):
    return Material(Path(), {"published": several(shares)}, **more)


def verdict(found, claim, view="as published", kind=None):
    said = [one for one in claims.judge(found) if (one.claim, one.view) == (claim, view)]
    return next(one for one in said if kind in (None, one.kind))


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, claims.REPRODUCED),
        ({"genetic": 1e-3}, claims.PARTLY),
        ({"zerograds-paper": 0.9, "spsa": 0.8, "fr22": 0.7}, claims.NOT),
        ({"zerograds-paper": 0.45}, claims.NOT),
        ({name: 0.99 - 0.01 * place for place, name in enumerate(reversed(ORDERED))}, claims.UNTESTED),
    ],
)
def test_a_claim_is_judged_by_the_order_of_its_methods(changed, expected):
    assert verdict(material(ORDERED | changed), "texture").verdict == expected


def test_pairs_in_order_and_contrary_pairs_are_counted_with_what_a_test_tells():
    found = verdict(material(ORDERED | {"genetic": 0.25}), "texture")
    assert "of 8 pairs 7 (7 significant) in the claimed order, 1 (1 significant) contrary to it" in found.numbers
    assert "Genetic algorithm is better than FR22" in found.numbers


@pytest.mark.parametrize(
    ("changed", "expected"),
    [({}, claims.REPRODUCED), ({"genetic": 0.05}, claims.PARTLY), ({"zerograds-paper": 0.15}, claims.NOT)],
)
def test_how_far_the_methods_come_is_judged_apart_from_their_order(changed, expected):
    found = verdict(material(ORDERED | changed), "texture", kind="absolute")
    assert found.verdict == expected
    assert found.verdict == claims.REPRODUCED or "gains" in found.numbers


def test_a_method_without_randomness_is_one_sample():
    """Six seeds from one start, and methods that draw nothing: nothing to test, whatever the distance is."""
    runs = [run(method, seed, share) for method, share in ORDERED.items() for seed in range(6)]
    found = verdict(Material(Path(), {"published": runs}), "texture")
    assert found.verdict == claims.PARTLY
    assert "8 (0 significant)" in found.numbers and "8 without a test, for a method has one sample" in found.numbers


def test_runs_with_the_same_start_are_compared_with_each_other():
    """The gains of the two methods overlap, and each seed says the same."""
    gains = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    runs = {
        name: [run(name, seed, 10.0**-gain, initial=2.0 + seed) for seed, gain in enumerate(of)]
        for name, of in {"a": gains + np.array([0.1, 0.11, 0.12, 0.1, 0.09, 0.1]), "b": gains}.items()
    }
    of = statistics.gains([*runs["a"], *runs["b"]])
    paired = compare("a", "b", runs, of)
    assert paired.better == 1 and paired.p < 0.001
    for several in runs.values():
        for one in several:
            one.row["init_loss"] = 1.0
    assert compare("a", "b", runs, of).p > 0.5


def test_what_has_no_rows_is_not_tested_and_a_pair_without_rows_is_no_proof():
    assert verdict(material(ORDERED), "caustic").verdict == claims.UNTESTED
    assert verdict(material(ORDERED), "texture", "the default, all tuned").verdict == claims.UNTESTED
    some = {name: share for name, share in ORDERED.items() if name != "genetic"}
    assert verdict(material(some), "texture").verdict == claims.PARTLY


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
    runs = [*several(), run("fr22", 6, 2.1, initial=7.0, renders=renders, stop_reason=reason)]
    found = verdict(Material(Path(), {"published": runs}), "texture")
    assert found.verdict == expected
    assert f"{renders:,}" in found.numbers and "of the paper's 4,100,000" in found.numbers


def test_a_failed_run_does_not_lower_the_share():
    runs = [*several(), run("genetic", 6, None, renders=0, stop_reason="error")]
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


def test_the_claim_about_memory_is_judged_seed_by_seed_against_a_trained_control():
    def rows(with_memory, control, iterations=100):
        both = {"with memory": with_memory, "without memory, trained": control}
        about = {"task": "toy", "seed": 0, "error": "", "iterations": iterations, "bias": 0.25}
        return [about | {"memory": name, "variance": value} for name, value in both.items()]

    found = verdict(material({}, variance=rows(0.1, 2.0)), "hysteresis")
    assert found.verdict == claims.REPRODUCED and "bias 0.25" in found.numbers
    assert verdict(material({}, variance=rows(2.0, 0.1)), "hysteresis").verdict == claims.NOT
    assert verdict(material({}, variance=rows(0.1, 2.0, 99)), "hysteresis").verdict == claims.UNTESTED
    other = [row | {"seed": 1} for row in rows(2.0, 0.1)]
    assert verdict(material({}, variance=rows(0.1, 2.0) + other), "hysteresis").verdict == claims.PARTLY
    untrained = [row | {"memory": row["memory"].partition(",")[0]} for row in rows(0.1, 2.0)]
    assert verdict(material({}, variance=untrained), "hysteresis").verdict == claims.UNTESTED


def test_the_gradient_of_the_loss_is_that_of_a_known_loss():
    task = Quadratic()
    task.setup()
    objective = Objective(task, 10**6)
    found = loss_gradient(objective, torch.full_like(objective.start, 0.01), lambda done, total: None)
    x = objective.start.clone().requires_grad_()
    step = 1e-4 * torch.eye(len(x), dtype=x.dtype)
    slopes = (objective.evaluate(x.detach() + step, 0).losses - objective.evaluate(x.detach() - step, 0).losses) / 2e-4
    assert torch.nn.functional.cosine_similarity(found, slopes.double(), dim=0) > 0.99


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


def autoencoders(read=0.9, error=0.03, bound=0.027, control=0.08, renders=60_000):
    errors = {"surrogate": error, "soft": bound, "sampled": control}
    return [
        {
            "variant": name,
            "max_renders": renders,
            "reconstruction": value,
            "readable": read if name == "surrogate" else 0.1,
            "revision": "a75d65640374",
        }
        for name, value in errors.items()
        for _ in range(3)
    ]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (autoencoders(), claims.REPRODUCED),
        (autoencoders(read=0.5), claims.PARTLY),
        (autoencoders(read=0.5, bound=0.01), claims.NOT),
        (autoencoders(read=0.5, renders=20_000) + autoencoders(), claims.REPRODUCED),
        (autoencoders()[:6], claims.UNTESTED),
        ([], claims.UNTESTED),
    ],
)
def test_the_autoencoder_is_judged_by_what_is_read_and_by_its_error_against_bound_and_control(rows, expected):
    found = verdict(material({}, autoencoder=rows), "autoencoder", "any")
    assert found.verdict == expected and found.kind == "model"
    if expected != claims.UNTESTED:
        assert "60,000 renders (the paper's number is not stated by the paper), 3 seeds" in found.numbers
        assert found.numbers.endswith("rows of revision a75d65640374")


def test_the_rows_of_the_clone_are_those_that_judge_the_autoencoder(tmp_path):
    assert verdict(read(tmp_path), "autoencoder", "any").verdict == claims.REPRODUCED
    (tmp_path / "preset.json").write_text('{"preset": "smoke"}')
    assert verdict(read(tmp_path), "autoencoder", "any").verdict == claims.UNTESTED, "a trial judges nothing"
