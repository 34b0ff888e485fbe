"""The numbers of a comparison: a line for each method on each task, and one for each method over all tasks."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import TypeVar

import numpy as np

from baselines.compare import statistics
from baselines.compare.rows import Row, Run, failed, unique
from baselines.compare.statistics import Estimate, median_and_quartiles

# The target loss, as a share of the initial loss: renders and seconds are counted up to it.
TARGET = 0.1
# {what a method is told: the title of the table of such methods}, in the order of the tables.
TOLD = {"loss": "Told losses", "image": "Told images"}
# What the title says besides where several methods are ranked.
AMONG = ", ranked among themselves"
# What stands behind or below the name of a method.
RESOLVED_IS = (
    "Behind the name of a method: the surrogate that it had chosen at the end; losses: a method for images that went "
    "on by the losses alone."
)
# Lower quartile, median, upper quartile.
Quartiles = tuple[float, float, float]


@dataclass(frozen=True)
class Spent:
    """What a run costs: medians over seeds, NaN where no run has a number."""

    renders: float
    seconds_render: float
    seconds_method: float
    peak_mb: float


@dataclass(frozen=True)
class Line:
    """A method on a task. Quartiles are over seeds; a failed run counts as infinitely bad.

    reached: the number of runs that reached the target. stops: {reason to stop: number of runs}.
    """

    task: str
    method: str
    feedback: str
    settings: str
    resolved: str
    seeds: int
    failures: int
    final: Quartiles
    gain: Estimate
    rank: Estimate | None
    reached: int
    renders_to_target: Quartiles
    seconds_to_target: Quartiles
    spent: Spent
    stops: dict[str, int]


@dataclass(frozen=True)
class Overall:
    """A method over all tasks. The estimates are None where it has not run on all of them."""

    method: str
    feedback: str
    settings: str
    tasks: int
    runs: int
    failures: int
    gain: Estimate | None
    rank: Estimate | None
    improvement: Estimate | None


# A line of either kind.
AnyLine = TypeVar("AnyLine", Line, Overall)


@dataclass(frozen=True)
class Summary:
    """Everything that the tables say.

    lines: task by task, best gain first. versus: the method that the probability of improvement compares with.
    """

    tasks: list[str]
    lines: list[Line]
    overall: list[Overall]
    versus: str
    notes: list[str] = field(default_factory=list)


def summarise(runs: Sequence[Run], versus: str) -> Summary:
    """The summary of all runs of a comparison."""
    tasks = unique(runs, lambda run: run.row["task"])
    gains = {task: statistics.gains([run for run in runs if run.row["task"] == task]) for task in tasks}
    lines = [line for task in tasks for line in task_lines(task, gains[task])]
    return Summary(tasks, lines, overall_lines(gains, versus), versus, notes(runs))


def task_lines(task: str, gains: dict[Run, float]) -> list[Line]:
    """The lines of a task, best first. Methods that see images have ranks of their own."""
    by_method = grouped(gains)
    feedbacks = {method: runs[0].row["feedback"] for method, runs in by_method.items()}
    ranks: dict[str, Estimate] = {}
    for feedback in set(feedbacks.values()):
        peers = {method for method in by_method if feedbacks[method] == feedback}
        if len(peers) == 1:  # a rank among one says nothing
            continue
        ranks |= statistics.average_ranks([by_seed(gains, peers)])
    lines = []
    for method, runs in by_method.items():
        row = runs[0].row
        hits = [hit(run) for run in runs]
        lines.append(
            Line(
                task,
                method,
                feedbacks[method],
                row["settings_from"],
                ", ".join(unique(runs, lambda run: run.row["resolved"])),
                seeds=len(runs),
                failures=sum(run.failed for run in runs),
                final=median_and_quartiles([math.inf if run.failed else run.row["final_loss"] for run in runs]),
                gain=statistics.overall_gain([np.array([gains[run] for run in runs])]),
                rank=ranks.get(method),
                reached=sum(math.isfinite(renders) for renders, _ in hits),
                renders_to_target=median_and_quartiles([renders for renders, _ in hits]),
                seconds_to_target=median_and_quartiles([seconds for _, seconds in hits]),
                spent=Spent(*(median_of(runs, one.name) for one in fields(Spent))),
                stops=dict(Counter(run.row["stop_reason"] for run in runs)),
            )
        )
    return sorted(lines, key=lambda line: (line.feedback != "loss", -line.gain.value, line.method))


def hit(run: Run) -> tuple[float, float]:
    """Renders and seconds to the target loss; infinite for a run that failed or never reached it."""
    return (math.inf, math.inf) if run.failed else statistics.reached(run.curve, TARGET * run.row["init_loss"])


def overall_lines(gains: dict[str, dict[Run, float]], versus: str) -> list[Overall]:
    """A line for each method over all tasks, best first."""
    runs_of = grouped({run: value for of_task in gains.values() for run, value in of_task.items()})
    by_task = {task: grouped(of_task) for task, of_task in gains.items()}
    everywhere = [method for method in runs_of if all(method in of_task for of_task in by_task.values())]
    strata = {
        method: [np.array([gains[task][run] for run in of_task[method]]) for task, of_task in by_task.items()]
        for method in everywhere
    }
    ranks: dict[str, Estimate] = {}
    for feedback in {runs[0].row["feedback"] for runs in runs_of.values()}:
        peers = {method for method in everywhere if runs_of[method][0].row["feedback"] == feedback}
        if len(peers) > 1:  # a rank among one says nothing
            ranks |= statistics.average_ranks([by_seed(of_task, peers) for of_task in gains.values()])
    lines = []
    for method, runs in runs_of.items():
        compared = method in strata and versus in strata and method != versus
        lines.append(
            Overall(
                method,
                runs[0].row["feedback"],
                ", ".join(unique(runs, lambda run: run.row["settings_from"])),
                len(unique(runs, lambda run: run.row["task"])),
                len(runs),
                sum(run.failed for run in runs),
                statistics.overall_gain(strata[method]) if method in strata else None,
                ranks.get(method),
                statistics.improvement(strata[method], strata[versus]) if compared else None,
            )
        )
    return sorted(
        lines, key=lambda line: (line.feedback != "loss", -(line.gain.value if line.gain else -math.inf), line.method)
    )


def grouped(gains: dict[Run, float]) -> dict[str, list[Run]]:
    """{method: its runs}."""
    found: dict[str, list[Run]] = {}
    for run in gains:
        found.setdefault(run.row["method"], []).append(run)
    return found


def by_seed(gains: dict[Run, float], methods: set[str]) -> dict[str, dict[int, float]]:
    """{method: {seed: gain}} of some methods on a task."""
    found: dict[str, dict[int, float]] = {method: {} for method in methods}
    for run, value in gains.items():
        if run.row["method"] in methods:
            found[run.row["method"]][run.row["seed"]] = value
    return found


def median_of(runs: Sequence[Run], column: str) -> float:
    """The median of a column over the rows that have a value; NaN where no row has one."""
    known = [run.row[column] for run in runs if run.row.get(column) is not None]
    return float(np.median(known)) if known else math.nan


def apart(lines: Sequence[AnyLine]) -> list[tuple[str, list[AnyLine]]]:
    """Lines with the title of their table: one table for each of `TOLD`, without a title if all are told losses."""
    found = {told: [line for line in lines if line.feedback == told] for told in TOLD}
    if not found["image"]:
        return [("", found["loss"])]
    return [
        (TOLD[told] + (AMONG if told == "image" and len(own) > 1 else ""), own) for told, own in found.items() if own
    ]


def notes(runs: Sequence[Run]) -> list[str]:
    """What a reader has to know before comparing."""
    rows = [run.row for run in runs]
    said = []
    if len({row["seed"] for row in rows}) == 1:
        said.append("One seed, so there are no intervals: differences may be luck.")
    if any(row["jobs"] != 1 for row in rows):
        most = max(row["jobs"] for row in rows)
        said.append(f"Runs were made {most} side by side: seconds are not to be compared.")
    for task in unique(rows, lambda row: row["task"]):
        of_task = [row for row in rows if row["task"] == task]
        budgets = sorted({describe_budget(row) for row in of_task})
        if len(budgets) > 1:
            said.append(f"{task}: budgets differ, so this is no comparison on equal terms: {'; '.join(budgets)}.")
        counts = Counter(row["method"] for row in of_task)
        if len(set(counts.values())) > 1:
            said.append(f"{task}: methods have from {min(counts.values())} to {max(counts.values())} seeds.")
    if are_of_different_code(rows):
        said.append("Rows are of different states of the code.")
    if len({row["machine"] for row in rows}) > 1:
        said.append("Rows are from different machines: seconds are not to be compared.")
    untuned = sorted({row["method"] for row in rows if row["settings_from"] == "untuned"})
    if untuned:
        said.append(f"Untuned, at their defaults, on at least one task: {', '.join(untuned)}.")
    if (broken := sum(failed(row) for row in rows)) > 0:
        said.append(f"{broken} of {len(rows)} runs failed; they count as the worst of their task.")
    return said


def describe_budget(row: Row) -> str:
    """The budget of a run in words."""
    seconds = row.get("max_seconds")
    return f"{row['max_renders']} renders" + (f", {seconds:g} s" if seconds else "")


def are_of_different_code(rows: Sequence[Row]) -> bool:
    """Whether rows of one task and method were made by different states of the code that such a run imports."""
    hashes: dict[tuple[str, str], set[str]] = {}
    for row in rows:
        hashes.setdefault((row["task"], row["method"]), set()).add(row["code_hash"])
    return any(len(found) > 1 for found in hashes.values())
