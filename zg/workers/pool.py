"""A pool renders many θ side by side: in threads, in processes or on a Ray cluster, behind one interface.

    def load(settings):            # in a scene file, which imports nothing of this package
        return Renderer(settings)  # with render(x [n] float64, seed) -> [C, H, W], and optionally version()

    with open_pool(Scene(PYTHON, "scene.py", {"size": 64}, (3, 64, 64)), PoolSettings(workers=2)) as pool:
        images = pool.render(x, seeds)  # [B, n], [B] -> [B, C, H, W]

The next free worker takes the next render. A render whose worker is lost (a crash, a hang, a dead node) is tried once
more on a new worker, then it has failed; after an exception in the renderer it has failed at once.

| `pool` | worker | module |
|---|---|---|
| `threads` | a thread of this process, for functions only | `zg.workers.threads` |
| `processes` | a process of this machine, started cleanly | `zg.workers.processes` |
| `ray` | the same process, on a node of a Ray cluster | `zg.workers.cluster` |
"""

import importlib
import sys
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from zg.errors import SettingError, check_positive, check_whole, in_words

#: Runs a Python file by this Python; `-P`: the folder of that file is not searched for modules.
PYTHON = (sys.executable, "-P")
# The module and the class of each pool; a module is imported when its pool is first opened.
POOLS = {"threads": ("threads", "Threads"), "processes": ("processes", "Processes"), "ray": ("cluster", "RayPool")}


@dataclass(frozen=True)
class PoolSettings:
    """Where renders run, how many side by side, how long they may take, and when a worker is replaced by a new one."""

    #: Renders side by side.
    workers: int = 1
    #: `threads`, `processes` or `ray`.
    pool: str = "processes"
    #: Of a Ray cluster, host:6379; None is Ray on this machine.
    address: str | None = None
    #: Seconds a render may take; None is no limit, and the only choice for threads.
    timeout: float | None = None
    #: Seconds until a worker must have loaded its renderer.
    start_timeout: float = 120.0
    #: Renders after which a process is replaced.
    recycle_renders: int = 1000
    #: Growth since its tenth render after which a process is replaced, in megabytes.
    recycle_mb: float = 64.0

    def __post_init__(self) -> None:
        check_whole(workers=self.workers, recycle_renders=self.recycle_renders)
        limits = {} if self.timeout is None else {"timeout": self.timeout}
        check_positive(**limits, start_timeout=self.start_timeout, recycle_mb=self.recycle_mb)
        if not isinstance(self.pool, str) or self.pool not in POOLS:
            raise SettingError(f"pool must be threads, processes or ray, got {self.pool!r}")
        if not isinstance(self.address, str | None):
            raise SettingError(f"address must be host:port of a Ray cluster, got {self.address!r}")
        if self.address is not None and self.pool != "ray":
            raise SettingError(f"address is that of a Ray cluster and needs pool: ray, got pool: {self.pool}")
        if self.timeout is not None and self.pool == "threads":
            raise SettingError("timeout needs pool: processes or ray, for a thread cannot be ended")


@dataclass(frozen=True)
class Scene:
    """A renderer in a scene file, which a program runs.

    argv: the command that runs a Python file, which is added as its last argument: `PYTHON`, or `["blender",
    "--background", …, "--python"]`. path: the scene file. settings: the argument of its `load`, as JSON can hold it.
    shape: of one image. name: of the renderer in errors, by default the name of the scene file.

    On a cluster, program and file are at the same place of every node.
    """

    argv: Sequence[str]
    path: str | Path
    settings: Mapping[str, Any]
    shape: Sequence[int]
    name: str = ""

    def __post_init__(self) -> None:
        path = Path(self.path).resolve()
        if not path.is_file():
            raise SettingError(f"scene must be a Python file, got '{self.path}'")
        object.__setattr__(self, "path", path)
        object.__setattr__(self, "name", self.name or path.name)


@dataclass(frozen=True)
class Function:
    """A renderer that is a function (x [n] float64, seed) -> numbers of any shape and type, or None for a failure.

    It is sent to other processes by cloudpickle, once, with the large arrays that it refers to. name, file: of the
    function and of its code, for errors.
    """

    call: Callable[[NDArray[np.float64], int], Any]
    name: str = "the function"
    file: str = ""


