"""A pool on a Ray cluster: each worker is an actor with one renderer process beside it, the same as at home.

Ray places the actors, moves parameters, images and the function, and notices dead nodes. What is left to do here: hand
the next render to a free actor, and ask for a new actor and for the render once more where one was lost.
"""

import contextlib
import os
import signal
import socket
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zg.errors import RenderError, SettingError, in_words
from zg.extras import load_package
from zg.workers.parcel import Parcel
from zg.workers.pool import Function, Pool, PoolSettings, Result, Scene
from zg.workers.processes import Processes

# How often a render is tried whose actor is lost. What the renderer does ends its process only, and not the actor.
TRIES = 3
# How many actors in a row may be lost before they have started, for each worker.
STARTS = 3
# Seconds in which the head of a cluster must accept a connection.
CONNECT_SECONDS = 10.0
# Seconds in which actors end their processes and remove their files, before they are killed.
CLOSE_SECONDS = 2.0
# Bytes of shared memory for objects, where this process starts Ray by itself.
OBJECT_STORE = 256 * 2**20
# For a Ray that this process starts: ports on loopback only, and no report to its makers. Ray reads the first of them
# when it is imported, whatever the system is.
AT_HOME = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}


class RemoteRenderer:
    """Runs in an actor: one renderer process on the actor's node."""

    def __init__(self, renderer: Scene | Parcel, settings: PoolSettings) -> None:
        self.pool = Processes(renderer, replace(settings, workers=1, pool="processes", address=None))

    def start(self) -> str:
        """Start the process; returns the version of the renderer. Raises SettingError if it does not start."""
        self.pool.start()
        return self.pool.version

    def render(self, x: NDArray[np.float64], seed: int) -> tuple[NDArray[Any] | None, str, int, int]:
        """The image or why there is none, and how many processes were lost and recycled so far."""
        [result] = self.pool.run(x[None], [seed])
        error = "" if result.error is None else str(result.error)
        return result.image, error, self.pool.lost, self.pool.recycled

    def close(self) -> None:
        """End the process, also while it renders: Ray calls this in a thread of its own."""
        self.pool.close()


@dataclass
class _Job:
    ticket: int
    x: NDArray[np.float64]
    seed: int
    tries: int = 0


@dataclass
class _Actor:
    """handle: of Ray. jobs: what it renders and has to render next, by Ray's reference to the result.

    lost, recycled: processes that it has replaced.
    """

    handle: Any
    jobs: dict[Any, _Job] = field(default_factory=dict)
    lost: int = 0
    recycled: int = 0


