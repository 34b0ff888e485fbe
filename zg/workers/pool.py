"""A pool of long-lived renderer processes, for renderers that crash, hang, leak memory and print.

    def load(settings):            # in a scene file, which imports nothing of this package
        return Renderer(settings)  # with render(x [n] float64, seed) -> [C, H, W], and optionally version()

    with Workers(PYTHON, "scene.py", {"size": 64}, shape=(3, 64, 64), workers=2) as pool:
        images = pool.render(x, seeds)  # [B, n], [B] -> [B, C, H, W]

The next free process takes the next render; images are in the order of the parameters. A render whose process crashes
or exceeds the time-out is tried once more on a new process, then its image is NaN. After an exception in the renderer
the image is NaN at once. `zg.workers.child` defines the messages; `zg.workers.guard` ends processes whose parent is
gone.
"""

import json
import math
import selectors
import shutil
import struct
import tempfile
import threading
import time
import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zg.errors import SettingError, check_positive, check_whole
from zg.memory import check_memory
from zg.workers import child
from zg.workers.child import FAILED, IMAGE, READY, WRONG_SHAPE, pack
from zg.workers.memory import SharedImage
from zg.workers.pipes import Lost, Message
from zg.workers.process import PYTHON, Guard, RendererProcess, describe_exit

__all__ = ["PYTHON", "PoolSettings", "Workers"]
# How often a render is tried whose process is lost.
TRIES = 2
# Bytes of the smallest renderer process: Python and NumPy.
PROCESS_BYTES = 2e7
# Grace period in seconds after the pipes close, so that the exit code can be reported.
GRACE = 0.5


@dataclass(frozen=True)
class PoolSettings:
    """How many processes a pool has, how long they may take, and when they are recycled (replaced by new ones)."""

    workers: int = 1  # processes
    timeout: float = 30.0  # seconds a render
    start_timeout: float = 120.0  # seconds until a process has loaded its scene
    recycle_renders: int = 1000  # renders of one process
    recycle_mb: float = 64.0  # growth of one process since its tenth render, in megabytes

    def __post_init__(self) -> None:
        check_whole(workers=self.workers, recycle_renders=self.recycle_renders)
        check_positive(timeout=self.timeout, start_timeout=self.start_timeout, recycle_mb=self.recycle_mb)


