"""The display of a whole grid: a bar with the remaining time, or one line for each run where there is no terminal."""

import math
import statistics
import sys
import time
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from baselines.compare.grid import Job
from baselines.compare.rows import Row
from zg.run.words import duration


class GridDisplay:
    """Prints each run that has ended, and the remaining time.

    Not Rich's `TimeRemainingColumn`: it takes all runs for equally long, and methods and tasks differ by far.
    """

    def __init__(self, jobs: list[Job], side_by_side: int) -> None:
        self.left = list(jobs)
        self.total, self.side_by_side = len(jobs), side_by_side
        self.took: dict[tuple[str, str], list[float]] = {}
        self.started: dict[Job, float] = {}
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
        if self.bar:
            now = " | ".join(f"{run.name.task} · {run.name.method} {run.renders}" for run in running)
            self.bar.update(self.line, left=self.time_left(), now=escape(now))

    def end(self, job: Job, row: Row) -> None:
        """Print a run that has ended with this row."""
        self.took.setdefault((job.task, job.method), []).append(time.monotonic() - self.started.pop(job))
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

    def time_left(self) -> str:
        """The remaining time in words.

        A run is expected to take as long as the median of the runs that have ended: of its method on its task, else of
        its task, else of all.
        """
        if not self.took or not self.left:
            return ""
        everything = [seconds for several in self.took.values() for seconds in several]
        of_task: dict[str, list[float]] = {}
        for (task, _), several in self.took.items():
            of_task.setdefault(task, []).extend(several)
        now = time.monotonic()
        seconds = 0.0
        for job in self.left:
            like = self.took.get((job.task, job.method)) or of_task.get(job.task) or everything
            seconds += max(0.0, statistics.median(like) - (now - self.started.get(job, now)))
        return f"{duration(seconds / self.side_by_side)} left"
