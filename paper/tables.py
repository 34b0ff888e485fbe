"""Tables 1 to 4, from rows, curves and probes alone. `paper.formats` writes them."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from baselines.compare.rows import Run, unique
from baselines.compare.summary import TARGET, hit
from paper import marks
from paper.experiments import experiment_of, share
from paper.marks import Middle, middle
from paper.names import OURS_PUBLISHED, ordered, why_missing
from paper.rows import Material
from zg.budget import StopReason

# A number of a run.
Measure = Callable[[Run], float]


@dataclass(frozen=True)
class Cell:
    """A cell: a number with its interval, or None for a dash; a mark; notes, which become footnotes.

    renders, share: median number of renders behind the number, and their share of the paper's where that is known.
    """

    middle: Middle | None = None
    mark: str = ""
    notes: tuple[str, ...] = ()
    renders: float | None = None
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


def share_of_paper(run: Run) -> float:
    """The same in percent of the paper's renders; NaN where their number is not known."""
    return math.nan if run.failed else 100 * share(run)


# {panel: (measure, whether the best method is marked)}.
MEASURES: dict[str, tuple[Measure, bool]] = {
    "final loss": (final_loss, True),
    f"renders to {TARGET:g} of the initial loss": (renders_to_target, True),
    "seconds of a run": (seconds, False),
    "renders of a run": (renders, False),
    "renders of a run, % of the paper's": (share_of_paper, False),
}
# The same, for tasks of high dimension only.
MEMORY: dict[str, tuple[Measure, bool]] = {"peak memory of the process, MB": (megabytes, False)}


def all_tables(material: Material) -> list[Table]:
    """The tables for which there is material, at published and at tuned settings."""
    found = []
    for part in ("published", "tuned"):
        runs = material.runs(part)
        suffix = "" if part == "published" else "-tuned"
        said = "every baseline at its defaults" if part == "published" else "every method tuned by equally many trials"
        low = [run for run in runs if material.low(run.row["task"])]
        high = [run for run in runs if not material.low(run.row["task"])]
        if low:
            found.append(compare(f"table1{suffix}", f"Tasks of low dimension, {said}", low, material, MEASURES))
        if high:
            title = f"Tasks of high dimension, {said}"
            found.append(compare(f"table2{suffix}", title, high, material, MEASURES | MEMORY))
    if ablated := material.runs("ablations"):
        measures = dict(list(MEASURES.items())[:2])
        found.append(compare("table3", "Ablations", ablated, material, measures))
    if material.cost:
        found.append(cost_table(material))
    return found


def compare(
    name: str, title: str, runs: Sequence[Run], material: Material, measures: Mapping[str, tuple[Measure, bool]]
) -> Table:
    """A table of methods × tasks with a panel for each measure."""
    tasks = unique(runs, lambda run: run.row["task"])
    methods = ordered(unique(runs, lambda run: run.row["method"]))
    by_pair: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        by_pair.setdefault((run.row["task"], run.row["method"]), []).append(run)
    panels = []
    for measure, (of, marked) in measures.items():
        columns = []
        for task in tasks:
            own = {method: by_pair.get((task, method), []) for method in methods}
            column = {method: cell_of(of, several) for method, several in own.items()}
            if marked:
                peers = {method: [of(run) for run in several] for method, several in own.items() if judged(several)}
                column |= {method: replace(column[method], mark=mark) for method, mark in marks.marks(peers).items()}
            columns.append(column)
        lines = {method: [column[method] for column in columns] for method in methods}
        panels.append(Panel(measure, [headed(task, material) for task in tasks], lines))
    return Table(name, title, panels, notes_of(runs, {cell.mark for panel in panels for cell in cells_of(panel)}))


def cells_of(panel: Panel) -> list[Cell]:
    """All cells of a panel, line by line."""
    return [cell for line in panel.lines.values() for cell in line]


def judged(runs: Sequence[Run]) -> bool:
    """Whether a method takes part in the test: it has runs, and sees losses only."""
    return bool(runs) and runs[0].row["feedback"] == "loss"


