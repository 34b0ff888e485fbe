"""Functions of users, as users write them: what they are given, what they may return, and what is left behind."""

import itertools
import json
import math
import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch

import zg
from tests.zg.test_api import disk
from zg.errors import SettingError


def test_integers_and_binaries_arrive_as_integers():
    seen = set()

    def f(count, on, shade):
        seen.update((type(count), type(on), type(shade)))
        return float(sum(1 for _ in range(count)) - 5) ** 2 + (0 if on else 1) + float(shade) ** 2

    space = {
        "count": zg.Block(8, low=1, high=40, kind="integer"),
        "on": zg.Block(0, kind="binary"),
        "shade": zg.Block(1.0),
    }
    result = zg.minimize(f, None, space=space, max_renders=200)
    assert seen == {np.int64, np.float64}
    assert result.loss < 0.5


def test_the_function_has_a_copy_of_its_own():
    def in_place(x):
        loss = float(np.sum((x - 1) ** 2))
        x *= 0
        return loss

    settings = {"regulariser": lambda x: 10 * ((x - 3) ** 2).sum(-1), "max_renders": 80}
    plain = zg.minimize(lambda x: float(np.sum((x - 1) ** 2)), [2.0, 2.0], **settings)
    assert torch.equal(zg.minimize(in_place, [2.0, 2.0], **settings).theta, plain.theta)


@pytest.mark.parametrize("workers", [1, 2])
def test_the_function_may_use_autograd(workers):
    def f(x):
        w = torch.zeros(2, dtype=torch.float64, requires_grad=True)
        ((w - torch.as_tensor(x)) ** 2).sum().backward()
        return float(w.grad.square().sum())

    assert zg.minimize(f, [2.0, 2.0], workers=workers, max_renders=100).loss < 1e-6


@pytest.mark.parametrize("wrap", [lambda v: np.array([v]), lambda v: [v], lambda v: torch.tensor([[v]]), np.float32])
def test_a_loss_may_be_one_number_in_any_wrapping(wrap):
    assert zg.minimize(lambda x: wrap(float(np.sum((x - 1) ** 2))), [2.0, 2.0], max_renders=60).loss < 1e-3


def test_losses_stay_double_where_a_batch_raises():
    def f(xs):
        if len(xs) > 1:
            raise RuntimeError("one at a time")
        return 1e9 + ((xs - 1) ** 2).sum(-1)

    result = zg.minimize(f, [2.0, 2.0], batched=True, max_renders=120)
    assert result.theta == pytest.approx(torch.ones(2, dtype=torch.float64), abs=1e-2)


def test_a_function_that_returns_none_counts_as_a_failed_render():
    calls = []

    def f(x):
        calls.append(x)
        return None if len(calls) % 7 == 0 else float(x @ x)

    with pytest.warns(UserWarning, match="renders failed"):
        result = zg.minimize(f, [1.0, 2.0], max_renders=60, curve_points=0)
    assert 0 < result.row["failed_renders"] < 20 and result.loss < 1


@pytest.mark.parametrize("method", ["zerograds", "cmaes", "es"])
def test_the_largest_number_is_a_bad_loss_and_no_crash(method):
    def f(x):
        return sys.float_info.max if x[0] > 1.5 else float(np.sum((x - 1) ** 2))

    assert math.isfinite(zg.minimize(f, [1.45, 0.0], method=method, max_renders=80).loss)


