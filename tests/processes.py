"""Processes that a test started, their shared memory and temporary files: which are still there, how much they hold."""

import gc
import os
import tempfile
import time
from pathlib import Path

import pytest

# The environment variable that marks a test. Every process that the test starts inherits it.
MARK = "ZG_TEST_MARK"


@pytest.fixture
def nothing_left(tmp_path, monkeypatch):
    """Check after the test that no process, shared memory or temporary file of the test is left."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv(MARK, str(tmp_path))

    def left():
        # torch makes the folder of its compiler's cache when it is first imported, and keeps it.
        files = [str(path) for path in folder.iterdir() if not path.name.startswith("torchinductor")]
        return [*marked(tmp_path).values(), *files]

    yield
    gc.collect()
    until(lambda: not left(), left)
    assert "zg-image" not in Path("/proc/self/maps").read_text(), "an image is still mapped"
    assert not [name for name in descriptors() if "zg-image" in name], "the descriptor of an image is still open"


def descriptors():
    """What the open file descriptors of this process refer to."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        try:
            found.append(os.readlink(link))
        except FileNotFoundError:  # the descriptor that listed the folder
            continue
    return found


def marked(mark):
    """{process id: command} of running processes other than this one that inherited the mark."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}\0".encode() in (process / "environ").read_bytes():
                found[int(process.name)] = (process / "cmdline").read_bytes().decode()
        except OSError:
            continue
    found.pop(os.getpid(), None)
    return found


def until(condition, observed=lambda: "", seconds=60.0):
    """Wait until a condition holds. Fails after `seconds` with what is `observed` then."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"still waiting after {seconds:g} s: {observed()}"
        time.sleep(0.02)


def state(pid):
    """State of the main thread of a process: R runs, S sleeps, T is stopped, Z has ended."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def renderers(mark):
    """Ids of the marked processes that are renderer processes."""
    return [pid for pid, command in marked(mark).items() if "workers/child" in command]


def resident_mb(pids):
    """Memory of these processes together, in megabytes; memory that they share is counted for each."""
    pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids)
    return pages * os.sysconf("SC_PAGESIZE") / 2**20


def growth_mb(step, steps, warm_up, others=tuple):
    """Largest growth of the memory of this process and of `others()`, in megabytes, since the step `warm_up`."""
    held = []
    for k in range(steps):
        step(k)
        if k + 1 >= warm_up:
            held.append(resident_mb([os.getpid(), *others()]))
    return max(held) - held[0]
