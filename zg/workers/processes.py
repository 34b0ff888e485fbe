"""A pool of long-lived renderer processes, for renderers that crash, hang, leak memory and print, and for functions.

A process is started cleanly and runs `zg.workers.child`, which defines the messages; `zg.workers.guard` ends processes
whose parent is gone. Parameters go through pipes, images through shared memory, a function and its large constants
through shared memory once.
"""

import json
import math
import os
import selectors
import shutil
import struct
import sys
import tempfile
import time
import weakref
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zg.errors import RenderError, SettingError
from zg.memory import check_memory
from zg.workers import child, function
from zg.workers.child import FAILED, IMAGE, READY, WRONG_SHAPE, pack
from zg.workers.memory import SharedImage
from zg.workers.parcel import Parcel
from zg.workers.pipes import Lost, Message
from zg.workers.pool import PYTHON, Function, Pool, PoolSettings, Result, Scene
from zg.workers.process import Guard, Job, Order, RendererProcess, describe_exit

# How often a render is tried whose process is lost.
TRIES = 2
# How many processes in a row may be lost before they have loaded the renderer, once one has loaded it.
STARTS = 3
# Bytes of the smallest renderer process: Python and NumPy.
PROCESS_BYTES = 2e7
# Grace period in seconds after the pipes close, so that the exit code can be reported.
GRACE = 0.5
# Variables that say how many threads a numerical library uses. Where the user sets none, workers share the cores.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Processes(Pool):
    """Renderer processes on this machine.

    renderer: a scene, a function, or a function that is packed already. errors, lost, recycled: as in `Pool`.
    """

    def __init__(self, renderer: Scene | Function | Parcel, settings: PoolSettings) -> None:
        if isinstance(renderer, Function):
            renderer = Parcel.of(renderer.call, renderer.name, renderer.file)
        super().__init__(renderer, settings)
        workers = settings.workers
        if self.shape is not None:
            check_memory(4.0 * math.prod(self.shape) * (workers + 2), shape=list(self.shape), workers=workers)
        check_memory(PROCESS_BYTES * workers, workers=workers)
        self.renderer = renderer
        self._running: _Running | None = None
        self._waiting: deque[Job] = deque()
        self._ended: deque[Result] = deque()
        self._failed_starts = STARTS  # none may be lost before the first has loaded the renderer

    @property
    def pids(self) -> list[int]:
        """Process ids of the renderer processes."""
        return [process.popen.pid for process in self._running.processes] if self._running else []

    def start(self) -> None:
        running = self._started()
        try:
            while not all(process.ready for process in running.processes):
                self._turn(running)
        except BaseException:
            self.close()
            raise

    def submit(self, x: NDArray[np.float64], seed: int = 0) -> int:
        job = Job(self._ticket(), struct.pack("<q", seed) + np.ascontiguousarray(x, dtype="<f8").tobytes())
        self._waiting.append(job)
        is_at_work = self._running is not None and any(process.job for process in self._running.processes)
        if self._running is not None and is_at_work:  # else those that have died are replaced first (`_started`)
            self._hand_out(self._running)
        return job.ticket

    def next(self) -> Result:
        running = self._started()
        while not self._ended:
            self._hand_out(running)
            assert self._waiting or any(process.job for process in running.processes), "nothing was submitted"
            self._turn(running)
        return self._ended.popleft()

    def _hand_out(self, running: "_Running") -> None:
        """Ask each process that is free for a render that waits."""
        for process in running.processes:
            if self._waiting and process.ready and process.job is None:
                process.ask(self._waiting.popleft(), self.settings.timeout)

    def end(self) -> None:
        self._waiting.clear()
        self._ended.clear()
        if self._running is not None:
            self._running.end()
            self._running = None

    def _started(self) -> "_Running":
        if self._running is None:
            self._running = _Running(self.renderer, self.settings)
        elif not any(process.job for process in self._running.processes):
            self._turn(self._running, wait=False)  # replaces those that ended since, before they cost a try
        return self._running

    def _turn(self, running: "_Running", wait: bool = True) -> None:
        """Wait for the next event, and handle all events that have happened: replies, lost processes, time-outs."""
        deadline = min(process.deadline for process in running.processes)
        seconds = None if math.isinf(deadline) else max(0.0, deadline - time.monotonic())
        for key, _ in running.selector.select(seconds if wait else 0):
            process, act = key.data
            if process.ended:  # replaced earlier in this loop
                continue
            try:
                for message in act():
                    self._handle_reply(process, message)
            except Lost as loss:
                self._handle_loss(running, process, str(loss))
            else:
                self._recycle(running, process)
        now = time.monotonic()
        for process in list(running.processes):
            if now >= process.deadline:
                limit = "timeout" if process.ready else "start_timeout"
                reason = f"took longer than {limit} = {getattr(self.settings, limit):g} s"
                self._handle_loss(running, process, reason)

    def _handle_reply(self, process: RendererProcess, message: Message) -> None:
        kind, number, payload = message
        text = payload.decode(errors="replace")
        if not process.ready and kind == READY:
            self.version, self._failed_starts = text, 0
            process.loaded()
        elif not process.ready and kind == FAILED:
            raise SettingError(f"{self.name} must load: {text}")
        elif process.job is None or number != process.number or kind not in (IMAGE, FAILED, WRONG_SHAPE):
            raise Lost("sent bytes that are not a message")
        elif kind == WRONG_SHAPE:
            raise SettingError(f"render of {self.name} must return shape {list(self.shape or ())}, got {text}")
        elif kind == FAILED:
            self._ended.append(Result(process.job.ticket, None, RenderError(text)))
            process.finished(None)
        else:
            resident, dtype, shape = json.loads(text)
            self._ended.append(Result(process.job.ticket, process.image.read(dtype, shape)))
            process.finished(resident)

    def _handle_loss(self, running: "_Running", process: RendererProcess, reason: str) -> None:
        """Replace a process that is lost. Its render is tried again, or has failed."""
        code = process.end(0 if reason else GRACE)
        output = process.pipes.last_lines()
        text = f"{self.name} {reason or describe_exit(code)}" + (f"; last output: {output}" if output else "")
        self._failed_starts += not process.ready
        if self._failed_starts > STARTS:
            raise SettingError(f"'{' '.join(running.order.argv)}' must run a Python file: {text}")
        self.lost += 1
        if process.job is not None:
            if process.job.tries < TRIES:
                self._waiting.appendleft(process.job)
            else:
                self._ended.append(Result(process.job.ticket, None, RenderError(text)))
        running.replace(process)

    def _recycle(self, running: "_Running", process: RendererProcess) -> None:
        """Replace a process that has rendered its share, or has grown too much."""
        limits = self.settings
        if process.renders >= limits.recycle_renders or process.growth > limits.recycle_mb * child.MEGABYTE:
            self.recycled += 1
            process.end()
            running.replace(process)


