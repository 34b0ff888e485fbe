"""The command line. Most tests call `main` in this process, as a new process needs seconds for its imports."""

import json
import os
import shlex
import subprocess
import sys
import tempfile
import time

import pytest
import yaml

from zg.cli.fit import program
from zg.cli.main import main
from zg.config.compose import read_yaml
from zg.config.registry import CONFIGS, configured, names
from zg.errors import RunError


def refused(capsys, *words: str) -> str:
    """The line that a wrong command prints to stderr."""
    assert main(words) == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1, "an error has one line"
    return said.err


def test_fit_prints_the_result_and_the_paths_of_its_files(capsys, tmp_path):
    assert main(["fit", "--config", "configs/toy.yaml", "--max-renders", "400", "--out", "run"]) == 0
    said = capsys.readouterr().out
    assert "s left" in said
    assert "params  x = [4" in said
    for name in ("video.mp4", "panel.png", "curve.png"):
        assert f"run/{name}" in said
        assert (tmp_path / "run" / name).is_file()
    row = json.loads((tmp_path / "run" / "row.json").read_text())
    assert row["stop_reason"] == "budget"
    assert row["final_loss"] < 1e-20


def test_a_yaml_may_have_several_losses_with_weights_and_its_run_is_resumed(capsys, tmp_path):
    (tmp_path / "two.yaml").write_text("data: {name: texture, size: 16, loss: {mse: 1.0, multiscale: 0.5}}\n")
    words = ["--video", "false", "--curve-points", "2", "--out", "run"]
    assert main(["fit", "--config", "two.yaml", "--max-renders", "20", *words]) == 0
    assert main(["fit", "--out", "run", "--resume", "--max-renders", "30"]) == 0
    row = json.loads((tmp_path / "run" / "row.json").read_text())
    assert row["renders"] == 30
    assert row["final_loss"] == pytest.approx(row["metric_loss_mse"] + 0.5 * row["metric_loss_multiscale"])
    assert "loss_multiscale" in (tmp_path / "run" / "history.csv").read_text().splitlines()[0]


def test_later_configs_and_settings_override_earlier_ones(capsys, tmp_path):
    (tmp_path / "mine.yaml").write_text("model: {name: es, lr: 1.0e-3, pairs: 7}\nmax_renders: 9\n")
    words = ["fit", "--config", "configs/toy.yaml", "--config", "mine.yaml", "--model.lr", "2e-3", "--print-config"]
    assert main(words) == 0
    config = yaml.safe_load(capsys.readouterr().out)
    assert config["model"]["class_path"] == "baselines.es.ES"
    assert config["model"]["init_args"] == {"sigma": 0.05, "lr": 0.002, "pairs": 7}, "defaults are there too"
    assert config["max_renders"] == 9


def test_choosing_another_method_drops_the_settings_of_the_former_one(capsys, tmp_path):
    (tmp_path / "mine.yaml").write_text("data: toy\nmodel: {name: es, lr: 1.0e-3}\n")
    main(["fit", "--config", "mine.yaml", "--model.sigma", "0.2", "--model", "cmaes", "--print-config"])
    config = yaml.safe_load(capsys.readouterr().out)
    assert config["model"]["class_path"] == "baselines.cmaes.CMAES"
    assert config["model"]["init_args"]["sigma"] == 0.2
    assert "lr" not in config["model"]["init_args"]


def test_resume_needs_only_the_run_folder(capsys):
    words = ["fit", "--data", "toy", "--model", "es", "--max-renders", "100", "--out", "run"]
    assert main(words) == 0
    assert main(["fit", "--out", "run", "--resume", "--max-renders", "140"]) == 0
    assert "after 140 renders" in capsys.readouterr().out


