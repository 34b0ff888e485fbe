"""Runs on a Ray cluster: each is a task of Ray with its resources, and its files come home as it writes them.

On its node a run has a process of its own, as at home (`baselines.compare.isolation`), and a folder of its own, so the
nodes share no file system. Checkpoints come home when they are written; a run whose node is lost starts again from the
last one. Ray finds the node, queues, and notices what has died.
"""

import contextlib
import math
import os
import shutil
import tempfile
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from baselines.compare.isolation import STOP_SECONDS, Ended, Pool, Work
from baselines.compare.place import Place
from zg.run.files import partial_of, written_whole
from zg.workers.cluster import connected
from zg.workers.process import Guard

# How often a run is started again whose node or worker is lost.
STARTS = 5
# Seconds between two looks of a node at its run.
LOOK_SECONDS = 0.5
GIGABYTE = 1e9
# What a run sends home while it runs: the newest checkpoint first, so that no record is older than it.
FIRST = ("last.ckpt", "previous.ckpt")
# The end of the names of files that are being written.
PARTIAL = partial_of(Path("any")).suffix
Files = dict[str, bytes]


@dataclass
class Sent:
    """A run that was handed to Ray. heard: whether it has started. renders, total: what it last said.

    items: Ray's generator of what it says. starts: how often it was started.
    """

    name: Any
    work: Work
    arguments: tuple[Any, ...]
    log: Path | None
    folder: Path | None
    items: Any = None
    starts: int = 0
    renders: int = 0
    total: int = 0
    ended: Ended | None = field(default=None, repr=False)