@pytest.mark.parametrize("signal_name", ["SIGINT", "SIGTERM"])
def test_a_signal_ends_the_run_and_reaches_the_script(signal_name):
    script = f"""
import os, signal, zg
calls = []
def f(x):
    calls.append(x)
    if len(calls) == 5:
        os.kill(os.getpid(), signal.{signal_name})
    return float(x @ x)
for seed in range(3):
    zg.minimize(f, [2.0, 2.0], method="es", seed=seed, max_renders=40, curve_points=0)
    print("done", seed)
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert ended.returncode == -getattr(signal, signal_name), ended.stderr
    assert "done" not in ended.stdout


def test_a_caught_signal_returns_the_result():
    before, calls = signal.getsignal(signal.SIGTERM), []

    def f(x):
        calls.append(x)
        if len(calls) == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        return float(x @ x)

    result = zg.minimize(f, [2.0, 2.0], max_renders=40, curve_points=0, catch_signals=True)
    assert result.stop_reason == "interrupted"
    assert signal.getsignal(signal.SIGTERM) is before


def test_threads_end_with_the_run():
    before = threading.active_count()
    for _ in range(3):
        zg.minimize(lambda x: float(x @ x), [2.0, 2.0], method="es", workers=4, max_renders=40, curve_points=0)
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"x0": [2.0] * 3}, "resume must keep the parameters: the saved run has 2, got 3"),
        ({"x0": [2.0, 3.0]}, "resume must keep the start"),
        ({"method": "cmaes"}, "resume must keep the method: the saved run has baselines.es.ES"),
        ({"seed": 9}, "resume must keep the seed: the saved run has 0, got 9"),
    ],
)
def test_another_run_cannot_be_resumed(changed, told, tmp_path):
    given = {"x0": [2.0, 2.0], "method": "es", "max_renders": 40, "folder": tmp_path / "run", "curve_points": 0}
    zg.minimize(lambda x: float(x @ x), **given)
    row = (tmp_path / "run" / "row.json").read_text()
    with pytest.raises(SettingError, match=told):
        zg.minimize(lambda x: float(x @ x), resume=True, **{**given, "max_renders": 80, **changed})
    assert (tmp_path / "run" / "row.json").read_text() == row, "the row of the saved run must stay"


@pytest.mark.parametrize("name", ["seed", "max_renders"])
def test_numbers_of_numpy_are_numbers_in_the_row_too(name, tmp_path):
    settings = {"max_renders": 30, name: np.int64(30)}
    zg.minimize(lambda x: float(np.sum((x - 1) ** 2)), [2.0, 2.0], folder=tmp_path / "run", curve_points=0, **settings)
    assert json.loads((tmp_path / "run" / "row.json").read_text())[name if name == "seed" else "renders"] == 30


WEIGHT = torch.ones(2, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize(
    "told",
    [
        lambda xs: [((x - WEIGHT) ** 2).sum() for x in xs],
        lambda xs: ((xs - WEIGHT) ** 2).sum(-1),
        lambda xs: [None if k else float(((x - 1) ** 2).sum()) for k, x in enumerate(xs)],
    ],
    ids=["list with a graph", "tensor with a graph", "None for failed renders"],
)
def test_losses_may_be_told_with_a_graph_and_with_none(told):
    optimizer = zg.Optimizer({"x": zg.Block([2.0, 2.0])})
    for _ in range(5):
        optimizer.tell(told(optimizer.ask()))
    assert optimizer.recommend().isfinite().all()


def test_the_row_is_there_although_every_decoration_fails(tmp_path, monkeypatch):
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", "/nowhere/ffmpeg")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.warns(UserWarning, match="the video failed"):
        result = zg.optimize(
            disk, [11.0, 14.0], target=[12.0, 15.0], max_renders=60, folder=tmp_path / "run", seed=np.int64(3)
        )
    assert json.loads((tmp_path / "run" / "row.json").read_text())["final_loss"] == result.loss


def test_a_render_may_change_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()

    def f(x):
        os.chdir(tmp_path / "elsewhere")
        return float(x @ x) - 5

    result = zg.minimize(f, [1.0, 2.0], max_renders=60, folder="run")
    assert (tmp_path / "run" / "row.json").is_file()
    assert result.loss < -4, "losses below 0 have a curve, too"


OTHERS = {
    "another method": ({"method": "cmaes"}, "resume must keep the method"),
    "another setting": ({"method": {"name": "es", "lr": 0.5}}, "resume must keep lr of the method: .* 0.01, got 0.5"),
    "another seed": ({"seed": 9}, "resume must keep the seed"),
    "another n": ({"space": {"x": zg.Block([2.0] * 3)}}, "resume must keep the parameters"),
    "another start": ({"space": {"x": zg.Block([2.0, 3.0])}}, "resume must keep the start"),
}


@pytest.mark.parametrize(("changed", "told"), OTHERS.values(), ids=OTHERS)
def test_the_state_of_another_optimizer_is_refused(changed, told):
    given = {"space": {"x": zg.Block([2.0, 2.0])}, "method": "es", "seed": 1}
    saved, other = zg.Optimizer(**given), zg.Optimizer(**{**given, **changed})
    saved.tell(saved.ask().square().sum(1))
    before = other.recommend().clone()
    with pytest.raises(SettingError, match=told):
        other.load_state_dict(saved.state_dict())
    assert torch.equal(other.recommend(), before)
    with pytest.raises(SettingError, match="the state of a run must be one that was saved before, got dict"):
        other.load_state_dict({"weight": torch.zeros(2)})


def test_loading_a_state_drops_the_batch_that_is_not_told():
    space = {"x": zg.Block([2.0, 2.0])}
    optimizer, twin = (zg.Optimizer(space, "es", seed=1) for _ in range(2))
    state = optimizer.state_dict()
    optimizer.ask(3)
    optimizer.load_state_dict(state)
    assert torch.equal(optimizer.ask(), twin.ask())


@pytest.mark.parametrize("losses", [[], [1.0], [1.0] * 9])
def test_telling_out_of_turn_is_refused(losses):
    optimizer = zg.Optimizer({"x": zg.Block([2.0, 2.0])}, "es")
    with pytest.raises(SettingError, match="tell must follow ask: no losses are missing"):
        optimizer.tell(losses)
    optimizer.ask(4)
    with pytest.raises(SettingError, match="losses must be 4 numbers, one for each x"):
        optimizer.tell(losses)
    optimizer.tell([1.0] * 4)
    with pytest.raises(SettingError, match="tell must follow ask: no losses are missing"):
        optimizer.tell(losses)
    assert optimizer.renders == 0, "the batch of the method is not whole yet"


@pytest.mark.parametrize("method", ["zerograds", "es", "simulated_annealing", "snes"])
def test_a_state_stays_as_it_is_while_the_optimizer_goes_on(method):
    space = {"x": zg.Block([3.0, -1.0])}

    def go(optimizer, times):
        for _ in range(times):
            optimizer.tell(optimizer.ask().square().sum(1))
        return optimizer

    optimizer = go(zg.Optimizer(space, method), 5)
    state = optimizer.state_dict()
    wanted = go(optimizer, 10).recommend().clone()
    twin = zg.Optimizer(space, method)
    twin.load_state_dict(state)
    assert torch.equal(go(twin, 10).recommend(), wanted)


@pytest.mark.parametrize("settings", [{}, {"workers": 2}])
@pytest.mark.parametrize(
    ("later", "reference", "message"),
    [
        (np.zeros((4, 5)), True, r"must return a picture of 4 × 4 pixels, got shape \[4, 5\]: the render is 5 × 4"),
        (0.5, True, "must return a picture of 4 × 4 pixels, got one number: there is a reference"),
        (np.zeros((4, 4)), False, r"must return one number, got shape \[4, 4\]: there is no reference"),
        ("dark", True, "returned must be numbers, got str 'dark'"),
        ((0.5, {}), False, "returned must be numbers, got tuple of float, dict"),
    ],
)
def test_a_value_that_changes_its_type_or_shape_is_told_with_the_call(later, reference, message, settings):
    calls = itertools.count(1)

    def shade(x):
        return later if next(calls) > 4 else np.zeros((4, 4)) + x[0] if reference else float(x[0])

    picture = {"reference": np.ones((4, 4))} if reference else {}
    with pytest.raises(zg.SettingError, match=rf"call \d+ of shade .*{message}"):
        zg.optimize(shade, [0.2], max_renders=20, curve_points=0, **picture, **settings)


def test_a_batch_of_another_shape_is_told_in_words():
    with pytest.raises(zg.SettingError, match=r"must return 1 times a picture of 4 × 4 pixels, got shape \[1, 4, 5\]"):
        zg.optimize(lambda x: np.zeros((len(x), 4, 5)), [0.2], reference=np.ones((4, 4)), batched=True)


@pytest.mark.parametrize("settings", [{}, {"workers": 2}, {"workers": 2, "asynchronous": True, "method": "es"}])
def test_a_function_without_return_is_told_as_such(settings):
    with pytest.warns(UserWarning, match=r"the first with None in place of one number \(is there a `return`\?\)"):
        zg.minimize(lambda x: None, [0.2], max_renders=8, **settings)


@pytest.mark.parametrize("settings", [{}, {"batched": True}, {"workers": 2}, {"loss": {"fit": 1.0}}])
def test_a_truth_in_place_of_a_loss_is_refused(settings):
    """It would count as 1 or 0: `return f(x) < 1` in place of `return f(x)` ends at the loss 0."""

    def is_small(x):
        truth = (x**2).sum(-1) < 1
        return {"fit": truth} if "loss" in settings else truth

    with pytest.raises(zg.SettingError, match="must be a number, got True or False; float"):
        zg.minimize(is_small, [2.0, 2.0], max_renders=8, **settings)
    picture = zg.optimize(lambda x: np.arange(16).reshape(4, 4) < x[0], [3.0], reference=np.ones((4, 4)), max_renders=8)
    assert picture.image.max() == 1, "a mask is a picture"


@pytest.mark.parametrize("told", [[True], [None, np.True_], [0.5, torch.tensor(False)], np.array([True, False])])
def test_a_truth_that_is_told_or_known_is_refused(told):
    optimizer = zg.Optimizer(x0=[2.0, 1.0])
    optimizer.ask(len(told))
    with pytest.raises(zg.SettingError, match="a loss must be a number, got True or False"):
        optimizer.tell(told)
    with pytest.raises(zg.SettingError, match="a known loss must be a number, got True or False"):
        zg.minimize(lambda x: float(x @ x), known=[([0.5, 0.5], told[-1])], max_renders=8)
