"""Runs in which results are told as they come: what is told, when, and what a checkpoint holds."""

import threading

import numpy as np
import pytest
import torch

import zg
from tests.tasks.golden import DEVICES
from tests.zg.test_loop import same, untimed
from zg.budget import Budget
from zg.functions import FunctionTask
from zg.given import make_method
from zg.ledger import Evaluation
from zg.loop import Loop
from zg.method import Sample
from zg.objective import Objective
from zg.spaces import make_space
from zg.workers.pool import PoolSettings
from zg.zerograds.parts.gate import Gate
from zg.zerograds.parts.gradient_memory import GradientMemory, MemorySettings
from zg.zerograds.parts.late_slopes import AGE, LateSlopes

TAKES = {
    "es": {"name": "es", "lr": 0.05, "pairs": 4},
    "snes": "snes",
    "cmaes": "cmaes",
    "nevergrad": {"name": "nevergrad", "optimizer": "CMA"},
    "linear": {"name": "zerograds", "surrogate": "sketched_gradient"},
}
START = np.array([1.0, -0.5, 0.3, 0.8])
STRIPES = np.arange(12.0).reshape(3, 4) / 12


def bowl(x):
    return float((np.array([1, 2, 1, 3]) * x**2).sum())


def picture(x):
    return x[0] * STRIPES + np.sin(x[1] + STRIPES) + x[2] * STRIPES**2


def loop_of(method, function=bowl, start=START, reference=None, max_renders=60, workers=3, device="cpu"):
    pool = PoolSettings(workers, "threads")
    task = FunctionTask(function, make_space(start, None), reference=reference, linear=True, pool=pool)
    task.use_devices(device)
    task.setup()
    loop = Loop(make_method(method)[0], Budget(max_renders), seed=1, asynchronous=True)
    loop.start(Objective(task, max_renders, 1))
    return loop


@pytest.mark.parametrize("method", TAKES)
def test_a_method_that_is_told_losses_as_they_come_finds_the_minimum_within_its_budget(method):
    settings = {"workers": 3, "asynchronous": True, "max_renders": 250, "curve_points": 3, "seed": 2}
    result = zg.minimize(bowl, START, method=TAKES[method], **settings)
    assert result.renders == 250
    assert result.loss < 0.1 * bowl(START)


def test_a_surrogate_of_the_picture_is_told_pictures_as_they_come():
    start, solution = np.array([0.1, 0.2, 0.0]), [0.6, -0.4, 0.3]
    settings = {"workers": 3, "asynchronous": True, "max_renders": 150, "curve_points": 0}
    result = zg.optimize(picture, start, reference=picture(solution), linear=True, **settings)
    assert result.theta.numpy() == pytest.approx(solution, abs=1e-2)


@pytest.mark.parametrize("method", ["snes", "es", "cmaes"])
def test_a_slow_render_does_not_hold_the_others(method):
    is_told = threading.Event()
    is_first = iter([True])
    was_told_in_time = []

    def function(x):
        if next(is_first, False):
            was_told_in_time.append(is_told.wait(20))
        return bowl(x)

    def callback(loop):
        if loop.renders >= 40:
            is_told.set()

    settings = {"workers": 2, "asynchronous": True, "curve_points": 0, "callback": callback, "max_renders": 60}
    result = zg.minimize(function, START, method=method, **settings)
    assert was_told_in_time == [True] and result.renders == 60


@pytest.mark.parametrize(
    ("method", "settings", "reason"),
    [
        ("bfgs", {"workers": 2}, "must be false for BFGS"),
        ("zerograds", {"workers": 2}, "must be false for ZeroGrads"),
        ("snes", {}, "needs workers of 2 or more, got 1"),
        ("snes", {"workers": 2, "batched": True, "curve_points": 0}, "called with one x, and batched gives it many"),
    ],
)
def test_asynchronous_is_refused_in_words(method, settings, reason):
    with pytest.raises(zg.SettingError, match=reason):
        zg.minimize(bowl, START, method=method, asynchronous=True, **settings)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("method", [*TAKES, "picture"])
