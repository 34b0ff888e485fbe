"""The cells of tables: a measure of runs as median and interval, with the notes that a reader needs."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from baselines.compare.names import OURS_PUBLISHED
from baselines.compare.rows import Run
from baselines.compare.summary import TARGET, hit
from paper import experiments
from paper.experiments import experiment_of, share
from paper.marks import Middle, middle
from paper.names import why_missing
from paper.pairs import has_no_randomness
from zg.budget import StopReason

# A number of a run.
Measure = Callable[[Run], float]
# What the note of a cell says that the limit of time has cut.
CUT = "cut by the limit of time"
# What it says of a method without randomness.
ONE_SAMPLE = "every seed gave the same run: one sample, left out of the test"
# The median of an even number of runs is noted where the middle two differ by more than this factor.
FAR = 10.0


@dataclass(frozen=True)
class Cell:
    """A cell: a number with its interval, or None for a dash; a mark; notes, which become footnotes.

    renders, iterations, share: medians of what is behind the number, and the share of the paper's renders, where known.
    """

    middle: Middle | None = None
    mark: str = ""
    notes: tuple[str, ...] = ()
    renders: float | None = None
    iterations: float | None = None
    share: float | None = None


@dataclass(frozen=True)
class Panel:
    """A block of a table: one measure, a line for each method, a column for each task or n. lines: {method: cells}."""

    title: str
    columns: list[str]
    lines: dict[str, list[Cell]]


@dataclass(frozen=True)
class Table:
    """A table. name: the name of its files. notes: what is true of the whole table; cells have notes of their own."""

    name: str
    title: str
    panels: list[Panel]
    notes: list[str] = field(default_factory=list)

    @property
    def footnotes(self) -> list[str]:
        """The different notes of all cells, in order."""
        return list(dict.fromkeys(note for panel in self.panels for cell in cells_of(panel) for note in cell.notes))


def cells_of(panel: Panel) -> list[Cell]:
    """All cells of a panel, line by line."""
    return [cell for line in panel.lines.values() for cell in line]


def final_loss(run: Run) -> float:
    """The loss of the θ that a run recommends at its end; infinite where it failed."""
    return math.inf if run.failed else float(run.row["final_loss"])


def renders_to_target(run: Run) -> float:
    """Renders until the curve reached the target loss; infinite where it never did."""
    return hit(run)[0]


def seconds(run: Run) -> float:
    """Seconds of rendering and method together; NaN for a failed run."""
    return math.nan if run.failed else run.row["seconds_render"] + run.row["seconds_method"]


def megabytes(run: Run) -> float:
    """The peak memory of the run's process, in MB; NaN where it is not known."""
    return run.row["peak_mb"] if run.row["peak_mb"] is not None and not run.failed else math.nan


def renders(run: Run) -> float:
    """The counted renders of a run."""
    return math.nan if run.failed else run.row["renders"]


def iterations(run: Run) -> float:
    """The iterations of a run; NaN where they are not known."""
    known = None if run.failed else experiments.iterations(run)
    return math.nan if known is None else known


def share_of_paper(run: Run) -> float:
    """The renders in percent of the paper's; NaN where their number is not known."""
    return math.nan if run.failed else 100 * share(run)


# {panel: (measure, whether the best method is marked)}.
LOSS = "final loss"
MEASURES: dict[str, tuple[Measure, bool]] = {
    LOSS: (final_loss, True),
    f"renders to {TARGET:g} of the initial loss": (renders_to_target, True),
    "seconds of a run": (seconds, False),
    "renders of a run": (renders, False),
    "iterations of a run": (iterations, False),
    "renders of a run, % of the paper's": (share_of_paper, False),
}
# The same, for tasks of high dimension only.
MEMORY: dict[str, tuple[Measure, bool]] = {"peak memory of the process, MB": (megabytes, False)}


def cell_of(of: Measure, runs: Sequence[Run]) -> Cell:
    """Median and interval of a measure; a dash with the reason where no run has a result."""
    if not runs:
        return Cell(notes=("not part of this preset",))
    notes = notes_of_runs(runs)
    whole = [run for run in runs if not run.failed]
    if not whole:
        return Cell(notes=tuple(notes))
    if of is share_of_paper and experiment_of(runs[0].row["task"]) is None:
        return Cell(notes=("the paper's number of renders is not known",))
    if of is iterations and any(math.isnan(iterations(run)) for run in whole):
        return Cell(notes=("iterations are not in these rows",))
    values = [of(run) for run in (whole if of is megabytes else runs)]
    if said := far_apart(values):
        notes.append(said)
    known = [count for run in whole if not math.isnan(count := iterations(run))]
    experiment = experiment_of(runs[0].row["task"])
    counted = middle([renders(run) for run in whole]).value
    return Cell(
        middle(values),
        notes=tuple(notes),
        renders=counted,
        iterations=middle(known).value if known else None,
        share=counted / experiment.renders if experiment else None,
    )


def notes_of_runs(runs: Sequence[Run]) -> list[str]:
    """What a reader has to know of the runs behind a cell."""
    notes = []
    row = runs[0].row
    broken = [run for run in runs if run.failed]
    if broken:
        part = "" if len(broken) == len(runs) else f"{len(broken)} of {len(runs)} runs failed: "
        notes.append(part + why_missing(run.row for run in broken))
    settings = row.get("settings_from")
    if row["method"] == OURS_PUBLISHED and settings == "default":
        notes.append("no published setting for this task: the published algorithm at its defaults")
    if settings == "untuned":
        notes.append("nothing tuned for this task: at its defaults")
    experiment = experiment_of(row["task"])
    if row["method"] == OURS_PUBLISHED and experiment and not experiment.is_released:
        notes.append("our variant of the paper's experiment (docs/paper.md)")
    if any(run.row["stop_reason"] == StopReason.TIME for run in runs):
        notes.append(CUT)
    if has_no_randomness(runs):
        notes.append(ONE_SAMPLE)
    return notes


def far_apart(values: Sequence[float]) -> str:
    """What a note says of a median between two runs that are far apart; empty otherwise."""
    if len(values) < 2 or len(values) % 2:
        return ""
    ordered = np.sort(np.nan_to_num(np.asarray(values, dtype=float), nan=math.inf, posinf=math.inf))
    low, high = ordered[len(ordered) // 2 - 1 : len(ordered) // 2 + 1]
    if high == low or high < FAR * low:
        return ""
    return "the median is no run's value: it is the mean of two runs far apart"
