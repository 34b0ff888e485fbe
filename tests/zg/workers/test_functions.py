"""Functions of a person in threads and in processes that are started cleanly."""

import functools
import json
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

import zg
from tests.processes import marked, nothing_left, renderers, until  # noqa: F401
from tests.zg.workers.scenes import disk
from zg.budget import Budget
from zg.errors import RenderError, SettingError
from zg.functions import FunctionTask
from zg.run.run import run
from zg.workers.pool import Function, PoolSettings, open_pool
from zg.workers.processes import THREADS
from zg.workers.threads import Gain
from zg.zerograds.method import ZeroGrads

pytestmark = pytest.mark.usefixtures("nothing_left")
ROOT = str(Path(zg.__file__).parents[1])
TWO = PoolSettings(2)
X = np.arange(12.0).reshape(6, 2)


def bowl(x):
    return float(((x - 1) ** 2).sum())


def found(pool, workers, f=bowl, **settings):
    result = zg.minimize(f, [3.0, 2.0], max_renders=60, workers=workers, pool=pool, curve_points=4, **settings)
    return result.theta.tolist(), result.loss, [row.get("loss") for row in result.records]


@pytest.mark.parametrize("method", ["zerograds", "es"])
def test_a_run_gives_the_same_bits_in_threads_and_in_processes(method):
    assert found("threads", 2, method=method) == found("processes", 2, method=method)


def test_lambdas_closures_and_partial_functions_are_sent():
    scale = np.full(3, 2.0)
    calls = [lambda x, seed: scale * x.sum(), functools.partial(lambda a, x, seed: a * x, 3)]
    for call in calls:
        with open_pool(Function(call), TWO) as pool:
            for x, result in zip(X, pool.run(X), strict=True):
                assert np.array_equal(result.image, call(x, 0))


def test_results_are_taken_as_they_come_and_run_keeps_the_order():
    def slow_first(x, seed):
        time.sleep(0.5 if x[0] == 0 else 0)
        return x[0] + seed

    for settings in (TWO, PoolSettings(2, "threads")):
        with open_pool(Function(slow_first), settings) as pool:
            slow, *quick = [pool.submit(x, 1) for x in X]
            taken = [pool.take() for _ in X]
            assert taken[-1].ticket == slow
            assert {result.ticket for result in taken[:-1]} == {*quick}
            assert [float(result.image) for result in pool.run(X, np.arange(6))] == (X[:, 0] + np.arange(6)).tolist()


def test_a_batch_leaves_a_render_that_is_under_way_for_its_taker():
    release = threading.Event()

    def function(x, seed):
        return x[0] + release.wait(20) if x[0] == 0 else x[0]

    with open_pool(Function(function), PoolSettings(2, "threads")) as pool:
        ticket = pool.submit(X[0])
        assert [float(result.image) for result in pool.run(X[1:])] == X[1:, 0].tolist()
        other = pool.submit(X[1])
        release.set()
        assert {pool.take().ticket, pool.take().ticket} == {ticket, other}


def test_a_worker_holds_little_memory_no_pytorch_and_one_copy_of_large_constants(tmp_path):
    constant = np.ones(16 * 2**20)  # 128 MB

    def look(x, seed):
        total = constant.sum()  # reads every page
        constant[0] = 5.0  # is seen by nobody else
        lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
        # Pages of files and of the shared constant count as private while no other process has read them: left out.
        own = sum(int(line.split()[1]) for line in lines if line.startswith("Anonymous:"))
        return [total, own / 1024, "torch" in sys.modules]

    with open_pool(Function(look), TWO) as pool:
        results = [result.image for result in pool.run(X[:2])]
        assert constant[0] == 1
        assert [image[0] for image in results] == [constant.size] * 2
        assert max(image[1] for image in results) < 60, "megabytes of a worker alone"
        assert not any(image[2] for image in results)


def test_a_worker_finds_the_modules_of_its_parent_and_the_cores_are_shared(monkeypatch):
    for name in THREADS:
        monkeypatch.delenv(name, raising=False)

    def look(x, seed):
        from tests.zg.workers.scenes import disk  # of the clone, which is on the path of the parent

        return [disk.SIZE, int(os.environ["OMP_NUM_THREADS"])]

    with open_pool(Function(look), PoolSettings(os.cpu_count())) as pool:
        assert pool.run(X[:1])[0].image.tolist() == [disk.SIZE, 1]


MAIN = """
import json, sys
import numpy as np
import torch  # the function needs none of it
import zg

target = np.array([1.0, 2.0])

class Ramp:
    def __call__(self, x):
        return sum((x - target) ** 2) + ("torch" in sys.modules)

result = zg.minimize(Ramp(), [0.0, 0.0], max_renders=60, workers=2, pool="processes", curve_points=0)
print(json.dumps([*result.theta.tolist(), result.loss]))
"""


