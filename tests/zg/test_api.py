"""The calls for a function of the user: optimize, minimize, and ask-and-tell."""

import json
import math
import os
import subprocess
import sys

import imageio.v3 as imageio
import numpy as np
import pytest
import torch

import zg
from tests.problems import Quadratic

ROWS, COLUMNS = np.mgrid[:20, :24]


def disk(x: np.ndarray) -> np.ndarray:
    """A soft disk at x = (row, column), as a grey picture."""
    assert isinstance(x, np.ndarray)
    return 1 / (1 + np.exp(np.hypot(ROWS - x[0], COLUMNS - x[1]) - 4))


def test_optimize_finds_the_parameters_of_a_reference_image():
    result = zg.optimize(disk, [6.0, 8.0], reference=disk(np.array([12.0, 15.0])), max_renders=600)
    assert result.theta.tolist() == pytest.approx([12, 15], abs=0.05)
    assert result.renders <= 600
    assert {"renders", "loss", "best_loss", "psnr"} <= set(result.history.columns)
    assert result.stop_reason in ("budget", "converged")


def test_optimize_finds_a_known_target_and_logs_the_parameter_error():
    result = zg.optimize(disk, [6.0, 8.0], target=[12.0, 15.0], max_renders=400)
    assert result.row["metric_theta_error"] < 0.1


def test_minimize_finds_the_minimum_of_a_function():
    result = zg.minimize(lambda x: float((x[0] - 1) ** 2 + abs(x[1] + 2)), [0.0, 0.0], max_renders=600)
    assert result.theta.tolist() == pytest.approx([1, -2], abs=0.01)
    assert result.loss == pytest.approx(result.row["final_loss"])


def test_a_float_init_passes_floats_to_the_function():
    def f(x):
        assert isinstance(x, float)
        return (x - 3) ** 2

    assert float(zg.minimize(f, 0.0, max_renders=200).theta) == pytest.approx(3, abs=1e-3)


def test_a_tensor_init_passes_tensors_of_the_same_shape():
    seen = []
    zg.minimize(lambda x: seen.append(x) or x.square().sum(), torch.ones(2, 3), max_renders=20)
    assert all(isinstance(x, torch.Tensor) and x.shape == (2, 3) for x in seen)


def test_named_blocks_are_passed_as_keyword_arguments():
    def f(count, angle, offset):
        assert count == round(float(count))
        assert 1 <= count <= 9
        return (count - 4) ** 2 + (angle**2).sum() + offset

    space = {"count": zg.Block(8, low=1, high=9, kind="integer"), "angle": zg.Block([1.0, 1.0])}
    result = zg.minimize(f, None, space=space, kwargs={"offset": 2.0}, max_renders=600)
    assert result.loss == pytest.approx(2, abs=0.01)
    assert result.theta[0] == 4


def test_a_batched_function_gets_several_rows_at_once():
    batches = []

    def f(x):
        batches.append(len(x))
        return ((x - 1) ** 2).sum(1)

    assert zg.minimize(f, np.zeros(3), batched=True, max_renders=300).loss < 1e-3
    assert max(batches) > 1


def test_8_bit_and_16_bit_images_are_scaled_to_zero_to_one(tmp_path):
    def bytes_of(x):
        return (255 * disk(x)).astype(np.uint8)

    picture = bytes_of(np.array([12.0, 15.0]))
    imageio.imwrite(tmp_path / "picture.png", picture)
    for reference in (picture, tmp_path / "picture.png", (257 * picture.astype(np.uint16))):
        result = zg.optimize(bytes_of, [11.0, 14.0], reference=reference, max_renders=100)
        assert result.row["init_loss"] < 0.1
    assert result.row["metric_psnr"] > 20


def test_a_reference_outside_zero_to_one_gives_a_warning():
    with pytest.warns(UserWarning, match="reference has values from .* pictures and PSNR expect 0 … 1") as told:
        zg.optimize(disk, [11.0, 14.0], reference=255 * disk(np.array([12.0, 15.0])), max_renders=20)
    assert told[0].filename == __file__, "the line that is shown is the user's"


