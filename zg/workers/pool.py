"""A pool of long-lived renderer processes, for renderers that crash, hang, leak and print.

    def load(settings):            # in a scene file, which needs nothing of this package
        return Renderer(settings)  # with render(x [n] float64, seed) -> [C, H, W], and version() if it likes

    with Workers(PYTHON, "scene.py", {"size": 64}, shape=(3, 64, 64), workers=2) as pool:
        images = pool.render(x, seeds)  # [B, n], [B] -> [B, C, H, W]

The next free worker takes the next render; results are in the order of the parameters. A render that is lost to a crash
or to the clock is tried once more on a fresh process, then it is NaN; one that raises an exception is NaN at once.
Messages are those of `zg.workers.child`; `zg.workers.guard` sees to it that nothing outlives this process.
"""

import json
import os
import selectors
import shutil
import struct
import tempfile
import threading
import time
import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zg.errors import SettingError, check_positive
from zg.workers import child
from zg.workers.child import FAILED, IMAGE, MISFIT, READY, pack
from zg.workers.process import PYTHON, Guard, Lost, Message, RendererProcess

__all__ = ["PYTHON", "Workers"]
TRIES = 2
# A process that closed its pipes is given so many seconds to die of what it dies of.
PATIENCE = 0.5


class Workers:
    """Renderer processes that render batches.

    argv: what runs a Python file that is its last argument, such as `PYTHON` or `["blender", "--background", …,
    "--python"]`. scene: the scene file; settings: for its `load`, anything that JSON holds. shape: of one image.
    timeout: seconds a render; start_timeout: seconds until a scene is loaded. A process is replaced after
    recycle_renders renders, or when it has grown by recycle_mb megabytes since its tenth. name: what errors call it, by
    default that of the scene file.
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
        name: str = "",
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
        self.name = name or self.scene.name
        self.argv, self.shape, self.count = tuple(argv), tuple(shape), workers
        self.timeout, self.start_timeout = timeout, start_timeout
        self.recycle_renders, self.recycle_bytes = recycle_renders, recycle_mb * child.MEGABYTE
        order = {"scene": str(self.scene), "settings": settings, "shape": self.shape}
        self.order = pack(child.LOAD, 0, json.dumps(order).encode())
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

    @property
    def pids(self) -> list[int]:
        """Of the processes that are there now."""
        processes = self._pool.workers if self._pool else []
        return [worker.process.pid for worker in processes if worker.process is not None]

    def start(self) -> None:
        """Start all processes and wait until their scenes are loaded."""
        self.render(np.empty((0, 0)), all_ready=True)

    def close(self) -> None:
        """End all processes. A later render starts them again."""
        if self._pool is not None:
            self._pool.end()
            self._pool = None

    def render(
        self, x: np.ndarray, seeds: Sequence[int] | np.ndarray | None = None, *, all_ready: bool = False
    ) -> np.ndarray:
        """x [B, n], seeds [B] (zeros by default) -> images [B, *shape] float32; rows that failed are NaN.

        all_ready: whether to wait for workers that have nothing to do and are still loading.
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
            except BaseException:  # also Ctrl-C: nobody will fetch what is being rendered
                self.close()
                raise
        return batch.images

    def _render(self, pool: "_Pool", batch: "_Batch", all_ready: bool) -> None:
        self._turn(pool, batch, wait=False)  # who died since the last batch has cost no try
        while batch.waiting or any(
            worker.job is not None or (all_ready and not worker.ready) for worker in pool.workers
        ):
            for worker in pool.workers:
                if batch.waiting and worker.ready and worker.job is None:
                    job = batch.waiting.popleft()
                    batch.tries[job] += 1
                    worker.ask(job, batch.requests[job], self.timeout)
            self._turn(pool, batch)

    def _turn(self, pool: "_Pool", batch: "_Batch", wait: bool = True) -> None:
        """Wait for the next thing to happen, and deal with all that has."""
        deadline = min(worker.deadline for worker in pool.workers)
        for key, _ in pool.selector.select(max(0.0, deadline - time.monotonic()) if wait else 0):
            worker, act = key.data
            try:
                for message in act():
                    self._on_reply(worker, message, batch)
            except Lost as loss:
                self._replace(worker, str(loss), batch)
        now = time.monotonic()
        for worker in pool.workers:
            if now >= worker.deadline:
                limit = f"timeout = {self.timeout:g}" if worker.ready else f"start_timeout = {self.start_timeout:g}"
                self._replace(worker, f"took longer than {limit} s", batch)

    def _on_reply(self, worker: RendererProcess, message: Message, batch: "_Batch") -> None:
        kind, number, payload = message
        text = payload.decode(errors="replace")
        if not worker.ready and kind == READY:
            worker.ready, self.version = True, text
        elif not worker.ready and kind == FAILED:
            raise SettingError(f"{self.name} must load: {text}")
        elif worker.job is None or number != worker.number or kind not in (IMAGE, FAILED, MISFIT):
            raise Lost("sent what is no message")
        elif kind == MISFIT:
            raise SettingError(f"render of {self.name} must return shape {list(self.shape)}, got {text}")
        else:
            worker.renders += 1
            if kind == FAILED:
                self.errors.append(text)
            else:
                batch.images[worker.job] = worker.image
            large = kind == IMAGE and worker.grown(*struct.unpack("<Q", payload)) > self.recycle_bytes
            if large or worker.renders >= self.recycle_renders:
                self.recycled += 1
                worker.end()
                worker.start(self.start_timeout)
                return
        worker.free()

    def _replace(self, worker: RendererProcess, reason: str, batch: "_Batch") -> None:
        """Kill what is left of a worker and start its successor; its render is tried again, or has failed."""
        job, loaded = worker.job, worker.ready
        worker.end(0 if reason else PATIENCE)
        text = f"{self.name} {reason or worker.fate()}{worker.last_words()}"
        if not loaded:
            raise SettingError(f"'{' '.join(self.argv)}' must run a Python file: {text}")
        self.lost += 1
        if job is not None:
            if batch.tries[job] < TRIES:
                batch.waiting.appendleft(job)
            else:
                self.errors.append(text)
        worker.start(self.start_timeout)


