"""What tables say of runs that were made up: one sample, medians that no run has, the better settings, what moved."""

import math
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest

from baselines.compare.rows import Curve, Run
from paper import figures, formats, passing, tables
from paper.cells import ONE_SAMPLE, cell_of, far_apart, final_loss
from paper.marks import BEST, LOWEST
from paper.pairs import distinct, has_no_randomness
from paper.plan import Planner, is_tuned, methods_of, read_preset, size_of, tasks_of
from paper.rows import Material
from paper.run import PARTS


def run(method, seed, final, task="toy", initial=35.0, part="default", **more):
    row = {"task": task, "method": method, "seed": seed, "init_loss": initial, "final_loss": final, "key": f"k{final}"}
    row |= {"renders": 126_000, "max_renders": 126_000, "stop_reason": "budget", "feedback": "loss", "error": ""}
    row |= {"seconds_render": 1.0, "seconds_method": 1.0, "peak_mb": 1.0, "jobs": 1, "settings_from": part}
    losses = np.array([initial, initial, math.inf if final is None else final])
    return Run(row | more, Path(), Curve(np.array([0, 1000, 126_000]), np.arange(3.0), losses))


def several(method, finals, **more):
    return [run(method, seed, final, **more) for seed, final in enumerate(finals)]


SIX = np.linspace(1, 1.5, 6)


def test_a_method_without_randomness_is_left_out_of_the_test_and_can_only_be_the_lowest():
    runs = [*several("es", SIX), *several("cmaes", 10 * SIX), *several("spsa", [0.5] * 6)]
    column = {
        name: cell[0]
        for name, cell in tables.compare("t", "", runs, Material(Path(), {}), LOSS).panels[0].lines.items()
    }
    assert [column[name].mark for name in ("es", "cmaes", "spsa")] == ["", "", LOWEST]
    assert ONE_SAMPLE in column["spsa"].notes and ONE_SAMPLE not in column["es"].notes
    runs = [one if one.row["method"] != "spsa" else run("spsa", one.row["seed"], 2.0) for one in runs]
    lines = tables.compare("t", "", runs, Material(Path(), {}), LOSS).panels[0].lines
    assert [lines[name][0].mark for name in ("es", "cmaes", "spsa")] == [BEST, "", ""]


def test_failed_runs_are_not_taken_for_one_sample():
    broken = several("es", [None] * 6, stop_reason="error")
    assert not has_no_randomness(broken) and len(distinct(broken)) == 6
    assert ONE_SAMPLE not in cell_of(final_loss, broken).notes


LOSS = {"final loss": (final_loss, True)}


@pytest.mark.parametrize(
    ("values", "said"), [([1, 1, 2, 2], False), ([1e-30, 1e-30, 2, 2], True), ([0, 0, 1, 1], True), ([1, 5, 99], False)]
)
def test_a_median_that_is_no_runs_value_is_said(values, said):
    assert bool(far_apart(values)) == said
    assert any("no run's value" in note for note in cell_of(final_loss, several("es", values)).notes) == said


def test_the_better_of_default_and_tuned_is_a_panel_of_the_tuned_table():
    parts = {
        "published": [*several("es", SIX), *several("spsa", 9 * SIX)],
        "tuned": [*several("es", 3 * SIX, part="tuned"), *several("spsa", 2 * SIX, part="tuned")],
    }
    table = next(one for one in tables.all_tables(Material(Path(), parts)) if one.name == "table1-tuned")
    panel = table.panels[-1]
    assert panel.title == "final loss, the better of default and tuned"
    cells = {name: cells[0] for name, cells in panel.lines.items()}
    assert (cells["es"].middle.value, cells["spsa"].middle.value) == (1.25, 2.5)
    assert (tables.DEFAULT in cells["es"].notes, tables.DEFAULT in cells["spsa"].notes) == (True, False)
    other = [run(one.row["method"], one.row["seed"], 1.0, max_renders=9) for one in parts["published"]]
    assert not tables.better(other, parts["tuned"]), "another budget must not be mixed in"