@pytest.mark.parametrize("regulariser", [None, lambda x: 0 * x.sum(1)])
def test_a_run_ends_where_the_loss_of_a_picture_cannot_fall(regulariser):
    """A loss that has something added may be anything, so 0 is not known to be its lowest value."""

    def bars(count):
        return np.arange(8.0)[None] < count

    settings = {"space": zg.Block(2.0, low=0, high=8), "regulariser": regulariser, "max_renders": 60}
    result = zg.optimize(bars, None, reference=bars(5), method="random_search", **settings)
    assert result.loss == 0
    assert (result.stop_reason == "lowest loss") == (regulariser is None)
    assert (result.renders < 60) == (regulariser is None)


def test_zero_curve_points_render_no_curve():
    calls = []
    result = zg.minimize(lambda x: calls.append(1) or float((x**2).sum()), [1.0], max_renders=40, curve_points=0)
    assert len(calls) == result.renders + 2
    assert "loss" not in result.history.columns


def test_threads_give_the_same_result_with_a_method_that_does_not_fill_its_batch():
    f, settings = lambda x: float((x**2).sum()), {"method": "finite_differences", "max_renders": 100}
    results = [zg.minimize(f, [1.0, 2.0], workers=workers, **settings) for workers in (1, 3)]
    assert torch.equal(results[0].theta, results[1].theta)


def test_a_callback_can_read_the_surrogate_and_stop_the_run():
    seen = []

    def callback(loop):
        grid = torch.linspace(-1, 1, 5, dtype=torch.float64)[:, None]
        seen.append(loop.method.predict(grid))
        return len(seen) == 3

    result = zg.minimize(lambda x: x**2, 1.0, callback=callback)
    assert result.stop_reason == "callback"
    assert len(seen) == 3
    assert seen[-1].shape == (5,)


def test_a_writer_with_add_scalar_is_a_logger():
    class Writer:
        def __init__(self):
            self.scalars = []

        def add_scalar(self, tag, value, step):
            self.scalars.append((tag, step))

    writer = Writer()
    zg.minimize(lambda x: x**2, 1.0, logger=writer, max_renders=60)
    assert ("loss", 60) in writer.scalars


def test_a_regulariser_is_part_of_the_loss():
    free = zg.minimize(lambda x: ((x - 2) ** 2).sum(), [0.0], max_renders=300)
    held = zg.minimize(lambda x: ((x - 2) ** 2).sum(), [0.0], regulariser=lambda x: x.square().sum(1), max_renders=300)
    assert float(free.theta) == pytest.approx(2, abs=1e-3)
    assert float(held.theta) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("method", ["zerograds", "zerograds-paper", "es", "cmaes", {"name": "es", "lr": 0.05}])
def test_a_method_is_chosen_by_its_name(method):
    result = zg.minimize(lambda x: ((x - 0.2) ** 2).sum(), [0.0, 0.0], method=method, max_renders=200)
    assert result.loss <= 0.08


@pytest.mark.parametrize("method", ["zerograds", "es", "cmaes"])
def test_ask_and_tell_gives_the_same_bits_as_optimize(method):
    task = Quadratic()
    task.setup()
    optimizer = zg.Optimizer(task.space, method=method, seed=3)
    while optimizer.renders < 60:  # counted once a batch of the method is whole
        batch = optimizer.ask(7)
        optimizer.tell(task.render(batch))
    result = zg.optimize(
        task.render,
        space=task.space,
        batched=True,
        init=torch.zeros(4),
        method=method,
        seed=3,
        max_renders=optimizer.renders,
    )
    assert result.renders == optimizer.renders
    assert torch.equal(optimizer.recommend(), result.theta)


