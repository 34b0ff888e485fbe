"""One renderer process as its parent sees it, and the guard that ends renderer processes whose parent is gone."""

import contextlib
import math
import os
import select
import selectors
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from zg.errors import SettingError, signal_name
from zg.workers import child, guard
from zg.workers.child import pack
from zg.workers.memory import SharedImage
from zg.workers.pipes import Pipes
from zg.workers.pool import PYTHON

# Caches fill during the first renders of a process. Growth of its memory is measured from this render on.
SETTLED = 10


class Guard:
    """The process that kills renderer processes when this process is gone, and removes `folder`."""

    def __init__(self, folder: str) -> None:
        command = [*PYTHON, "-I", "-S", guard.__file__, folder, str(os.getpid())]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, bufsize=0, start_new_session=True)

    def watch(self, group: int) -> None:
        """Add a process group."""
        self._write(b"+%d\n" % group)

    def release(self, group: int) -> None:
        """Remove a process group that has ended."""
        self._write(b"-%d\n" % group)

    def _write(self, line: bytes) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # the guard is gone; renderer processes watch their parent as well
            self.process.stdin.write(line)

    def end(self) -> None:
        """End the guard, and no renderer process."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self._write(b"0\n")
        self.process.stdin.close()
        select.select([self.process.stdout], [], [], guard.DEATH_SECONDS)  # its output is closed when it has ended
        self.process.stdout.close()
        self.process.wait()


@dataclass(frozen=True)
class Order:
    """How a renderer process is started, and what it loads.

    argv: the command that runs a Python file. message: the message that names the scene. descriptors: further ones that
    it inherits. environment: variables besides those of this process.
    """

    argv: Sequence[str]
    message: bytes
    descriptors: Sequence[int]
    environment: Mapping[str, str]


@dataclass
class Job:
    """A render that has not ended. tries: how often a process has started it."""

    ticket: int
    request: bytes
    tries: int = 0


class RendererProcess:
    """One renderer process. The constructor starts it and orders it to load its scene; `end` ends it.

    image: shared memory of the image. folder: in it, its `TMPDIR` is made here, and removed by `end`. timeout: seconds
    until its scene must be loaded.
    ready: whether the scene is loaded. job: what it renders now. deadline: the
    `time.monotonic()`, in seconds, at which it is given up. renders: how many it has finished. growth: bytes of memory
    by which it has grown since its tenth render.
    Raises SettingError when the command cannot be run.
    """

    def __init__(
        self,
        order: Order,
        image: SharedImage,
        folder: str,
        selector: selectors.BaseSelector,
        guard: Guard,
        timeout: float,
    ) -> None:
        self.image, self.guard = image, guard
        self.ready, self.ended = False, False
        self.job: Job | None = None
        self.number = self.renders = 0
        self.settled: int | None = None
        self.growth = 0
        os.makedirs(folder, exist_ok=True)  # a renderer may have removed it
        self.folder = tempfile.mkdtemp(dir=folder)  # never that of a former process, in which something may still write
        self.pipes = Pipes(selector, self)
        self.popen = self._start(order)
        guard.watch(self.popen.pid)
        self.deadline = time.monotonic() + timeout
        self.pipes.send(order.message)

    def _start(self, order: Order) -> subprocess.Popen[bytes]:
        requests, replies, printed = self.pipes.child_ends
        channels = (requests, replies, self.image.descriptor)
        environment = {
            child.ENVIRONMENT: ",".join(map(str, channels)),
            guard.FOLDER: self.folder,
            "TMPDIR": self.folder,
        }
        try:
            return subprocess.Popen(
                [*order.argv, child.__file__],
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=printed,
                pass_fds=(*channels, *order.descriptors),
                env={**os.environ, **order.environment, **environment},
                start_new_session=True,
            )
        except OSError as error:
            self.pipes.close()
            raise SettingError(f"'{order.argv[0]}' must be an executable program: {error.strerror}") from None
        finally:
            self.pipes.close_child_ends()

    def ask(self, job: Job, timeout: float | None) -> None:
        """Ask for a render that may take `timeout` seconds; None is no limit."""
        self.number = (self.number + 1) % 2**32
        self.job, self.deadline = job, math.inf if timeout is None else time.monotonic() + timeout
        job.tries += 1
        self.pipes.send(pack(child.RENDER, self.number, job.request))

    def loaded(self) -> None:
        """Note that the scene is loaded."""
        self.ready, self.deadline = True, math.inf

    def finished(self, resident: int | None) -> None:
        """Note that the render is finished. resident: bytes of memory that the process holds, if it told them."""
        self.job, self.deadline = None, math.inf
        self.renders += 1
        if resident is not None and self.renders >= SETTLED:
            self.settled = resident if self.settled is None else self.settled
            self.growth = resident - self.settled

    def end(self, grace: float = 0.0) -> int | None:
        """Kill the process and all processes that it started, also those that have left its process group.

        grace: seconds in which it may end by itself. Returns its exit code if it did so, else None.
        """
        if self.ended:
            return None
        self.ended = True
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.popen.wait(grace)
        code = self.popen.returncode
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        guard.kill_all_of(self.folder)
        self.guard.release(self.popen.pid)
        self.popen.wait()
        self.pipes.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        return code


def describe_exit(code: int | None) -> str:
    """How a process ended that closed its pipes; code: its exit code, None if it still ran."""
    if code is None:
        return "closed its reply pipe"
    return f"was killed by {signal_name(-code)}" if code < 0 else f"ended with code {code}"
