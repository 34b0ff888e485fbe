"""One run: budget, seeds, resuming, stop reasons and the run folder."""

import json
import math
import os
import signal
from functools import partial

import imageio.v3 as imageio
import numpy as np
import pytest
import torch
from pytorch_lightning import Callback

from baselines.cmaes import CMAES
from baselines.es import ES
from tasks.rosenbrock import Rosenbrock
from tests.problems import Noisy, Quadratic, Stripes, Troubled
from tests.zg.zerograds.pictures.scenes import Mixed
from zg.budget import Budget
from zg.errors import SettingError
from zg.run.observer import Observer
from zg.run.run import run
from zg.zerograds.image import ImageZeroGrads
from zg.zerograds.method import ZeroGrads
from zg.zerograds.published import PaperZeroGrads

METHODS = {
    "zerograds": ZeroGrads,
    "bayesian_quadratic": partial(ZeroGrads, surrogate="bayesian_quadratic"),
    "dd_cmaes": partial(ZeroGrads, surrogate="dd_cmaes"),
    "neural": partial(ZeroGrads, surrogate="neural"),
    "sketched_gradient": partial(ZeroGrads, surrogate="sketched_gradient"),
    "es": ES,
    "cmaes": CMAES,
}


class InterruptAt(Callback):
    """Sends a real signal to this process after each batch, from `renders` counted renders on."""

    def __init__(self, renders: int, number: int = signal.SIGTERM) -> None:
        self.renders, self.number = renders, number

    def on_train_batch_end(self, trainer, pl_module, *args):
        if pl_module.loop.renders >= self.renders:
            os.kill(os.getpid(), self.number)


def test_resuming_a_finished_run_adds_no_record(tmp_path):
    whole = run(Noisy(), ES(), Budget(60), folder=tmp_path / "run")
    again = run(Noisy(), ES(), Budget(60), folder=tmp_path / "run", resume=True)
    assert again.records == whole.records and again.loss == whole.loss


def test_the_row_has_the_loss_of_the_last_theta_where_a_method_recommends_another_one():
    task, method = Quadratic(), PaperZeroGrads(sigma=0.05, lr_theta=1.0)
    row = run(task, method, Budget(210)).row
    last = task.loss(task.render(task.space.to_user(method.last())[None]), task.reference())
    assert row["last_loss"] == float(last) > row["final_loss"]
    assert math.isnan(run(Quadratic(), ES(), Budget(60)).row["last_loss"])


class CountBatches(Callback):
    def __init__(self):
        self.batches = 0

    def on_train_batch_end(self, *args):
        self.batches += 1


class CountIterations(Observer):
    def __init__(self):
        self.iterations = 0

    def iterated(self, loop):
        self.iterations += 1


def test_observers_and_lightning_callbacks_are_called_in_every_iteration():
    observer, callback = CountIterations(), CountBatches()
    bare = run(Quadratic(), ES(), Budget(400), observers=[observer])
    assert observer.iterations == 20, "400 renders, 20 per iteration"
    in_trainer = run(Quadratic(), ES(), Budget(400), callbacks=[callback])
    assert callback.batches == 20
    assert torch.equal(bare.theta, in_trainer.theta)
    assert [row["renders"] for row in bare.records] == [row["renders"] for row in in_trainer.records]


