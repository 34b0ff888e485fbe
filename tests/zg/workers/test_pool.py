"""A pool of real processes with real faults; tests/zg/workers/scenes/faulty.py is the renderer."""

import gc
import os
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest

from tests.processes import marked, nothing_left, state, until  # noqa: F401
from tests.zg.workers.scenes import faulty
from zg.errors import SettingError
from zg.workers.pool import PYTHON, PoolSettings, Scene
from zg.workers.processes import Processes

SCENE = Path(faulty.__file__)
SHAPE = (3, 4, 5)
pytestmark = pytest.mark.usefixtures("nothing_left")


def make(**options):
    settings = options.pop("settings", {})
    return Processes(Scene(PYTHON, SCENE, settings, SHAPE), PoolSettings(**options))


def rows(*orders):
    """x [B, 3]: what happens, how much of it, and the scale of the ramp; by default 0 and 1."""
    return np.array([(*order, 1.0)[:3] if len(order) > 1 else (*order, 0.0, 1.0) for order in orders], dtype=float)


def lines(log):
    """(process id, what happens) of every render that has started."""
    return [tuple(map(int, line.split())) for line in log.read_text().splitlines()] if log.exists() else []


def expected(x, seeds):
    ramps = [faulty.Renderer({}).render(np.array([0, 0, row[2]]), seed) for row, seed in zip(x, seeds, strict=True)]
    return np.asarray(ramps, dtype=np.float32)


def test_images_are_in_the_order_of_the_parameters_whichever_process_renders_them():
    x = rows((faulty.SLEEP, 0.3, 1), *((faulty.RENDER, 0, k) for k in range(6)))
    seeds = np.arange(7)
    with make(workers=2) as pool:
        images = pool.render(x, seeds)
        assert pool.version == "1.2" and pool.errors == []
        assert np.array_equal(images, pool.render(x[::-1], seeds[::-1])[::-1])
    assert images.dtype == np.float32
    assert np.array_equal(images, expected(x, seeds))


def test_the_next_free_process_takes_the_next_render(tmp_path):
    with make(workers=2, settings={"log": str(tmp_path / "log")}) as pool:
        pool.render(rows((faulty.AWAIT, 6), *[(faulty.RENDER,)] * 5))
        started = lines(tmp_path / "log")
    [slow] = (pid for pid, what in started if what == faulty.AWAIT)
    others = [pid for pid, what in started if what == faulty.RENDER]
    assert len(others) == 5 and slow not in others and len(set(others)) == 1


def test_parameters_longer_than_a_pipe_holds_arrive_whole():
    x = np.zeros((2, 300_000))
    x[:, -1] = 0.5, 0.25
    with make() as pool:
        images = pool.render(x)
    assert images[0].max() == 0.5 and images[1].max() == 0.25


def test_after_an_exception_the_image_is_nan_and_the_process_stays():
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
        (faulty.DIE, r"^faulty.py was killed by SIGSEGV; last output: about to die$"),
        (faulty.STOP, r"^faulty.py took longer than timeout = 2 s$"),
        (faulty.CORRUPT, r"^faulty.py sent bytes that are not a message$"),
    ],
)
def test_a_render_whose_process_is_lost_twice_fails_and_the_other_renders_succeed(what, why, tmp_path):
    x = rows((faulty.RENDER,), (what,), (faulty.RENDER,))
    with make(timeout=2.0, settings={"log": str(tmp_path / "log")}) as pool:
        images = pool.render(x)
        assert np.isnan(images[1]).all()
        assert np.array_equal(images[[0, 2]], expected(x[[0, 2]], [0, 0]))
        assert pool.lost == 2
        [error] = pool.errors
        assert re.search(why, error)
    started = [what for _, what in lines(tmp_path / "log")]
    assert started.count(what) == 2 and len(started) == 4


@pytest.mark.parametrize(
    "what, said",
    [
        (faulty.NO_TEXT, r"^RuntimeError: cannot read \\udcff.exr \(faulty.py, line "),
        (faulty.NO_MESSAGE, r"^Unspeakable: its text cannot be told \(faulty.py, line "),
    ],
)
def test_an_exception_with_a_text_that_cannot_be_written_leaves_the_process(what, said):
    with make() as pool:
        assert np.isnan(pool.render(rows((what,)))).all()
        assert pool.lost == 0
        assert re.match(said, pool.errors[0])


