"""What holds for every registered method, on a small task with bounds, an integer and two binaries."""

import math
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback

from tests.methods import CASES, DETERMINISTIC, find, looped, make, registered
from tests.problems import Noisy, Sphere
from zg.budget import Budget
from zg.loop import Loop
from zg.method import Range
from zg.run.observer import Observer
from zg.run.result import Result
from zg.run.run import run

BUDGET = 203  # cuts a batch of every size from 2 on, 7 and 29 apart


every = pytest.mark.parametrize("case", CASES)


class Witness(Observer):
    """Keeps the loop of a run, for a look at it afterwards."""

    def started(self, loop: Loop) -> None:
        self.loop = loop


def solve(case: str, seed: int = 0, task: Sphere | None = None, **options: Any) -> tuple[Sphere, Result, Loop]:
    task, witness = task or Sphere(), Witness()
    result = run(task, make(case), Budget(BUDGET), seed=seed, video=False, observers=[witness], **options)
    return task, result, witness.loop


@cache
def unbroken(case: str) -> tuple[Sphere, Result, Loop]:
    return solve(case)


@every
def test_every_render_is_counted_and_within_the_budget(case: str) -> None:
    task, result, loop = unbroken(case)
    counted = sum(len(x) for x in task.seen) - loop.objective.measured
    assert counted == result.renders == loop.renders
    assert result.renders == BUDGET if result.stop_reason == "budget" else 0 < result.renders < BUDGET


@every
def test_bounds_integers_and_binaries_hold(case: str) -> None:
    task, _, loop = unbroken(case)
    assert task.violations() == 0
    theta = loop.method.recommend()
    assert torch.equal(theta, loop.method.space.project(theta))


@every
def test_the_same_seed_is_the_same_run(case: str) -> None:
    torch.manual_seed(3)  # what the global generator holds is of no account
    first, result, _ = unbroken(case)
    second, again, _ = solve(case)
    assert torch.equal(first.rendered(), second.rendered())
    assert torch.equal(result.theta, again.theta) and result.loss == again.loss


@every
def test_another_seed_is_another_run(case: str) -> None:
    first, _, _ = unbroken(case)
    second, _, _ = solve(case, seed=1)
    size = min(len(first.rendered()), len(second.rendered()))
    assert torch.equal(first.rendered()[:size], second.rendered()[:size]) == (case in DETERMINISTIC)


@every
def test_no_method_disturbs_the_global_generators(case: str) -> None:
    import random

    import numpy as np

    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    loop = looped(make(case), Sphere(), BUDGET)
    for _ in range(3):
        loop.iterate()
    loop.method.recommend()
    after = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]


class Kill(Callback):
    """The end of a run from outside, between two iterations."""

    def __init__(self, renders: int) -> None:
        self.renders = renders

    def on_train_batch_start(self, trainer: Any, pl_module: Any, *args: Any) -> None:
        if pl_module.loop.renders >= self.renders:
            raise KeyboardInterrupt


@every
def test_killed_and_resumed_is_the_unbroken_run(case: str, tmp_path: Path) -> None:
    _, whole, loop = unbroken(case)
    folder = tmp_path / "run"
    with pytest.raises(BaseException):  # noqa: B017 - Lightning ends the process
        solve(case, folder=folder, checkpoint_renders=25, callbacks=[Kill(BUDGET // 2)])
    assert (folder / "last.ckpt").is_file()
    _, rest, resumed = solve(case, folder=folder, resume=True)
    assert torch.equal(whole.theta, rest.theta) and whole.loss == rest.loss
    assert whole.renders == rest.renders and whole.stop_reason == rest.stop_reason
    assert torch.equal(loop.method.recommend(), resumed.method.recommend())
    assert torch.equal(loop.method.generator.get_state(), resumed.method.generator.get_state())
    assert loop.ledger.best_loss == resumed.ledger.best_loss
    assert loop.method.status() == pytest.approx(resumed.method.status(), rel=0, abs=0, nan_ok=True)


@every
@pytest.mark.parametrize("fail", ["nan", "raise"])
def test_failed_renders_do_not_stop_it(case: str, fail: str) -> None:
    _, result, loop = solve(case, task=Sphere(fail=fail))
    assert 0 < loop.ledger.failed < result.renders
    assert result.stop_reason == "budget" or "cma" in result.stop_reason
    assert loop.method.recommend().isfinite().all()
    assert math.isfinite(loop.ledger.best_loss)


@every
def test_a_noisy_task_without_a_reference(case: str) -> None:
    result = run(Noisy(), make(case), Budget(60), video=False)
    assert result.renders == 60 or "cma" in result.stop_reason
    assert math.isfinite(result.loss)


@every
def test_it_improves_on_the_start(case: str) -> None:
    _, result, loop = unbroken(case)
    assert loop.ledger.best_loss < 0.8 * result.row["init_loss"]
    assert not result.loss > 0.95 * result.row["init_loss"]


# Of Nevergrad's and ours, some look at the size of a loss on purpose; the others must not.
FREE = [case for case in CASES if not case.startswith(("zerograds", "nevergrad", "cmaes"))]


@pytest.mark.parametrize("case", FREE)
def test_the_scale_of_the_loss_does_not_matter(case: str) -> None:
    first, _, _ = unbroken(case)
    second, _, _ = solve(case, task=Sphere(weight=2.0**-30))
    assert torch.equal(first.rendered(), second.rendered())


@pytest.mark.parametrize("name", registered())
def test_ranges_are_settings_that_hold_the_default(name: str) -> None:
    import inspect

    cls = find(name)
    settings = inspect.signature(cls.__init__).parameters
    for setting, bounds in cls.ranges.items():
        assert isinstance(bounds, Range) and bounds.low < bounds.high and (bounds.low > 0 or not bounds.log)
        default = settings[setting].default
        assert default is None or bounds.low <= default <= bounds.high
        for value in (bounds.low, bounds.high):
            cls(**{setting: int(value) if bounds.integer else value})


@pytest.mark.parametrize("name", [name for name in registered() if not name.startswith("zerograds")])
def test_every_baseline_declares_ranges(name: str) -> None:
    assert find(name).ranges


def test_a_wrong_setting_is_named() -> None:
    from zg.errors import SettingError

    with pytest.raises(SettingError, match="sigma must be > 0, got -1"):
        find("es")(sigma=-1)
    with pytest.raises(SettingError, match="scheme must be central or forward, got 'backward'"):
        find("finite_differences")(scheme="backward")
    with pytest.raises(SettingError, match="did you mean 'TwoPointsDE'"):
        find("nevergrad")(optimizer="TwoPointDE")