def test_without_lightning_callbacks_observers_are_still_called_in_every_iteration(tmp_path):
    observer = CountIterations()
    folder = run(Quadratic(), ES(), Budget(400), folder=tmp_path / "run", observers=[observer])
    assert observer.iterations == 20
    assert torch.equal(folder.theta, run(Quadratic(), ES(), Budget(400)).theta)


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_the_budget_is_met_exactly(method):
    result = run(Noisy(), method(), Budget(max_renders=137))
    assert (result.renders, result.stop_reason) == (137, "budget")
    assert result.loss < result.row["init_loss"]


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_the_same_seed_gives_the_same_bits_and_a_different_seed_does_not(method):
    first, again, other = (run(Noisy(), method(), Budget(90), seed=seed).theta for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
@pytest.mark.parametrize("task", [partial(Rosenbrock, n=10), Noisy], ids=["rosenbrock", "noisy"])
def test_a_run_that_was_interrupted_and_resumed_gives_the_same_bits(method, task, tmp_path):
    unbroken = run(task(), method(), Budget(150), video=False, folder=tmp_path / "unbroken")
    broken = run(task(), method(), Budget(150), video=False, folder=tmp_path / "broken", callbacks=[InterruptAt(60)])
    assert broken.stop_reason == "interrupted"
    assert 60 <= broken.renders < 150, "the signal is sent from 60 renders on"
    resumed = run(task(), method(), Budget(150), video=False, folder=tmp_path / "broken", resume=True)
    assert torch.equal(resumed.theta, unbroken.theta)
    assert resumed.loss == unbroken.loss
    assert resumed.renders == unbroken.renders
    untimed = [
        [{key: value for key, value in row.items() if "seconds" not in key} for row in result.records]
        for result in (unbroken, resumed)
    ]
    assert [row for row in untimed[1] if "loss" in row and row["renders"] < 60] == [
        row for row in untimed[0] if "loss" in row and row["renders"] < 60
    ]
    assert untimed[1][-1] == untimed[0][-1]


@pytest.mark.parametrize(
    ("budget", "reason"),
    [
        (Budget(500, target_loss=0.05), "target"),
        (Budget(10**6, max_seconds=0.2), "time"),
        (Budget(10**6, patience=60), "no progress"),
    ],
)
def test_a_run_reports_its_stop_reason(budget, reason):
    assert run(Quadratic(), ES(lr=0.1), budget).stop_reason == reason


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_failed_renders_do_not_stop_a_method(method):
    result = run(Troubled(nan_above=0.1, raises_above=0.2), method(), Budget(200, max_failed=1.0))
    assert result.row["failed_renders"] > 0
    assert result.theta.isfinite().all()


def test_a_run_stops_when_too_many_renders_fail():
    result = run(Troubled(nan_above=-9.0), ES(), Budget(500))
    assert result.stop_reason == "failed renders"
    assert result.renders < 100, "the fraction of failed renders is checked from 20 renders on"


def test_the_run_folder_has_all_files(tmp_path):
    folder = tmp_path / "run"
    result = run(Stripes(), ZeroGrads(), Budget(100), folder=folder, config={"data": {"class_path": "tests.Stripes"}})
    for name in "config.yaml row.json history.csv curve.png panel.png video.mp4 video.gif last.ckpt".split():
        assert (folder / name).stat().st_size > 0, name
    row = json.loads((folder / "row.json").read_text())
    assert row["final_loss"] == result.loss
    assert {"metric_psnr", "metric_ssim", "metric_theta_error"} <= row.keys()
    history = result.history
    assert history["renders"].is_monotonic_increasing
    assert history["loss"].notna().sum() > 10, "the history has the points of the curve"


def test_the_surrogates_picture_and_its_map_of_parameters_are_in_the_folder_and_in_the_video(tmp_path):
    run(Mixed(300, 2), ImageZeroGrads(), Budget(60), folder=tmp_path / "run")
    heights = [imageio.imread(frame).shape[0] for frame in sorted((tmp_path / "run" / "frames").glob("*.png"))]
    assert heights[0] < heights[-1], "a row more as soon as the surrogate predicts"
    assert imageio.imread(tmp_path / "run" / "video.gif").shape[1] == heights[-1]
    assert imageio.imread(tmp_path / "run" / "panel.png").shape[0] == heights[-1]
    footprints = imageio.imread(tmp_path / "run" / "footprints.png")
    assert len(np.unique(footprints.reshape(-1, 3), axis=0)) > 50, "colours of many parameters"


def test_a_folder_that_is_not_empty_raises_a_setting_error(tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(SettingError, match="out must be a new or empty folder"):
        run(Quadratic(), ES(), Budget(20), folder=tmp_path)


def test_resuming_without_a_checkpoint_raises_a_setting_error(tmp_path):
    with pytest.raises(SettingError, match=r"resume needs a checkpoint, and there is no .*last\.ckpt"):
        run(Quadratic(), ES(), Budget(20), folder=tmp_path, resume=True)


def test_an_exception_in_a_method_is_written_to_the_row(tmp_path):
    class Broken(ES):
        def tell(self, theta, evaluation):
            raise ZeroDivisionError("oh")

    with pytest.raises(ZeroDivisionError):
        run(Quadratic(), Broken(), Budget(100), folder=tmp_path / "run")
    row = json.loads((tmp_path / "run" / "row.json").read_text())
    assert (row["stop_reason"], row["error"], row["final_loss"]) == ("error", "ZeroDivisionError: oh", None)
