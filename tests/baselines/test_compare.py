"""`zg compare`: rows that are kept, errors that stay in their rows, grids that are cut off and resumed."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import imageio.v3 as imageio
import pytest

from baselines.compare import grid
from baselines.compare.compare import compare as run_grid
from baselines.compare.options import parse_seeds
from baselines.compare.place import Place
from baselines.compare.rows import read_runs
from tests.tables import read_csv
from zg.cli.main import main
from zg.errors import SettingError

ROOT = Path(__file__).resolve().parents[2]
TROUBLE = "tests.baselines.troublemakers"
HOME, HOME_TWICE = Place(), Place(side_by_side=2)
# What a run takes of time and memory differs from one to the next.
MEASURED = ("seconds_render", "seconds_method", "seconds", "peak_mb")


def found(row: dict[str, object]) -> dict[str, object]:
    """A row without what a clock or the memory says."""
    return {key: value for key, value in row.items() if key not in MEASURED}


def written(folder: Path) -> dict[str, int]:
    """When each complete row was written. A run's own row has no key yet: the comparison adds it at the end."""
    rows = [path for path in sorted(folder.rglob("row.json")) if '"key"' in path.read_text()]
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in rows}


def compare(words: str) -> int:
    return main(["compare", *words.split()])


def under_way(folder: Path) -> list[Path]:
    """Runs that have a checkpoint and no row yet."""
    return [path for path in folder.rglob("last.ckpt") if not path.with_name("row.json").exists()]