def test_a_helper_that_left_the_process_group_and_refills_the_folder_ends_with_its_process(tmp_path):
    with make() as pool:
        images = pool.render(rows((faulty.HELPER,), (faulty.RENDER,)))
        assert np.isnan(images[0]).all() and np.isfinite(images[1]).all()
        assert pool.lost == 2
        assert len(marked(tmp_path)) == 2, "only the renderer process and the guard are there"


def test_a_renderer_that_removes_its_folder_of_temporary_files_has_it_again_for_the_next_render():
    with make() as pool:
        assert np.isfinite(pool.render(rows((faulty.NO_FOLDER,), (faulty.RENDER,)))).all()
        shutil.rmtree(next(Path(tempfile.gettempdir()).glob("zg-workers-*")))
        assert np.isnan(pool.render(rows((faulty.DIE,)))).all()
        assert np.isfinite(pool.render(rows((faulty.RENDER,)))).all()


def test_a_process_that_a_signal_without_a_name_ended_is_described():
    with make() as pool:
        assert np.isnan(pool.render(rows((faulty.REAL_TIME,)))).all()
        assert pool.errors == [f"faulty.py was killed by signal {signal.SIGRTMIN + 1}"]


@pytest.mark.parametrize("what", [faulty.DIE, faulty.STOP, faulty.CORRUPT])
def test_a_render_whose_process_is_lost_once_is_tried_again(what, tmp_path):
    with make(timeout=2.0, settings={"once": str(tmp_path / "once")}) as pool:
        x = rows((what,))
        assert np.array_equal(pool.render(x), expected(x, [0]))
        assert pool.errors == [] and pool.lost == 1


