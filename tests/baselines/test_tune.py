"""`zg tune`: the same number of trials for every method, written as they end, and resumed from their tables."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from baselines.compare.grid import task_config
from baselines.compare.isolation import Ended
from baselines.compare.options import tune_options
from baselines.compare.tune import WIDTH, WIDTHS, WORST, Paths, Study, score
from tests.tables import read_csv
from zg.cli.main import main
from zg.config.compose import compose

TROUBLE = "tests.baselines.troublemakers"
WORDS = (
    "tune --tasks small.yaml --methods wanders.yaml,still.yaml "
    "--trials 9 --max-renders 60 --seeds 2 --finalists 0 --out tuned"
)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "small.yaml").write_text("data: {class_path: tests.problems.Quadratic}\nmax_renders: 500\n")
    (tmp_path / "wanders.yaml").write_text(f"model: {{class_path: {TROUBLE}.Wanders}}\n")
    (tmp_path / "still.yaml").write_text(f"model: {{class_path: {TROUBLE}.Still}}\n")
    return tmp_path / "tuned" / "small"


def read(path):
    """A table of trials without its clock."""
    return [{key: value for key, value in row.items() if key != "seconds"} for row in read_csv(path)]


def test_tuning_ends_in_a_config_and_its_trials(folder, capsys):
    assert main(WORDS.split()) == 0
    said = capsys.readouterr().out
    assert "small · still  declares no ranges, so it stays at its defaults" in said
    assert not (folder / "still.yaml").exists()
    trials = read(folder / "wanders.csv")
    assert len(trials) == 9
    assert (trials[0]["width"], trials[0]["count"]) == ("50.0", "")
    assert all(row["renders"] == "60 60" and row["seeds"] == "1000 1001" for row in trials)
    assert all(0.01 <= float(row["width"]) <= 100 and 1 <= int(row["count"]) <= 4 for row in trials[1:])
    assert len({row["width"] for row in trials}) == 9
    best = max(trials, key=lambda row: float(row["score"]))
    assert float(best["score"]) > float(trials[0]["score"]) + 0.3
    text = (folder / "wanders.yaml").read_text()
    assert yaml.safe_load(text)["model"] == {
        "name": f"{TROUBLE}.Wanders",
        "width": float(best["width"]),
        "count": int(best["count"]),
    }
    assert WORDS in text.replace("zg ", "")

    before = (folder / "wanders.csv").read_text()
    assert main(WORDS.split()) == 0
    assert "1 of 1 are complete" in capsys.readouterr().out
    assert (folder / "wanders.csv").read_text() == before

    lines = before.splitlines(keepends=True)
    (folder / "wanders.csv").write_text("".join(lines[:6]))
    (folder / "wanders.yaml").unlink()
    assert main(WORDS.split()) == 0
    assert (folder / "wanders.csv").read_text().startswith("".join(lines[:6]))
    assert read(folder / "wanders.csv") == trials
    assert (folder / "wanders.yaml").read_text() == text


def test_the_tables_of_trials_have_a_folder_of_their_own(folder, capsys):
    assert main([*WORDS.split(), "--trials-out", "trials"]) == 0
    assert [path.name for path in folder.iterdir()] == ["wanders.yaml"]
    table = folder.parents[1] / "trials" / "small" / "wanders.csv"
    assert len(read(table)) == 9
    text = (folder / "wanders.yaml").read_text()
    assert text.splitlines()[0].endswith(": ../../trials/small/wanders.csv")

    (folder / "wanders.yaml").unlink()
    assert main([*WORDS.split(), "--trials-out", "trials"]) == 0
    assert "1 of 1 are complete" in capsys.readouterr().out
    assert yaml.safe_load((folder / "wanders.yaml").read_text()) == yaml.safe_load(text)


@pytest.mark.parametrize(
    ("words", "tables"),
    [
        ("", Path("results/tuning")),
        ("--out ./configs/tuned", Path("results/tuning")),
        ("--out elsewhere", Path("elsewhere")),
        ("--out elsewhere --trials-out tables", Path("tables")),
        ("--trials-out tables", Path("tables")),
    ],
)
def test_tables_go_beside_the_configs_unless_these_are_in_configs_tuned(words, tables):
    assert tune_options(["--tasks", "toy", "--methods", "es", *words.split()]).trials_out == tables


def make_study(tmp_path, finalists=0, **base) -> Study:
    layer = {"model": {"name": "es"}}
    config = compose(layer, task_config("toy"), {"max_renders": 40, "max_seconds": 5.0}, base)
    return Study("toy", "es", layer, config, 1, 3, Paths(tmp_path / "tuned", tmp_path / "tables"), "zg tune", finalists)


def ended(loss: float | None, error: str = "", seeds: int = 1) -> Ended:
    row = {"init_loss": 1.0, "final_loss": loss, "renders": 9, "seconds_render": 0.1, "seconds_method": 0.1}
    row |= {"stop_reason": "error" if error else "budget", "error": error}
    return Ended(None, {"rows": [dict(row) for _ in range(seeds)]}, "", 9)


def test_failed_trials_count_and_a_default_stays_where_nothing_beats_it(tmp_path):
    study = make_study(tmp_path)
    study.land(study.propose(), ended(0.1))
    study.land(study.propose(), Ended(None, None, "hung", 3))
    assert not study.config_path.exists()
    study.land(study.propose(), ended(0.1))
    assert [float(row["score"]) for row in study.table] == [1.0, WORST, 1.0]
    assert study.table[1]["error"] == "hung"
    assert yaml.safe_load(study.config_path.read_text()) == {"model": {"name": "es"}}


def test_the_best_trials_run_on_further_seeds_and_the_best_of_these_wins(tmp_path):
    """The third trial is best on the first seed only. A table goes on where it was."""
    study = make_study(tmp_path, finalists=2)
    for loss in (0.1, 0.5, 0.01):
        study.land(study.propose(), ended(loss))
    assert [config["seed"] for config in study.next_runs()[1]] == [1001, 1002]
    study.land(study.next_runs()[0], ended(0.9, seeds=2))
    study = make_study(tmp_path, finalists=2)
    assert not study.finished and not study.config_path.exists()
    study.land(study.next_runs()[0], ended(0.1, seeds=2))
    assert study.finished
    assert [row["final_score"] for row in study.table] == ["1", "", f"{-np.log10(0.9):.6g}"]
    assert study.best is study.table[0]
    assert yaml.safe_load(study.config_path.read_text()) == {"model": {"name": "es"}}


@pytest.mark.parametrize("method", ["es", "spsa", "cmaes", "random_search", "zerograds-paper"])
def test_the_width_of_sampling_has_one_range_for_all_methods(tmp_path, method):
    layer = {"model": {"name": method}}
    config = compose(layer, task_config("toy"), {"max_renders": 40, "max_seconds": 5.0})
    study = Study("toy", method, layer, config, 1, 3, Paths(tmp_path, tmp_path), "zg tune")
    assert [study.ranges[name] for name in study.ranges if name in WIDTHS] == [WIDTH]


def test_trials_under_other_conditions_do_not_count(tmp_path):
    study = make_study(tmp_path)
    study.land(study.propose(), ended(0.1))
    assert len(make_study(tmp_path).table) == 1
    assert make_study(tmp_path, max_renders=41).table == []


def test_trials_that_time_did_not_end_count_under_another_limit(tmp_path):
    """Up to the first that it ended, for those after it followed from that one."""
    hurried = ended(0.1)
    hurried.row["rows"][0]["stop_reason"] = "time"
    for last, kept in ((ended(0.1), 3), (hurried, 2)):
        study = make_study(tmp_path)
        study.table = []
        for one in (ended(0.1), ended(0.1), last):
            study.land(study.propose(), one)
        assert len(make_study(tmp_path, max_seconds=60.0).table) == kept
        assert make_study(tmp_path, max_seconds=0.1).table == []
        assert make_study(tmp_path, max_seconds=60.0, max_renders=41).table == []


def test_a_score_is_the_median_gain():
    rows = [ended(loss, error).row["rows"][0] for loss, error in ((0.01, ""), (None, "x"), (1e9, ""))]
    assert score(rows[:1]) == 2.0
    assert score(rows[:2]) == (2.0 + WORST) / 2
    assert score(rows[2:]) == score([]) == WORST


def test_wrong_settings_are_told(capsys, folder):
    for words, line in {
        "--tasks toy --methods es --trials 0": "trials must be > 0, got 0",
        "--tasks toy --methods ess": "method 'ess' is unknown",
        "--tasks toy --methods es,es": "methods must differ in name",
    }.items():
        assert main(["tune", *words.split(), "--out", "tuned"]) == 2
        assert line in capsys.readouterr().err