def test_ablations_of_a_method_that_has_not_moved_are_said_to_show_nothing():
    runs = [*several("zerograds-paper", [34.0] * 3), *several("no_memory", [35.0] * 3)]
    (table,) = tables.all_tables(Material(Path(), {"ablations": runs}))
    assert any("by less than a tenth on toy" in note for note in table.notes)
    runs = [*several("zerograds-paper", [3.0] * 3), *several("no_memory", [35.0] * 3)]
    (table,) = tables.all_tables(Material(Path(), {"ablations": runs}))
    assert not any("less than a tenth" in note for note in table.notes)


def test_the_renders_to_where_the_published_algorithm_ends():
    """Of its six runs four reach the upper median; ES passes it at its second measured point."""
    quick = [
        Run(one.row, one.folder, Curve(one.curve.renders, one.curve.seconds, np.array([35.0, 0.5, 0.1])))
        for one in several("es", 0.1 * SIX)
    ]
    runs = [*several("zerograds-paper", SIX), *quick]
    assert passing.goals(runs)["toy"].loss == pytest.approx(SIX[3], rel=1e-4)
    table = next(one for one in tables.all_tables(Material(Path(), {"published": runs})) if one.name == "table5")
    assert [cells[0].middle.value for cells in table.panels[0].lines.values()] == [1000, 126_000]
    few = [run("zerograds-paper", 0, 1.0, renders=9000)]
    assert not passing.goals(few), "below a tenth of the paper's renders there is no published end"


def test_a_cell_says_its_renders_and_iterations():
    own = several("zerograds-paper", SIX, settings={"batch": 10, "antithetic": True})
    (table,) = (tables.compare("t", "", own, Material(Path(), {}), LOSS),)
    (row,) = formats.rows(table)
    assert (row["renders"], row["iterations"], row["share_of_the_papers_renders"]) == (126_000, 6000, 1.0)


def test_pictures_of_other_rows_are_refused(tmp_path, capsys):
    runs = several("es", SIX)
    shown = figures.shown_rows("pictures", runs)
    imageio.imwrite(tmp_path / "pictures.png", np.zeros((4, 4), np.uint8))
    figures.write_csv(tmp_path / figures.SHOWN, shown)
    material = Material(Path(), {"published": runs})
    assert list(figures.kept(material, tmp_path, {})) == ["pictures"]
    again = Material(Path(), {"published": several("es", 2 * SIX)})
    assert figures.kept(again, tmp_path, {}) == {}
    assert not (tmp_path / "pictures.png").exists()
    assert "its pictures are not of the rows that are here" in capsys.readouterr().out


@pytest.mark.parametrize(("wanted", "made"), [("table1", {"published"}), ("table3", {"ablations"}), ("table4", set())])
def test_a_single_table_makes_its_own_runs_only(wanted, made):
    preset = read_preset("smoke")
    planner = Planner(preset, Path("out"), {"toy": 1, "texture16": 768}, ["toy", "texture16"], methods_of())
    found = {part.name: {job.task for job in part.jobs} for part in planner.parts([wanted])}
    assert found.keys() == made
    assert all(tasks == {"toy"} for tasks in found.values())


def test_tuned_tables_have_the_tasks_on_which_all_methods_of_the_page_are_tuned():
    found = {task for task in tasks_of(read_preset("cpu")) if is_tuned(task)}
    assert found == {"toy", "rosenbrock", "rosenbrock10", "texture", "mlp", "caustic"}


@pytest.mark.parametrize("name", ["smoke", "cpu", "medium", "full"])
def test_the_size_of_a_preset_is_known_before_anything_is_measured(name):
    preset = read_preset(name)
    methods = methods_of()
    runs, renders = size_of(preset, preset.tasks if preset.tasks != "all" else ["toy"], methods, PARTS)
    assert runs > 10 and renders > runs
    assert 0 < size_of(preset, ["toy"], methods, ["table3"])[0] < runs