def headed(task: str, material: Material) -> str:
    """The name of a task with its number of parameters, where that is known."""
    n = material.sizes.get(task)
    return f"{task} (n = {n:,})" if n else task


def cell_of(of: Measure, runs: Sequence[Run]) -> Cell:
    """Median and interval of a measure; a dash with the reason where no run has a result."""
    if not runs:
        return Cell(notes=("not part of this preset",))
    notes = []
    broken = [run for run in runs if run.failed]
    if broken:
        share = "" if len(broken) == len(runs) else f"{len(broken)} of {len(runs)} runs failed: "
        notes.append(share + why_missing(run.row for run in broken))
    settings = runs[0].row.get("settings_from")
    if runs[0].row["method"] == OURS_PUBLISHED and settings == "default":
        notes.append("no published setting for this task: the published algorithm at its defaults")
    if settings == "untuned":
        notes.append("nothing tuned for this task: at its defaults")
    experiment = experiment_of(runs[0].row["task"])
    if runs[0].row["method"] == OURS_PUBLISHED and experiment and not experiment.is_released:
        notes.append("our variant of the paper's experiment (docs/paper.md)")
    if any(run.row["stop_reason"] == StopReason.TIME for run in runs):
        notes.append("cut by the limit of time")
    if runs[0].row["feedback"] == "image":
        notes.append("sees images, so it is left out of the test")
    values = [of(run) for run in runs if of is not megabytes or not run.failed]
    known = bool(values) and len(broken) < len(runs)
    if of is share_of_paper and experiment is None:
        return Cell(notes=("the paper's number of renders is not known",))
    if not known:
        return Cell(notes=tuple(notes))
    counted = middle([renders(run) for run in runs if not run.failed]).value
    part = counted / experiment.renders if experiment else None
    return Cell(middle(values), notes=tuple(notes), renders=counted, share=part)


def notes_of(runs: Sequence[Run], marked: set[str]) -> list[str]:
    """What is true of a whole table. marked: the marks in it."""
    seeds = len({run.row["seed"] for run in runs})
    said = [f"Median over {seeds} seeds [95 % bootstrap interval]." if seeds > 1 else "One seed: no intervals."]
    if marks.BEST in marked:
        said.append("Bold: best; bold with °: not told from the best (one-sided Mann–Whitney, Holm, 5 %).")
    if marks.LOWEST in marked:
        said.append("Underlined: the lowest; the test needs more seeds to distinguish this number of methods.")
    budgets = sorted({run.row["max_renders"] for run in runs})
    limits = [float(run.row["max_seconds"]) for run in runs if run.row.get("max_seconds")]
    most = f", or {max(limits):g} s if that is sooner" if limits else ""
    said.append(f"{budgets[0]:,}" + (f" to {budgets[-1]:,}" if len(budgets) > 1 else "") + f" renders a run{most}.")
    if any(run.row["jobs"] != 1 for run in runs):
        said.append("Runs were made side by side: seconds are not to be compared.")
    return said


def cost_table(material: Material) -> Table:
    """Table 4: seconds and renders of an iteration, and memory, against n."""
    sizes = sorted({row["n"] for row in material.cost})
    rows = {(row["method"], row["n"]): row for row in material.cost}
    methods = ordered({row["method"] for row in material.cost})

    def cell(method: str, n: int, *names: str) -> Cell:
        row = rows.get((method, n))
        if row is None:
            return Cell(notes=("not measured",))
        if row["error"]:
            return Cell(notes=(why_missing([row]),))
        return Cell(Middle(*(row[name] for name in names)))

    panels = [
        Panel(title, [f"n = {n:,}" for n in sizes], {of: [cell(of, n, *names) for n in sizes] for of in methods})
        for title, names in {
            "seconds an iteration": ("seconds", "seconds_low", "seconds_high"),
            "renders an iteration": ("renders",),
            "memory beyond the process's own, MB": ("mb",),
        }.items()
    ]
    said = "One thread, a loss that costs nothing; seconds are medians over iterations [quartiles]."
    return Table("table4", "Cost of the method itself against n", panels, [said])
