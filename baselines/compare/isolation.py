"""Each run in a process, session and process group of its own, forked from a server that has imported the libraries.

A crash ends one run only. Every run sends a sign of life about once a second, between iterations; a run that sends none
for too long hangs, and is killed with every process that it started. If the parent dies, for whatever reason, the runs
die too: the kernel kills the process of the run, and a thread of the run, which sees the pipe close, kills its group.
"""

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from baselines.compare.rows import Row
from zg.errors import signal_name

# Called after an iteration with the renders so far and the budget.
Beat = Callable[[int, int], None]
# What a process runs: called with its arguments, the folder that it writes to or None, and a `Beat`.
Work = Callable[..., Row]
# The least seconds between two signs of life.
BEAT_SECONDS = 1.0
# Seconds that a run which was asked to stop has for writing its checkpoint.
STOP_SECONDS = 10.0
# The option of Linux' prctl (2) for the signal that a process gets when its parent dies.
PR_SET_PDEATHSIG = 1
# Modules that every run needs. What is not among them is imported again by each run: Lightning, which `zg.run` imports
# when a run starts, takes two seconds, and so does the last module, which W&B imports then.
COMMON = (
    "zg.cli.fit",
    "zg.run.data",
    "zg.run.module",
    "baselines.compare.compare",
    "baselines.compare.heartbeat",
    "imageio.v3",
    "matplotlib.backends.backend_agg",
    "pandas",
    "wandb.sdk.launch.inputs.internal",
)


@dataclass
class Running:
    """A run that has started. heard: time of its last sign of life; renders, total: what that sign of life said."""

    name: Any
    process: Any
    pipe: Connection
    heard: float
    renders: int = 0
    total: int = 0


@dataclass(frozen=True)
class Ended:
    """A run that has ended: the row that it returned, or what happened to its process."""

    name: Any
    row: Row | None
    error: str
    renders: int


class Pool:
    """Runs `work(*arguments, folder, beat)` in processes.

    silence: seconds without a sign of life that count as a hang. threads: of PyTorch, for a run. preload: modules that
    every run needs. side_by_side: number of runs that its user starts.

    A context manager: at its end it kills the runs that are still running.
    """

    def __init__(self, silence: float, threads: int, preload: Sequence[str] = (), side_by_side: int = 1) -> None:
        self.silence, self.threads, self.side_by_side = silence, threads, side_by_side
        self.running: list[Running] = []
        # One server for all pools of a process: it has the imports of the first pool.
        self._server = multiprocessing.get_context("forkserver")
        self._server.set_forkserver_preload([*COMMON, *preload])

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *exception: object) -> None:
        for run in self.running:
            kill_group(run.process)

    def start(
        self, name: Any, work: Work, arguments: tuple[Any, ...], log: Path | None = None, folder: Path | None = None
    ) -> None:
        """Start a run with the name `name`. Its output goes to the file `log`, its files to `folder`."""
        ours, theirs = multiprocessing.Pipe()
        process = self._server.Process(target=_inside, args=(theirs, work, (*arguments, folder), self.threads, log))
        process.start()
        theirs.close()
        self.running.append(Running(name, process, ours, time.monotonic()))

    def poll(self, seconds: float) -> Iterator[Ended]:
        """Wait for at most this number of seconds, and yield the runs that have ended."""
        rows: dict[int, Row] = {}
        wait([thing for run in self.running for thing in (run.pipe, run.process.sentinel)], seconds)
        for run in list(self.running):
            alive = run.process.is_alive()  # before the pipe is read: what a run sends before its end is in the pipe
            with contextlib.suppress(EOFError, OSError):
                while run.pipe.poll():
                    kind, *said = run.pipe.recv()
                    run.heard = time.monotonic()
                    if kind == "row":
                        rows[id(run)] = said[0]
                    else:
                        run.renders, run.total = said
            silent = time.monotonic() - run.heard
            if alive and silent <= self.silence:
                if id(run) in rows:  # it has sent its row and is about to end
                    run.process.join(STOP_SECONDS)
                else:
                    continue
            kill_group(run.process)
            self.running.remove(run)
            run.pipe.close()
            error = f"hung: no sign of life for {silent:.0f} s, so it was killed" if alive else exit_of(run.process)
            yield Ended(run.name, rows.get(id(run)), error, run.renders)

    def stop(self) -> Iterator[Ended]:
        """Ask every run to stop after its iteration, and yield the runs that end within STOP_SECONDS."""
        for run in self.running:
            run.process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        while self.running and time.monotonic() < deadline:
            yield from self.poll(0.2)


def exit_of(process: Any) -> str:
    """How a process ended."""
    code = process.exitcode
    if code is not None and code < 0:
        return f"its process was ended by {signal_name(-code)}"
    return f"its process ended with exit code {code}"


def kill_group(process: Any) -> None:
    """Kill a run and every process that it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join()


def _inside(pipe: Connection, work: Work, arguments: tuple[Any, ...], threads: int, log: Path | None) -> None:
    """What the run's own process does."""
    os.setsid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_end_with_parent, args=(pipe,), daemon=True).start()
    with (log or Path(os.devnull)).open("ab", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    import torch

    torch.set_num_threads(min(threads, torch.get_num_threads()))
    due = 0.0

    def beat(renders: int, total: int) -> None:
        nonlocal due
        if time.monotonic() >= due:
            due = time.monotonic() + BEAT_SECONDS
            pipe.send(("beat", renders, total))

    pipe.send(("row", work(*arguments, beat)))


def _end_with_parent(pipe: Connection) -> None:
    with contextlib.suppress(EOFError, OSError):
        pipe.recv()  # the parent sends nothing, so this returns when the parent's end closes
    os.killpg(0, signal.SIGKILL)
