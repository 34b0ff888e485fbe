"""The folder of a run: who may use it."""

import multiprocessing
import os
import shutil
import signal
import time

import pytest

from baselines.es import ES
from tests.problems import Quadratic
from zg.budget import Budget
from zg.errors import SettingError
from zg.run.checkpoint import CHECKPOINT_FILE
from zg.run.folder import LOCK_FILE
from zg.run.run import run


class Slow(Quadratic):
    """Ten milliseconds a batch."""

    def render(self, x, *seeds):
        time.sleep(0.01)
        return super().render(x)


def go(folder):
    run(Slow(), ES(), Budget(100_000), folder=folder)


@pytest.fixture
def running(tmp_path):
    """A process that runs in a folder."""
    process = multiprocessing.get_context("fork").Process(target=go, args=(tmp_path / "run",))
    process.start()
    while not (tmp_path / "run" / CHECKPOINT_FILE).is_file():
        time.sleep(0.01)
        assert process.is_alive()
    yield process
    process.kill()
    process.join()


@pytest.mark.parametrize("resume", [False, True])
def test_a_second_process_is_told_which_one_runs_in_the_folder(running, resume, tmp_path):
    with pytest.raises(SettingError, match=f"out must not be in use, and process {running.pid} runs in"):
        run(Quadratic(), ES(), Budget(20), folder=tmp_path / "run", resume=resume)
    assert running.is_alive()


def test_the_folder_of_a_killed_process_can_be_resumed_from_its_very_start(running, tmp_path):
    os.kill(running.pid, signal.SIGKILL)
    running.join()
    resumed = run(Slow(), ES(), Budget(60), folder=tmp_path / "run", resume=True)
    whole = run(Slow(), ES(), Budget(60))
    assert resumed.loss == whole.loss or resumed.renders > 60
    assert not (tmp_path / "run" / LOCK_FILE).exists()


def test_a_folder_that_died_before_its_first_checkpoint_is_started_again(tmp_path):
    folder = tmp_path / "run"
    run(Quadratic(), ES(), Budget(20), folder=folder)
    for path in folder.iterdir():
        if path.name != "config.yaml":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert run(Quadratic(), ES(), Budget(20), folder=folder).renders == 20
