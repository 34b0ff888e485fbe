"""Data profiles: known answers of hand-made rows, runs on tiny problems, resume, and the held-out mechanism."""

import json
import math
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.profiles import best_known, grid, held_out
from benchmarks.profiles.__main__ import main
from benchmarks.profiles.bbob import TARGETS, BBOBTask, solution, suite
from benchmarks.profiles.figure import draw
from benchmarks.profiles.held_out import Change, marks, present_change
from benchmarks.profiles.measures import area, bbob_shares, hit, hits, latest, profile, ratios, with_hindsight
from benchmarks.profiles.peers import TOLD, make_peer, refusal
from benchmarks.profiles.problems import Problem
from benchmarks.profiles.runs import Row, counts, execute, minimise
from benchmarks.profiles.tables import block_table, report, zoo_methods
from tests.methods import looped
from tests.problems import Quadratic, Turned
from zg.errors import SettingError


def row(method: str = "zerograds", problem: str = "circle", instance: int = 1, **changes: Any) -> Row:
    """A run with n = 10 that falls from 1 to 0.1 after 20 renders, and to 0.01 after 200."""
    curve = [(1, 1.0), (20, 0.1), (200, 0.01), (2000, 0.01)]
    made = {"suite": "zoo", "problem": problem, "family": "shapes", "instance": instance, "variant": "", "error": ""}
    made |= {"method": method, "resolved": "", "n": 10, "budget": 2000, "renders": 2000, "reachable": True, "stop": ""}
    made |= {
        "start": 1.0,
        "final": 0.01,
        "curve": curve,
        "seconds_method": 0.1,
        "seconds_render": 1.0,
        "seconds": 2.0,
        "code": "c",
    }
    return made | {"revision": "r", "date": "d", "machine": "m"} | changes  # type: ignore[return-value]


def ending(method: str, final: float, problem: str = "circle", instance: int = 1, **changes: Any) -> Row:
    """A run that is at its final loss after 100 renders."""
    return row(method, problem, instance, final=final, curve=[(1, 1.0), (100, final)], **changes)


FLOORS = {("circle", 1): 0.0, ("circle", 2): 0.0, ("stamp", 1): 0.0}


def test_a_target_is_reached_at_the_first_point_of_the_curve_below_it() -> None:
    assert hits(row(), 0.0) == [2, 20, math.inf, math.inf]
    assert hits(row(), 0.0095) == [2, 20, 20, math.inf], "targets are fractions of the distance from the best known"


def test_the_area_is_that_under_the_profile_over_the_logarithm_of_renders() -> None:
    found = profile([row(), ending("zerograds", 0.5, "stamp")], FLOORS)
    assert found == [2, 20, *[math.inf] * 6]
    alpha = np.geomspace(0.1, 200, 100_001)
    share = np.searchsorted(found, alpha, side="right") / len(found)
    assert area(found) == pytest.approx(share.mean(), abs=1e-5)
    assert area([0.01, 0.1]) == 1 and area([math.inf, 200, 300]) == 0


def test_the_ratio_is_that_of_geometric_means_to_the_best_method_of_the_problem() -> None:
    mine = [ending("zerograds", 0.01), ending("zerograds", 0.04, instance=2), ending("zerograds", 0.0, "stamp")]
    others = [ending("a", 0.1), ending("a", 0.1, instance=2), ending("b", 0.001), ending("b", 0.9, instance=2)]
    others += [ending("a", 1e-9, "stamp"), ending("b", 0.5, "stamp")]
    assert ratios(mine, others, FLOORS) == pytest.approx({"circle": 0.02 / 0.03, "stamp": 1.0})


def test_the_bound_of_hindsight_takes_the_best_sigma_of_each_problem() -> None:
    finals = {"snes-0.033": (0.5, 1e-9), "snes": (0.05, 0.5), "snes-0.3": (0.5, 0.5)}
    rows = {name: [ending(name, one), ending(name, two, "stamp")] for name, (one, two) in finals.items()}
    found = with_hindsight(rows, FLOORS)["snes, best σ"]
    assert [one["method"] for one in found] == ["snes", "snes-0.033"]
    assert "cmaes, best σ" not in with_hindsight(rows, FLOORS), "its runs are missing"