class ClusterPool:
    """As `Pool` of `baselines.compare.isolation`, on a Ray cluster. silence: seconds without a sign of life."""

    def __init__(self, place: Place, silence: float, preload: Sequence[str] = ()) -> None:
        self.place, self.silence, self.preload = place, silence, list(preload)
        self.running: list[Sent] = []
        self._connection = contextlib.ExitStack()
        local = math.ceil(place.side_by_side * place.cpus) if place.side_by_side else os.cpu_count() or 1
        self.ray = self._connection.enter_context(connected(place.address, local))
        there = self.ray.cluster_resources().get("CPU", 0.0)
        self.side_by_side = place.side_by_side or max(1, int(there // place.cpus))
        memory = {} if place.memory is None else {"memory": int(place.memory * GIGABYTE)}
        resources = {"num_cpus": place.cpus, "num_gpus": place.gpus, **memory}
        self._task = self.ray.remote(max_retries=0, num_returns="streaming", **resources)(run_on_node)

    def __enter__(self) -> "ClusterPool":
        return self

    def __exit__(self, *exception: object) -> None:
        list(self.stop())
        self._connection.close()

    def start(
        self, name: Any, work: Work, arguments: tuple[Any, ...], log: Path | None = None, folder: Path | None = None
    ) -> None:
        """Hand a run to Ray. What is in `folder` goes with it, and what it writes there comes home; so does its log."""
        self.running.append(Sent(name, work, arguments, log, folder))
        self._send(self.running[-1])

    def _send(self, sent: Sent) -> None:
        files = None if sent.folder is None else read_files(sent.folder)
        threads = max(1, int(self.place.cpus))
        sent.starts += 1
        sent.items = self._task.remote(sent.work, sent.arguments, files, self.silence, threads, self.preload)

    def poll(self, seconds: float) -> Iterator[Ended]:
        """Wait for at most this number of seconds, and yield the runs that have ended."""
        deadline = time.monotonic() + seconds
        while self.running:
            limit = max(0.0, deadline - time.monotonic())
            ready, _ = self.ray.wait([sent.items for sent in self.running], timeout=limit, fetch_local=False)
            if not ready:
                return
            sent = next(sent for sent in self.running if sent.items is ready[0])
            self._hear(sent)
            if sent.ended is not None:
                self.running.remove(sent)
                yield sent.ended

    def _hear(self, sent: Sent) -> None:
        """Handle the next thing that a run says, or that it is lost."""
        exceptions = self.ray.exceptions
        try:
            kind, *said = self.ray.get(next(sent.items))
        except exceptions.RayTaskError as error:  # of this package: what the run raises is in its row
            raise RuntimeError(f"a run could not be made on its node: {error.cause}") from error
        except (StopIteration, exceptions.RayError) as error:
            if sent.starts < STARTS:
                self._send(sent)
            else:
                text = f"its node or worker was lost {STARTS} times: {type(error).__name__}"
                sent.ended = Ended(sent.name, None, text, sent.renders)
            return
        if kind == "files" and sent.folder is not None:
            write_files(sent.folder, *said)
        elif kind == "beat":
            sent.renders, sent.total = said
        elif kind == "ended":
            row, why, printed = said
            if sent.log is not None:
                with sent.log.open("ab") as file:
                    file.write(printed)
            sent.ended = Ended(sent.name, row, why, sent.renders)

    def stop(self) -> Iterator[Ended]:
        """Cancel every run, which goes on from its last checkpoint at home the next time. Yields none."""
        cancelled, self.running = [sent.items for sent in self.running], []
        for items in cancelled:
            self.ray.cancel(items)
        deadline = time.monotonic() + STOP_SECONDS  # in which their processes end and their files are removed
        while cancelled and time.monotonic() < deadline:
            ready, cancelled = self.ray.wait(cancelled, timeout=max(0.0, deadline - time.monotonic()))
            for items in ready:
                with contextlib.suppress(StopIteration, self.ray.exceptions.RayError):
                    self.ray.get(next(items))
                    cancelled.append(items)
        yield from ()


def open_runs(place: Place, silence: float, preload: Sequence[str]) -> Pool | ClusterPool:
    """The pool of runs for a place. At home, the runs share the cores."""
    if place.pool == "ray":
        return ClusterPool(place, silence, preload)
    side_by_side = place.side_by_side or 1
    return Pool(silence, max(1, (os.cpu_count() or 1) // side_by_side), preload, side_by_side)


def run_on_node(
    work: Work, arguments: tuple[Any, ...], files: Files | None, silence: float, threads: int, preload: Sequence[str]
) -> Iterator[tuple[Any, ...]]:
    """In a task of Ray: make a run. Yields ("beat", renders, total), ("files", files), ("ended", row, error, log).

    The folder of the run ends with the task, also when its process is killed.
    """
    top = Path(tempfile.mkdtemp(prefix="zg-run-"))
    guard = Guard(str(top))
    try:
        folder, log = (None if files is None else top / "run"), top / "log"
        if folder is not None and files:
            write_files(folder, files)
        with Pool(silence, threads, preload) as pool:
            pool.start("", work, arguments, log, folder)
            guard.watch(pool.running[0].process.pid)
            ended = yield from _hear(pool, folder, log)
    finally:
        shutil.rmtree(top, ignore_errors=True)
        guard.end()
    yield ended  # now that nothing is left here: who hears it may end this process


def _hear(pool: Pool, folder: Path | None, log: Path) -> Generator[tuple[Any, ...], None, tuple[Any, ...]]:
    """What a run says and writes until it ends; returns the last thing that is to be said."""
    sent = stamps(folder)
    while True:
        for ended in pool.poll(LOOK_SECONDS):
            if changed := changes(folder, sent):
                yield "files", changed
            return "ended", ended.row, ended.error, log.read_bytes() if log.is_file() else b""
        run = pool.running[0]
        yield "beat", run.renders, run.total
        now = stamps(folder)
        if any(now.get(name) != sent.get(name) for name in FIRST):
            yield "files", changes(folder, sent)


def stamps(folder: Path | None) -> dict[str, tuple[int, int]]:
    """{path below the folder: time of change and size} of every file."""
    found: dict[str, tuple[int, int]] = {}
    if folder is None:
        return found
    for path in sorted(folder.rglob("*")):
        with contextlib.suppress(FileNotFoundError):  # renamed meanwhile
            about = path.stat()
            if path.is_file() and path.suffix != PARTIAL:
                found[str(path.relative_to(folder))] = about.st_mtime_ns, about.st_size
    return found


def changes(folder: Path | None, sent: dict[str, tuple[int, int]]) -> Files:
    """The files that differ from those in `sent`, which is brought up to date; checkpoints are read first."""
    assert folder is not None or not sent
    changed: Files = {}
    now = stamps(folder)
    for name in sorted(now, key=lambda name: (name not in FIRST, name)):
        if now[name] != sent.get(name):
            with contextlib.suppress(FileNotFoundError):
                changed[name] = Path(folder or "", name).read_bytes()
    sent.clear()
    sent.update(now)
    return changed


def read_files(folder: Path) -> Files:
    """Every file below a folder."""
    return {name: (folder / name).read_bytes() for name in stamps(folder)}


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files below a folder, each whole or not at all."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as partial:
            partial.write_bytes(content)
