"""The paper's runs on a real Ray cluster of three nodes."""

import json
import shutil

import pytest

from tests.zg.workers.ray_cluster import cluster
from zg.cli.main import main

WORDS = "paper --preset smoke --parts table1,frames --tasks toy --methods es,cmaes --seeds 2".split()
KEPT = ("task", "method", "seed", "renders", "final_loss", "best_loss", "stop_reason", "error", "key")


def made(out, *place):
    """What must be equal in the rows of two parts of the paper that are made there, by the folder of the run."""
    assert main([*WORDS, "--wandb", "disabled", "--out", str(out), *place]) == 0
    rows = {path.relative_to(out): json.loads(path.read_text()) for path in out.rglob("row.json")}
    assert (out / "tables" / "table1.md").is_file() and (out / "figures" / "frames.png").is_file()
    return {path: [row.get(name) for name in KEPT] for path, row in rows.items()}


@pytest.mark.slow
def test_the_paper_on_a_cluster_has_the_rows_of_home_and_the_same_command_makes_only_those_that_lack(tmp_path):
    home = made(tmp_path / "home", "--jobs", "2")
    assert len(home) == 6 and not any(row[KEPT.index("error")] for row in home.values())
    with cluster() as (nodes, _):
        place = ("--pool", "ray", "--address", nodes.address)
        assert made(tmp_path / "away", *place) == home
        lost, *kept = sorted((tmp_path / "away").rglob("row.json"))
        shutil.rmtree(lost.parent)
        before = [path.stat().st_mtime_ns for path in kept]
        assert made(tmp_path / "away", *place) == home
        assert [path.stat().st_mtime_ns for path in kept] == before
