"""A pool of long-lived renderer processes, for renderers that crash, hang, leak and print.

    def load(settings):            # in a scene file, which needs nothing of this package
        return Renderer(settings)  # with render(x [n] float64, seed) -> [C, H, W], and version() if it likes

    with Workers(PYTHON, "scene.py", {"size": 64}, shape=(3, 64, 64), workers=2) as pool:
        images = pool.render(x, seeds)  # [B, n], [B] -> [B, C, H, W]

The next free worker takes the next render; results are in the order of the parameters. A render that is lost to a crash
or to the clock is tried once more on a fresh process, then it is NaN; one that raises an exception is NaN at once.
Messages are those of `zg.worker_child`; `zg.worker_guard` sees to it that nothing outlives this process.
"""

import contextlib
import json
import math
import mmap
import os
import selectors
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zg import worker_child, worker_guard
from zg.errors import SettingError, check_positive
from zg.worker_child import FAILED, IMAGE, MISFIT, READY, Garbage, pack, unpack

#: Runs a Python file by this Python; the folder of the file is not searched for modules.
PYTHON = (sys.executable, "-P")
#: Kind, number of the render, payload.
Message = tuple[int, int, bytes]
TRIES = 2
# What a renderer printed last is kept up to so many bytes, and a reply is never longer than a megabyte.
KEPT_OUTPUT = 8192
LONGEST_REPLY = 2**20
# Caches fill during the first renders; what is held after them is no leak.
SETTLED = 10


class Lost(Exception):
    """A process died, hung, or sent what is no message."""


