"""Renders on Ray: a real Ray on this machine, and a real cluster of three nodes that loses some of them."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import zg
from tests.processes import marked, nothing_left, until  # noqa: F401
from tests.zg.workers.ray_cluster import cluster, listening, loses
from tests.zg.workers.scenes import faulty
from tests.zg.workers.test_task import Disk
from zg.budget import Budget
from zg.errors import RenderError, SettingError
from zg.run.run import run
from zg.workers.cluster import connected
from zg.workers.pool import PYTHON, Function, PoolSettings, Scene, open_pool
from zg.zerograds.method import ZeroGrads

ROOT = str(Path(zg.__file__).parents[1])
ON_RAY = PoolSettings(2, "ray")


def bowl(x):
    return float(((x - 1) ** 2).sum())


@pytest.fixture(scope="module")
def at_home():
    """One Ray on this machine for all tests that use it: its start takes seconds."""
    with connected(None, 3) as ray:
        yield ray


def test_an_address_where_nothing_answers_is_told_at_once():
    """Before a Ray of this process is started: what is connected needs no address."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]
    for address, why in ((f"127.0.0.1:{free}", "refused"), ("nonsense", "Invalid address format")):
        with pytest.raises(SettingError, match=f"address must be that of a Ray cluster, .* got '{address}': .*{why}"):
            zg.minimize(bowl, [3.0, 2.0], pool="ray", address=address, max_renders=10)


def test_a_function_on_ray_gives_the_bits_of_processes_and_ray_listens_on_loopback_only(at_home):
    scale = np.ones(1000)

    def f(x):
        return float((scale[0] * (x - 1) ** 2).sum())

    found = [
        zg.minimize(f, [3.0, 2.0], method="es", max_renders=60, workers=2, pool=pool, curve_points=3)
        for pool in ("ray", "processes")
    ]
    assert torch.equal(found[0].theta, found[1].theta) and found[0].loss == found[1].loss
    every, from_outside = listening()
    assert every and not from_outside
    assert at_home.is_initialized(), "a connection of the caller stays"


def test_renderers_on_ray_are_the_processes_of_home(at_home, tmp_path):
    scene = Scene(PYTHON, faulty.__file__, {"once": str(tmp_path / "once")}, (3, 4, 5))
    with open_pool(scene, ON_RAY) as pool:
        assert np.isfinite(pool.render(np.array([[faulty.DIE, 0.0, 1.0]]))).all()
        assert pool.lost == 1 and pool.version == "1.2" and pool.errors == []
        images = pool.render(np.array([[faulty.RAISE, 0.0, 1.0], [faulty.RENDER, 0.0, 0.5]]), [0, 1])
        assert np.isfinite(images).all(), "no faults after the first render"
    with pytest.raises(SettingError, match="scene must be a Python file"):
        Scene(PYTHON, tmp_path / "none.py", {}, (1,))
    with pytest.raises(SettingError, match="must load: RuntimeError: needs version 3"):
        open_pool(Scene(PYTHON, faulty.__file__, {"needs": "3"}, (3, 4, 5)), ON_RAY).start()


def test_an_actor_that_is_killed_is_replaced_and_its_render_is_made_again(at_home, tmp_path):
    def first_kills(x, seed):
        if x[0] == 1 and not (tmp_path / "once").exists():
            (tmp_path / "once").write_text(os.environ["ZG_WORKER_FOLDER"])
            os.kill(os.getppid(), signal.SIGKILL)  # the worker process of Ray
            time.sleep(600)
        if x[0] == 2:
            raise ValueError("a negative radius")
        return x[0]

    with open_pool(Function(first_kills), ON_RAY) as pool:
        results = pool.run(np.arange(5.0)[:, None])
        assert [None if result.image is None else float(result.image) for result in results] == [0, 1, None, 3, 4]
        assert isinstance(results[2].error, RenderError) and pool.errors[0].startswith("ValueError: a negative radius")
        assert pool.lost == 1
    until(lambda: not Path((tmp_path / "once").read_text()).parent.exists())


def test_idle_actors_that_are_killed_cost_a_render_one_try_in_all(at_home):
    def parent(x, seed):
        time.sleep(0.2)  # so that each actor takes one
        return os.getppid()

    with open_pool(Function(parent), replace(ON_RAY, workers=3)) as pool:
        until(lambda: len(pool._free) == 3 or pool._turn())
        pids = {int(result.image) for result in pool.run(np.zeros((3, 1)))}
        assert len(pids) == 3
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        [result] = pool.run(np.zeros((1, 1)))
        assert result.error is None and int(result.image) not in pids
        assert pool.lost == 3


@pytest.mark.slow
def test_a_run_goes_on_with_the_same_bits_when_a_node_is_killed():
    def slow(x):
        time.sleep(0.05)
        return bowl(x)

    def go(address, **settings):
        settings |= {"pool": "ray", "address": address} if address else {"pool": "processes"}
        return zg.minimize(slow, [3.0, 2.0], method="es", max_renders=300, workers=2, curve_points=0, **settings)

    with cluster() as (made, nodes):
        killed = []

        def kill(loop):
            if loop.renders >= 100 and not killed:
                killed.append(threading.Thread(target=loses, args=(made, nodes)))
                killed[0].start()

        lost = go(made.address, callback=kill)
        killed[0].join()
    whole = go(None)
    assert torch.equal(lost.theta, whole.theta) and lost.loss == whole.loss
    assert lost.renders == 300 and lost.row["failed_renders"] == 0


