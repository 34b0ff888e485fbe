"""A run in Lightning's Trainer: the same bits as in the bare loop, and the settings that are refused."""

import logging
import warnings

import pytest
import torch
from pytorch_lightning import Callback, LightningDataModule, LightningModule

from baselines.cmaes import CMAES
from baselines.es import ES
from tests.problems import Noisy, Sphere
from zg.budget import Budget
from zg.errors import SettingError
from zg.run.module import REFUSED, SLICE_SECONDS, RunModule, quiet_lightning
from zg.run.observer import Call
from zg.run.run import run
from zg.zerograds.method import ZeroGrads

METHODS = {"zerograds": ZeroGrads, "es": ES, "cmaes": CMAES}


def untimed(records):
    """Records without their times."""
    return [{name: value for name, value in row.items() if "seconds" not in name} for row in records]


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
@pytest.mark.parametrize("cause", ["callback", "trainer setting", "folder"])
def test_the_trainer_and_the_bare_loop_give_the_same_bits(method, cause, tmp_path):
    """cause: why the run uses Lightning."""
    settings = {
        "callback": {"callbacks": [Callback()]},
        "trainer setting": {"trainer": {"detect_anomaly": False}},
        "folder": {"folder": tmp_path / "run", "video": False},
    }[cause]
    bare_task, task = Sphere(), Sphere()
    bare = run(bare_task, method(), Budget(203), seed=3)
    result = run(task, method(), Budget(203), seed=3, **settings)
    assert torch.equal(task.rendered(), bare_task.rendered()), "every rendered x is the same"
    assert torch.equal(result.theta, bare.theta) and result.loss == bare.loss
    assert (result.renders, result.stop_reason) == (bare.renders, bare.stop_reason)
    assert untimed(result.records) == untimed(bare.records)


@pytest.mark.parametrize("name", REFUSED)
def test_a_trainer_setting_that_a_run_does_not_allow_is_refused_with_an_alternative(name):
    with pytest.raises(SettingError) as refused:
        run(Noisy(), ES(), Budget(40), trainer={name: 3})
    assert str(refused.value) == f"trainer.{name} is not allowed: {REFUSED[name]}"


def test_more_than_one_device_is_refused():
    with pytest.raises(SettingError, match=r"trainer\.devices must be 1, got 2"):
        run(Noisy(), ES(), Budget(40), trainer={"devices": 2})


class Look(Callback):
    """Keeps what a callback of the user can see."""

    def __init__(self):
        self.slices, self.renders = set(), []

    def on_train_start(self, trainer, pl_module):
        assert isinstance(pl_module, RunModule) and isinstance(pl_module, LightningModule)
        assert isinstance(trainer.datamodule, LightningDataModule)

    def on_train_batch_end(self, trainer, pl_module, *args):
        self.slices.add(pl_module.slice_seconds)
        self.renders.append(pl_module.objective.ledger.renders)
        assert pl_module.method is pl_module.loop.method


def test_a_callback_sees_method_and_objective_after_every_iteration():
    look = Look()
    run(Noisy(), ES(), Budget(90), callbacks=[look])
    assert look.renders == [20, 40, 60, 80, 90]
    assert look.slices == {0.0}, "a batch of Lightning is one iteration"


def test_without_callbacks_a_batch_of_lightning_is_many_iterations(tmp_path, monkeypatch):
    """Lightning's own time per batch would otherwise be longer than the iterations."""
    batches, iterations = [], []
    step = RunModule.training_step

    def counted_step(self, batch, batch_idx):
        batches.append(self.slice_seconds)
        step(self, batch, batch_idx)

    monkeypatch.setattr(RunModule, "training_step", counted_step)
    watch = Call(lambda loop: iterations.append(loop.iteration), "never")
    run(Noisy(), ES(), Budget(4000), folder=tmp_path / "run", video=False, curve_points=0, observers=[watch])
    assert set(batches) == {SLICE_SECONDS}
    assert iterations == list(range(1, 201)) and len(batches) < 100


def test_lightning_is_quiet_inside_and_as_before_outside():
    logger = logging.getLogger("pytorch_lightning")
    before, filters = logger.level, list(warnings.filters)
    with pytest.raises(ZeroDivisionError), quiet_lightning():
        assert logger.level == logging.ERROR
        raise ZeroDivisionError
    assert logger.level == before and warnings.filters == filters


def test_a_run_prints_no_message_of_lightning(capfd, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(Noisy(), ES(), Budget(60), folder=tmp_path / "run", video=False)
    assert capfd.readouterr() == ("", "")
