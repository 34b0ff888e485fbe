"""The folder of a run: who may use it."""

import multiprocessing
import os
import shutil
import signal
import time

import pytest
import torch

import zg.run.module  # noqa: F401 - imports Lightning once, and not in every child
from baselines.es import ES
from tests.problems import Quadratic
from zg.budget import Budget
from zg.errors import SettingError
from zg.run.checkpoint import CHECKPOINT_FILE
from zg.run.files import LOCK_FILE
from zg.run.run import run
from zg.space import Block, ParameterSpace
from zg.task import Task


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


@pytest.mark.parametrize("kept", [{"config.yaml"}, {"config.yaml", "row.json", "history.csv", "frames"}])
def test_a_folder_that_died_before_its_first_checkpoint_is_started_again(kept, tmp_path):
    folder = tmp_path / "run"
    run(Quadratic(), ES(), Budget(20), folder=folder)
    for path in folder.iterdir():
        if path.name not in kept:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    (folder / ".last.ckpt.partial").write_bytes(b"cut")
    dead = shutil.copytree(folder, tmp_path / "dead")
    assert run(Quadratic(), ES(), Budget(20), folder=folder).renders == 20
    with pytest.warns(UserWarning, match="there is no checkpoint in .* yet: the run starts at its beginning"):
        assert run(Quadratic(), ES(), Budget(20), folder=dead, resume=True).renders == 20


def test_damaged_frames_are_left_out_a_damaged_id_is_put_aside_and_other_files_are_left_alone(tmp_path):
    folder = tmp_path / "run"
    run(Picture(), ES(), Budget(60), folder=folder)
    frames = sorted((folder / "frames").iterdir())
    frames[0].write_bytes(frames[0].read_bytes()[:50])
    (folder / "frames" / "mine.png").write_bytes(b"mine")
    (folder / "wandb-id").write_bytes(b"\xff/")
    with (
        pytest.warns(UserWarning, match=f"reading {frames[0].name} for the video failed"),
        pytest.warns(UserWarning, match="wandb-id holds no id of W&B and is now wandb-id.damaged"),
    ):
        run(Picture(), ES(), Budget(80), folder=folder, resume=True)
    assert (folder / "frames" / "mine.png").read_bytes() == b"mine"
    assert (folder / "wandb-id.damaged").read_bytes() == b"\xff/"
    assert (folder / "video.mp4").is_file()


class Picture(Task):
    """Two numbers as the brightness of two halves of an image."""

    def build(self):
        self.space = ParameterSpace(x=Block([0.2, 0.8], low=0.0, high=1.0))
        self.set_reference(self.render(torch.tensor([[0.5, 0.5]]))[0])

    def render(self, x):
        return x.float()[:, None, :, None].expand(-1, 1, 2, 16).repeat_interleave(8, dim=2)


@pytest.mark.slow
def test_of_two_processes_one_runs_and_one_is_told_twenty_times(tmp_path):
    context = multiprocessing.get_context("fork")
    for k in range(20):
        folder, barrier, told = tmp_path / f"run{k}", context.Barrier(2), context.Queue()
        both = [context.Process(target=try_to_go, args=(folder, barrier, told)) for _ in range(2)]
        for process in both:
            process.start()
        answers = [told.get(timeout=60) for _ in both]
        for process in both:
            process.join()
        assert sorted(answers)[0] == "100 renders", answers
        assert sorted(answers)[1].startswith("out must "), answers
        assert run(Slow(), ES(), Budget(140), folder=folder, resume=True).renders == 140


def try_to_go(folder, barrier, told):
    """Run in a folder at the same time as another process, and tell what comes of it."""
    barrier.wait()
    try:
        told.put(f"{run(Slow(), ES(), Budget(100), folder=folder).renders} renders")
    except SettingError as error:
        told.put(str(error))


class Lacking(Quadratic):
    """Needs a file, as a task needs a package that is not installed yet."""

    def build(self):
        if not os.path.exists("installed"):
            raise ModuleNotFoundError("No module named 'scene'", name="scene")
        super().build()


def test_a_run_that_failed_before_its_first_checkpoint_is_started_again_by_the_same_call(tmp_path):
    folder = tmp_path / "run"
    with pytest.raises(ModuleNotFoundError):
        run(Lacking(), ES(), Budget(40), folder=folder)
    assert (folder / "error.txt").is_file()
    open("installed", "w").close()
    assert run(Lacking(), ES(), Budget(40), folder=folder).renders == 40
    assert not (folder / "error.txt").exists()
