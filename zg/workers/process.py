"""One renderer process as its parent sees it: pipes for messages and prints, memory for an image, a deadline."""

import contextlib
import math
import mmap
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

import numpy as np

from zg.errors import SettingError
from zg.workers import child, guard
from zg.workers.child import Garbage, pack, unpack

#: Runs a Python file by this Python; the folder of the file is not searched for modules.
PYTHON = (sys.executable, "-P")
#: Kind, number of the render, payload.
Message = tuple[int, int, bytes]
# What a renderer printed last is kept up to so many bytes, and a reply is never longer than a megabyte.
KEPT_OUTPUT = 8192
LONGEST_REPLY = 2**20
# Caches fill during the first renders; what is held after them is no leak.
SETTLED = 10


class Lost(Exception):
    """A process died, hung, or sent what is no message."""


class Guard:
    """The process that ends the others when this one is gone, and removes `folder`."""

    def __init__(self, folder: str) -> None:
        command = [*PYTHON, "-I", "-S", guard.__file__, folder]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, bufsize=0, start_new_session=True)

    def mind(self, group: int) -> None:
        """Mind a process group; a negative number leaves it."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # the processes watch their parent, too
            self.process.stdin.write(b"%+d\n" % group)

    def end(self) -> None:
        """End the guard alone."""
        assert self.process.stdin is not None
        self.process.kill()
        self.process.stdin.close()
        self.process.wait()


class RendererProcess:
    """One place in a pool: memory for an image [*shape], and the process that is there now.

    argv and order: what starts it, and the message that makes it load. `job` is what it renders, `deadline` when it is
    given up, `ready` whether it has loaded.
    """

    def __init__(
        self,
        argv: Sequence[str],
        order: bytes,
        shape: Sequence[int],
        folder: str,
        selector: selectors.BaseSelector,
        guard: Guard,
    ) -> None:
        self.argv, self.order, self.folder = argv, order, folder
        self.selector, self.guard = selector, guard
        size = 4 * math.prod(shape)
        self.memory = make_memory(size)
        self.image = np.frombuffer(mmap.mmap(self.memory, size), dtype=np.float32).reshape(shape)
        self.process: subprocess.Popen[bytes] | None = None
        self.code: int | None = None
        self.job: int | None = None
        self.number = 0

    def start(self, timeout: float) -> None:
        """Start the process and order it to load. Raises SettingError when the program cannot be run."""
        self.ready, self.job, self.renders, self.settled = False, None, 0, math.inf
        self.sending, self.received, self.output = memoryview(b""), bytearray(), b""
        os.makedirs(self.folder)
        request_end, self.requests = os.pipe()
        self.replies, reply_end = os.pipe()
        self.printed, print_end = os.pipe()
        theirs = (request_end, reply_end, self.memory)
        environment = {child.ENVIRONMENT: ",".join(map(str, theirs)), "TMPDIR": self.folder}
        try:
            self.process = subprocess.Popen(
                [*self.argv, child.__file__],
                stdin=subprocess.DEVNULL,
                stdout=print_end,
                stderr=print_end,
                pass_fds=theirs,
                env={**os.environ, **environment},
                start_new_session=True,
            )
        except OSError as error:
            for descriptor in (self.requests, self.replies, self.printed):
                os.close(descriptor)
            raise SettingError(f"'{self.argv[0]}' must be a program that can be run: {error.strerror}") from None
        finally:
            for descriptor in (request_end, reply_end, print_end):
                os.close(descriptor)
        self.guard.mind(self.process.pid)
        for descriptor, read in ((self.replies, self.read_replies), (self.printed, self.read_printed)):
            os.set_blocking(descriptor, False)
            self.selector.register(descriptor, selectors.EVENT_READ, (self, read))
        os.set_blocking(self.requests, False)
        self.deadline = time.monotonic() + timeout
        self._send(self.order)

    def ask(self, job: int, request: bytes, timeout: float) -> None:
        """Have it render."""
        self.number = (self.number + 1) % 2**32
        self.job, self.deadline = job, time.monotonic() + timeout
        self._send(pack(child.RENDER, self.number, request))

    def free(self) -> None:
        """It has rendered, or loaded."""
        self.job, self.deadline = None, math.inf

    def grown(self, resident: int) -> float:
        """Bytes by which it holds more than after its tenth render; negative infinity before."""
        if self.renders >= SETTLED and math.isinf(self.settled):
            self.settled = resident
        return resident - self.settled

    def _send(self, message: bytes) -> None:
        self.sending = memoryview(message)
        self.selector.register(self.requests, selectors.EVENT_WRITE, (self, self.flush))
        self.flush()

    def flush(self) -> list[Message]:
        """Write as much as fits."""
        if not self.sending:  # meant for a process that has been replaced since
            return []
        try:
            while self.sending:
                self.sending = self.sending[os.write(self.requests, self.sending) :]
        except BlockingIOError:
            return []
        except BrokenPipeError:  # its replies tell, too
            self.sending = memoryview(b"")
        self.selector.unregister(self.requests)
        return []

    def read_printed(self) -> list[Message]:
        """Keep the end of what the renderer printed."""
        with contextlib.suppress(BlockingIOError, KeyError):
            part = os.read(self.printed, LONGEST_REPLY)
            self.output = (self.output + part)[-KEPT_OUTPUT:]
            if not part:
                self.selector.unregister(self.printed)
        return []

    def read_replies(self) -> list[Message]:
        """The messages that are all there. Raises Lost when there will be no more, or when they are none."""
        try:
            part = os.read(self.replies, LONGEST_REPLY)
        except BlockingIOError:
            return []
        if not part:
            raise Lost
        self.received += part
        messages = []
        try:
            while self.received and (message := unpack(self.received, LONGEST_REPLY)) is not None:
                messages.append(message)
                del self.received[: child.HEADER.size + len(message[2])]
        except Garbage:
            raise Lost("sent what is no message") from None
        return messages

    def end(self, patience: float = 0.0) -> None:
        """Kill the process with all that it started, after some seconds in which it may end by itself."""
        if self.process is None:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(patience)
        self.code = self.process.returncode
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.guard.mind(-self.process.pid)
        self.process.wait()
        self.read_printed()
        for descriptor in (self.requests, self.replies, self.printed):
            with contextlib.suppress(KeyError):
                self.selector.unregister(descriptor)
            os.close(descriptor)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.process = None

    def fate(self) -> str:
        """How the last process ended by itself."""
        if self.code is None:
            return "closed its replies"
        if self.code < 0:
            return f"was killed by {signal.Signals(-self.code).name}"
        return f"ended with code {self.code}"

    def last_words(self) -> str:
        """What the last process printed in the end, to be added to an error."""
        lines = self.output.decode(errors="replace").splitlines()
        words = [" ".join(line.split()) for line in lines if line.strip()]
        return f"; it said: {' | '.join(words[-3:])[-300:]}" if words else ""


def make_memory(size: int) -> int:
    """A descriptor of `size` bytes of memory that can be shared and will not run out.

    Raises SettingError where there is no room.
    """
    try:
        try:
            descriptor = os.memfd_create("zg-image")
        except (AttributeError, OSError):
            descriptor, path = tempfile.mkstemp(prefix="zg-image-")
            os.unlink(path)
        try:
            os.ftruncate(descriptor, size)
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(descriptor, 0, size)  # else a full memory would be a SIGBUS at some render
        except BaseException:
            os.close(descriptor)
            raise
    except OSError as error:
        raise SettingError(f"an image of {size} bytes must fit into shared memory: {error.strerror}") from None
    return descriptor
