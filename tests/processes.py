"""Who is still there: processes that a test started, their shared memory and temporary files; what they hold."""

import gc
import os
import tempfile
import time
from pathlib import Path

import pytest

# Everything that a test starts inherits it.
MARK = "ZG_TEST_MARK"


@pytest.fixture
def nothing_left(tmp_path, monkeypatch):
    """After each test: no process, no shared memory, no temporary file."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv(MARK, str(tmp_path))
    yield
    gc.collect()
    until(lambda: not marked(tmp_path) and not list(folder.iterdir()))
    assert "zg-image" not in Path("/proc/self/maps").read_text()
    assert not any("zg-image" in os.readlink(f"/proc/self/fd/{name}") for name in descriptors())


def descriptors():
    return [name for name in os.listdir("/proc/self/fd") if os.path.islink(f"/proc/self/fd/{name}")]


def marked(mark):
    """{pid: command} of living processes other than this one that inherited the mark."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}\0".encode() in (process / "environ").read_bytes():
                found[int(process.name)] = (process / "cmdline").read_bytes().decode()
        except OSError:
            continue
    found.pop(os.getpid(), None)
    return found


def until(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, condition
        time.sleep(0.02)


def renderers(mark):
    """Processes that render, of those with the mark."""
    return [pid for pid, command in marked(mark).items() if "workers/child" in command]


def resident_mb(pids):
    """Megabytes that these processes hold together; what they share counts for each."""
    pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids)
    return pages * os.sysconf("SC_PAGESIZE") / 2**20


def growth_mb(step, steps, warm_up, others=tuple):
    """Megabytes that this process and `others()` grew by at most after the first `warm_up` steps."""
    held = []
    for k in range(steps):
        step(k)
        if k + 1 >= warm_up:
            held.append(resident_mb([os.getpid(), *others()]))
    return max(held) - held[0]
