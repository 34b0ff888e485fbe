"""Why a run did not move: each reason, on a loss that has it, and on losses that do not."""

import json
import math
import pickle

import numpy as np
import pytest
import torch

import zg
from tests.problems import Noisy, Quadratic
from zg.budget import Budget
from zg.cli.main import main
from zg.run.evidence import MOST_NUMBERS, MOST_ROWS, KeepEvidence
from zg.run.explain import explain
from zg.run.run import run
from zg.zerograds.method import ZeroGrads


def explained(f, x0=(0.3, 0.4), max_renders=60, **settings):
    return zg.minimize(f, None if "space" in settings else list(x0), max_renders=max_renders, **settings).explain()


def text_of(explanation, kind):
    return next(finding.text for finding in explanation.findings if finding.kind == kind)


def test_a_good_run_has_nothing_that_held_it_back():
    found = explained(lambda x: ((x - 1) ** 2).sum())
    assert found.kinds == []
    assert "Nothing was found" in str(found)


def test_a_flat_loss_is_named_with_how_far_it_was_tried():
    found = explained(lambda x: 2.0)
    assert found.kinds == ["flat"]
    assert "all 60 kept renders gave 2" in text_of(found, "flat")
    assert found.parameters == [], "nothing can be said of any parameter"


def test_a_plateau_is_named_with_its_share():
    method = {"name": "random_search", "sigma": 1.5}
    found = explained(lambda x: min(1.0, float(((x - 5) ** 2).sum()) / 4), (3.4, 3.4), method=method)
    assert "exactly 1" in text_of(found, "flat")


def test_noise_that_hides_the_slope_is_measured():
    draws = np.random.default_rng(0)
    found = explained(lambda x: 1e-4 * ((x - 1) ** 2).sum() + 0.1 * draws.normal(), max_renders=200)
    said = text_of(found, "noise")
    assert float(said.split("differ by ")[1].split(",")[0]) == pytest.approx(0.1, rel=0.3)
    draws = np.random.default_rng(0)
    clear = explained(lambda x: ((x - 1) ** 2).sum() + 1e-3 * draws.normal(), max_renders=200, method="cmaes")
    assert "noise" not in clear.kinds


@pytest.mark.parametrize("method", [None, "cmaes", "bfgs"])
def test_a_parameter_that_changes_nothing_is_named(method):
    space = {"a": zg.Block(0.0), "b": zg.Block(2.0)}
    found = explained(lambda a, b: (a - 1) ** 2, space=space, max_renders=100, method=method)
    assert "b changes nothing" in text_of(found, "inert")
    assert {one.name: math.isfinite(one.plus_minus) for one in found.parameters} == {"a": True, "b": False}


def test_bounds_that_hold_are_named_with_their_values():
    found = explained(lambda x: ((x - 1) ** 2).sum(), space=zg.Block([0.2, 0.2], low=[0, -5], high=[0.5, 5]))
    assert "upper bound: x[0] = 0.5." in text_of(found, "bound")


def test_constraints_that_hold_or_are_not_met_are_named():
    def f(x):
        return float((x[0] - 2) ** 2 + (x[1] - 1) ** 2)

    held = explained(f, constraints=lambda x: [x[0] + x[1] - 2, x[0] - 9], max_renders=200)
    assert "At the edge of constraint 0 (g = -" in text_of(held, "constraint") and "outside" not in held.kinds
    free = explained(f, constraints=lambda x: [x[0] - 5, x[1] - 6], max_renders=200)
    assert "constraint" not in free.kinds
    with pytest.warns(UserWarning, match="no x met the constraints"):
        never = explained(f, constraints=lambda x: [1 + x @ x, x[0] - 9])
    assert "The result does not meet 0 (g = 1" in text_of(never, "constraint")


def test_units_that_differ_are_named_with_their_ratio():
    found = explained(lambda x: (x[0] - 1) ** 2 + ((x[1] - 3000) / 1e5) ** 2, (0, 0), max_renders=100)
    assert "x[0] counts as much as 1e+05 of x[1]" in text_of(found, "units")
    same = explained(lambda x: (x[0] - 1) ** 2 + 100 * x[1] ** 2, (0, 0), max_renders=100)
    assert "units" not in same.kinds