class Result(NamedTuple):
    """A render that has ended. ticket: its number, as `submit` returned it. error: why there is no image."""

    ticket: int
    image: NDArray[Any] | None
    error: BaseException | None = None


class Pool(ABC):
    """Workers that render. A context manager starts and ends them.

        tickets = [pool.submit(x, seed) for x in batch]
        first = pool.take()  # whichever has ended first

    `submit` and `take` are for one thread; several may call `run` and `render`, one after another.

    name: of the renderer. shape: of an image, if the renderer is a scene; else None. settings: its settings.
    errors: why renders of the last batch failed, in words. version: what the renderer says its version is.
    lost, recycled: how many workers were replaced because they crashed, hung or were cut off, and because they had done
    their share.

    Workers start with the first render, or with `start`, and start again after `close`. Every method raises
    SettingError for a renderer that does not start.
    """

    def __init__(self, renderer: Any, settings: PoolSettings) -> None:
        self.name = renderer.name
        self.settings = settings
        self.shape = tuple(renderer.shape) if isinstance(renderer, Scene) else None
        self.errors: list[str] = []
        self.version = ""
        self.lost = self.recycled = 0
        self.submitted = 0
        self._lock = threading.Lock()
        # Renders that have ended while `run` waited for those of its own.
        self._kept: deque[Result] = deque()

    # What a pool implements

    @abstractmethod
    def start(self) -> None:
        """Start the workers, and wait until they have loaded their renderer."""

    @abstractmethod
    def submit(self, x: NDArray[np.float64], seed: int = 0) -> int:
        """Ask for the render of x [n]; returns its ticket. It does not wait."""

    @abstractmethod
    def next(self) -> Result:
        """Wait for the next render that ends, in whichever order, and hand it over once."""

    @abstractmethod
    def end(self) -> None:
        """Cancel all renders that have not ended, and end the workers."""

    # What it inherits

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def take(self) -> Result:
        """The next render that ends, in whichever order, of those that were submitted. It waits for it."""
        return self._kept.popleft() if self._kept else self.next()

    def close(self) -> None:
        """Cancel all renders that have not ended or were not taken, and end the workers."""
        self._kept.clear()
        self.end()

    def run(self, x: NDArray[Any], seeds: Sequence[int] | NDArray[np.int64] | None = None) -> list[Result]:
        """Render x [B, n] with seeds [B], zeros by default; results are in the order of x.

        Renders that were submitted before go on, and are left for `take`. Every exception, Ctrl-C too, cancels what is
        still running: nobody would fetch it.
        """
        x = np.ascontiguousarray(x, dtype="<f8")
        seeds = [0] * len(x) if seeds is None else seeds
        with self._lock:
            try:
                tickets = [self.submit(one, int(seed)) for one, seed in zip(x, seeds, strict=True)]
                found = self._wait_for(tickets)
            except BaseException:
                self.close()
                raise
            results = [found[ticket] for ticket in tickets]
            self.errors = [in_words(result.error) for result in results if result.error is not None]
        return results

    def render(self, x: NDArray[Any], seeds: Sequence[int] | NDArray[np.int64] | None = None) -> NDArray[np.float32]:
        """x [B, n], seeds [B] -> images [B, *shape] float32 of a scene; failed renders are NaN."""
        assert self.shape is not None, "images of a function have no shape that is known before: use run"
        images = np.full((len(x), *self.shape), np.nan, dtype=np.float32)
        for image, result in zip(images, self.run(x, seeds), strict=True):
            if result.image is not None:
                image[...] = result.image
        return images

    def _wait_for(self, tickets: Sequence[int]) -> dict[int, Result]:
        """The results of these tickets, by ticket. Others that end meanwhile are kept for `take`."""
        found: dict[int, Result] = {}
        missing = set(tickets)
        while missing:
            result = self.next()
            if result.ticket in missing:
                missing.remove(result.ticket)
                found[result.ticket] = result
            else:
                self._kept.append(result)
        return found

    def _ticket(self) -> int:
        """The next number of a render."""
        self.submitted += 1
        return self.submitted


def open_pool(renderer: Scene | Function, settings: PoolSettings) -> Pool:
    """The pool that the settings name. Its workers start with the first render."""
    module, name = POOLS[settings.pool]
    kind = getattr(importlib.import_module(f"zg.workers.{module}"), name)
    pool: Pool = kind(renderer, settings)
    return pool
