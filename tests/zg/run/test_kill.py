"""A run that is killed with SIGKILL at a random moment and resumed gives the same bits as an uninterrupted run."""

import multiprocessing
import random
import time
from functools import partial
from pathlib import Path

import pytest
import torch

from baselines.cmaes import CMAES
from baselines.es import ES
from tests.problems import Noisy
from zg.budget import Budget
from zg.run.checkpoint import CHECKPOINT_FILE
from zg.run.run import run
from zg.zerograds.method import ZeroGrads

METHODS = {
    "zerograds": ZeroGrads,
    "sketched_gradient": partial(ZeroGrads, surrogate="sketched_gradient"),
    "es": ES,
    "cmaes": CMAES,
}
RENDERS = 1200


class Slow(Noisy):
    """Takes 5 ms per batch, so that the run can be killed before its end."""

    def render(self, x, *seeds):
        time.sleep(0.005)
        return super().render(x, *seeds)


def go(method: str, folder: Path, resume: bool = False):
    torch.set_num_threads(1)
    budget = Budget(RENDERS)
    return run(Slow(), METHODS[method](), budget, seed=5, folder=folder, resume=resume, checkpoint_renders=40)


@pytest.mark.parametrize("method", METHODS)
def test_a_run_that_was_killed_and_resumed_gives_the_same_bits(method, tmp_path):
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["tests.zg.run.test_kill"])
    process = server.Process(target=go, args=(method, tmp_path / "killed"))
    process.start()
    while not (tmp_path / "killed" / CHECKPOINT_FILE).is_file():
        time.sleep(0.005)
        assert process.is_alive(), "the run goes on until it is killed"
    time.sleep(random.Random(method).uniform(0, 0.15))
    process.kill()
    process.join()
    assert process.exitcode == -9
    assert not (tmp_path / "killed" / "row.json").exists(), "the run is killed before its end"
    resumed = go(method, tmp_path / "killed", resume=True)
    unbroken = go(method, tmp_path / "unbroken")
    assert torch.equal(resumed.theta, unbroken.theta)
    assert resumed.loss == unbroken.loss
    assert resumed.renders == unbroken.renders
    curves = [
        [(row["renders"], row["loss"]) for row in result.records if "loss" in row] for result in (resumed, unbroken)
    ]
    assert curves[0] == curves[1]