def test_a_minimum_outside_of_what_was_rendered_is_named_with_its_place():
    found = explained(lambda x: ((x - 1000) ** 2).sum(), (0, 0), method="es")
    assert "near 1000" in text_of(found, "outside")


def test_a_jagged_loss_failed_renders_and_a_small_budget_are_named():
    jagged = explained(lambda x: np.sin(300 * x).sum() + abs(x).sum(), method="es", max_renders=100)
    assert "no smooth bowl" in text_of(jagged, "model")
    with pytest.warns(UserWarning, match="renders failed"):
        failed = explained(lambda x: math.nan if x[0] > 0.3 else ((x - 1) ** 2).sum(), method="es", max_failed=1.0)
    assert "of 60 renders failed" in text_of(failed, "failed")
    small = explained(lambda x: ((x - 1) ** 2).sum(), np.zeros(300))
    assert small.kinds == ["budget", "model"]


def test_the_uncertainty_is_where_the_loss_rises_by_what_is_said():
    found = explained(lambda x: (x[0] - 1) ** 2 + 25 * (x[1] + 2) ** 2, (0, 0))
    gain = 1 + 100
    seen = {one.name: one.plus_minus for one in found.parameters}
    assert seen["x[0]"] == pytest.approx(math.sqrt(0.01 * gain), rel=0.05)
    assert seen["x[1]"] == pytest.approx(math.sqrt(0.01 * gain / 25), rel=0.05)
    assert found.parameters[0].name == "x[0]", "the least sure first"
    # Of a logarithmic parameter: (log x − log 3)² rises by t at a factor exp(√t).
    space = zg.Block(1.0, low=0.1, high=10.0, log=True)
    found = explained(lambda x: math.log(x / 3) ** 2, space=space)
    assert found.parameters[0].plus_minus == pytest.approx(3 * math.expm1(0.1 * math.log(3)), rel=0.05)


def test_a_parameter_for_which_any_value_within_its_bounds_would_do_is_not_determined():
    space = {"a": zg.Block(0.0, low=-2, high=2), "b": zg.Block(0.5, low=0.05, high=1, log=True)}
    for exponent in (3, 4, 6, 9):
        found = explained(lambda a, b, e=exponent: (a - 1) ** 2 + 10.0**-e * math.log(b) ** 2, space=space)
        known = {one.name: math.isfinite(one.plus_minus) for one in found.parameters}
        assert known == {"a": True, "b": False}


def test_evidence_is_of_the_beginning_and_of_the_end_and_its_size_is_limited():
    result = run(Quadratic(n=3), ZeroGrads(surrogate="dd_cmaes"), Budget(3000))
    evidence = result.evidence
    assert MOST_ROWS / 2 < len(evidence.losses) <= 1.1 * MOST_ROWS
    assert torch.equal(evidence.theta[0], evidence.start)
    assert torch.allclose(evidence.end, result.theta)
    many = run(Quadratic(n=2000), ZeroGrads(), Budget(1000)).evidence
    assert many.theta.numel() <= 1.5 * MOST_NUMBERS


def test_the_kept_renders_change_no_result(monkeypatch):
    kept = run(Noisy(), ZeroGrads(), Budget(200))
    monkeypatch.setattr(KeepEvidence, "iterated", lambda self, loop: None)
    without = run(Noisy(), ZeroGrads(), Budget(200))
    assert torch.equal(kept.theta, without.theta) and without.evidence is None
    assert "nothing can be said" in without.explain().summary


def test_renders_that_are_asked_for_tell_what_the_record_does_not():
    calls = []

    def f(x):
        calls.append(x.copy())
        return float(((x - 1) ** 2).sum())

    result = zg.minimize(f, [0.0] * 4, method="bfgs", max_renders=3)  # differences along two of four coordinates
    before, counted = str(result.explain()), len(calls)
    said = result.explain(renders=20)
    assert len(calls) == counted + 20
    assert result.renders == 3 and str(result.explain()) == before
    assert "unvaried" in result.explain().kinds and "unvaried" not in said.kinds
    assert "x[3] = 0.05 (by 0.098)" in text_of(said, "slope")
    assert all((call == result.theta.numpy()).all() for call in calls[counted : counted + 20 : 19])
    with pytest.raises(zg.SettingError, match="renders must be at least 3, got 2"):
        result.explain(renders=2)
    copied = pickle.loads(pickle.dumps(result))
    assert str(copied.explain()) == before
    with pytest.raises(zg.SettingError, match="a pickled result has not"):
        copied.explain(renders=5)