def test_default_folders_are_numbered(tmp_path):
    for _ in range(2):
        assert main(["fit", "--data", "toy", "--model", "es", "--max-renders", "20"]) == 0
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["toy-es-seed0-0", "toy-es-seed0-1"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fitt"], "command 'fitt' is unknown; did you mean 'fit'?"),
        (["fit"], "data must name a task"),
        (["fit", "--data", "zg.task.Task"], "data must be a subclass of Task, got 'zg.task.Task'"),
        (["fit", "--data", "toy", "--target-loss", "abc"], "target_loss must be float or null, got abc"),
        (["fit", "--data", "toy", "--patience", "0.5"], "patience must be int or null, got 0.5"),
        (["fit", "--data", "toy", "--seed", "-1"], "seed must be at least 0, got -1"),
        (["fit", "--data", "toy", "--checkpoint-renders", "-5"], "checkpoint_renders must be > 0, got -5"),
        (["fit", "--data", "toy", "--curve-points", "-1"], "curve_points must be at least 0, got -1"),
        (["fit", "--data", "toy", "--wandb", "foo"], "wandb must be one of auto, online, offline, disabled, got 'foo'"),
        (["fit", "--data", "toy", "--model", "nevergrad:NGOp"], "model.optimizer 'NGOp' is unknown; did you mean"),
        (["fit", "--data", "toy", "--trainer.callbacks", "3"], "trainer.callbacks must be list or null, got 3"),
        (["fit", "--data", "textur"], "task 'textur' is unknown; did you mean 'texture'?"),
        (["fit", "--data", "toy", "--model", "cma-ess"], "method 'cma-ess' is unknown; did you mean 'cmaes'?"),
        (["fit", "--data", "toy", "--model.sigm", "1"], "model.sigm is unknown; did you mean 'sigma'?"),
        (["fit", "--data", "toy", "--max-render", "1"], "max_render is unknown; did you mean 'max_renders'?"),
        (["fit", "--data", "toy", "--model.sigma", "-0.1"], "model.sigma must be > 0, got -0.1"),
        (["fit", "--data", "toy", "--model.sigma", "wide"], "model.sigma must be float, got wide"),
        (["fit", "--data", "toy", "--max-renders", "0"], "max_renders must be > 0, got 0"),
        (["fit", "--data", "toy", "--max-renders", "many"], "max_renders must be int, got many"),
        (["fit", "--data", "texture", "--data.size", "300"], "data.size must be from 1 to 256, got 300"),
        (["fit", "--data", "texture", "--data.reference", "astronuat"], "did you mean 'astronaut'?"),
        (["fit", "--data", "no.such.Task"], "data must be a class that can be imported, got 'no.such.Task'"),
        (["fit", "--data", "json.JSONDecoder"], "data must be a subclass of Task, got 'json.JSONDecoder'"),
        (["fit", "--config", "nowhere.yaml"], "config 'nowhere.yaml' cannot be read: No such file or directory"),
        (["fit", "--data"], "--data needs a value"),
        (["fit", "--data", "toy", "--model", "nevergrad:"], "model.optimizer '' is unknown"),
        (["fit", "--data", "toy", "--model", "null"], "model must be the name of a method or its settings, got None"),
        (["fit", "--data", "toy", "--model", "[es]"], "model must be the name of a method or its settings, got ['es']"),
        (["fit", "--data", "toy", "--model.surrogate", "null"], "model.surrogate must be str, got null"),
        (["fit", "--data", "toy", "--model.sigma", "null"], "model.sigma must be float, got null"),
        (["fit", "--data", "toy", "--seed", "null"], "seed must be int, got null"),
        (["fit", "--data", "toy", "--trainer", "{es: {}}"], "trainer.es is unknown; known: accelerator, "),
        (["fit", "--data", "toy", "--trainer.accelerator", "quantum"], "got {'accelerator': 'quantum'}: "),
        (["fit", "--data", "toy", "--trainer.barebones", "true"], "got {'barebones': True}: "),
        (["fit", "--data", "toy", "--trainer.logger", "true"], "trainer.logger must be objects of Logger, got True"),
        (["fit", "--data", "toy", "--trainer.detect_anomaly", "null"], "trainer.detect_anomaly must be bool, got null"),
        (["fit", "--data", "toy", "--trainer.gradient_clip_val", "1"], "trainer.gradient_clip_val is not allowed"),
        (["fit", "--config", "a" * 9000], "cannot be read: File name too long"),
        (["fit", "--config", "a\nb"], "config 'a\\nb' cannot be read: No such file or directory"),
        (["list", "x"], "what must be one of 'tasks', 'methods', 'trainings', got 'x'"),
        (["compare", "--tasks", "toy"], "--methods, --out must be given"),
        (["compare", "--tasks"], "--tasks needs a value"),
        (
            ["compare", "--tasks", "toy", "--methods", "es", "--out", "x", "--jobs", "two"],
            "jobs must be int, got 'two'",
        ),
        (["compare", "--tasks", "toy", "--methods", "es", "--out", "x", "--jops", "2"], "did you mean '--jobs'?"),
        (["compare", "--tasks", "a" * 9000 + ".yaml", "--methods", "es", "--out", "x"], "and there is no such file"),
        (["compare", "--tasks", "...yaml", "--methods", "es", "--out", "x"], "a folder can have, got '...yaml'"),
        (
            ["compare", "--tasks", "toy", "--methods", "es", "--out", "x", "--settings", "tuned", "--tuned", "none"],
            "tuned must be a folder of zg tune --out, got 'none'",
        ),
        (["tune", "--tasks", "toy", "--methods", "es", "--out", "/dev/null"], "out must be a folder that can be"),
        (["paper", "--out", "x", "--preset", "smoke", "--seeds", "0"], "seeds must be > 0, got 0"),
        (["fit", "toy"], "a setting must be given as --NAME VALUE, got 'toy'"),
        (
            ["compare", "--tasks", "toyy", "--methods", "es", "--out", "x"],
            "task 'toyy' is unknown; did you mean 'toy'?",
        ),
    ],
)
def test_a_wrong_command_is_reported_in_one_line_with_exit_code_2(capsys, words, message):
    assert message in refused(capsys, *words)


