import csv

import imageio.v3 as imageio

from zg.cli import main


def test_a_comparison_is_rows_a_summary_and_figures(tmp_path, capsys):
    (tmp_path / "small.yaml").write_text("data: {name: texture, size: 8}\nmax_renders: 60\n")
    (tmp_path / "quick.yaml").write_text("model: {name: es, lr: 0.05}\n")
    words = "compare --tasks toy,small.yaml --methods zerograds,quick.yaml,cmaes --max-renders 60 --seeds 2 --out out"
    assert main(words.split()) == 0
    rows = list(csv.DictReader((tmp_path / "out" / "rows.csv").open()))
    grid = {(row["task"], row["method"], row["seed"]) for row in rows}
    assert len(rows) == len(grid) == 12
    assert {task for task, _, _ in grid} == {"toy", "small"}
    assert {method for _, method, _ in grid} == {"zerograds", "quick", "cmaes"}
    assert all(row["renders"] == "60" and float(row["final_loss"]) >= 0 for row in rows)
    starts = {(row["task"], row["seed"]): set() for row in rows}
    for row in rows:
        starts[row["task"], row["seed"]].add(row["init_loss"])
    assert all(len(losses) == 1 for losses in starts.values())
    summary = (tmp_path / "out" / "summary.md").read_text()
    assert "## small" in summary
    assert "Median over 2 seeds" in summary
    assert imageio.imread(tmp_path / "out" / "curves.png").shape[2] == 4
    assert imageio.imread(tmp_path / "out" / "images.png").shape[1] > 500


def test_a_run_that_fails_is_a_row_with_its_error(tmp_path):
    (tmp_path / "gone.yaml").write_text("data: {name: texture, reference: nowhere.png}\n")
    words = "compare --tasks gone.yaml,toy --methods es --max-renders 40 --seeds 1 --out out"
    assert main(words.split()) == 0
    rows = list(csv.DictReader((tmp_path / "out" / "rows.csv").open()))
    assert [row["stop_reason"] for row in rows] == ["error", "budget"]
    assert "nowhere.png" in rows[0]["error"]
    assert "nowhere.png" in (tmp_path / "out" / "summary.md").read_text()


def test_a_folder_that_holds_something_and_an_empty_budget_are_refused(tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "rows.csv").write_text("task\n")
    words = "compare --tasks toy --methods es --seeds 1".split()
    assert main([*words, "--out", "out"]) == 2
    assert "out must be a new or empty folder, got 'out'" in capsys.readouterr().err
    assert main([*words, "--out", "new", "--max-renders", "0"]) == 2
    assert "max_renders must be > 0, got 0" in capsys.readouterr().err