@pytest.mark.parametrize("as_file", [True, False], ids=["a script", "python -c"])
def test_functions_of_the_main_module_are_sent_and_no_guard_of_the_main_module_is_needed(as_file, tmp_path):
    (tmp_path / "script.py").write_text(MAIN)
    command = [sys.executable, "script.py"] if as_file else [sys.executable, "-c", MAIN]
    environment = {**os.environ, "PYTHONPATH": ROOT}
    said = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    assert np.allclose(json.loads(said), [1, 2, 0], atol=1e-3)


def test_pictures_of_every_kind_and_arguments_of_every_kind_are_as_without_a_pool():
    space = zg.ParameterSpace(
        count=zg.Block(3, low=0, high=9, kind="integer"), place=zg.Block([0.2, 0.3], low=0, high=1)
    )

    def draw(offset, count, place, gain):
        assert isinstance(count, np.int64) and place.shape == (2,) and gain == 2
        return (np.full((4, 5, 3), 20 * count) + offset * place.sum() * 50).astype(np.uint8)

    def loss_of(x):
        assert isinstance(x, torch.Tensor)
        return (x * x).sum()

    for render, settings in (
        (draw, {"args": [1.0], "kwargs": {"gain": 2}, "named": True}),
        (loss_of, {"like": torch.zeros(3)}),
    ):
        x = torch.tensor([[3.0, 0.2, 0.3], [4.0, 0.9, 0.8]], dtype=torch.float64)
        plain = FunctionTask(render, space, **settings)
        pooled = FunctionTask(render, space, pool=TWO, **settings)
        assert torch.equal(plain.render(x), pooled.render(x))
        pooled.close()


def test_an_exception_of_the_first_render_is_raised_with_its_place_and_later_ones_are_failed_renders():
    def broken(x):
        raise ZeroDivisionError("as it happens")

    with pytest.raises(RenderError, match=r"^ZeroDivisionError: as it happens \(test_functions.py, line \d+\)$"):
        zg.minimize(broken, [1.0], workers=2, pool="processes", max_renders=20)

    def fragile(x):
        if x[0] < 0.9:
            raise ValueError("too small")
        return bowl(x)

    with pytest.warns(UserWarning, match=r"renders failed, the first with ValueError: too small \(test_functions"):
        zg.minimize(fragile, [1.0, 2.0], workers=2, pool="processes", method="es", max_renders=40)


def test_a_crash_a_hang_and_a_leak_cost_a_worker_and_not_the_run(tmp_path):
    def trouble(x, seed):
        if x[0] == 2:
            os.kill(os.getpid(), signal.SIGSEGV)
        if x[0] == 4:
            time.sleep(60)
        if x[0] == 6 and not (tmp_path / "once").exists():
            (tmp_path / "once").touch()
            os._exit(3)
        return x[0]

    with open_pool(Function(trouble, "trouble"), PoolSettings(2, timeout=1.0)) as pool:
        results = pool.run(X)
        assert [result.image is None for result in results] == [False, True, True, False, False, False]
        assert pool.errors == ["trouble was killed by SIGSEGV", "trouble took longer than timeout = 1 s"]
        assert pool.lost == 5


def test_a_process_that_dies_as_it_loads_is_started_again_where_another_has_loaded(tmp_path):
    class DiesAsItLoads:
        """A function that ends the process that loads it, for each file in a folder once."""

        def __init__(self, folder):
            self.folder = folder

        def __setstate__(self, state):
            self.folder = state["folder"]
            for path in self.folder.glob("die*"):
                path.unlink()
                os._exit(5)

        def __call__(self, x, seed):
            if x[0] == 6 and not (self.folder / "once").exists():
                (self.folder / "once").touch()
                os._exit(3)
            return x[0]

    with open_pool(Function(DiesAsItLoads(tmp_path), "trouble"), PoolSettings(1)) as pool:
        for k in range(3):
            (tmp_path / f"die{k}").touch()
        assert [float(result.image) for result in pool.run(X)] == X[:, 0].tolist()
        assert pool.lost == 4
        (tmp_path / "once").unlink()
        for k in range(4):
            (tmp_path / f"die{k}").touch()
        with pytest.raises(SettingError, match="trouble ended with code 5"):
            pool.run(X)


def test_ctrl_c_cancels_what_is_rendered_and_the_pool_renders_again(tmp_path):
    def wait(x, seed):
        (tmp_path / f"{os.getpid()}").touch()
        time.sleep(x[0])
        return x[0]

    def interrupt():
        until(lambda: len([path for path in tmp_path.iterdir() if path.name.isdecimal()]) == 2)
        os.kill(os.getpid(), signal.SIGINT)

    with open_pool(Function(wait), TWO) as pool:
        threading.Thread(target=interrupt).start()
        with pytest.raises(KeyboardInterrupt):
            pool.run(np.full((4, 1), 600.0))
        assert not renderers(tmp_path)
        assert pool.run(np.zeros((1, 1)))[0].image == 0


