"""Properties of every registered method, on a small task with bounds, an integer and two binary parameters."""

import math
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback

from tests.methods import CASES, DETERMINISTIC, NEED_A_REFERENCE, find, looped, make, registered
from tests.problems import Noisy, Sphere
from zg.budget import Budget
from zg.loop import Loop
from zg.method import Range
from zg.run.observer import Observer
from zg.run.result import Result
from zg.run.run import run

# A multiple of no batch size from 2 on except 7 and 29, so that the budget cuts the last batch.
BUDGET = 203

# In batches NGOpt chooses a metamodel, whose fits take 4 s a run; other optimisers of Nevergrad run in batches, too.
SLOW = "nevergrad, in batches"
every = pytest.mark.parametrize(
    "case", [pytest.param(case, marks=pytest.mark.slow) if case == SLOW else case for case in CASES]
)


class Witness(Observer):
    """Keeps the loop of a run, for checks after the run."""

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
    assert counted == result.renders == loop.renders, "all renders are counted, except those of the curve"
    if result.stop_reason == "budget":
        assert result.renders == BUDGET, "the budget is met exactly"
    else:
        assert 0 < result.renders < BUDGET


@every
def test_rendered_values_are_inside_the_bounds_and_integers_are_rounded(case: str) -> None:
    task, _, loop = unbroken(case)
    assert task.violations() == 0, "rendered values outside the bounds, or not rounded"
    theta = loop.method.recommend()
    assert torch.equal(theta, loop.method.space.project(theta)), "the recommended θ is inside the bounds"


@every
def test_the_same_seed_gives_the_same_run(case: str) -> None:
    torch.manual_seed(3)  # the state of the global generator must have no effect
    first, result, _ = unbroken(case)
    second, again, _ = solve(case)
    assert torch.equal(first.rendered(), second.rendered())
    assert torch.equal(result.theta, again.theta) and result.loss == again.loss


@every
def test_a_different_seed_gives_a_different_run(case: str) -> None:
    first, _, _ = unbroken(case)
    second, _, _ = solve(case, seed=1)
    size = min(len(first.rendered()), len(second.rendered()))
    is_same = torch.equal(first.rendered()[:size], second.rendered()[:size])
    assert is_same == (case in DETERMINISTIC), "only a method without random numbers renders the same x"


@every
def test_a_method_does_not_change_global_generators(case: str) -> None:
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
    """Ends a run with an exception between two iterations, after `renders` renders."""

    def __init__(self, renders: int) -> None:
        self.renders = renders

    def on_train_batch_start(self, trainer: Any, pl_module: Any, *args: Any) -> None:
        if pl_module.loop.renders >= self.renders:
            raise KeyboardInterrupt


@every
def test_a_run_that_was_killed_and_resumed_equals_the_uninterrupted_run(case: str, tmp_path: Path) -> None:
    _, whole, loop = unbroken(case)
    folder = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        solve(case, folder=folder, checkpoint_renders=25, callbacks=[Kill(whole.renders // 2)])
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
def test_failed_renders_do_not_stop_a_method(case: str, fail: str) -> None:
    _, result, loop = solve(case, task=Sphere(fail=fail))
    assert 0 < loop.ledger.failed < result.renders
    assert result.stop_reason in ("budget", "converged") or "cma" in result.stop_reason
    assert loop.method.recommend().isfinite().all()
    assert math.isfinite(loop.ledger.best_loss)


@pytest.mark.parametrize("case", [case for case in CASES if case not in NEED_A_REFERENCE])
def test_a_method_runs_on_a_noisy_task_without_reference(case: str) -> None:
    result = run(Noisy(), make(case), Budget(60), video=False)
    assert result.renders == 60 or "cma" in result.stop_reason
    assert math.isfinite(result.loss)


@every
def test_a_method_improves_on_the_initial_loss(case: str) -> None:
    _, result, loop = unbroken(case)
    assert loop.ledger.best_loss < 0.8 * result.row["init_loss"], "the lowest loss is at least 20 % lower"
    assert not result.loss > 0.95 * result.row["init_loss"], "the recommended θ is at least 5 % better"


# All methods but these five, whose optimisers may use the size of the loss.
FREE = [case for case in CASES if not case.startswith(("zerograds", "nevergrad", "cmaes", "bfgs", "dfols"))]


@pytest.mark.parametrize("case", FREE)
def test_scaling_the_loss_does_not_change_the_run(case: str) -> None:
    first, _, _ = unbroken(case)
    second, _, _ = solve(case, task=Sphere(weight=2.0**-30))
    assert torch.equal(first.rendered(), second.rendered())


@pytest.mark.parametrize("name", registered())
def test_a_range_names_a_setting_and_contains_its_default(name: str) -> None:
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
    assert find(name).ranges, "a baseline without ranges would be compared with its defaults"


def test_a_wrong_setting_is_named_in_the_error() -> None:
    from zg.errors import SettingError

    with pytest.raises(SettingError, match="sigma must be > 0, got -1"):
        find("es")(sigma=-1)
    with pytest.raises(SettingError, match="scheme must be central or forward, got 'backward'"):
        find("finite_differences")(scheme="backward")
    with pytest.raises(SettingError, match="did you mean 'TwoPointsDE'"):
        find("nevergrad")(optimizer="TwoPointDE")


def test_libraries_in_several_threads_give_the_same_bits_and_leave_global_states_alone() -> None:
    import threading
    import warnings

    import numpy as np

    alone, _, _ = unbroken("cmaes")
    before, filters = np.random.get_state()[1].tolist(), list(warnings.filters)  # noqa: NPY002
    found: list[Sphere] = []
    threads = [threading.Thread(target=lambda: found.append(solve("cmaes")[0])) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(task.rendered(), alone.rendered()) for task in found) and len(found) == 3
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002
    assert list(warnings.filters) == filters