def test_the_last_row_of_a_run_counts_and_failed_ones_do_not() -> None:
    rows = [row(final=3.0), row(final=2.0), row("es", error="ValueError: no")]
    assert [one["final"] for one in latest(rows)] == [2.0]


def test_the_best_known_loss_is_the_lowest_of_all_rows_where_nothing_is_reachable(tmp_path: Path) -> None:
    rows = [
        row(reachable=False),
        ending("es", 0.002, reachable=False),
        row(problem="stamp"),
        row("bfgs", error="no", reachable=False),
    ]
    path = tmp_path / "best.csv"
    assert best_known.floors(rows, {}) == {("circle", 1): 0.002, ("stamp", 1): 0.0}
    assert best_known.floors(rows, {("circle", 1): 0.001})["circle", 1] == 0.001
    assert best_known.update(rows, path) == 1 and best_known.read(path) == {("circle", 1): 0.002}
    assert best_known.update([ending("es", 0.5, reachable=False)], path) == 0, "a higher loss changes nothing"


def test_the_tables_and_the_figure_name_methods_and_the_worst_problem(tmp_path: Path) -> None:
    rows = [ending(name, loss) for name, loss in {"zerograds": 0.4, "es": 0.1, "snes": 0.2}.items()]
    rows += [ending(name, 1e-3, "stamp") for name in ("zerograds", "es", "snes")] + [row("bfgs", error="Error: no")]
    text = report(rows, FLOORS, problems=True)
    (ours,) = (line for line in text.splitlines() if line.startswith("| zerograds"))
    assert ours.split(" | ")[7:13] == ["2", "1", "1", "1", "2", "circle 4"]
    assert "| circle | 10 | 4 | 1 | 0.4 | es 0.1, snes 0.2 |" in text
    assert "failed 1 times: bfgs on circle: Error: no" in text
    draw(zoo_methods(rows, FLOORS), FLOORS, tmp_path / "profiles.png")
    assert (tmp_path / "profiles.png").stat().st_size > 10_000
    whole = [ending("zerograds", 0.1, variant="one block"), ending("zerograds", 1e-3, "stamp", variant="one block")]
    assert "| zerograds | 2 | 1 | 2 | circle 4 |" in block_table([*rows, *whole], FLOORS)


def test_methods_that_see_pictures_are_judged_in_a_field_of_their_own() -> None:
    finals = {"zerograds-image": 0.1, "zerograds": 0.2, "dfols": 0.4}
    found = {
        line.split(" | ")[0]: line.split(" | ")
        for line in report([ending(name, loss) for name, loss in finals.items()], FLOORS, problems=True).splitlines()
    }
    assert found["| zerograds-image"][7] == "0.5", "the default that is told losses is one of its peers"
    assert found["| zerograds"][2] == found["| zerograds-image"][1], "the column `ours there`"
    assert found["| circle"][4:] == ["0.1", "zerograds 0.2, dfols 0.4 |"]


def test_a_method_that_sees_pictures_is_told_them() -> None:
    made = execute(Problem("zoo", "stamp", 1), "zerograds-image")
    assert not made["error"] and made["resolved"] == "losses", "the star moves sideways: it has looked, and given way"
    assert made["renders"] <= made["budget"] == 400


def test_bbob_counts_targets_at_budgets_per_parameter() -> None:
    curve = [(200, 50.0), (500, 1e-3), (2000, 1e-9)]
    reached = [sum(value <= target for target in TARGETS) / 51 for value in (1e9, 50, 1e-3, 1e-9)]
    assert bbob_shares([row(n=9, start=1e9, curve=curve)]) == reached
    assert reached[-1] == 1 and len(TARGETS) == 51


@pytest.mark.parametrize("bounded", [True, False])
def test_the_first_function_of_bbob_is_a_sphere_around_its_known_optimum(bounded: bool) -> None:
    task = BBOBTask(1, 5, 101, bounded)
    task.setup()
    assert task.space.bounded == bounded
    x = torch.linspace(-3, 4, 15, dtype=torch.float64).reshape(3, 5)
    assert task.truth(x) == pytest.approx(task.optimum + (x - task.solution).square().sum(1), abs=1e-9)
    assert float(task.truth(task.solution[None])[0]) == task.optimum