class RayPool(Pool):
    """Workers on the nodes of a Ray cluster, one for each free CPU, at most `workers`.

    The cluster is the one that the caller is connected to, else that of `address` or of Ray's own variable RAY_ADDRESS,
    else one that is started here, on this machine, and ended with the pool.
    """

    def __init__(self, renderer: Scene | Function, settings: PoolSettings) -> None:
        super().__init__(renderer, settings)
        self.renderer = (
            Parcel.of(renderer.call, renderer.name, renderer.file) if isinstance(renderer, Function) else renderer
        )
        self._connection = contextlib.ExitStack()
        self._actors: dict[Any, _Actor] = {}  # by the reference to what they do now
        self._free: list[_Actor] = []
        self._waiting: deque[_Job] = deque()
        self._ended: deque[Result] = deque()
        self._ray: Any = None
        self._failed_starts = 0

    def start(self) -> None:
        """Wait for the first actor. The others join when the cluster has room for them."""
        self._connect()
        while not self._free and not any(actor.jobs for actor in self._actors.values()):
            self._turn()

    def submit(self, x: NDArray[np.float64], seed: int = 0) -> int:
        job = _Job(self._ticket(), np.array(x), seed)
        self._waiting.append(job)
        self._hand_out()
        return job.ticket

    def next(self) -> Result:
        self._connect()
        while not self._ended:
            self._hand_out()
            self._turn()
        return self._ended.popleft()

    def _hand_out(self) -> None:
        """Ask each free actor for a render that waits, and each one at work for its next, where many wait.

        Then it does not idle until its result is here. Of few renders, the next free actor takes each: none has to wait
        behind a slow one.
        """
        while self._waiting and self._free:
            self._ask(self._free.pop(), self._waiting.popleft())
        at_work = [actor for actor in self._actors.values() if len(actor.jobs) == 1]
        for actor in at_work:
            if len(self._waiting) > self.settings.workers:
                self._ask(actor, self._waiting.popleft())

    def end(self) -> None:
        self._waiting.clear()
        self._ended.clear()
        if self._ray is not None:
            actors = {id(actor): actor for actor in [*self._actors.values(), *self._free]}.values()
            with contextlib.suppress(ValueError, self._ray.exceptions.RayError):  # the cluster may be gone
                closed = [actor.handle.close.remote() for actor in actors]
                self._ray.wait(closed, num_returns=len(closed), timeout=CLOSE_SECONDS)
                for actor in actors:
                    self._ray.kill(actor.handle)
        self._actors, self._free, self._ray = {}, [], None
        self._connection.close()

    def _connect(self) -> None:
        if self._ray is not None:
            return
        self._ray = self._connection.enter_context(connected(self.settings.address, self.settings.workers))
        self._kind = self._ray.remote(num_cpus=1, max_restarts=0, max_concurrency=3)(RemoteRenderer)
        self._given = self._ray.put(self.renderer), self._ray.put(self.settings)
        for _ in range(self.settings.workers):
            self._start()

    def _start(self) -> None:
        """Ask for an actor. Ray starts it where there is room, now or later."""
        handle = self._kind.remote(*self._given)
        self._actors[handle.start.remote()] = _Actor(handle)

    def _ask(self, actor: _Actor, job: _Job) -> None:
        job.tries += 1
        reference = actor.handle.render.remote(job.x, job.seed)
        actor.jobs[reference], self._actors[reference] = job, actor

    def _turn(self) -> None:
        """Wait for the next actor that has started or rendered, and handle it."""
        is_idle = not self._free and not any(actor.jobs for actor in self._actors.values())
        limit = self.settings.start_timeout if is_idle else None
        ready, _ = self._ray.wait(list(self._actors), num_returns=1, timeout=limit)
        if not ready:
            raise SettingError(f"the cluster must have a free CPU for a worker, got none within {limit:g} s")
        actor = self._actors.pop(ready[0])
        try:
            found = self._ray.get(ready[0])
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, SettingError):  # the renderer does not start, or its pictures have another shape
                raise error.cause from None
            raise SettingError(f"{self.name} must run on the nodes: {in_words(error.cause or error)}") from error
        except self._ray.exceptions.RayError as error:
            self._replace(actor, error)
            return
        job = actor.jobs.pop(ready[0], None)
        if job is None:
            self.version, self._failed_starts = found, 0
        else:
            image, text, lost, recycled = found
            own = None if image is None else np.array(image)  # Ray's is read-only, and keeps its place in shared memory
            self._ended.append(Result(job.ticket, own, RenderError(text) if text else None))
            self.lost, self.recycled = self.lost + lost - actor.lost, self.recycled + recycled - actor.recycled
            actor.lost, actor.recycled = lost, recycled
        if not actor.jobs:
            self._free.append(actor)

    def _replace(self, actor: _Actor, error: Exception) -> None:
        """Ask for another actor in place of one that is lost, with its node perhaps, and for its render again."""
        self.lost += 1
        self._failed_starts += not actor.jobs
        if self._failed_starts > STARTS * self.settings.workers:
            raise SettingError(f"{self.name} must start on the nodes: {in_words(error)}")
        with contextlib.suppress(ValueError, self._ray.exceptions.RayError):
            self._ray.kill(actor.handle)  # where the node is only out of reach
        for reference, job in reversed(actor.jobs.items()):
            self._actors.pop(reference, None)
            if job.tries < TRIES:
                self._waiting.appendleft(job)
            else:
                text = f"{self.name} was lost with its node or worker {TRIES} times: {type(error).__name__}"
                self._ended.append(Result(job.ticket, None, RenderError(text)))
        # Idle actors may have been on the same node. They have to answer first, else each dead one would cost a try.
        for idle in self._free:
            self._actors[idle.handle.start.remote()] = idle
        self._free = []
        self._start()


# Pools of this process that use a connection made here; the lock is held while one connects or disconnects.
_users = 0
_connecting = threading.Lock()


@contextlib.contextmanager
def connected(address: str | None, cpus: int) -> Iterator[Any]:
    """The module ray, connected to a cluster. A connection that was made here is closed after its last user.

    address: host:port of the cluster; None for one on this machine with that number of CPUs. Raises SettingError where
    ray is not installed or there is no cluster.
    """
    global _users
    with _connecting, _environment({} if address else AT_HOME):
        ray = load_package("ray", "pool: ray")
        is_own = bool(_users) or not ray.is_initialized()
        if is_own:
            if not _users:
                _init(ray, address, cpus)
            _users += 1
    try:
        yield ray
    finally:
        if is_own:
            with _connecting:
                _users -= 1
                if not _users:
                    ray.shutdown()


@contextlib.contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """These variables of the environment are set; afterwards they are as before."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


def _init(ray: Any, address: str | None, cpus: int) -> None:
    """Connect. Ray's handler of SIGTERM, set where this is the main thread, is taken back: a run has its own."""
    is_main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM)
    try:
        _connect(ray, address, cpus)
    finally:
        if is_main:
            signal.signal(signal.SIGTERM, handler)


def _connect(ray: Any, address: str | None, cpus: int) -> None:
    address = address or os.environ.get("RAY_ADDRESS")
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    if address is None:
        ray.init(
            address="local",  # and not the next best cluster that a file of Ray names
            num_cpus=cpus,
            object_store_memory=OBJECT_STORE,
            include_dashboard=False,
            _node_ip_address="127.0.0.1",
            **quiet,
        )
        return
    try:
        _knock(address)
        ray.init(address=address, **quiet)
    except (OSError, RuntimeError, ValueError, OverflowError, SystemExit) as error:
        reason = "Ray does not answer there" if isinstance(error, SystemExit) else in_words(error)
        raise SettingError(f"address must be that of a Ray cluster, host:6379, got '{address}': {reason}") from error


def _knock(address: str) -> None:
    """Raise an OSError where nothing listens at host:port. Ray itself tries for two minutes, and then exits."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal() and "/" not in host:  # else it is a word of Ray's, such as `auto`
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
