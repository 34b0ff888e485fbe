"""The example of the guide works: by class path, and by name when it is installed."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from zg.cli.main import main

EXAMPLE = Path(__file__).parent / "example"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Environment variables with which the example package is installed."""
    target = tmp_path_factory.mktemp("site")
    source = tmp_path_factory.mktemp("source")
    subprocess.run(["cp", "-r", f"{EXAMPLE}/.", str(source)], check=True)
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--target", str(target)]
    subprocess.run([*pip, str(source)], check=True)
    return {**os.environ, "PYTHONPATH": str(target)}


def test_a_task_in_the_working_directory_is_found_by_its_class_path(monkeypatch, tmp_path):
    monkeypatch.chdir(EXAMPLE)
    monkeypatch.setattr(sys, "path", list(sys.path))
    out = tmp_path / "run"
    assert main(["fit", "--config", "disk.yaml", "--model", "shapes.coin_flip.CoinFlip", "--out", str(out)]) == 0
    assert main(["fit", "--config", "disk.yaml", "--out", str(tmp_path / "default")]) == 0
    row = json.loads((tmp_path / "default" / "row.json").read_text())
    assert row["final_loss"] < 0.1 * row["init_loss"]
    assert row["metric_theta_error"] < 0.05


def test_an_installed_package_adds_its_task_and_method_by_name(installed, tmp_path):
    def zg(*words):
        command = [sys.executable, "-m", "zg.cli", *words]
        return subprocess.run(command, env=installed, cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    assert "disk" in zg("list", "tasks", "--plain").split()
    assert "coin_flip" in zg("list", "methods", "--plain").split()
    zg(*"compare --tasks disk --methods coin_flip,es --max-renders 60 --seeds 1 --out out".split())
    rows = (tmp_path / "out" / "rows.csv").read_text()
    assert "coin_flip" in rows
    assert (tmp_path / "out" / "images.png").is_file()


def test_the_paper_includes_the_task_and_method_of_an_installed_package(installed, tmp_path):
    words = "paper --preset smoke --tasks disk --methods coin_flip,es --seeds 1 --wandb disabled --out out"
    command = [sys.executable, "-m", "zg.cli", *words.split()]
    subprocess.run(command, env=installed, cwd=tmp_path, capture_output=True, text=True, check=True)
    with (tmp_path / "out" / "tables" / "table1.csv").open() as file:
        cells = {(row["method"], row["column"]) for row in csv.DictReader(file) if row["value"]}
    assert cells == {("coin_flip", "disk (n = 3)"), ("es", "disk (n = 3)")}
    for name in ("pictures", "convergence-renders", "cost"):
        assert (tmp_path / "out" / "figures" / f"{name}.png").is_file()
    assert "coin_flip" in (tmp_path / "out" / "report.html").read_text()


def test_a_preset_includes_tasks_and_methods_of_other_packages(installed):
    said = "from paper.plan import *; print(*tasks_of(read_preset('smoke')), *methods_of())"
    done = subprocess.run([sys.executable, "-c", said], env=installed, capture_output=True, text=True, check=True)
    assert {"disk", "coin_flip", "toy"} <= set(done.stdout.split())
