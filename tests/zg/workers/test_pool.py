"""Real processes, real faults: see tests/zg/scenes/faulty.py for what the renderer does on demand."""

import gc
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from tests.processes import marked, nothing_left, until  # noqa: F401
from tests.zg.workers.scenes import faulty
from zg.errors import SettingError
from zg.workers.pool import PYTHON, Workers

SCENE = Path(faulty.__file__)
SHAPE = (3, 4, 5)
pytestmark = pytest.mark.usefixtures("nothing_left")


def make(**options):
    settings = options.pop("settings", {})
    return Workers(PYTHON, SCENE, settings, SHAPE, **options)


def rows(*orders):
    """x [B, 3]: what to do, how much, and the brightness of the ramp."""
    return np.array([(*order, 1.0)[:3] if len(order) > 1 else (*order, 0.0, 1.0) for order in orders], dtype=float)


def expected(x, seeds):
    ramps = [faulty.Renderer({}).render(np.array([0, 0, row[2]]), seed) for row, seed in zip(x, seeds, strict=True)]
    return np.asarray(ramps, dtype=np.float32)


def test_images_come_in_the_order_of_the_parameters_whoever_rendered():
    x = rows((faulty.SLEEP, 0.3, 1), *((faulty.RENDER, 0, k) for k in range(6)))
    seeds = np.arange(7)
    with make(workers=2) as pool:
        images = pool.render(x, seeds)
        assert pool.version == "1.2" and pool.errors == []
        assert np.array_equal(images, pool.render(x[::-1], seeds[::-1])[::-1])
    assert images.dtype == np.float32
    assert np.array_equal(images, expected(x, seeds))


def test_the_next_free_worker_takes_the_next_render(tmp_path):
    with make(workers=2, settings={"log": str(tmp_path / "log")}) as pool:
        pool.render(rows((faulty.AWAIT, 6), *[(faulty.RENDER,)] * 5))
        begun = [line.split() for line in (tmp_path / "log").read_text().splitlines()]
    [slow] = (pid for pid, what in begun if int(what) == faulty.AWAIT)
    others = [pid for pid, what in begun if int(what) == faulty.RENDER]
    assert len(others) == 5 and slow not in others and len(set(others)) == 1


def test_long_parameter_vectors_pass():
    x = np.zeros((2, 300_000))
    x[:, -1] = 0.5, 0.25
    with make() as pool:
        images = pool.render(x)
    assert images[0].max() == 0.5 and images[1].max() == 0.25


def test_a_renderer_that_raises_has_failed_and_stays():
    with make() as pool:
        pids = pool.pids
        images = pool.render(rows((faulty.RAISE,), (faulty.RENDER,)))
        assert np.isnan(images[0]).all() and np.isfinite(images[1]).all()
        assert pool.pids == pids
        [error] = pool.errors
        assert error.startswith("ValueError: a negative radius (faulty.py, line ")


@pytest.mark.parametrize(
    "what, why",
    [
        (faulty.DIE, r"^faulty.py was killed by SIGSEGV; it said: about to die$"),
        (faulty.STOP, r"^faulty.py took longer than timeout = 2 s$"),
        (faulty.SPOIL, r"^faulty.py sent what is no message$"),
    ],
)
def test_a_render_that_is_lost_twice_has_failed_and_the_others_go_on(what, why, tmp_path):
    x = rows((faulty.RENDER,), (what,), (faulty.RENDER,))
    with make(timeout=2.0, settings={"log": str(tmp_path / "log")}) as pool:
        images = pool.render(x)
        assert np.isnan(images[1]).all()
        assert np.array_equal(images[[0, 2]], expected(x[[0, 2]], [0, 0]))
        assert pool.lost == 2
        [error] = pool.errors
        assert re.search(why, error)
    begun = [int(line.split()[1]) for line in (tmp_path / "log").read_text().splitlines()]
    assert begun.count(what) == 2 and len(begun) == 4


@pytest.mark.parametrize("what", [faulty.DIE, faulty.STOP, faulty.SPOIL])
def test_a_render_that_is_lost_once_is_tried_again(what, tmp_path):
    with make(timeout=2.0, settings={"once": str(tmp_path / "once")}) as pool:
        x = rows((what,))
        assert np.array_equal(pool.render(x), expected(x, [0]))
        assert pool.errors == [] and pool.lost == 1