class _Running:
    """Everything that must be ended: processes, their guard, shared memory, and the folder of their temporary files.

    `end` is called by the first of these three: `Processes.close`, the deletion of this object, the end of the
    interpreter.
    """

    def __init__(self, renderer: Scene | Parcel, settings: PoolSettings) -> None:
        self.settings = settings
        parcel = renderer.in_memory() if isinstance(renderer, Parcel) else None
        self.order = _order(renderer, parcel, settings.workers)
        self.folder = tempfile.mkdtemp(prefix="zg-workers-")
        self.selector, self.guard = selectors.DefaultSelector(), Guard(self.folder)
        self.processes: list[RendererProcess] = []
        self.images: list[SharedImage] = []
        self.end = weakref.finalize(
            self, _end, self.processes, self.images, parcel, self.selector, self.guard, self.folder
        )
        size = 4 * math.prod(renderer.shape) if isinstance(renderer, Scene) else 0
        try:
            for k in range(settings.workers):
                self.images.append(SharedImage(size))
                self.processes.append(self._start(self.images[k]))
        except BaseException:
            self.end()
            raise

    def replace(self, process: RendererProcess) -> None:
        """Start a new process in the place of one that has been ended."""
        self.processes[self.processes.index(process)] = self._start(process.image)

    def _start(self, image: SharedImage) -> RendererProcess:
        timeout = self.settings.start_timeout
        return RendererProcess(self.order, image, self.folder, self.selector, self.guard, timeout)


def _order(renderer: Scene | Parcel, parcel: int | None, workers: int) -> Order:
    """How the processes of a renderer are started. parcel: the file descriptor of a function. Raises SettingError."""
    if isinstance(renderer, Scene):
        argv = tuple(renderer.argv)
        if not argv or shutil.which(argv[0]) is None:
            raise SettingError(f"the renderer's program must be an executable, got '{argv[0] if argv else ''}'")
        order: dict[str, Any] = {"scene": str(renderer.path), "settings": renderer.settings, "shape": renderer.shape}
        return Order(argv, pack(child.LOAD, 0, json.dumps(order).encode()), (), {})
    assert parcel is not None
    settings = {"path": sys.path, "parcel": parcel, "file": renderer.file}
    order = {"scene": str(Path(function.__file__)), "settings": settings, "shape": None}
    share = max(1, (os.cpu_count() or 1) // workers)
    threads = {} if os.environ.keys() & {*THREADS} else dict.fromkeys(THREADS, str(share))
    return Order(PYTHON, pack(child.LOAD, 0, json.dumps(order).encode()), (parcel,), threads)


def _end(
    processes: list[RendererProcess],
    images: list[SharedImage],
    parcel: int | None,
    selector: selectors.BaseSelector,
    guard: Guard,
    folder: str,
) -> None:
    for process in processes:
        process.end()
    for image in images:
        image.close()
    if parcel is not None:
        os.close(parcel)
    processes.clear()
    images.clear()
    selector.close()
    shutil.rmtree(folder, ignore_errors=True)
    guard.end()  # last: if this process is killed meanwhile, the guard removes what is left
