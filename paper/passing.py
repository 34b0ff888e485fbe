"""The number of renders at which each method passes the loss where the published algorithm ends.

Only on the paper's own experiments, where the published algorithm had at least a tenth of the paper's renders. Where it
ends is a loss that more than half of its runs reach: the upper median of its final losses. The axis of the figure
reaches the paper's number of renders, however far the runs came.
"""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from baselines.compare import statistics
from baselines.compare.curves import Goal, curves
from baselines.compare.names import OURS_PUBLISHED
from baselines.compare.rows import Run, unique
from paper.experiments import TESTED_FROM, experiment_of, percent, share

# Kept curves have six digits, rows have all: a run has to reach its own end.
ROUNDED = 1 + 1e-5


def goals(runs: Sequence[Run]) -> dict[str, Goal]:
    """{task: where the published algorithm ends}, for the paper's experiments on which it has run."""
    found = {}
    for task in unique(runs, lambda run: run.row["task"]):
        experiment = experiment_of(task)
        own = [run for run in runs if (run.row["task"], run.row["method"]) == (task, OURS_PUBLISHED) and not run.failed]
        if not own or not experiment or not experiment.is_released:
            continue
        if (part := float(np.median([share(run) for run in own]))) >= TESTED_FROM:
            loss = float(sorted(run.row["final_loss"] for run in own)[len(own) // 2]) * ROUNDED
            said = f"published ends at {loss:.2g}" + (f"\n({percent(part)} of the paper's renders)" if part < 1 else "")
            found[task] = Goal(experiment.renders, loss, said)
    return found


def figure(runs: Sequence[Run]) -> Figure | None:
    """Loss against renders up to the paper's number of renders; None without an experiment of the paper."""
    there = goals(runs)
    return curves([run for run in runs if run.row["task"] in there], "renders", there) if there else None


def passed(run: Run, goal: Goal) -> float:
    """The renders at which a run was at or below the loss of the goal; infinite where it never was."""
    return math.inf if run.failed else statistics.reached(run.curve, goal.loss)[0]