class Workers:
    """Renderer processes that render batches.

    argv: the command that runs a Python file, which is added as its last argument: `PYTHON`, or `["blender",
    "--background", …, "--python"]`. scene: the scene file. settings: the argument of its `load`, as JSON can hold it.
    shape: of one image. name: of the renderer in errors, by default the name of the scene file. All others: as in
    `PoolSettings`.
    errors: why renders of the last batch failed. version: what the renderer says its version is, once it has started.
    lost, recycled: how many processes were replaced because they crashed or hung, and because they were recycled.
    The processes start with the first render, or with `start`. Raises SettingError when they cannot start.
    """

    def __init__(
        self,
        argv: Sequence[str],
        scene: str | Path,
        settings: Mapping[str, Any],
        shape: Sequence[int],
        *,
        workers: int = PoolSettings.workers,
        timeout: float = PoolSettings.timeout,
        start_timeout: float = PoolSettings.start_timeout,
        recycle_renders: int = PoolSettings.recycle_renders,
        recycle_mb: float = PoolSettings.recycle_mb,
        name: str = "",
    ) -> None:
        self.pool_settings = PoolSettings(workers, timeout, start_timeout, recycle_renders, recycle_mb)
        path = Path(scene).resolve()
        if not path.is_file():
            raise SettingError(f"scene must be a Python file, got '{scene}'")
        self.name = name or path.name
        self.argv, self.shape = tuple(argv), tuple(shape)
        check_memory(4.0 * math.prod(self.shape) * (workers + 2), shape=list(shape), workers=workers)
        check_memory(PROCESS_BYTES * workers, workers=workers)
        order = {"scene": str(path), "settings": settings, "shape": self.shape}
        self.load_message = pack(child.LOAD, 0, json.dumps(order).encode())
        self.errors: list[str] = []
        self.version = ""
        self.lost = self.recycled = 0
        self._lock = threading.Lock()
        self._pool: _Pool | None = None

    def __enter__(self) -> "Workers":
        self.start()
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    @property
    def pids(self) -> list[int]:
        """Process ids of the renderer processes."""
        return [process.popen.pid for process in self._pool.processes] if self._pool else []

    def start(self) -> None:
        """Start all processes and wait until their scenes are loaded."""
        self.render(np.empty((0, 0)), all_ready=True)

    def close(self) -> None:
        """End all processes. A later render starts them again."""
        if self._pool is not None:
            self._pool.end()
            self._pool = None

    def render(
        self,
        x: NDArray[np.float64],
        seeds: Sequence[int] | NDArray[np.int64] | None = None,
        *,
        all_ready: bool = False,
    ) -> NDArray[np.float32]:
        """x [B, n], seeds [B] (zeros by default) -> images [B, *shape] float32; failed renders are NaN.

        all_ready: whether to wait until every process has loaded its scene, also those that have nothing to render.
        """
        x = np.ascontiguousarray(x, dtype="<f8")
        seeds = np.zeros(len(x), dtype=np.int64) if seeds is None else seeds
        requests = [struct.pack("<q", int(seed)) + row.tobytes() for seed, row in zip(seeds, x, strict=True)]
        batch = _Batch(requests, np.full((len(x), *self.shape), np.nan, dtype=np.float32))
        with self._lock:
            self.errors = []
            try:
                if self._pool is None:
                    self._pool = _Pool(self)
                self._render(self._pool, batch, all_ready)
            except BaseException:  # also Ctrl-C: nobody would fetch the images that are being rendered
                self.close()
                raise
        return batch.images

    def _render(self, pool: "_Pool", batch: "_Batch", all_ready: bool) -> None:
        self._turn(pool, batch, wait=False)  # replaces processes that ended between batches, before they cost a try
        while batch.waiting or any(
            process.job is not None or (all_ready and not process.ready) for process in pool.processes
        ):
            for process in pool.processes:
                if batch.waiting and process.ready and process.job is None:
                    job = batch.waiting.popleft()
                    batch.tries[job] += 1
                    process.ask(job, batch.requests[job], self.pool_settings.timeout)
            self._turn(pool, batch)

    def _turn(self, pool: "_Pool", batch: "_Batch", wait: bool = True) -> None:
        """Wait for the next event, and handle all events that have happened: replies, lost processes, time-outs."""
        deadline = min(process.deadline for process in pool.processes)
        for key, _ in pool.selector.select(max(0.0, deadline - time.monotonic()) if wait else 0):
            process, act = key.data
            if process.ended:  # replaced earlier in this loop
                continue
            try:
                for message in act():
                    self._handle_reply(process, message, batch)
            except Lost as loss:
                self._handle_loss(pool, process, str(loss), batch)
            else:
                self._recycle(pool, process)
        now = time.monotonic()
        for process in list(pool.processes):
            if now >= process.deadline:
                limit = "timeout" if process.ready else "start_timeout"
                reason = f"took longer than {limit} = {getattr(self.pool_settings, limit):g} s"
                self._handle_loss(pool, process, reason, batch)

    def _handle_reply(self, process: RendererProcess, message: Message, batch: "_Batch") -> None:
        kind, number, payload = message
        text = payload.decode(errors="replace")
        if not process.ready and kind == READY:
            self.version = text
            process.loaded()
        elif not process.ready and kind == FAILED:
            raise SettingError(f"{self.name} must load: {text}")
        elif process.job is None or number != process.number or kind not in (IMAGE, FAILED, WRONG_SHAPE):
            raise Lost("sent bytes that are not a message")
        elif kind == WRONG_SHAPE:
            raise SettingError(f"render of {self.name} must return shape {list(self.shape)}, got {text}")
        elif kind == FAILED:
            self.errors.append(text)
            process.finished(None)
        else:
            batch.images[process.job] = process.image.pixels
            process.finished(*struct.unpack("<Q", payload))

    def _handle_loss(self, pool: "_Pool", process: RendererProcess, reason: str, batch: "_Batch") -> None:
        """Replace a process that is lost. Its render is tried again, or has failed."""
        code = process.end(0 if reason else GRACE)
        output = process.pipes.last_lines()
        text = f"{self.name} {reason or describe_exit(code)}" + (f"; last output: {output}" if output else "")
        if not process.ready:
            raise SettingError(f"'{' '.join(self.argv)}' must run a Python file: {text}")
        self.lost += 1
        if process.job is not None:
            if batch.tries[process.job] < TRIES:
                batch.waiting.appendleft(process.job)
            else:
                self.errors.append(text)
        pool.replace(process)

    def _recycle(self, pool: "_Pool", process: RendererProcess) -> None:
        """Replace a process that has rendered its share, or has grown too much."""
        limits = self.pool_settings
        if process.renders >= limits.recycle_renders or process.growth > limits.recycle_mb * child.MEGABYTE:
            self.recycled += 1
            process.end()
            pool.replace(process)


class _Batch:
    """The renders of one call: requests, images, and for each request how often it was tried."""

    def __init__(self, requests: list[bytes], images: NDArray[np.float32]) -> None:
        self.requests, self.images = requests, images
        self.waiting = deque(range(len(requests)))
        self.tries = [0] * len(requests)


class _Pool:
    """Everything that must be ended: processes, their guard, shared images, and the folder of their temporary files.

    `end` is called by the first of these three: `Workers.close`, the deletion of this object, the end of the
    interpreter.
    """

    def __init__(self, owner: Workers) -> None:
        if not owner.argv or shutil.which(owner.argv[0]) is None:
            program = owner.argv[0] if owner.argv else ""
            raise SettingError(f"the renderer's program must be an executable, got '{program}'")
        self.argv, self.load_message = owner.argv, owner.load_message
        self.start_timeout = owner.pool_settings.start_timeout
        self.folder = tempfile.mkdtemp(prefix="zg-workers-")
        self.selector, self.guard = selectors.DefaultSelector(), Guard(self.folder)
        self.processes: list[RendererProcess] = []
        self.images: list[SharedImage] = []
        self.end = weakref.finalize(self, _end, self.processes, self.images, self.selector, self.guard, self.folder)
        try:
            for k in range(owner.pool_settings.workers):
                self.images.append(SharedImage(owner.shape))
                self.processes.append(self._start(self.images[k]))
        except BaseException:
            self.end()
            raise

    def replace(self, process: RendererProcess) -> None:
        """Start a new process in the place of one that has been ended."""
        self.processes[self.processes.index(process)] = self._start(process.image)

    def _start(self, image: SharedImage) -> RendererProcess:
        return RendererProcess(
            self.argv, self.load_message, image, self.folder, self.selector, self.guard, self.start_timeout
        )


def _end(
    processes: list[RendererProcess],
    images: list[SharedImage],
    selector: selectors.BaseSelector,
    guard: Guard,
    folder: str,
) -> None:
    for process in processes:
        process.end()
    for image in images:
        image.close()
    processes.clear()
    images.clear()
    selector.close()
    guard.end()
    shutil.rmtree(folder, ignore_errors=True)