def test_a_method_with_its_settings_is_a_word_of_the_command_line(capsys):
    words = ["fit", "--data", "{name: toy}", "--model", "{name: es, lr: 0.02}", "--print-config"]
    assert main(words) == 0
    config = yaml.safe_load(capsys.readouterr().out)
    assert config["data"]["class_path"] == "tasks.toy.Toy"
    assert config["model"]["init_args"]["lr"] == 0.02


def test_what_is_no_wrong_setting_leaves_its_traceback_in_the_run_folder(capsys, tmp_path):
    words = ["fit", "--data", "tests.problems.Troubled", "--data.raises_above", "-9", "--model", "es", "--out", "run"]
    assert main(words) == 1
    said = capsys.readouterr().err
    path = tmp_path / "run" / "error.txt"
    assert said == f"zg: the run failed with RuntimeError: the renderer gave up; the traceback is in {path}\n"
    assert path.read_text().startswith("Traceback") and "in render" in path.read_text()
    row = json.loads((tmp_path / "run" / "row.json").read_text())
    assert (row["stop_reason"], row["error"]) == ("error", "RuntimeError: the renderer gave up")
    with pytest.raises(RunError, match="the renderer gave up"):
        main([*words[:-1], "again", "--debug"])


def test_what_fails_without_a_run_folder_leaves_its_traceback_in_a_temporary_file(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "cm" / "runs").mkdir(parents=True)
    (tmp_path / "cm" / "rows.csv").mkdir()
    assert main(["report", "cm"]) == 1
    (path,) = tmp_path.glob("zg-error-*.txt")
    assert capsys.readouterr().err.endswith(f"Is a directory: 'cm/rows.csv'; the traceback is in {path}\n")
    assert path.read_text().startswith("Traceback")


def test_a_run_whose_output_cannot_be_written_has_its_row_and_says_so(tmp_path, monkeypatch, capfd):
    with open("/dev/full", "w", buffering=1) as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main(["fit", "--data", "toy", "--model", "es", "--max-renders", "8", "--out", "run"]) == 1
    assert capfd.readouterr().err == "zg: standard output cannot be written: No space left on device\n"
    assert json.loads((tmp_path / "run" / "row.json").read_text())["stop_reason"] == "budget"


@pytest.mark.parametrize(
    ("shell", "code", "said"),
    [
        ("zg list tasks >&-", 0, ""),
        ("zg list tasks >/dev/full", 1, "zg: standard output cannot be written: No space left on device\n"),
        ("LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 zg list methods >out", 0, ""),
        ("zg list nothing 2>&-", 2, ""),
    ],
)
def test_output_that_is_closed_full_or_ascii_makes_no_traceback(shell, code, said):
    command = shell.replace("zg", f"{shlex.quote(sys.executable)} -m zg.cli")
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (code, said)


@pytest.mark.parametrize("budget", ["1e2", "1.0e+2"])
def test_whole_numbers_may_be_in_scientific_notation(budget, capsys, tmp_path):
    (tmp_path / "mine.yaml").write_text(f"data: rosenbrock\nmodel: es\nmax_renders: {budget}\n")
    for words in (["-c", "mine.yaml"], ["--data", "rosenbrock", "--model", "es", "--max-renders", budget]):
        assert main(["fit", *words, "--model.pairs", "1e1", "--print-config"]) == 0
        config = yaml.safe_load(capsys.readouterr().out)
        assert (config["max_renders"], config["model"]["init_args"]["pairs"]) == (100, 10)