def alive(pid: int) -> bool:
    """Whether a process runs; one that only waits for its parent to ask after it does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition, seconds: float = 400.0) -> bool:
    end = time.monotonic() + seconds
    while not (met := condition()) and time.monotonic() < end:
        time.sleep(0.05)
    return met


def test_a_comparison_is_rows_a_summary_and_figures(tmp_path, capsys):
    (tmp_path / "small.yaml").write_text("data: {name: texture, size: 8}\nmax_renders: 60\n")
    (tmp_path / "quick.yaml").write_text("model: {name: es, lr: 0.05}\n")
    words = "--tasks toy,small.yaml --methods zerograds,quick.yaml,cmaes --max-renders 60 --seeds 2 --out out"
    assert compare(words) == 0
    rows = read_csv(tmp_path / "out" / "rows.csv")
    cells = {(row["task"], row["method"], row["seed"]) for row in rows}
    assert len(rows) == len(cells) == 12
    assert {task for task, _, _ in cells} == {"toy", "small"}
    assert {method for _, method, _ in cells} == {"zerograds", "quick", "cmaes"}
    assert all(row["renders"] == "60" and float(row["final_loss"]) >= 0 for row in rows)
    starts = {(row["task"], row["seed"]): set() for row in rows}
    for row in rows:
        starts[row["task"], row["seed"]].add(row["init_loss"])
    assert all(len(losses) == 1 for losses in starts.values())
    summary = (tmp_path / "out" / "summary.md").read_text()
    assert "## small" in summary
    assert "60 renders; 2 seeds" in summary
    assert imageio.imread(tmp_path / "out" / "curves.png").shape[2] == 4
    assert imageio.imread(tmp_path / "out" / "images.png").shape[1] > 500
    said = capsys.readouterr().out
    assert "[12/12]" in said
    assert " left" in said


def test_rows_that_are_there_stay_and_others_are_run_again(tmp_path, capsys):
    def go(lr: float, **limits: float) -> list[str]:
        """Names of the runs that were made."""
        (tmp_path / "quick.yaml").write_text(f"model: {{name: es, lr: {lr}}}\n")
        before = written(tmp_path / "out")
        jobs = grid.plan(["toy"], ["es", "quick.yaml"], [0, 1], {"max_renders": 40} | limits, tmp_path / "out")
        assert run_grid(jobs, tmp_path / "out", HOME, 600, False, "disabled")
        after = written(tmp_path / "out")
        return [
            name.removeprefix("runs/toy/").removesuffix("/row.json")
            for name in after
            if after[name] != before.get(name)
        ]

    everything = ["es/seed0", "es/seed1", "quick/seed0", "quick/seed1"]
    assert go(0.05) == everything
    assert go(0.05) == []
    assert "4 of 4 rows are complete" in capsys.readouterr().out
    assert go(0.06) == ["quick/seed0", "quick/seed1"]
    said = capsys.readouterr().out
    assert "2 of 4 rows are complete" in said
    assert "2 run again" in said
    assert {run.row["settings"]["lr"] for run in read_runs(tmp_path / "out") if run.row["method"] == "quick"} == {0.06}
    assert go(0.06, max_renders=50) == everything


def test_whatever_goes_wrong_is_a_row_and_the_others_finish(tmp_path):
    classes = "Raises ReturnsNaN Hangs Crashes Still".split()
    for name in classes:
        (tmp_path / f"{name.lower()}.yaml").write_text(f"model: {{class_path: {TROUBLE}.{name}}}\n")
    methods = ",".join(f"{name.lower()}.yaml" for name in classes)
    words = f"--tasks toy --methods {methods} --max-renders 100 --seeds 1 --jobs 2 --hang-seconds 10 --out out"
    assert compare(words) == 0
    rows = {row["method"]: row for row in read_csv(tmp_path / "out" / "rows.csv")}
    assert {name: row["stop_reason"] for name, row in rows.items()} == {
        "raises": "error",
        "returnsnan": "failed renders",
        "hangs": "error",
        "crashes": "error",
        "still": "budget",
    }
    assert "ArithmeticError" in rows["raises"]["error"]
    assert "not finite" in rows["returnsnan"]["error"]
    assert rows["hangs"]["error"].startswith("hung: no sign of life for 1")
    assert "SIGSEGV" in rows["crashes"]["error"]
    assert rows["still"]["error"] == ""
    assert all(rows[name]["final_loss"] == "" for name in ("raises", "returnsnan", "hangs", "crashes"))
    assert int(rows["hangs"]["renders"]) >= 10
    assert float(rows["hangs"]["init_loss"]) == float(rows["still"]["init_loss"])
    assert len((tmp_path / "out" / "runs" / "toy" / "hangs" / "seed0" / "history.csv").read_text().splitlines()) > 2
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 2
    assert not any(alive(pid) for pid in pids)
    summary = (tmp_path / "out" / "summary.md").read_text()
    assert "4 of 5 runs failed" in summary
    assert "no &lt;b&gt;way&lt;/b&gt; \\| out" in summary
    assert "seconds are not to be compared" in summary

    for retry, made in ((False, False), (True, True)):
        before = written(tmp_path / "out")
        jobs = grid.plan(["toy"], ["raises.yaml"], [0], {"max_renders": 100}, Path("out"))
        assert run_grid(jobs, tmp_path / "out", HOME, 600, retry, "disabled")
        assert (written(tmp_path / "out") != before) == made


def test_a_comparison_in_which_nothing_works_says_so(tmp_path):
    (tmp_path / "raises.yaml").write_text(f"model: {{class_path: {TROUBLE}.Raises}}\n")
    assert compare("--tasks toy --methods raises.yaml --max-renders 100 --seeds 1 --out out") == 1
    assert (tmp_path / "out" / "report.html").is_file()


@pytest.fixture
def slow_task(tmp_path):
    """A grid of six runs of a second each; runs that are cut off go on from checkpoints."""
    (tmp_path / "slow.yaml").write_text(f"data: {{class_path: {TROUBLE}.SlowQuadratic}}\ncheckpoint_renders: 20\n")
    return lambda out: grid.plan(["slow.yaml"], ["es", "cmaes", "pgpe"], [0, 1], {"max_renders": 600}, tmp_path / out)


def test_a_grid_that_is_killed_goes_on_where_it_was(tmp_path, slow_task):
    words = "compare --tasks slow.yaml --methods es,cmaes,pgpe --max-renders 600 --seeds 2 --jobs 2 --out cut"
    code = "import sys; from zg.cli.main import main; sys.exit(main())"
    command = [sys.executable, "-c", code, *words.split(), "--wandb", "disabled"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        assert wait_for(lambda: len(written(tmp_path / "cut")) >= 2 or parent.poll() is not None)
    finally:
        parent.kill()
        parent.wait()
    before = written(tmp_path / "cut")
    assert 2 <= len(before) < 6
    children = [int(line) for line in (tmp_path / "rendered_by").read_text().splitlines()]
    assert wait_for(lambda: not any(alive(pid) for pid in children), seconds=10)

    for out in ("cut", "whole"):
        assert run_grid(slow_task(out), tmp_path / out, HOME_TWICE, 600, False, "disabled")
    after = written(tmp_path / "cut")
    assert {name: after[name] for name in before} == before
    cut, whole = (read_runs(tmp_path / out) for out in ("cut", "whole"))
    assert len(cut) == 6
    assert [found(run.row) for run in cut] == [found(run.row) for run in whole]
    assert all((a.curve.losses == b.curve.losses).all() for a, b in zip(cut, whole, strict=True))


def test_ctrl_c_ends_a_comparison_and_keeps_its_finished_rows(tmp_path, slow_task, capsys):
    def interrupt() -> None:
        if wait_for(lambda: written(tmp_path / "out") and under_way(tmp_path / "out")):
            os.kill(os.getpid(), signal.SIGINT)

    watcher = threading.Thread(target=interrupt)
    watcher.start()
    assert not run_grid(slow_task("out"), tmp_path / "out", HOME_TWICE, 600, False, "disabled")
    watcher.join()
    assert 1 <= len(read_runs(tmp_path / "out")) < 6
    capsys.readouterr()
    assert run_grid(slow_task("out"), tmp_path / "out", HOME_TWICE, 600, False, "disabled")
    assert "resume from their checkpoints" in capsys.readouterr().out
    assert len(read_runs(tmp_path / "out")) == 6


def test_what_cannot_run_is_told_before_anything_runs(tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "rows.csv").write_text("task\n")
    (tmp_path / "es.yaml").write_text("model: es\n")
    (tmp_path / "wrong.yaml").write_text("model: {name: es, lr: -1}\n")
    for words, line in {
        "--tasks toy --methods es --out out": "out must be a new folder or that of a comparison to go on with",
        "--tasks toy --methods es --max-renders 0 --out new": "max_renders must be > 0, got 0",
        "--tasks toy --methods es --jobs 0 --out new": "jobs must be > 0, got 0",
        "--tasks toy --methods es --pool threads --out new": "pool must be processes or ray for whole runs",
        "--tasks toy --methods es --gpus 1 --out new": "gpus is a setting of --pool ray, got --pool processes",
        "--tasks toy --methods es --seeds 1,1 --out new": "seeds must be a number (5), or a list of different seeds",
        "--tasks toy --methods es --settings best --out new": "settings must be default, tuned or paper, got 'best'",
        "--tasks toy --methods es,es.yaml --out new": "methods must differ in name, got 'es' and 'es.yaml', both 'es'",
        "--tasks toy,toy --methods es --out new": "tasks must differ in name",
        "--tasks textur --methods es --out new": "task 'textur' is unknown; did you mean 'texture'?",
        "--tasks toy --methods nevergrad:TwoPointDE --out new": "optimizer 'TwoPointDE' is unknown; did you mean",
        "--tasks toy --methods wrong.yaml --out new": "lr must be > 0, got -1",
    }.items():
        assert compare(words) == 2
        said = capsys.readouterr().err
        assert line in said
        assert said.count("\n") == 1
        assert not (tmp_path / "new" / "runs").exists()


def test_seeds_are_counted_or_named():
    assert parse_seeds("3") == [0, 1, 2]
    assert parse_seeds("7,3") == [7, 3]
    assert parse_seeds("7,") == [7]
    for text in ("0", "x", "-1", "1,1", ""):
        with pytest.raises(SettingError, match="seeds must be"):
            parse_seeds(text)


def plan(methods: str, settings: grid.Settings = "default", **limits: float) -> list[grid.Job]:
    return grid.plan(["toy", "rosenbrock10"], methods.split(","), [0], limits, Path("out"), settings)


def test_a_key_is_of_all_that_a_result_depends_on():
    (job, *_) = plan("es")
    assert job.key == plan("es")[0].key
    others = [plan("es")[1], plan("cmaes")[0], plan("es", max_renders=7)[0], plan("es", max_seconds=7.0)[0]]
    others += grid.plan(["toy"], ["es"], [1], {}, Path("out"))
    assert len({job.key, *(other.key for other in others)}) == 6


def test_settings_are_tuned_where_they_are_and_say_so(tmp_path):
    for name, model in {"es": "{name: es, lr: 0.5}", "nevergrad-CMA": "{name: nevergrad, sigma: 0.7}"}.items():
        path = tmp_path / "tuned" / "toy" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"model: {model}\n")
    methods = ["es", "nevergrad:CMA", "spsa"]
    jobs = grid.plan(["toy", "rosenbrock10"], methods, [0], {}, Path("out"), "tuned", [tmp_path / "tuned"])
    found = {(job.task, job.method): job for job in jobs}
    assert found["toy", "es"].settings == "tuned"
    assert found["toy", "es"].config["model"]["init_args"] == {"lr": 0.5}
    assert found["toy", "nevergrad-CMA"].config["model"]["init_args"] == {"optimizer": "CMA", "sigma": 0.7}
    assert found["rosenbrock10", "es"].settings == "untuned"
    assert found["rosenbrock10", "es"].config["model"]["init_args"] == {}
    assert found["toy", "spsa"].settings == "untuned"


def test_published_settings_are_for_the_published_method():
    found = {(job.task, job.method): job for job in plan("zerograds-paper,es", "paper")}
    assert found["toy", "zerograds-paper"].settings == found["rosenbrock10", "zerograds-paper"].settings == "paper"
    assert found["toy", "zerograds-paper"].config["model"]["init_args"]["k_theta"] == 3
    assert found["rosenbrock10", "zerograds-paper"].config["model"]["init_args"]["input_scale"] == 4
    assert found["toy", "es"].settings == "default"
    assert found["toy", "es"].config["model"]["init_args"] == {}


@pytest.mark.parametrize("command", ["compare", "report", "tune", "paper"])
def test_help_is_printed_without_slow_imports(command):
    code = f"import sys; from zg.cli.main import main; sys.argv = ['zg', '{command}', '--help']\ntry: main()\nfinally: "
    code += "print({'torch', 'pytorch_lightning', 'numpy'} & set(sys.modules))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True).stdout
    assert said.startswith(f"usage: zg {command}")
    assert said.endswith("set()\n")
