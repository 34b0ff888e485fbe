"""One display for a whole grid: a bar with the time left, or a plain line a run where there is no terminal."""

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

Row = dict[str, Any]


class GridDisplay:
    """Says what has ended and how long the rest will take, from how long its like took."""

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
        """A run has started."""
        self.started[job] = time.monotonic()

    def tell(self, running: list[Any]) -> None:
        """How far the runs under way are."""
        if self.bar:
            now = " | ".join(f"{run.name.task} · {run.name.method} {run.renders}" for run in running)
            self.bar.update(self.line, left=self.time_left(), now=escape(now))

    def end(self, job: Job, row: Row) -> None:
        """A run has ended, with this row."""
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
        """What is left, each run as long as the median of its like: its method on its task, its task, all."""
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


def duration(seconds: float) -> str:
    """`40 s`, `12 min` or `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