@pytest.mark.parametrize("output", [">&-", ">/dev/full", "LC_ALL=C"])
def test_a_run_ends_well_wherever_its_output_goes(output, tmp_path):
    fit = f"{shlex.quote(sys.executable)} -m zg.cli fit --data toy --model es --max-renders 8 --video false --out run"
    plain = "LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0"
    command = f"{plain} {fit} >out" if output == "LC_ALL=C" else f"{fit} {output}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert (tmp_path / "run" / "row.json").is_file()


def test_files_of_the_working_directory_that_are_named_like_packages_are_not_run(tmp_path):
    for name in ("triton", "opt_einsum", "google", "yaml"):
        (tmp_path / f"{name}.py").write_text("open('run.txt', 'a').write(__name__)\nraise ImportError\n")
    words = [sys.executable, "-m", "zg.cli", "fit", "--data", "toy", "--model", "es", "--max-renders", "8"]
    done = subprocess.run([*words, "--video", "false"], env={**os.environ, "PYTHONSAFEPATH": "1"}, check=False)
    assert done.returncode == 0
    assert not (tmp_path / "run.txt").exists()


def test_a_copy_of_a_run_folder_counts_for_no_number(tmp_path):
    for name in ("toy-es-seed0-0", "toy-es-seed0-7-backup", "toy-es-seed0-x", "toy-es-seed3-4"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    assert main(["fit", "--data", "toy", "--model", "es", "--max-renders", "8", "--video", "false"]) == 0
    assert (tmp_path / "runs" / "toy-es-seed0-1" / "row.json").is_file()


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        (["povray", "+Ivase.pov"], "povray"),
        (["/usr/bin/python3.11", "-u", "tools/draw.py", "{output}"], "draw"),
        (["blender", "-b", "scene.blend", "-P", "render.py"], "scene"),
        (["bash", "-c", "exit"], "bash"),
        (None, ""),
    ],
)
def test_a_run_folder_is_called_as_the_program_is(argv, name):
    assert program(argv) == name