class _Batch:
    """Renders that are asked for together."""

    def __init__(self, requests: list[bytes], images: np.ndarray) -> None:
        self.requests, self.images = requests, images
        self.waiting = deque(range(len(requests)))
        self.tries = [0] * len(requests)


class _Pool:
    """What has to be ended: processes, their guard, memory and the folder for their temporary files.

    `end` is called by whoever is first: `close`, the end of this object, or that of the interpreter.
    """

    def __init__(self, owner: Workers) -> None:
        if not owner.argv or shutil.which(owner.argv[0]) is None:
            program = owner.argv[0] if owner.argv else ""
            raise SettingError(f"the renderer's program must be one that can be run, got '{program}'")
        folder = tempfile.mkdtemp(prefix="zg-workers-")
        self.selector, guard = selectors.DefaultSelector(), Guard(folder)
        self.workers: list[RendererProcess] = []
        self.end = weakref.finalize(self, _end, self.workers, self.selector, guard, folder)
        try:
            for k in range(owner.count):
                place = os.path.join(folder, str(k))
                worker = RendererProcess(owner.argv, owner.order, owner.shape, place, self.selector, guard)
                self.workers.append(worker)
                worker.start(owner.start_timeout)
        except BaseException:
            self.end()
            raise


def _end(workers: list[RendererProcess], selector: selectors.BaseSelector, guard: Guard, folder: str) -> None:
    for worker in workers:
        worker.end()
        os.close(worker.memory)
    workers.clear()
    selector.close()
    guard.end()
    shutil.rmtree(folder, ignore_errors=True)