def test_an_optimizer_restored_from_its_state_gives_the_same_bits(tmp_path):
    space = {"x": zg.Block([3.0, -1.0])}

    def spin(optimizer, times):
        for _ in range(times):
            optimizer.tell(optimizer.ask().square().sum(1))

    unbroken, first, second = (zg.Optimizer(space, seed=1) for _ in range(3))
    spin(unbroken, 8)
    spin(first, 4)
    torch.save(first.state_dict(), tmp_path / "state.pt")
    second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    spin(second, 4)
    assert torch.equal(second.recommend(), unbroken.recommend())


def test_ask_and_tell_accepts_nan_for_failed_renders():
    optimizer = zg.Optimizer({"x": zg.Block([1.0, 1.0])}, seed=0)
    for _ in range(30):
        x = optimizer.ask()
        optimizer.tell(torch.where(x[:, 0] > 1.05, math.nan, x.square().sum(1)))
    assert optimizer.recommend().square().sum() < 0.1


def in_new_process(script):
    """What a script prints as JSON, in a process that has imported nothing."""
    command = [sys.executable, "-c", script]
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout)


def test_a_call_of_minimize_imports_nothing_heavy_and_does_not_change_the_environment():
    """Lightning and its like take seconds to import, and a call without folder and logger does not need them."""
    script = """
import json, os, sys
before = dict(os.environ)
import zg
after_import, torch = dict(os.environ), "torch" in sys.modules
result = zg.minimize(lambda x: float(((x - 1) ** 2).sum()), [2.0, 2.0], max_renders=50)
heavy = ("pytorch_lightning", "lightning_fabric", "wandb", "matplotlib", "pandas", "torchmetrics")
imported = [name for name in heavy if name in sys.modules]
print(json.dumps([before, after_import, dict(os.environ), torch, result.renders, imported]))
"""
    before, after_import, after_call, torch_is_imported, renders, imported = in_new_process(script)
    assert not torch_is_imported, "`import zg` alone must not import torch"
    assert after_import == before
    assert after_call.items() - before.items() == set(), "variables that the call has set"
    assert renders == 50
    assert imported == [], "these packages were imported"