def test_help_explains_the_settings_of_the_method_and_the_task_that_are_chosen(capsys):
    assert main(["fit", "--help"]) == 0
    said = capsys.readouterr().out
    assert "--max-renders N" in said and "(default 2000)" in said and "simulated_annealing" in said
    assert main(["fit", "--model", "es", "--help"]) == 0
    said = capsys.readouterr().out
    assert "--model.lr                       float, default 0.01\n      Adam's learning rate, scaled units." in said
    words = ["fit", "--data", "toy", "--model", "zerograds", "--model.surrogate", "sketched_gradient", "--help"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "task toy: " in said and "--model.options.radius.widen" in said and "here 'sketched_gradient'" in said


@pytest.mark.parametrize("command", ["compare", "tune", "paper", "list", "new", "watch"])
def test_every_help_tells_defaults_and_choices(command, capsys):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "default" in said or "{" in said
    assert "None" not in said and "%(default)" not in said


def test_a_wrong_setting_that_is_found_late_leaves_no_folder(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert "nowhere.png" in refused(
        capsys, "fit", "--data", "texture", "--data.reference", "nowhere.png", "--out", "run"
    )
    assert not (tmp_path / "run").exists()
    assert main(["fit", "--data", "toy", "--model", "es", "--max-renders", "20", "--out", "run"]) == 0


def test_an_error_in_a_yaml_is_reported_with_its_line(capsys, tmp_path):
    (tmp_path / "bad.yaml").write_text("data: toy\nmodel: {name: es\n")
    assert "config 'bad.yaml' must be valid YAML, got an error at line 3" in refused(capsys, "fit", "-c", "bad.yaml")


def test_debug_shows_the_traceback():
    with pytest.raises(ValueError, match="unknown"):
        main(["fit", "--data", "toyy", "--debug"])


def test_list_plain_prints_names_only(capsys):
    assert main(["list", "tasks", "--plain"]) == 0
    assert capsys.readouterr().out.split() == names("task")
    assert main(["list", "methods", "--plain"]) == 0
    assert {"zerograds", "es", "cmaes"} <= set(capsys.readouterr().out.split())


def test_list_takes_less_than_1_5_seconds_and_does_not_import_torch():
    start = time.perf_counter()
    command = [sys.executable, "-X", "importtime", "-m", "zg.cli", "list", "tasks"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert time.perf_counter() - start < 1.5
    assert "| torch\n" not in done.stderr
    assert "toy" in done.stdout


@pytest.mark.parametrize("start", ["from zg.cli.main import main; main(['list', 'tasks'])", "import benchmarks"])
def test_our_own_processes_wait_passively_in_openmp(start):
    """OpenMP reads the variable when PyTorch is imported, so it must be set before."""
    script = f"import os, sys; {start}; print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)"
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=CONFIGS.parent)
    assert done.stdout.splitlines()[-1] == "PASSIVE False"


@pytest.mark.parametrize("name", configured("task"))
def test_every_task_config_composes_and_sets_no_method(name, capsys):
    assert main(["fit", "--config", f"configs/{name}.yaml", "--print-config"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["model"]["class_path"] == "zg.zerograds.method.ZeroGrads"
    config = read_yaml(configured("task")[name])
    assert "model" not in config
    assert config["about"]


def test_data_accepts_the_name_of_a_config(capsys):
    assert main(["fit", "--data", "texture16", "--print-config"]) == 0
    config = yaml.safe_load(capsys.readouterr().out)
    assert config["data"]["init_args"]["size"] == 16
    assert config["max_renders"] == read_yaml(configured("task")["texture16"])["max_renders"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data: toy\nmodel: {init_args: 5}", "model.init_args must be 'key: value' lines, got 5"),
        ("data: {name: [a]}", "data must be the name of a task, got ['a']"),
        ("data: toy\nmodel: [es]", "model must be the name of a method or its settings, got ['es']"),
        ("data: toy\ntrainer: [a]", "trainer must be settings of Lightning's Trainer, got ['a']"),
        ("data: toy\n5: 3", "must have strings as keys, got 5"),
        ("data: toy\nmax_renders: [1]", "max_renders must be int, got [1]"),
        ("data: {name: texture, loss: {mze: 1}}", "data.loss 'mze' is unknown; did you mean 'mse'?"),
        ("data: {name: texture, loss: 3}", "a subclass spec or Mapping or Sequence, got 3"),
        ("data: mine.Task", "data must be a class that can be imported, got 'mine.Task' (NameError:"),
    ],
)
def test_a_yaml_with_values_of_wrong_types_is_reported_in_one_line(text, message, capsys, tmp_path):
    (tmp_path / "odd.yaml").write_text(text)
    (tmp_path / "mine.py").write_text("undefined\n")
    assert message in refused(capsys, "fit", "-c", "odd.yaml")


def test_another_package_named_tasks_is_reported(tmp_path):
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "__init__.py").write_text("")
    command = [sys.executable, "-m", "zg.cli", "list", "tasks"]  # -m searches the working directory first
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 2
    assert "package 'tasks' must be the one in" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_ends_early_causes_no_error_message(unbuffered):
    command = f"{shlex.quote(sys.executable)} -m zg.cli list tasks | true; exit ${{PIPESTATUS[0]}}"
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, env=environment)
    assert (done.stderr, done.returncode) == ("", 141)


def test_version_prints_the_name_and_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("zerograds ")


@pytest.mark.parametrize("path", sorted((CONFIGS / "paper").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_config_of_the_paper_runs(path, capsys):
    small = {"texture": ["--data.size", "8"], "caustic": ["--data.size", "32"]}.get(path.stem, [])
    words = ["fit", "--config", str(path), *small, "--max-renders", "60", "--video", "false", "--out", "run"]
    assert main(words) == 0
    assert "stopped after 60 renders: budget" in capsys.readouterr().out


def test_resume_with_another_method_or_seed_is_refused(capsys):
    assert main(["fit", "--data", "toy", "--model", "es", "--max-renders", "40", "--out", "run"]) == 0
    capsys.readouterr()
    said = refused(capsys, "fit", "--out", "run", "--resume", "--model", "cmaes")
    assert "resume must keep task, method and seed as they are in run/config.yaml" in said
    said = refused(capsys, "fit", "--out", "run", "--resume", "--seed", "5")
    assert "resume must keep task, method and seed as they are in run/config.yaml" in said