def test_no_function_of_bbob_is_below_its_known_optimum() -> None:
    for function in range(1, 25):
        task = BBOBTask(function, 5, 115)
        task.setup()
        problem = suite(5).get_problem_by_function_dimension_instance(function, 5, 115)
        assert problem(solution(problem)) == pytest.approx(task.optimum, abs=1e-9)
        near = task.solution + 1e-3 * torch.randn(20, 5, generator=torch.Generator().manual_seed(0)).double()
        assert (task.truth(near) >= task.optimum).all()


@pytest.mark.parametrize("name", ["bfgs", "cmaes", "pycma", "bobyqa"])
def test_a_run_ends_when_the_problem_is_solved(name: str) -> None:
    problem = Problem("bbob", "f1 5-D", 101)
    made = execute(problem, name)
    assert (made["stop"], made["error"]) == ("solved", "")
    assert made["final"] <= 1e-8 and made["renders"] < 2000
    renders, losses = zip(*made["curve"], strict=True)
    assert list(renders) == sorted(renders) and list(losses) == sorted(losses, reverse=True)
    again = execute(problem, name)
    assert all(made[key] == again[key] for key in ("curve", "renders", "code"))  # type: ignore[literal-required]


def test_a_curve_has_the_budgets_of_bbob_and_the_last_render() -> None:
    found = counts(10_000, 5)
    assert {1, 100, 250, 1000, 10_000} <= set(found) and found == sorted(found) and len(found) < 60


def test_a_row_keeps_the_points_where_its_curve_changes_and_the_last_one() -> None:
    curve = [(1, 3.0), (2, 3.0), (5, 2.0), (9, 3.0), (20, 3.0), (40, 3.0)]
    assert grid.steps(curve) == [(1, 3.0), (5, 2.0), (9, 3.0), (40, 3.0)]
    assert grid.steps([(1, 3.0)]) == [(1, 3.0)] and grid.steps([]) == []
    assert all(hit(curve, value, 1) == hit(grid.steps(curve), value, 1) for value in (1.0, 2.0, 3.0))


class NoisyBowl(Turned):
    reachable = True

    def truth(self, x: Tensor) -> Tensor:
        return self.clean(x)


def test_under_noise_the_true_loss_of_the_recommended_theta_is_reported() -> None:
    task, method, made = NoisyBowl(3, noise=0.5), make_peer("snes"), row(reachable=True)
    minimise(Problem("zoo", "circle", 1), task, method, made)
    assert made["final"] == pytest.approx(float(task.truth(task.space.to_user(method.recommend())[None])[0]), rel=1e-5)
    assert made["renders"] == made["budget"] == 600 and made["stop"] == "budget"
    assert [count for count, _ in made["curve"]] == counts(600, 3)
    assert made["curve"][0][1] == pytest.approx(made["start"], rel=1e-5), "nothing is recommended yet but the start"


def test_an_exception_of_a_run_is_a_row() -> None:
    made = execute(Problem("bbob", "f1 5-D", 101), "{name: zerograds, surrogate: coordinate_search}")
    assert made["stop"] == "error" and "coordinate" in made["error"]


def test_an_interrupted_grid_goes_on_and_a_changed_code_runs_again(tmp_path: Path, capfd: Any) -> None:
    out = tmp_path / "rows.jsonl"
    words = f"zoo --half development --problems stamp --instances 1 --jobs 1 --out {out} --methods".split()
    main([*words, "snes"])
    with out.open("a") as file:
        file.write('{"suite": "zoo", "pro')  # a line that a crash has cut
    main([*words, "snes", "bfgs"])
    assert "1 of 2 runs to do" in capfd.readouterr().err
    rows = grid.read(out)
    assert [one["method"] for one in rows] == ["snes", "bfgs"] and all(one["renders"] == 400 for one in rows)
    main([*words, "snes", "bfgs", "--estimate"])
    assert "0 of 2 runs to do, 0 renders" in capfd.readouterr().err
    out.write_text("".join(json.dumps(one | {"code": "other"}) + "\n" for one in rows))
    main([*words, "snes", "bfgs", "--estimate"])
    assert "2 of 2 runs to do, 800 renders" in capfd.readouterr().err


