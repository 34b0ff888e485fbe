"""Comparisons on a real Ray cluster of three nodes, which loses a node or its head."""

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from baselines.compare import grid
from baselines.compare.cluster import changes, stamps, write_files
from baselines.compare.compare import compare
from baselines.compare.place import Place
from baselines.compare.rows import read_runs
from tests.processes import until
from tests.tables import read_csv
from tests.zg.workers.ray_cluster import cluster, loses
from zg.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
METHODS = ["es", "cmaes", "pgpe"]


@pytest.fixture
def slow_task(tmp_path):
    """A grid of six runs that write checkpoints."""
    text = "data: {class_path: tests.baselines.troublemakers.SlowQuadratic}\ncheckpoint_renders: 20\n"
    (tmp_path / "slow.yaml").write_text(text)
    return lambda out: grid.plan(["slow.yaml"], METHODS, [0, 1], {"max_renders": 600}, tmp_path / out)


def rows(out):
    """What must be equal in the rows of a comparison, and their curves."""
    kept = ("task", "method", "seed", "renders", "final_loss", "best_loss", "stop_reason", "error", "key")
    return [[*(run.row[name] for name in kept), run.curve.losses.tolist()] for run in read_runs(out)]


def finished(out):
    return len(list(out.glob("runs/*/*/seed*/row.json")))


def under_way(out):
    return [path for path in out.glob("runs/*/*/seed*/last.ckpt") if not path.with_name("row.json").is_file()]


def test_files_that_have_changed_come_home_and_those_that_are_being_written_do_not(tmp_path):
    away, home = tmp_path / "away", tmp_path / "home"
    write_files(away, {"last.ckpt": b"1", "wandb/log": b"a", "history.csv": b"x"})
    (away / ".row.json.partial").write_bytes(b"half")
    sent = {}
    first = changes(away, sent)
    assert next(iter(first)) == "last.ckpt" and set(first) == {"last.ckpt", "wandb/log", "history.csv"}
    write_files(home, first)
    assert changes(away, sent) == {}
    (away / "history.csv").write_bytes(b"xy")
    write_files(home, changes(away, sent))
    assert stamps(home).keys() == first.keys() and (home / "history.csv").read_bytes() == b"xy"


@pytest.mark.slow
def test_a_grid_on_a_cluster_that_loses_a_node_ends_with_the_rows_of_home(tmp_path, slow_task):
    assert compare(slow_task("home"), tmp_path / "home", Place(side_by_side=2), 600, False, "disabled")
    with cluster() as (made, nodes):

        def kill():
            until(lambda: finished(tmp_path / "out") and under_way(tmp_path / "out"), seconds=300)
            loses(made, nodes)

        killer = threading.Thread(target=kill)
        killer.start()
        place = Place("ray", address=made.address)
        assert compare(slow_task("out"), tmp_path / "out", place, 600, False, "disabled")
        killer.join()
        assert len(nodes) == 1
    assert len(rows(tmp_path / "out")) == 6
    assert rows(tmp_path / "out") == rows(tmp_path / "home")


@pytest.mark.slow
def test_a_grid_whose_head_is_killed_goes_on_with_the_same_command(tmp_path, slow_task):
    words = f"compare --tasks slow.yaml --methods {','.join(METHODS)} --max-renders 600 --seeds 2 --out out --pool ray"
    code = "import sys; from zg.cli.main import main; sys.exit(main())"

    def start(made):
        command = [sys.executable, "-c", code, *words.split(), "--address", made.address, "--wandb", "disabled"]
        return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)})

    with cluster() as (made, _):
        parent = start(made)
        until(lambda: finished(tmp_path / "out") and under_way(tmp_path / "out"), seconds=300)
        made.remove_node(made.head_node, allow_graceful=False)
        parent.wait(200)
    before = finished(tmp_path / "out")
    assert 1 <= before < 6
    with cluster() as (made, _):
        assert start(made).wait() == 0
    assert compare(slow_task("home"), tmp_path / "home", Place(side_by_side=2), 600, False, "disabled")
    assert rows(tmp_path / "out") == rows(tmp_path / "home")


@pytest.mark.slow
def test_tuning_on_a_cluster_tries_and_keeps_what_it_does_at_home(tmp_path):
    def tune(out, *place):
        words = "tune --tasks toy --methods es,snes --trials 3 --finalists 1 --max-renders 60 --max-seconds 600 --out"
        assert main([*words.split(), str(out), *place]) == 0
        timeless = {path.name: re.sub(r"seconds.*", "", path.read_text()) for path in out.rglob("*.yaml")}
        scores = [[row["score"] for row in read_csv(path)] for path in sorted(out.rglob("*.csv"))]
        return timeless, scores

    home = tune(tmp_path / "home")
    assert len(home[0]) == 2 and len(home[1]) == 2
    with cluster() as (made, _):
        assert tune(tmp_path / "away", "--pool", "ray", "--address", made.address) == home
