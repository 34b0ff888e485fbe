"""What `zg new` writes runs, and its test passes."""

import os
import subprocess
import sys

import pytest

from zg.cli.main import main

KINDS = {"task": "glow_task", "method": "glow_method", "renderer": "glow_renderer"}


@pytest.fixture
def made(tmp_path, monkeypatch, capsys):
    """A folder with a new one of each kind, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for kind, name in KINDS.items():
        assert main(["new", kind, name]) == 0
    capsys.readouterr()
    return tmp_path


def test_each_runs_from_its_config_and_its_tests_pass(made, capsys):
    for name in KINDS.values():
        words = ["fit", "--config", f"{name}.yaml", "--max-renders", "6", "--curve-points", "0", "--video", "false"]
        assert main([*words, "--wandb", "disabled"]) == 0
    assert "round" not in capsys.readouterr().err
    folders = sorted(path.name for path in (made / "runs").iterdir())
    assert folders == ["GlowTask-zerograds-seed0-0", "glow_renderer-zerograds-seed0-0", "toy-GlowMethod-seed0-0"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", str(made)]
    done = subprocess.run(command, cwd=made, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "6 passed" in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["tsk", "x"], "kind must be one of 'task', 'method', 'renderer', got 'tsk'"),
        (["task", "my-task"], "name must be letters, digits and underscores, as in my_task, got 'my-task'"),
        (["task", "class"], "name must be letters, digits and underscores, as in my_task, got 'class'"),
        (["task", "numpy"], "name must be one that no installed module has, got 'numpy'"),
        (["task"], "name must be given"),
    ],
)
def test_a_wrong_name_is_refused(words, message, capsys):
    assert main(["new", *words]) == 2
    assert message in capsys.readouterr().err


def test_no_file_is_written_over(tmp_path, capsys):
    assert main(["new", "method", "glow", "--folder", str(tmp_path / "new")]) == 0
    (tmp_path / "new" / "glow.py").unlink()
    assert main(["new", "task", "glow", "--folder", str(tmp_path / "new")]) == 2
    assert "name must be new, and there is" in capsys.readouterr().err
    assert not (tmp_path / "new" / "glow.py").exists()