class Workers:
    """Renderer processes that render batches.

    argv: what runs a Python file that is its last argument, such as `PYTHON` or `["blender", "--background", …,
    "--python"]`. scene: the scene file; settings: for its `load`, anything that JSON holds. shape: of one image.
    timeout: seconds a render; start_timeout: seconds until a scene is loaded. A process is replaced after
    recycle_renders renders, or when it has grown by recycle_mb megabytes since its tenth.
    Processes start with the first render, or `start`. Raises SettingError, in one line, for what does not start.
    """

    def __init__(
        self,
        argv: Sequence[str],
        scene: str | Path,
        settings: Mapping[str, Any],
        shape: Sequence[int],
        *,
        workers: int = 1,
        timeout: float = 30.0,
        start_timeout: float = 120.0,
        recycle_renders: int = 1000,
        recycle_mb: float = 64.0,
    ) -> None:
        check_positive(
            workers=workers,
            timeout=timeout,
            start_timeout=start_timeout,
            recycle_renders=recycle_renders,
            recycle_mb=recycle_mb,
        )
        self.scene = Path(scene).resolve()
        if not self.scene.is_file():
            raise SettingError(f"scene must be a Python file, got '{scene}'")
        self.argv, self.shape, self.count = tuple(argv), tuple(shape), workers
        self.timeout, self.start_timeout = timeout, start_timeout
        self.recycle_renders, self.recycle_bytes = recycle_renders, recycle_mb * worker_child.MEGABYTE
        order = {"scene": str(self.scene), "settings": settings, "shape": self.shape}
        self.order = pack(worker_child.LOAD, 0, json.dumps(order).encode())
        #: Why renders of the last batch failed.
        self.errors: list[str] = []
        #: What the renderer says its version is, once it has started.
        self.version = ""
        #: Processes replaced because they were lost, and because they were old or large.
        self.lost = self.recycled = 0
        self._lock = threading.Lock()
        self._pool: _Pool | None = None

    def __enter__(self) -> "Workers":
        self.start()
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def start(self) -> None:
        """Start all processes and wait until their scenes are loaded."""
        with self._lock:
            try:
                pool = self._open()
                while not all(worker.ready for worker in pool.workers):
                    self._turn(_Batch([], np.empty(0)))
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """End all processes. A later render starts them again."""
        if self._pool is not None:
            self._pool.finalize()
            self._pool = None

    def render(self, x: np.ndarray, seeds: Sequence[int] | np.ndarray | None = None) -> np.ndarray:
        """x [B, n], seeds [B] (zeros by default) -> images [B, *shape] float32; rows that failed are NaN."""
        x = np.ascontiguousarray(x, dtype="<f8")
        requests = [
            struct.pack("<q", int(seed)) + row.tobytes()
            for seed, row in zip(np.zeros(len(x), int) if seeds is None else seeds, x, strict=True)
        ]
        batch = _Batch(requests, np.full((len(x), *self.shape), np.nan, dtype=np.float32))
        with self._lock:
            self.errors = []
            try:
                self._render(batch)
            except BaseException:  # also Ctrl-C: nobody will fetch what is being rendered
                self.close()
                raise
        return batch.images

    def _open(self) -> "_Pool":
        if self._pool is None:
            self._pool = _Pool(self)
        return self._pool

    def _render(self, batch: "_Batch") -> None:
        workers = self._open().workers
        self._turn(batch, wait=False)  # who died since the last batch has cost no try
        while batch.waiting or any(worker.job is not None for worker in workers):
            for worker in workers:
                if batch.waiting and worker.ready and worker.job is None:
                    job = batch.waiting.popleft()
                    batch.tries[job] += 1
                    worker.ask(job, batch.requests[job], self.timeout)
            self._turn(batch)

    def _turn(self, batch: "_Batch", wait: bool = True) -> None:
        """Wait for the next thing to happen, and deal with all that has."""
        assert self._pool is not None
        deadline = min((worker.deadline for worker in self._pool.workers), default=math.inf)
        for key, _ in self._pool.selector.select(max(0.0, deadline - time.monotonic()) if wait else 0):
            worker, act = key.data
            try:
                for message in act():
                    self._on_reply(worker, message, batch)
            except Lost as loss:
                self._replace(worker, str(loss), batch)
        now = time.monotonic()
        for worker in self._pool.workers:
            if now >= worker.deadline:
                limit = f"timeout = {self.timeout:g}" if worker.ready else f"start_timeout = {self.start_timeout:g}"
                self._replace(worker, f"took longer than {limit} s", batch)

    def _on_reply(self, worker: "_Worker", message: Message, batch: "_Batch") -> None:
        kind, number, payload = message
        if not worker.ready:
            if kind == FAILED:
                raise SettingError(f"{self.scene.name} must load: {payload.decode(errors='replace')}")
            if kind != READY:
                raise Lost("sent what is no message")
            worker.ready, worker.deadline = True, math.inf
            self.version = payload.decode(errors="replace")
            return
        if worker.job is None or number != worker.number:
            raise Lost("sent what is no message")
        if kind == MISFIT:
            got = payload.decode(errors="replace")
            raise SettingError(f"render of {self.scene.name} must return shape {list(self.shape)}, got {got}")
        if kind == IMAGE:
            batch.images[worker.job] = worker.image
            (resident,) = struct.unpack("<Q", payload)
        elif kind == FAILED:
            self.errors.append(payload.decode(errors="replace"))
            resident = 0
        else:
            raise Lost("sent what is no message")
        worker.job, worker.deadline = None, math.inf
        worker.renders += 1
        if worker.renders == SETTLED:
            worker.settled = resident
        grown = worker.renders > SETTLED and resident - worker.settled > self.recycle_bytes
        if grown or worker.renders >= self.recycle_renders:
            self.recycled += 1
            worker.end()
            worker.start()

    def _replace(self, worker: "_Worker", reason: str, batch: "_Batch") -> None:
        """Kill what is left of a worker and start its successor; its render is tried again, or has failed."""
        job, loaded = worker.job, worker.ready
        worker.end(patience=0 if reason else 0.5)  # one that is dying tells why
        text = f"{self.scene.name} {reason or worker.fate()}{worker.last_words()}"
        if not loaded:
            raise SettingError(f"'{' '.join(self.argv)}' must run {self.scene.name}: {text}")
        self.lost += 1
        if job is not None:
            if batch.tries[job] < TRIES:
                batch.waiting.appendleft(job)
            else:
                self.errors.append(text)
        worker.start()


class _Batch:
    """Renders that are asked for together."""

    def __init__(self, requests: list[bytes], images: np.ndarray) -> None:
        self.requests, self.images = requests, images
        self.waiting = deque(range(len(requests)))
        self.tries = [0] * len(requests)


class _Pool:
    """What has to be ended: processes, their guard, memory and the folder for their temporary files."""

    def __init__(self, owner: Workers) -> None:
        if shutil.which(owner.argv[0]) is None:
            raise SettingError(f"the renderer's program must be one that can be run, got '{owner.argv[0]}'")
        self.selector = selectors.DefaultSelector()
        self.folder = tempfile.mkdtemp(prefix="zg-workers-")
        guard = [*PYTHON, "-I", "-S", worker_guard.__file__, self.folder]
        self.guard = subprocess.Popen(guard, stdin=subprocess.PIPE, bufsize=0, start_new_session=True)
        self.workers: list[_Worker] = []
        self.finalize = weakref.finalize(self, _end, self.workers, self.selector, self.guard, self.folder)
        try:
            for k in range(owner.count):
                worker = _Worker(owner, self, os.path.join(self.folder, str(k)))
                self.workers.append(worker)
                worker.start()
        except BaseException:
            self.finalize()
            raise


