"""The example of the guide works: by class path, and by name when it is installed."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tables import read_csv
from zg.cli.main import main

EXAMPLE = Path(__file__).parent / "example"


# One process, as each would import everything again: in it the package is installed.
SCRIPT = """
from dataclasses import replace

from paper.plan import methods_of, read_preset, tasks_of
from zg.cli.main import main

for command in COMMANDS:
    assert main(command.split()) == 0, command
preset = read_preset("smoke")
print("in the preset:", *tasks_of(preset), *methods_of())
print("with plugins:", *tasks_of(replace(preset, others=True)), *methods_of(others=True))
"""
COMMANDS = [
    "list tasks",
    "list methods",
    "list tasks --plain",
    "list methods --plain",
    "compare --tasks disk --methods coin_flip,es --max-renders 60 --seeds 1 --out compared",
    "paper --preset smoke --tasks disk --methods coin_flip,es --seeds 1 --wandb disabled --out printed",
]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder in which the commands ran with the example package installed, and what they printed."""
    target, source, folder = (tmp_path_factory.mktemp(name) for name in ("site", "source", "made"))
    shutil.copytree(EXAMPLE, source, dirs_exist_ok=True)
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--target", str(target)]
    subprocess.run([*pip, str(source)], check=True)
    command = [sys.executable, "-c", f"COMMANDS = {COMMANDS}\n{SCRIPT}"]
    path = os.pathsep.join([str(target), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, "WANDB_MODE": "disabled"}
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=True)
    return folder, done.stdout


def test_a_task_in_the_working_directory_is_found_by_its_class_path(monkeypatch, tmp_path):
    monkeypatch.chdir(EXAMPLE)
    monkeypatch.setattr(sys, "path", list(sys.path))
    out = tmp_path / "run"
    assert main(["fit", "--config", "disk.yaml", "--model", "shapes.coin_flip.CoinFlip", "--out", str(out)]) == 0
    assert main(["fit", "--config", "disk.yaml", "--out", str(tmp_path / "default")]) == 0
    row = json.loads((tmp_path / "default" / "row.json").read_text())
    assert row["final_loss"] < 0.1 * row["init_loss"]
    assert row["metric_theta_error"] < 0.05


def test_an_installed_package_adds_its_task_and_method_by_name(made):
    folder, said = made
    assert {"disk", "coin_flip"} <= set(said.split("\n"))
    assert {row["method"] for row in read_csv(folder / "compared" / "rows.csv")} == {"coin_flip", "es"}
    assert (folder / "compared" / "images.png").is_file()


def test_the_paper_includes_the_task_and_method_of_an_installed_package(made):
    folder, _ = made
    rows = read_csv(folder / "printed" / "tables" / "table1.csv")
    cells = {(row["method"], row["column"]) for row in rows if row["value"]}
    assert cells == {("coin_flip", "disk (n = 3)"), ("es", "disk (n = 3)")}
    for name in ("pictures", "convergence-renders", "cost"):
        assert (folder / "printed" / "figures" / f"{name}.png").is_file()
    assert "coin_flip" in (folder / "printed" / "report.html").read_text()


def test_a_preset_includes_tasks_and_methods_of_other_packages_only_where_it_is_asked_to(made):
    _, said = made
    alone, _, together = said.rpartition("in the preset:")[2].partition("with plugins:")
    assert set(together.split()) - set(alone.split()) == {"disk", "coin_flip"}
    assert {"toy", "es", "cmaes-full"} <= set(alone.split())


def test_the_list_tells_the_first_line_of_the_docstring_of_another_package(made):
    _, said = made
    assert "Position and radius of a disk, found from a picture of it." in said
    assert "One random step an iteration; σ grows on success and shrinks on failure." in said