def test_renders_under_way_are_asked_for_again_by_a_run_that_goes_on(method, device):
    pictured = {"function": picture, "start": START[:3], "reference": picture([0.6, -0.4, 0.3])}
    loop = {"method": TAKES.get(method, "zerograds-image"), "device": device}
    loop |= pictured if method == "picture" else {}
    made = [loop_of(**loop) for _ in range(2)]
    first, second = made
    for _ in range(10):
        first.iterate()
    first._fill()
    state = first.state()
    assert state["asked"] == 10 + len(state["pending"]) > 10
    second.load_state(state)
    assert same(untimed(second.state()), untimed(state))
    assert {number: theta.tolist() for number, theta in second.objective._submitted.values()} == {
        number: sample.theta.tolist() for number, sample in first.under_way.samples.items()
    }
    while not second.stop_reason():
        second.iterate()
    assert second.stop_reason() == ("converged" if method == "picture" else "budget")
    assert second.renders == (60 if second.stop_reason() == "budget" else second.iteration)
    for loop in made:
        loop.objective.task.close()


def test_a_run_that_ended_with_renders_under_way_goes_on_in_its_folder(tmp_path):
    rendered = []

    def function(x):
        rendered.append(x.tolist())
        return bowl(x)

    def stop(loop):
        if loop.renders == 17:
            raise RuntimeError("stop here")

    settings = {"method": "snes", "workers": 2, "asynchronous": True, "max_renders": 30, "curve_points": 0}
    with pytest.raises(RuntimeError, match="stop here"):
        zg.minimize(function, START, folder=tmp_path / "run", callback=stop, **settings)
    started = len(rendered)
    result = zg.minimize(function, START, folder=tmp_path / "run", resume=True, **settings)
    assert result.renders == 30
    assert started in (17, 18) and len(rendered) - started in range(13, 13 + 3)  # the start and the result are measured


def test_a_run_that_was_synchronous_does_not_go_on_asynchronously():
    loop = loop_of("snes")
    state = loop.state()
    state["identity"]["asynchronous"] = False
    with pytest.raises(zg.SettingError, match="resume must keep the asynchronous"):
        loop.load_state(state)


def test_a_measured_render_leaves_those_under_way_to_the_method():
    loop = loop_of("snes", max_renders=10)
    loop._fill()
    assert loop.objective.measure(loop.objective.start, "start")[0] == pytest.approx(bowl(START))
    while not loop.stop_reason():
        loop.iterate()
    assert loop.renders == 10 and loop.objective.measured == 1
    loop.objective.task.close()


def told(loss):
    losses = torch.tensor([loss], dtype=torch.float64)
    return Evaluation(losses, losses.isfinite())


def test_a_gate_waits_for_the_needed_rows_and_for_all_but_a_share_of_the_others():
    gate = Gate(torch.empty(0, 1))
    gate.begin(torch.arange(5.0)[:, None], needed=1, share=0.4)
    samples = [gate.next() for _ in range(6)]
    assert samples.pop() is None
    assert all(gate.enter(samples[row], told(float(row))) and gate.is_open for row in (4, 3, 2))
    assert gate.enter(samples[0], told(0.0)) and not gate.is_open
    assert gate.padded().losses.nan_to_num(-1).tolist() == [0, -1, 2, 3, 4]
    assert not gate.enter(samples[1], told(1.0))
    gate.begin(torch.zeros(1, 1), needed=1)
    assert not gate.enter(Sample(samples[1].theta, samples[1].origin), told(1.0)) and gate.is_open


def test_a_late_probe_of_an_old_centre_says_nothing_new_to_a_model_that_is_exact():
    curvature, present, centre = 2.0, torch.tensor([0.5, 0.0]).double(), torch.tensor([1.0, -1.0]).double()
    slopes, unit = torch.tensor([3.0, 1.0]).double(), torch.ones(1).double()

    def loss(theta):
        return float(slopes @ theta + curvature * theta.square().sum() / 2)

    gradient = GradientMemory(MemorySettings(), slopes + curvature * present)
    exact = gradient.g.clone()
    late = LateSlopes()
    late.remember(7, loss(centre))
    theta = centre + torch.tensor([0.3, 0.1]).double()
    late.enter(theta, loss(theta), (centre, 7), (present, unit), gradient, curvature)
    late.apply(gradient)
    assert torch.allclose(gradient.g, exact)
    late.enter(theta, loss(theta) + 1.0, (centre, 7), (present, unit), gradient, curvature)
    late.apply(gradient)
    assert not torch.allclose(gradient.g, exact)
    late.remember(7 + AGE, 0.0)
    late.enter(theta, loss(theta), (centre, 7), (present, unit), gradient, curvature)
    assert late.correction is None