def test_renders_that_are_asked_for_measure_the_noise():
    draws = np.random.default_rng(0)
    result = zg.minimize(lambda x: float(x @ x) + 0.1 * draws.normal(), [0.0, 0.0], method="es", max_renders=40)
    said = result.explain(renders=60)
    noise = float(text_of(said, "noise").split("differ by ")[1].split(",")[0])
    assert noise == pytest.approx(0.1, rel=0.6)
    assert "Changes of x[0], x[1] alone show nothing above the noise." in text_of(said, "slope")


def test_renders_that_are_asked_for_try_the_other_choices():
    """A start that the other choice would have helped, if the numbers had been right for it: it is found by asking."""

    def f(size, wood, count):
        return (size - 1) ** 2 + {"oak": 0.5, "ash": 0.0, "elm": 0.9}[wood[0]] + 0.1 * (count - 3) ** 2

    woods = zg.Block(["oak", "oak"], choices=["oak", "ash", "elm"])
    space = {"size": zg.Block(0.9), "wood": woods, "count": zg.Block(3, low=0, high=9, kind="integer")}
    result = zg.minimize(f, space=space, max_renders=4, method={"name": "es", "sigma": 1e-3})
    assert "wood[0], wood[1]" in text_of(result.explain(), "unvaried"), "each parameter once, and not each choice"
    said = result.explain(renders=14)
    assert "wood[0] = ash (by 0.5)" in text_of(said, "slope")
    findings = [finding.text for finding in said.findings if finding.kind == "slope"]
    assert findings[1:] == [
        "The result is lowest in count: each change raises the loss.",
        "Changes of wood[1] alone show nothing.",
    ]


def test_of_a_choice_that_was_found_the_name_is_said_and_no_uncertainty():
    space = {"wood": zg.Block("oak", choices=["oak", "ash"]), "size": zg.Block(0.99, low=0, high=1)}
    found = explained(lambda wood, size: (size - 1) ** 2 + (wood == "oak"), space=space, max_renders=80)
    assert found.summary.endswith("wood moved farthest, from oak to ash.")
    assert "wood" not in {one.name for one in found.parameters}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run of `zg fit`, in two parts."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    model = ["--model.surrogate", "assisted_cmaes", "--model.sigma", "0.1"]
    words = [
        "--config",
        "configs/rosenbrock.yaml",
        *model,
        "--wandb",
        "disabled",
        "--video",
        "false",
        "--curve-points",
        "3",
    ]
    assert main(["fit", *words, "--max-renders", "60", "--out", str(folder)]) == 0
    assert main(["fit", "--resume", "--max-renders", "120", "--out", str(folder)]) == 0
    return folder


def test_the_command_explains_a_folder_and_renders_only_when_asked(folder, capsys):
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert main(["explain", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "after 120 renders" in said and "x[0]" in said
    assert main(["explain", str(folder), "--renders", "20"]) == 0
    assert capsys.readouterr().out != said
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before, "no file has changed"


def test_the_command_explains_a_run_without_its_row(folder, capsys):
    row = (folder / "row.json").read_text()
    (folder / "row.json").unlink()
    assert main(["explain", str(folder)]) == 0
    assert "after 120 renders: it has not ended" in capsys.readouterr().out
    (folder / "row.json").write_text(row)
    assert json.loads(row)["renders"] == 120


@pytest.mark.parametrize(
    ("words", "said"),
    [(["."], "explain needs the folder of a run"), ([".", "--renders", "2"], "renders must be at least 3")],
)
def test_a_wrong_folder_and_too_few_renders_are_refused(words, said, capsys):
    assert main(["explain", *words]) == 2
    assert said in capsys.readouterr().err


def test_a_row_without_losses_is_explained():
    evidence = zg.minimize(lambda x: x**2, 1.0, max_renders=20).evidence
    found = explain(evidence, {"method": "es", "renders": 20, "init_loss": None, "final_loss": None}, [])
    assert found.summary.startswith("es stopped after 20 renders")