def test_a_process_that_is_killed_while_it_renders_is_replaced(tmp_path):
    once = tmp_path / "once"  # made by the first render; the second try does not sleep
    with make(settings={"once": str(once)}) as pool:
        [victim] = pool.pids

        def kill():
            until(once.exists)
            os.kill(victim, signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        x = rows((faulty.SLEEP, 600.0))
        assert np.array_equal(pool.render(x), expected(x, [0]))
        killer.join()
        assert pool.lost == 1 and pool.pids != [victim]


def test_a_process_that_is_killed_while_idle_costs_no_try():
    with make() as pool:
        [victim] = pool.pids
        os.kill(victim, signal.SIGKILL)
        os.waitid(os.P_PID, victim, os.WEXITED | os.WNOWAIT)  # its pipes are closed now
        images = pool.render(rows((faulty.DIE,), (faulty.RENDER,)))
        assert np.isfinite(images[1]).all()
        assert pool.lost == 3, "the idle process, and two for the first render"
        assert len(pool.errors) == 1


def test_printed_output_is_not_read_as_messages():
    with make() as pool:
        x = rows((faulty.PRINT,), (faulty.PRINT,))
        assert np.array_equal(pool.render(x), expected(x, [0, 0]))
        assert pool.lost == 0


def test_an_image_of_the_wrong_shape_raises_an_error_of_one_line():
    with make() as pool, pytest.raises(SettingError, match=r"faulty.py must return shape \[3, 4, 5\], got \[3\]$"):
        pool.render(rows((faulty.WRONG_SHAPE,)))


def test_a_process_is_recycled_after_recycle_renders():
    with make(recycle_renders=5) as pool:
        assert np.isfinite(pool.render(rows(*[(faulty.RENDER,)] * 12))).all()
        assert pool.recycled == 2 and pool.lost == 0


def test_a_process_is_recycled_when_its_memory_has_grown_by_recycle_mb():
    with make(recycle_mb=20) as pool:
        assert np.isfinite(pool.render(rows(*[(faulty.LEAK, 4.0)] * 20))).all()
        assert pool.recycled == 1 and pool.lost == 0


@pytest.mark.parametrize(
    "argv, settings, why",
    [
        (["no-such-renderer"], {}, r"^the renderer's program must be an executable, got 'no-such-renderer'$"),
        ([sys.executable, "-c", "raise SystemExit('not a renderer')"], {}, r"code 1; last output: not a renderer$"),
        (PYTHON, {"needs": "3.4"}, r"^faulty.py must load: RuntimeError: needs version 3.4 or later, this is 1.2 \("),
        (PYTHON, {"hang": True}, r"faulty.py took longer than start_timeout = 1 s$"),
    ],
)
def test_a_renderer_that_does_not_start_raises_an_error_of_one_line(argv, settings, why):
    with pytest.raises(SettingError, match=why) as raised:
        limits = PoolSettings(workers=2, start_timeout=1.0 if "hang" in settings else 60.0)
        Processes(Scene(argv, SCENE, settings, SHAPE), limits).start()
    assert "\n" not in str(raised.value)


def test_a_program_that_was_deleted_raises_an_error_of_one_line_when_a_process_is_replaced(tmp_path):
    program = tmp_path / "renderer"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    program.chmod(0o755)
    with Processes(Scene([str(program), "-P"], SCENE, {}, SHAPE), PoolSettings()) as pool:
        program.unlink()
        with pytest.raises(SettingError, match=r"renderer' must be an executable program: No such file"):
            pool.render(rows((faulty.DIE,)))


def test_an_image_too_large_for_shared_memory_raises_an_error_of_one_line():
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(SettingError, match=r"^12582912 bytes must fit into shared memory: File too large$"):
            Processes(Scene(PYTHON, SCENE, {}, (3, 1024, 1024)), PoolSettings()).start()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_pool_renders_again_after_ctrl_c(tmp_path):
    log = tmp_path / "log"

    def interrupt():
        until(lambda: len(lines(log)) == 2)
        os.kill(os.getpid(), signal.SIGINT)

    with make(workers=2, settings={"log": str(log)}) as pool:
        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            pool.render(rows((faulty.SLEEP, 600.0), (faulty.SLEEP, 600.0)))
        thread.join()
        assert np.isfinite(pool.render(rows((faulty.RENDER,)))).all()


# A program whose pool renders four times, then does `what` in both processes, or waits.
PARENT = """
import sys, threading, time
import numpy as np
from zg.workers.pool import PYTHON, PoolSettings, Scene, open_pool

pool = open_pool(Scene(PYTHON, sys.argv[1], {"log": sys.argv[2]}, (3, 4, 5)), PoolSettings(workers=2, timeout=600))
starter = threading.Thread(target=pool.start)
starter.start()
starter.join()  # the end of the thread that started the processes must not end them
what = int(sys.argv[3])
assert np.isfinite(pool.render(np.zeros((4, 3)))).all()
if what:
    pool.render(np.array([[what, 600, 1.0]] * 2))
time.sleep(600)
"""


def start_parent(what, log, temporary):
    environment = {**os.environ, "TMPDIR": str(temporary)}
    return subprocess.Popen([sys.executable, "-c", PARENT, SCENE, log, str(what)], env=environment)


@pytest.mark.parametrize("what", [faulty.RENDER, faulty.HOLD, faulty.CHILD, faulty.STOP])
def test_no_process_outlives_a_parent_that_is_killed(what, tmp_path):
    """Idle, in C code that keeps the interpreter's lock, with a child process of the renderer, or stopped."""
    log = tmp_path / "log"
    parent = start_parent(what, log, tempfile.gettempdir())

    def commands():
        return " ".join(marked(tmp_path).values())

    try:
        until(lambda: len(lines(log)) == (4 if what == faulty.RENDER else 6))
        pids = {pid for pid, _ in lines(log)}
        until(lambda: all(state(pid) == ("T" if what == faulty.STOP else "S") for pid in pids))
        until(lambda: commands().count("sleep\x00600") == (2 if what == faulty.CHILD else 0), commands)
        assert commands().count("workers/child") == 2 and commands().count("workers/guard") == 1
    finally:
        parent.kill()
        parent.wait()


def test_a_process_ends_by_itself_when_its_parent_and_the_guard_are_killed(tmp_path):
    log = tmp_path / "log"
    parent = start_parent(faulty.RENDER, log, tmp_path)  # the guard is not there to remove temporary files
    until(lambda: len(lines(log)) == 4)
    guards = [pid for pid, command in marked(tmp_path).items() if "workers/guard" in command]
    for pid in (*guards, parent.pid):
        os.kill(pid, signal.SIGKILL)
    parent.wait()


def test_deleting_the_pool_ends_its_processes(tmp_path):
    pool = make(workers=2)
    pool.start()
    assert len(marked(tmp_path)) == 3, "expected two renderer processes and the guard"
    del pool
    gc.collect()
    assert not marked(tmp_path)


@pytest.mark.parametrize(
    "setting, said",
    [
        ({"workers": 1.5}, "workers must be a whole number, got 1.5"),
        ({"timeout": 0}, "timeout must be > 0, got 0"),
        ({"start_timeout": -1.0}, "start_timeout must be > 0, got -1.0"),
        ({"recycle_renders": 0}, "recycle_renders must be > 0, got 0"),
        ({"recycle_mb": float("inf")}, "recycle_mb must be a finite number, got inf"),
    ],
)
def test_a_wrong_setting_raises_an_error_of_one_line(setting, said):
    with pytest.raises(SettingError, match=f"^{said}$"):
        make(**setting)