def _end(
    workers: "list[_Worker]", selector: selectors.BaseSelector, guard: "subprocess.Popen[bytes]", folder: str
) -> None:
    for worker in workers:
        worker.end()
        os.close(worker.memory)
    workers.clear()
    selector.close()
    assert guard.stdin is not None
    guard.stdin.close()
    guard.kill()
    guard.wait()
    shutil.rmtree(folder, ignore_errors=True)


class _Worker:
    """One place in the pool: memory for an image, and the process that is there now."""

    def __init__(self, owner: Workers, pool: _Pool, folder: str) -> None:
        self.argv, self.order, self.folder = owner.argv, owner.order, folder
        self.start_timeout = owner.start_timeout
        self.selector, self.guard = pool.selector, pool.guard
        size = 4 * math.prod(owner.shape)
        self.memory = _make_memory(size)
        self.image = np.frombuffer(mmap.mmap(self.memory, size), dtype=np.float32).reshape(owner.shape)
        self.process: subprocess.Popen[bytes] | None = None
        self.number = 0
        self.job: int | None = None

    def start(self) -> None:
        """Start the process and order it to load."""
        self.ready, self.job, self.renders, self.settled = False, None, 0, 0
        self.sending, self.received, self.output = memoryview(b""), bytearray(), b""
        os.makedirs(self.folder)
        request_end, self.requests = os.pipe()
        self.replies, reply_end = os.pipe()
        self.printed, print_end = os.pipe()
        theirs = (request_end, reply_end, self.memory)
        environment = {worker_child.ENVIRONMENT: ",".join(map(str, theirs)), "TMPDIR": self.folder}
        try:
            self.process = subprocess.Popen(
                [*self.argv, worker_child.__file__],
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
        self._tell_guard(self.process.pid)
        for descriptor, read in ((self.replies, self.read_replies), (self.printed, self.read_printed)):
            os.set_blocking(descriptor, False)
            self.selector.register(descriptor, selectors.EVENT_READ, (self, read))
        os.set_blocking(self.requests, False)
        self.deadline = time.monotonic() + self.start_timeout
        self._send(self.order)

    def ask(self, job: int, request: bytes, timeout: float) -> None:
        """Have it render."""
        self.number = (self.number + 1) % 2**32
        self.job, self.deadline = job, time.monotonic() + timeout
        self._send(pack(worker_child.RENDER, self.number, request))

    def _send(self, message: bytes) -> None:
        self.sending = memoryview(message)
        self.selector.register(self.requests, selectors.EVENT_WRITE, (self, self.flush))
        with contextlib.suppress(Lost):  # told by its replies, too
            self.flush()

    def flush(self) -> list[Message]:
        """Write as much as fits."""
        if not self.sending:  # told of a process that has been replaced since
            return []
        try:
            while self.sending:
                self.sending = self.sending[os.write(self.requests, self.sending) :]
        except BlockingIOError:
            return []
        except BrokenPipeError:
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
            raise Lost("")
        self.received += part
        messages = []
        try:
            while self.received and (message := unpack(self.received, LONGEST_REPLY)) is not None:
                messages.append(message)
                del self.received[: worker_child.HEADER.size + len(message[2])]
        except Garbage:
            raise Lost("sent what is no message") from None
        return messages

    def end(self, patience: float = 0.0) -> None:
        """Kill the process with all that it started, after some seconds in which it may end by itself."""
        if self.process is None:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(patience)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self._tell_guard(-self.process.pid)
        self.process.wait()
        self.read_printed()
        for descriptor in (self.requests, self.replies, self.printed):
            with contextlib.suppress(KeyError):
                self.selector.unregister(descriptor)
            os.close(descriptor)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.code, self.process = self.process.returncode, None

    def fate(self) -> str:
        """How the last process ended."""
        if self.code < 0:
            return f"was killed by {signal.Signals(-self.code).name}"
        return f"ended with code {self.code}"

    def last_words(self) -> str:
        """What the last process printed in the end, to be added to an error."""
        lines = self.output.decode(errors="replace").split("\n")
        words = [line.strip() for line in lines if line.strip()]
        return f"; it said: {' | '.join(words[-3:])[-300:]}" if words else ""

    def _tell_guard(self, group: int) -> None:
        assert self.guard.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.guard.stdin.write(b"%+d\n" % group)


def _make_memory(size: int) -> int:
    """A descriptor of shared memory that is there and will not run out. Raises SettingError where there is none."""
    try:
        try:
            descriptor = os.memfd_create("zg-image")
        except (AttributeError, OSError):
            descriptor, path = tempfile.mkstemp(prefix="zg-image-")
            os.unlink(path)
        try:
            os.ftruncate(descriptor, size)
            os.posix_fallocate(descriptor, 0, size)
        except BaseException:
            os.close(descriptor)
            raise
    except OSError as error:
        raise SettingError(f"an image of {size} bytes must fit into shared memory: {error.strerror}") from None
    return descriptor