def test_an_exception_that_is_no_failed_render_ends_a_batch_in_threads_as_it_ends_a_call():
    class Cancelled(BaseException):
        """As asyncio.CancelledError, or what pytest.fail raises: no Exception."""

    def cancel(x, seed):
        if x[0] == 4:
            raise Cancelled
        return x[0]

    with open_pool(Function(cancel), PoolSettings(2, "threads")) as pool:
        with pytest.raises(Cancelled):
            pool.run(X)
        assert [float(result.image) for result in pool.run(X[:2])] == X[:2, 0].tolist()


def test_what_is_printed_in_words_when_settings_do_not_fit():
    lock = threading.Lock()
    for said, settings in {
        "pool must be threads, processes or ray, got 'forks'": {"pool": "forks"},
        "timeout needs pool: processes or ray, for a thread cannot be ended": {"pool": "threads", "timeout": 3.0},
        "address is that of a Ray cluster and needs pool: ray": {"pool": "processes", "address": "host:1"},
        "batched gives all x to one call, so pool must be threads": {"pool": "processes", "batched": True},
        "must be a function that cloudpickle can send": {"pool": "processes", "f": lambda x: lock.locked()},
    }.items():
        with pytest.raises(SettingError) as raised:
            found(**{"workers": 2, **settings})
        assert said in str(raised.value)


def test_threads_that_gain_nothing_are_told_once_and_those_that_gain_are_not():
    def judged(alone, together):
        gain = Gain(2)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            while gain.needs_alone:
                gain.note(1, alone)
            for _ in range(20):
                gain.note(4, together)
        return [str(one.message) for one in said]

    [told] = judged(0.1, 0.4)
    assert told.startswith("2 threads make 1 times the renders a second of one") and "pool='processes'" in told
    assert judged(0.1, 0.2) == []


@pytest.mark.slow  # neighbours on the machine change what is measured
def test_threads_of_pure_python_are_measured():
    def work(x):
        end = time.thread_time() + 0.02
        while time.thread_time() < end:
            pass
        return bowl(x)

    with pytest.warns(UserWarning, match="threads make"):
        zg.minimize(work, [3.0, 2.0], method="es", workers=2, max_renders=60, curve_points=0)


class Slow(zg.Task):
    """A task that knows nothing of pools."""

    noisy = True

    def build(self):
        self.space = zg.ParameterSpace(x=zg.Block([0.2, 0.4], low=0, high=1))
        self.set_reference(torch.full((1, 4, 4), 0.5))

    def render_one(self, x, seed):
        return (x.sum() + 1e-3 * (int(seed) % 7)).expand(1, 4, 4).float()


@pytest.mark.parametrize("pool", ["threads", "processes"])
def test_a_task_that_knows_nothing_of_pools_renders_in_one_on_the_same_bits(pool):
    alone, pooled = Slow(), Slow()
    found = [
        run(task, ZeroGrads(), Budget(40), seed=3, **settings)
        for task, settings in ((alone, {}), (pooled, {"workers": 2, "pool": pool}))
    ]
    assert pooled.workers is not None and pooled.workers.submitted > 40
    assert torch.equal(found[0].theta, found[1].theta) and found[0].loss == found[1].loss


def test_a_run_does_not_go_on_with_another_number_of_workers(tmp_path):
    settings = {"method": "cmaes", "max_renders": 30, "curve_points": 0, "folder": tmp_path / "run"}
    zg.minimize(bowl, [3.0, 2.0], workers=8, **settings)
    with pytest.raises(SettingError, match="resume must keep the workers: the saved run has 8, got 2"):
        zg.minimize(bowl, [3.0, 2.0], workers=2, resume=True, **settings | {"max_renders": 60})


def go(folder, resume=False):
    """A run of a function in two processes, which can be killed."""

    def slow(x):
        time.sleep(0.003)
        return bowl(x)

    settings = {"max_renders": 400, "method": "cmaes", "workers": 2, "pool": "processes", "folder": folder}
    return zg.minimize(slow, [3.0, 2.0], curve_points=5, resume=resume, **settings)


def test_a_run_in_processes_that_was_killed_goes_on_with_the_same_bits(tmp_path):
    command = f"from {__name__} import go; go('killed')"
    process = subprocess.Popen([sys.executable, "-c", command], env={**os.environ, "PYTHONPATH": ROOT})
    until(lambda: (tmp_path / "killed" / "last.ckpt").is_file() and renderers(tmp_path))
    time.sleep(0.3)
    process.kill()
    process.wait()
    assert not (tmp_path / "killed" / "row.json").exists()
    until(lambda: not marked(tmp_path))
    resumed, whole = go(tmp_path / "killed", resume=True), go(tmp_path / "whole")
    assert torch.equal(resumed.theta, whole.theta) and resumed.loss == whole.loss
    assert [row.get("loss") for row in resumed.records] == [row.get("loss") for row in whole.records]