def test_a_worker_that_is_killed_while_rendering_is_replaced(tmp_path):
    log = tmp_path / "log"
    with make(settings={"log": str(log)}) as pool:
        [victim] = pool.pids

        def kill():
            until(log.exists)
            os.kill(victim, signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        x = rows((faulty.SLEEP, 1.0))
        assert np.array_equal(pool.render(x), expected(x, [0]))
        killer.join()
        assert pool.lost == 1 and pool.pids != [victim]


def test_a_worker_that_is_killed_while_idle_costs_no_try():
    with make() as pool:
        os.kill(pool.pids[0], signal.SIGKILL)
        time.sleep(0.2)
        images = pool.render(rows((faulty.DIE,), (faulty.RENDER,)))
        assert np.isfinite(images[1]).all()
        assert pool.lost == 3 and len(pool.errors) == 1


def test_what_a_renderer_prints_is_not_taken_for_messages():
    with make() as pool:
        x = rows((faulty.PRINT,), (faulty.PRINT,))
        assert np.array_equal(pool.render(x), expected(x, [0, 0]))
        assert pool.lost == 0


def test_an_image_of_another_shape_stops_with_one_line():
    with make() as pool, pytest.raises(SettingError, match=r"faulty.py must return shape \[3, 4, 5\], got \[3\]$"):
        pool.render(rows((faulty.MISFIT,)))


def test_workers_are_replaced_after_so_many_renders_and_megabytes():
    with make(recycle_renders=5) as pool:
        assert np.isfinite(pool.render(rows(*[(faulty.RENDER,)] * 12))).all()
        assert pool.recycled == 2 and pool.lost == 0
    with make(recycle_mb=20) as pool:
        assert np.isfinite(pool.render(rows(*[(faulty.LEAK, 4.0)] * 20))).all()
        assert pool.recycled == 1 and pool.lost == 0


@pytest.mark.parametrize(
    "argv, settings, why",
    [
        (["no-such-renderer"], {}, r"^the renderer's program must be one that can be run, got 'no-such-renderer'$"),
        ([sys.executable, "-c", "raise SystemExit('not a renderer')"], {}, r"code 1; it said: not a renderer$"),
        (PYTHON, {"needs": "3.4"}, r"^faulty.py must load: RuntimeError: needs version 3.4 or later, this is 1.2 \("),
        (PYTHON, {"hang": True}, r"faulty.py took longer than start_timeout = 1 s$"),
    ],
)
def test_a_renderer_that_does_not_start_is_told_in_one_line(argv, settings, why):
    with pytest.raises(SettingError, match=why) as caught:
        Workers(argv, SCENE, settings, SHAPE, workers=2, start_timeout=1.0 if "hang" in settings else 60.0).start()
    assert "\n" not in str(caught.value)


def test_a_program_that_is_gone_when_it_is_needed_again_stops_with_one_line(tmp_path):
    program = tmp_path / "renderer"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    program.chmod(0o755)
    with Workers([str(program), "-P"], SCENE, {}, SHAPE) as pool:
        program.unlink()
        with pytest.raises(SettingError, match=r"renderer' must be a program that can be run: No such file"):
            pool.render(rows((faulty.DIE,)))


def test_no_room_for_the_image_is_told_in_one_line():
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(
            SettingError, match=r"^an image of 12582912 bytes must fit into shared memory: File too large$"
        ):
            Workers(PYTHON, SCENE, {}, (3, 1024, 1024)).start()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_an_interrupted_batch_leaves_a_pool_that_renders():
    with make(workers=2) as pool:
        interrupt = threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGINT])
        interrupt.start()
        with pytest.raises(KeyboardInterrupt):
            pool.render(rows((faulty.SLEEP, 60.0), (faulty.SLEEP, 60.0)))
        assert np.isfinite(pool.render(rows((faulty.RENDER,)))).all()


ORPHAN = """
import sys, threading, time
import numpy as np
from zg.workers.pool import PYTHON, Workers

pool = Workers(PYTHON, sys.argv[1], {"log": sys.argv[2]}, (3, 4, 5), workers=2, timeout=600)
starter = threading.Thread(target=pool.start)
starter.start()
starter.join()  # the thread that spawned is gone, and the workers are not
what = int(sys.argv[3])
assert np.isfinite(pool.render(np.zeros((4, 3)))).all()
if what:
    pool.render(np.array([[what, 600, 1.0]] * 2))
time.sleep(600)
"""


@pytest.mark.parametrize("what", [faulty.RENDER, faulty.HOLD, faulty.CHILD, faulty.STOP])
def test_nothing_outlives_a_parent_that_is_killed(what, tmp_path):
    """Idle, in C code that keeps the interpreter's lock, in a program that the renderer started, or stopped."""
    log = tmp_path / "log"
    environment = {**os.environ, "TMPDIR": tempfile.gettempdir()}
    parent = subprocess.Popen([sys.executable, "-c", ORPHAN, SCENE, log, str(what)], env=environment)
    begun = 4 if what == faulty.RENDER else 6
    try:
        until(lambda: log.exists() and len(log.read_text().splitlines()) == begun)
        time.sleep(0.3)
        commands = " ".join(marked(tmp_path).values())
        assert commands.count("workers/child") == 2 and commands.count("workers/guard") == 1
        assert commands.count("sleep\x00600") == (2 if what == faulty.CHILD else 0)
    finally:
        parent.kill()
        parent.wait()


def test_a_worker_ends_by_itself_where_the_guard_has_been_killed_too(tmp_path):
    log = tmp_path / "log"
    environment = {**os.environ, "TMPDIR": str(tmp_path)}  # the guard is not there to remove what is in it
    parent = subprocess.Popen([sys.executable, "-c", ORPHAN, SCENE, log, str(faulty.RENDER)], env=environment)
    until(lambda: log.exists() and len(log.read_text().splitlines()) == 4)
    guards = [pid for pid, command in marked(tmp_path).items() if "workers/guard" in command]
    for pid in (*guards, parent.pid):
        os.kill(pid, signal.SIGKILL)
    parent.wait()


def test_the_end_of_the_pool_object_ends_its_processes(tmp_path):
    pool = make(workers=2)
    pool.start()
    assert len(marked(tmp_path)) == 3
    del pool
    gc.collect()
    assert not marked(tmp_path)
