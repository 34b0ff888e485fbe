"""How long the rest of a grid of runs takes.

    t(task, method) = t(task) t(method) / t(all)        where no run of the method on the task has ended

t are means over the runs that have ended, from the start of their process to its end. What runs now is expected to go
on as fast as it does. Then come the figures.
"""

import math
from collections.abc import Mapping, Sequence

from baselines.compare.grid import Job

#: Seconds of tables, figures and page, and what each task adds, on two cores of a server: `time zg report DIR`.
FIGURES, FIGURES_A_TASK = 3.0, 1.1
#: Share of its renders from which a run tells how long it takes.
TELLING = 0.05

Times = Mapping[tuple[str, str], Sequence[float]]


class Remaining:
    """Notes how long runs take, and tells how long the others will.

    side_by_side: number of runs at the same time. tasks: number of tasks.
    """

    def __init__(self, side_by_side: int, tasks: int) -> None:
        self.side_by_side, self.figures = side_by_side, FIGURES + FIGURES_A_TASK * tasks
        self.took: dict[tuple[str, str], list[float]] = {}

    def note(self, job: Job, seconds: float) -> None:
        """Enter the seconds that a run has taken."""
        self.took.setdefault((job.task, job.method), []).append(seconds)

    def expected(self, job: Job) -> float | None:
        """Seconds of a run; None where nothing like it has ended."""
        same = self.took.get((job.task, job.method))
        if same:
            return mean(same)
        of_task = [t for (task, _), several in self.took.items() if task == job.task for t in several]
        of_method = [t for (_, method), several in self.took.items() if method == job.method for t in several]
        everything = [t for several in self.took.values() for t in several]
        if of_task and of_method:
            return mean(of_task) * mean(of_method) / mean(everything)
        return mean(of_method or of_task or everything) if everything else None

    def seconds(self, waiting: Sequence[Job], running: Sequence[tuple[Job, float, float]]) -> float | None:
        """Seconds until everything is there; None before anything is known.

        waiting: runs that have not started. running: run, seconds since its start, and share of its renders.
        """
        whole = [seconds / share for _, seconds, share in running if share >= TELLING]
        guess = mean(whole) if whole else None
        ahead = 0.0
        for job in waiting:
            expected = self.expected(job) or guess
            if expected is None:
                return None
            ahead += expected
        for job, seconds, share in running:
            expected = seconds / share if share >= TELLING else self.expected(job) or guess
            if expected is None:
                return None
            ahead += max(0.0, expected - seconds)
        return ahead / self.side_by_side + self.figures


def mean(values: Sequence[float]) -> float:
    """The mean; sums of times need means, where medians forget the long ones."""
    return math.fsum(values) / len(values)
