"""Each run in a process, session and process group of its own, forked from a server that has imported what runs need.

A crash ends one run. A hang is silence: every run says how far it is about once a second, between iterations; one
that says nothing for too long is killed with everything it started. If the parent dies, however it dies, so do the
runs: the kernel kills the run itself, and a thread of the run, seeing the pipe close, its whole group.
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

Row = dict[str, Any]
Beat = Callable[[int, int], None]
Work = Callable[..., Row]
BEAT_SECONDS = 1.0
# How long a run that was asked to stop may take to write its checkpoint.
STOP_SECONDS = 10.0
PR_SET_PDEATHSIG = 1
# What every run imports sooner or later; the last is what W&B imports when a run starts, two seconds' worth.
COMMON = (
    "zg.cli.fit",
    "baselines.compare.heartbeat",
    "imageio.v3",
    "matplotlib.backends.backend_agg",
    "pandas",
    "wandb.sdk.launch.inputs.internal",
)


@dataclass
class Running:
    """A run under way. heard: when it last gave a sign of life; renders, total: what it said."""

    name: Any
    process: Any
    pipe: Connection
    heard: float
    renders: int = 0
    total: int = 0


@dataclass(frozen=True)
class Ended:
    """What became of a run: the row that it returned, or what went wrong with its process."""

    name: Any
    row: Row | None
    error: str
    renders: int


class Pool:
    """Runs `work(*arguments, beat)` in processes. silence: seconds without a sign of life that count as a hang.

    A context manager: whatever is still running at its end is killed.
    """

    def __init__(self, silence: float, threads: int, preload: Sequence[str] = ()) -> None:
        self.silence, self.threads = silence, threads
        self.running: list[Running] = []
        self._server = multiprocessing.get_context("forkserver")  # one a process: the first pool's imports are all
        self._server.set_forkserver_preload([*COMMON, *preload])

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *exception: object) -> None:
        for run in self.running:
            kill_group(run.process)

    def start(self, name: Any, work: Work, arguments: tuple[Any, ...], log: Path | None = None) -> None:
        """Start a run that goes by `name`; what it prints goes to `log`."""
        ours, theirs = multiprocessing.Pipe()
        process = self._server.Process(target=_inside, args=(theirs, work, arguments, self.threads, log))
        process.start()
        theirs.close()
        self.running.append(Running(name, process, ours, time.monotonic()))

    def poll(self, seconds: float) -> Iterator[Ended]:
        """Listen for up to so long; whatever has ended by then."""
        rows: dict[int, Row] = {}
        wait([thing for run in self.running for thing in (run.pipe, run.process.sentinel)], seconds)
        for run in list(self.running):
            alive = run.process.is_alive()  # asked first: what it said before it ended is still in the pipe
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
                if id(run) in rows:  # it said all it had to say, and is about to end
                    run.process.join(STOP_SECONDS)
                else:
                    continue
            kill_group(run.process)
            self.running.remove(run)
            run.pipe.close()
            error = f"hung: no sign of life for {silent:.0f} s, so it was killed" if alive else exit_of(run.process)
            yield Ended(run.name, rows.get(id(run)), error, run.renders)

    def stop(self) -> Iterator[Ended]:
        """Ask every run to stop after its iteration, and wait a little; what ended, each with its row."""
        for run in self.running:
            run.process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        while self.running and time.monotonic() < deadline:
            yield from self.poll(0.2)


def exit_of(process: Any) -> str:
    """How a process ended."""
    code = process.exitcode
    if code is not None and code < 0:
        return f"its process was ended by {signal.Signals(-code).name}"
    return f"its process ended with exit code {code}"


def kill_group(process: Any) -> None:
    """End a run and whatever it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join()


def _inside(pipe: Connection, work: Work, arguments: tuple[Any, ...], threads: int, log: Path | None) -> None:
    """In the run's own process."""
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
        pipe.recv()  # nothing is ever sent this way
    os.killpg(0, signal.SIGKILL)