def test_a_layer_renders_on_ray_what_it_renders_at_home(at_home):
    def draw(x):
        return np.outer(x, np.sin(x))

    found = []
    for settings in ({}, {"workers": 2, "pool": "ray"}):
        with zg.Layer(draw, estimator="sampled", pairs=2, sigma=0.2, **settings) as layer:
            x = torch.linspace(-1, 1, 9).reshape(3, 3).requires_grad_()
            images = layer(x)
            images.square().sum().backward()
            found.append((images.detach(), x.grad, layer.renders))
    assert torch.equal(found[0][0], found[1][0]) and torch.equal(found[0][1], found[1][1])
    assert found[0][2] == found[1][2] == 15


@pytest.mark.slow
@pytest.mark.usefixtures("nothing_left")
def test_a_task_with_a_scene_runs_on_a_cluster_on_loopback_which_leaves_nothing(tmp_path):
    with cluster() as (made, _):
        found = [
            run(Disk(), ZeroGrads(), Budget(60), **settings)
            for settings in ({"workers": 2, "pool": "ray", "address": made.address}, {})
        ]
        every, from_outside = listening()
        assert every and not from_outside
        assert len(marked(tmp_path)) > 3, "processes of Ray, which nothing_left looks for at the end"
    assert torch.equal(found[0].theta, found[1].theta)


@pytest.mark.slow
def test_an_asynchronous_run_on_a_cluster_waits_for_no_slow_render_and_outlives_a_node(tmp_path):
    picture = np.arange(12.0).reshape(3, 4) / 12

    def draw(x):
        time.sleep(0.02)
        return x[0] * picture + np.sin(x[1] + picture) + x[2] * picture**2

    def first_is_slow(x):
        is_first = not (tmp_path / "first").exists()
        (tmp_path / "first").touch()
        time.sleep(15.0 if is_first else 0.02)
        return bowl(x)

    with cluster(cpus=2) as (made, nodes):
        settings = {"workers": 3, "pool": "ray", "address": made.address, "asynchronous": True, "curve_points": 0}
        for method in ("es", "snes", "cmaes", {"name": "nevergrad", "optimizer": "CMA"}):
            result = zg.minimize(bowl, [3.0, 2.0], method=method, max_renders=40, **settings)
            assert result.renders == 40 and result.row["failed_renders"] == 0
        solution = [0.6, -0.4, 0.3]
        seen = zg.optimize(draw, [0.1, 0.2, 0.0], reference=draw(solution), linear=True, max_renders=150, **settings)
        assert seen.theta.numpy() == pytest.approx(solution, abs=1e-2)
        times = []

        def observe(loop):
            times.append(time.monotonic())
            if loop.renders == 100:
                loses(made, nodes)

        lost = zg.minimize(first_is_slow, [3.0, 2.0], method="snes", max_renders=200, callback=observe, **settings)
    assert lost.renders == 200 and lost.row["failed_renders"] == 0 and lost.loss < 0.1 * bowl(np.array([3.0, 2.0]))
    assert times[39] - times[0] < 14.0, "39 results are told while the first render sleeps"


RUN = """
import sys, time
import zg

def slow(x):
    time.sleep(0.02)
    return float(((x - 1) ** 2).sum())

zg.minimize(slow, [3.0, 2.0], method="cmaes", max_renders=400, workers=2, pool="ray", address=sys.argv[1],
            folder="run", resume=sys.argv[2] == "resume", curve_points=3)
"""


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["the run", "the head"])
def test_the_same_command_goes_on_with_the_same_bits_when_the_run_or_the_head_was_killed(victim, tmp_path):
    def start(made, how, folder):
        folder.mkdir(exist_ok=True)
        command = [sys.executable, "-c", RUN, made.address, how]
        return subprocess.Popen(command, cwd=folder, env={**os.environ, "PYTHONPATH": ROOT})

    with cluster() as (made, _):
        process = start(made, "new", tmp_path / "killed")
        history = tmp_path / "killed" / "run" / "history.csv"
        until(lambda: (history.is_file() and len(history.read_text().splitlines()) > 2) or process.poll() is not None)
        assert process.poll() is None
        if victim == "the run":
            process.kill()
        else:
            made.remove_node(made.head_node, allow_graceful=False)
        process.wait(120)
    assert not (tmp_path / "killed" / "run" / "row.json").exists() or victim == "the head"
    with cluster() as (made, _):
        assert start(made, "resume", tmp_path / "killed").wait() == 0
        assert start(made, "new", tmp_path / "whole").wait() == 0
    paths = [tmp_path / name / "run" / "last.ckpt" for name in ("killed", "whole")]
    killed, whole = (torch.load(path, weights_only=True) for path in paths)
    assert torch.equal(killed["loop"]["ledger"]["best_theta"], whole["loop"]["ledger"]["best_theta"])
