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
from tests.methods import find, registered
from tests.problems import Noisy
from zg.budget import Budget
from zg.run.checkpoint import CHECKPOINT_FILE, PREVIOUS_FILE
from zg.run.run import run
from zg.zerograds.method import ZeroGrads

METHODS = {
    "zerograds": ZeroGrads,
    "sketched_gradient": partial(ZeroGrads, surrogate="sketched_gradient"),
    "es": ES,
    "cmaes": CMAES,
}
# Every registered method that needs no reference, for the slow test; the others are those above by other settings.
ALL = {**{name: find(name) for name in registered() if name != "dfols"}, **METHODS}
RENDERS = 1200
# Kills of one run in the slow test, the longest time in seconds until one of them, and its renders.
KILLS, SECONDS, MANY = 3, 2.5, 4000


class Slow(Noisy):
    """Takes 5 ms per batch, so that the run can be killed before its end."""

    def render(self, x, *seeds):
        time.sleep(0.005)
        return super().render(x, *seeds)


def go(method: str, folder: Path, resume: bool = False, renders: int = RENDERS):
    torch.set_num_threads(1)
    return run(Slow(), ALL[method](), Budget(renders), seed=5, folder=folder, resume=resume, checkpoint_renders=40)


def start(method: str, folder: Path, resume: bool = False, renders: int = RENDERS):
    """A run in another process. Lightning is imported there once, for all runs."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["tests.zg.run.test_kill"])
    process = server.Process(target=go, args=(method, folder, resume, renders))
    process.start()
    return process


def kill(process, seconds: float) -> bool:
    """Kill a process after this time. Whether it has run until then."""
    process.join(seconds)
    process.kill()
    process.join()
    assert process.exitcode in (-9, 0), "the run goes on until it is killed"
    return process.exitcode == -9


@pytest.mark.parametrize("method", METHODS)
def test_a_run_that_was_killed_and_resumed_gives_the_same_bits(method, tmp_path):
    process = start(method, tmp_path / "killed")
    while not (tmp_path / "killed" / CHECKPOINT_FILE).is_file():
        time.sleep(0.005)
        assert process.is_alive(), "the run goes on until it is killed"
    assert kill(process, random.Random(method).uniform(0, 0.15))
    assert not (tmp_path / "killed" / "row.json").exists(), "the run is killed before its end"
    check_same(method, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("method", ALL)
def test_a_run_that_is_killed_again_and_again_gives_the_same_bits(method, tmp_path):
    """Three kills at random moments: while it starts, builds, writes, and runs."""
    seed = random.SystemRandom().randrange(2**32)
    moments, folder, killed = random.Random(seed), tmp_path / "killed", 0
    while killed < KILLS and kill(start(method, folder, can_resume(folder), MANY), moments.uniform(0, SECONDS)):
        killed += 1
    print(f"{method}: {killed} kills, random.Random({seed})")  # shown when the test fails
    assert killed >= 1, "the run is killed before its end"
    check_same(method, tmp_path, MANY)


def can_resume(folder):
    return (folder / CHECKPOINT_FILE).is_file() or (folder / PREVIOUS_FILE).is_file()


def check_same(method, tmp_path, renders=RENDERS):
    """Resume the killed run to its end, and compare it with a run that was not killed."""
    folder = tmp_path / "killed"
    resumed = go(method, folder, can_resume(folder), renders)
    unbroken = go(method, tmp_path / "unbroken", renders=renders)
    assert torch.equal(resumed.theta, unbroken.theta)
    assert resumed.loss == unbroken.loss
    assert resumed.renders == unbroken.renders
    curves = [
        [(row["renders"], row["loss"]) for row in result.records if "loss" in row] for result in (resumed, unbroken)
    ]
    assert curves[0] == curves[1]