def f(x: np.ndarray) -> float:
    return float((x**2).sum())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: zg.optimize(disk, [1.0, math.nan], reference=np.zeros((20, 24))), "init must be finite"),
        (
            lambda: zg.optimize(disk, [1.0, 1.0], reference=np.zeros((20, 23))),
            r"must return a picture of 23 × 20 pixels, got shape \[20, 24\]",
        ),
        (lambda: zg.optimize(disk, [1.0, 1.0], reference="no.png"), "reference must be a picture .* got 'no.png'"),
        (lambda: zg.optimize(disk, [1.0, 1.0], reference=1, loss=5), "loss must be a name or a function, got 5"),
        (lambda: zg.optimize(disk, [1.0, 1.0], reference=1, regulariser=5), "regulariser must be a function, got int"),
        (lambda: zg.minimize(f, [1.0], callback=5), "callback must be a function, got int"),
        (lambda: zg.minimize(f, [1.0], max_renders="100"), "max_renders must be a whole number, got '100'"),
        (lambda: zg.minimize(f, [1.0], max_renders=20.5), "max_renders must be a whole number, got 20.5"),
        (lambda: zg.minimize(f, [1.0], max_seconds="5"), "max_seconds must be a finite number, got '5'"),
        (lambda: zg.minimize(f, [1.0], max_failed=2), "max_failed must be a fraction of at most 1, got 2"),
        (lambda: zg.minimize(f, [1.0], target_loss="low"), "target_loss must be a number, got 'low'"),
        (lambda: zg.minimize(f, [1.0], workers="2"), "workers must be a whole number, got '2'"),
        (lambda: zg.minimize(f, [1.0], seed="x"), "seed must be a whole number, got 'x'"),
        (lambda: zg.minimize(f, [1.0], seed=-1), "seed must be at least 0, got -1"),
        (lambda: zg.minimize(f, [1.0], folder=5), "folder must be a path, got 5"),
        (lambda: zg.minimize(f, [1.0], space=[(0, 1)]), "space must be a ParameterSpace, a Block or Blocks by name"),
        (lambda: zg.minimize(f, [1.0], args=5), "args must be a list of arguments, got 5"),
        (lambda: zg.minimize(f, [1.0], kwargs=[1]), r"kwargs must be arguments by name, got \[1\]"),
        (lambda: zg.minimize(f, [1j]), "init must be real numbers, got complex ones"),
        (
            lambda: zg.minimize(f, [1.0], method={"name": "es", "sigma": math.inf}),
            "model.sigma must be a finite number",
        ),
        (lambda: zg.Optimizer({"x": zg.Block([1.0])}).ask(-1), "batch must be > 0, got -1"),
        (lambda: zg.Optimizer({"x": zg.Block([1.0])}, seed=None), "seed must be a whole number, got None"),
        (lambda: zg.optimize(disk, [1.0, 1.0], reference=1, target=[1, 1]), "reference and target exclude each other"),
        (lambda: zg.optimize(disk, [1.0, 1.0], target=[1.0]), "target must have 2 values as init does, got 1"),
        (lambda: zg.optimize(disk, None, target=[1.0]), "init must be given if space and bounds are not"),
        (lambda: zg.optimize(disk, "left", target=[1.0]), "init must be numbers, got str"),
        (lambda: zg.optimize(3, [1.0]), "render must be a function, got int"),
        (lambda: zg.minimize(lambda x: 0.0, [1.0], max_renders=0), "max_renders must be > 0, got 0"),
        (
            lambda: zg.minimize(lambda x: 0.0, [1.0], method="cma"),
            "method 'cma' is unknown; what comes nearest",
        ),
        (
            lambda: zg.minimize(lambda x: 0.0, [1.0], method={"name": "es", "lrr": 1}),
            "model.lrr is unknown; did you mean",
        ),
        (lambda: zg.minimize(lambda x: 0.0, [1.0], reference=1), "reference is a setting of optimize"),
        (lambda: zg.minimize(lambda x: "no", [1.0]), "call 1 of the function returned must be numbers, got str"),
        (lambda: zg.minimize(lambda x: np.zeros(3), [1.0]), r"must return one number, got shape \[3\]: there is no"),
        (lambda: zg.minimize(lambda x: 0.0, [1.0], workers=0), "workers must be > 0, got 0"),
        (lambda: zg.minimize(lambda x: 0.0, [1.0], logger=3), "logger must be a Lightning logger or have add_scalar"),
        (
            lambda: zg.optimize(disk, {"a": 1.0}, space={"b": zg.Block(0.0)}),
            r"init must name the blocks of space, \['b'\]",
        ),
        (lambda: zg.optimize(disk, [1.0], space=zg.Block([0.0, 0.0])), r"init.x must have shape \[2\].*got \[1\]"),
    ],
)
def test_a_wrong_setting_raises_a_setting_error_of_one_line(call, message):
    with pytest.raises(zg.SettingError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("curve_points", [0, 50])
def test_an_exception_of_the_first_render_is_raised_with_its_traceback(workers, curve_points):
    def broken(x):
        raise ValueError("my own mistake")

    with pytest.raises(ValueError, match="my own mistake") as caught:
        zg.minimize(broken, [1.0], max_renders=100, workers=workers, curve_points=curve_points)
    assert caught.traceback[-1].name == "broken", "the traceback must end in the function of the user"


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("error", [ValueError("no light"), SystemExit(3)], ids=["exception", "sys.exit"])
def test_later_exceptions_are_failed_renders_and_reported_at_the_end(workers, error):
    calls = []

    def fragile(x):
        calls.append(x)
        if len(calls) % 9 == 8:
            raise error
        return float(x @ x)

    with pytest.warns(UserWarning, match=f"of 60 renders failed, the first with {type(error).__name__}: "):
        result = zg.minimize(fragile, [1.0, 2.0], max_renders=60, workers=workers, curve_points=0)
    assert 3 < result.row["failed_renders"] < 20
    assert type(error).__name__ in result.row["error"]
    assert len(calls) == 60 + 2, "start and result are measured, and a failed render is not repeated"
    assert result.loss < 0.1