def test_the_estimate_takes_the_times_of_renders_and_of_methods_at_the_nearest_n() -> None:
    runs = [(Problem("bbob", "f1 5-D", 101), "es")]
    rows = [row("es", n=5, seconds_method=4.0), row("es", n=500, seconds_method=9e9), row("snes", seconds_method=9e9)]
    renders, seconds = grid.estimate(runs, rows)
    render, around = grid.seconds_of("bbob", "f1 5-D")
    assert renders == 10_000 and 0 < render < 1e-3
    assert seconds == pytest.approx(around + 10_000 * (render + 4.0 / 2000))


def test_a_method_is_left_out_above_its_largest_n_and_one_that_sees_images_is_refused() -> None:
    assert "bobyqa runs up to n = 200" in refusal("bobyqa", 201) and not refusal("bobyqa", 200)
    assert not refusal("{name: es, sigma: 0.2}", 5000)
    with pytest.raises(SystemExit, match="told losses, got 'fr22_image', which sees pictures"):
        main("zoo --half development --methods es fr22_image --estimate".split())
    with pytest.raises(SystemExit, match="told losses"):
        main("bbob --methods zerograds-image --estimate".split())
    assert all(make_peer(name).feedback == "loss" for name in TOLD)


def test_held_out_instances_follow_from_the_commit() -> None:
    first, second = Change("a" * 40, "t"), Change("b" * 40, "t")
    assert first.instances() == first.instances() != second.instances()
    assert len(set(first.instances())) == 3 and min(first.instances()) >= 0


def test_the_first_held_out_run_of_a_change_counts() -> None:
    first, moved, changed = Change("a" * 40, "t"), Change("b" * 40, "t"), Change("c" * 40, "u")
    rows = [marks(first, [], again=False)]
    assert rows[0]["counts"] and marks(first, rows, again=False)["counts"], "an interrupted run goes on"
    with pytest.raises(SettingError, match="the held-out run of this code is that of aaaaaaaaaaaa"):
        marks(moved, rows, again=False)
    assert not marks(moved, rows, again=True)["counts"]
    assert marks(changed, rows, again=False)["counts"]


@pytest.mark.parametrize("words", ["--problems throw", "--one-block", "--out rows.jsonl"])
def test_a_held_out_run_is_whole_and_its_rows_are_kept(words: str) -> None:
    with pytest.raises(SystemExit, match="a held-out run is whole and kept"):
        main(["zoo", "--half", "held_out", *words.split()])


def test_held_out_problems_are_not_run_with_the_development_half() -> None:
    with pytest.raises(SystemExit, match="problems must be of the development half, got throw"):
        main("zoo --half development --problems circle throw".split())


def test_kept_rows_need_committed_code(tmp_path: Path) -> None:
    def git(*words: str) -> None:
        author = ["-c", "user.name=n", "-c", "user.email=e@x"]
        subprocess.run(["git", "-C", str(tmp_path), *author, *words], check=True, capture_output=True)

    (tmp_path / "zg").mkdir()
    for name in held_out.CODE[1:]:
        (tmp_path / name).mkdir()
        (tmp_path / name / "code.py").write_text("a = 1\n")
    (tmp_path / "zg" / "code.py").write_text("a = 1\n")
    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "one")
    first = present_change(tmp_path)
    (tmp_path / "notes.md").write_text("the held-out rows, for example\n")
    git("add", "-A")
    assert present_change(tmp_path) == first
    git("commit", "-qm", "two")
    second = present_change(tmp_path)
    assert second.tree == first.tree and second.sha != first.sha
    (tmp_path / "zg" / "code.py").write_text("a = 2\n")
    with pytest.raises(SettingError, match=r"need committed code.*zg/code.py"):
        present_change(tmp_path)
    git("commit", "-qam", "three")
    assert present_change(tmp_path).tree != first.tree


def test_nelder_mead_goes_on_from_another_start_when_it_has_converged() -> None:
    loop = looped(make_peer("nelder_mead"), Quadratic(2), 1000)
    seen = []
    while loop.stop_reason() is None:
        seen.append(loop.method.ask()[0])
        loop.iterate()
    assert loop.renders == 1000 and loop.ledger.best_loss < 1e-8
    assert max(float((later - before).norm()) for before, later in pairwise(seen)) > 0.5, "a start is far from the end"
