"""The display of a whole grid: a bar with the remaining time, or one line for each run where there is no terminal."""

import math
import sys
import time
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from baselines.compare.grid import Job
from baselines.compare.remaining import Remaining
from baselines.compare.rows import Row
from zg.run.words import duration


class GridDisplay:
    """Prints each run that has ended, and the remaining time.

    Not Rich's `TimeRemainingColumn`: it takes all runs for equally long, and methods and tasks differ by far.
    """

    def __init__(self, jobs: list[Job], side_by_side: int) -> None:
        self.left = list(jobs)
        self.total = len(jobs)
        self.remaining = Remaining(side_by_side, len({job.task for job in jobs}))
        self.started: dict[Job, float] = {}
        self.shares: dict[Job, float] = {}
        # Whether a run has rendered yet. The first runs wait while the server that forks them imports its packages.
        self.is_warm = False
        self.console = Console(soft_wrap=True, highlight=False)
        self.bar: Progress | None = None
        if sys.stdout.isatty():
            self.bar = Progress(
                MofNCompleteColumn(),
                BarColumn(),
                TextColumn("{task.fields[left]}  {task.fields[now]}"),
                console=self.console,
            )
            self.line = self.bar.add_task("", total=self.total, left="", now="")

    def __enter__(self) -> "GridDisplay":
        if self.bar:
            self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar:
            self.bar.stop()

    def start(self, job: Job) -> None:
        """Note that a run has started."""
        self.started[job] = time.monotonic()

    def tell(self, running: list[Any]) -> None:
        """Show how far the runs are that run now."""
        self.shares = {run.name: run.renders / run.total if run.total else 0.0 for run in running}
        if any(self.shares.values()):
            self._warm()
        if self.bar:
            now = " | ".join(f"{run.name.task} · {run.name.method} {run.renders}" for run in running)
            self.bar.update(self.line, left=self.time_left(), now=escape(now))

    def end(self, job: Job, row: Row) -> None:
        """Print a run that has ended with this row."""
        took, was_warm = time.monotonic() - self.started.pop(job), self.is_warm
        self._warm()
        if was_warm:
            self.remaining.note(job, took)
        self.left.remove(job)
        seconds = (row["seconds_render"] or 0) + (row["seconds_method"] or 0)
        loss = math.nan if row["final_loss"] is None else row["final_loss"]
        number = self.total - len(self.left)
        said = f"{job.task} · {job.method} · seed {job.seed}  loss {loss:.4g}  {row['stop_reason']}"
        said += f" after {row['renders']} renders, {seconds:.1f} s"
        if row["stop_reason"] == "error":
            said += f": {row['error']}"
        line = escape(f"[{number}/{self.total}] ") + escape(said)
        self.console.print(line if self.bar else f"{line}  {self.time_left()}")
        if self.bar:
            self.bar.update(self.line, completed=number)

    def _warm(self) -> None:
        """The first time, let the runs that have started begin now."""
        if not self.is_warm:
            self.is_warm, now = True, time.monotonic()
            self.started = dict.fromkeys(self.started, now)

    def time_left(self) -> str:
        """The remaining time in words, with that of the figures; empty before anything is known."""
        now = time.monotonic()
        running = [(job, now - since, self.shares.get(job, 0.0)) for job, since in self.started.items()]
        waiting = [job for job in self.left if job not in self.started]
        seconds = self.remaining.seconds(waiting, running)
        return "" if seconds is None or not self.left else f"{duration(seconds)} left"
