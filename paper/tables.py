"""Tables 1 to 5, from rows, curves and probes alone. `paper.formats` writes them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from baselines.compare import statistics
from baselines.compare.names import OURS_PUBLISHED
from baselines.compare.rows import Run, unique
from paper import marks, passing
from paper.cells import LOSS, MEASURES, MEMORY, Cell, Measure, Panel, Table, cell_of, cells_of, final_loss
from paper.marks import Middle, middle
from paper.names import ordered, why_missing
from paper.order import MOVED
from paper.pairs import distinct, has_no_randomness
from paper.rows import Material

# {(task, method): runs}.
ByPair = Mapping[tuple[str, str], Sequence[Run]]
# What a note says where the tuned settings are no better.
DEFAULT = "the default (or published) settings are better"


def all_tables(material: Material) -> list[Table]:
    """The tables for which there is material, at published and at tuned settings."""
    found = []
    for part in ("published", "tuned"):
        runs = material.runs(part)
        suffix = "" if part == "published" else "-tuned"
        said = "every baseline at its defaults" if part == "published" else "every method tuned by equally many trials"
        for name, dimension, is_low in (("table1", "low", True), ("table2", "high", False)):
            own = [run for run in runs if material.low(run.row["task"]) == is_low]
            if own:
                title = f"Tasks of {dimension} dimension, {said}"
                measures = MEASURES if is_low else MEASURES | MEMORY
                for ending, words, apart in told(own):
                    table = compare(f"{name}{suffix}{ending}", title + words, apart, material, measures)
                    found.append(with_better(table, material, apart) if part == "tuned" else table)
    if ablated := material.runs("ablations"):
        measures = dict(list(MEASURES.items())[:2])
        table = compare("table3", "Ablations", ablated, material, measures)
        found.append(replace(table, notes=table.notes + unmoved(ablated)))
    if material.cost:
        found.append(cost_table(material))
    return [*found, *passing_tables(material)]


def told(runs: Sequence[Run]) -> list[tuple[str, str, list[Run]]]:
    """Runs of methods that are told losses, and of those that are told images, with endings of the name and title."""
    parts = (("loss", "", ""), ("image", "-image", "; methods that see the image, tested among themselves"))
    found = [(ending, words, [run for run in runs if run.row["feedback"] == told]) for told, ending, words in parts]
    return [part for part in found if part[2]]


def compare(
    name: str, title: str, runs: Sequence[Run], material: Material, measures: Mapping[str, tuple[Measure, bool]]
) -> Table:
    """A table of methods × tasks with a panel for each measure."""
    by_pair = paired(runs)
    panels = [panel_of(measure, of, marked, by_pair, material) for measure, (of, marked) in measures.items()]
    return Table(name, title, panels, notes_of(runs, {cell.mark for panel in panels for cell in cells_of(panel)}))


def paired(runs: Sequence[Run]) -> ByPair:
    """Runs by task and method."""
    found: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        found.setdefault((run.row["task"], run.row["method"]), []).append(run)
    return found


def panel_of(title: str, of: Measure, marked: bool, by_pair: ByPair, material: Material) -> Panel:
    """The panel of one measure."""
    tasks = list(dict.fromkeys(task for task, _ in by_pair))
    methods = ordered(method for _, method in by_pair)
    columns = []
    for task in tasks:
        own = {method: by_pair.get((task, method), []) for method in methods}
        column = {method: cell_of(of, several) for method, several in own.items()}
        if marked:
            column |= {method: replace(column[method], mark=mark) for method, mark in marks_of(of, own).items()}
        columns.append(column)
    lines = {method: [column[method] for column in columns] for method in methods}
    return Panel(title, [headed(task, material) for task in tasks], lines)


def marks_of(of: Measure, own: Mapping[str, Sequence[Run]]) -> dict[str, str]:
    """The marks of a column. A method that has one sample can only be the lowest."""
    rivals = {method: runs for method, runs in own.items() if runs}
    single = {method for method, runs in rivals.items() if has_no_randomness(runs)}
    medians = {method: middle([of(run) for run in runs]).value for method, runs in rivals.items()}
    lowest = min(medians.values(), default=math.inf)
    if math.isfinite(lowest) and any(medians[method] == lowest for method in single):
        return {method: marks.LOWEST for method, value in medians.items() if value == lowest}
    peers = {method: [of(run) for run in distinct(runs)] for method, runs in rivals.items() if method not in single}
    return marks.marks(peers)


def with_better(table: Table, material: Material, tuned: Sequence[Run]) -> Table:
    """A tuned table, with a panel more: the final loss by the better of default and tuned settings."""
    panel = better_panel(material, tuned)
    if not panel.columns:
        return table
    said = "The better of default and tuned is chosen on the seeds of the table, for every method alike."
    return replace(table, panels=[*table.panels, panel], notes=[*table.notes, said])


def better_panel(material: Material, tuned: Sequence[Run]) -> Panel:
    """The final loss by the better of default and tuned settings. Notes say where it is the default."""
    found = better(material.runs("published"), tuned)
    panel = panel_of(f"{LOSS}, the better of default and tuned", final_loss, True, found, material)
    for method, cells in panel.lines.items():
        for place, task in enumerate(dict.fromkeys(task for task, _ in found)):
            runs = found.get((task, method), [])
            if runs and runs[0].row["settings_from"] not in ("tuned", "untuned"):
                cells[place] = replace(cells[place], notes=(*cells[place].notes, DEFAULT))
    return panel


def better(published: Sequence[Run], tuned: Sequence[Run]) -> ByPair:
    """The runs of the settings with the lower median of final losses, for what has runs at both and equal budgets."""
    default = paired(published)
    found = {}
    for key, runs in paired(tuned).items():
        other = default.get(key, [])
        if other and {run.row["max_renders"] for run in other} == {run.row["max_renders"] for run in runs}:
            found[key] = min((runs, other), key=lambda of: middle([final_loss(run) for run in of]).value)
    return found


def unmoved(runs: Sequence[Run]) -> list[str]:
    """The tasks on which the base of the ablations has hardly moved, so that nothing can be told from its parts."""
    base = [run for run in runs if run.row["method"] == OURS_PUBLISHED]
    still = []
    for task in unique(base, lambda run: run.row["task"]):
        own = [run for run in base if run.row["task"] == task]
        if float(np.median(list(statistics.gains(own).values()))) < MOVED:
            still.append(task)
    said = "The published algorithm lowered the loss by less than a tenth on {}: there its ablations show nothing."
    return [said.format(", ".join(still))] if still else []


def headed(task: str, material: Material) -> str:
    """The name of a task with its number of parameters, where that is known."""
    n = material.sizes.get(task)
    return f"{task} (n = {n:,})" if n else task


def notes_of(runs: Sequence[Run], marked: set[str]) -> list[str]:
    """What is true of a whole table. marked: the marks in it."""
    seeds = len({run.row["seed"] for run in runs})
    said = [f"Median over {seeds} seeds [95 % bootstrap interval]." if seeds > 1 else "One seed: no intervals."]
    if seeds > 1 and seeds % 2 == 0:
        said.append("The median of an even number of runs is the mean of the middle two, not a run's value.")
    if marks.BEST in marked:
        said.append("Bold: best; bold with °: not told from the best (one-sided Mann–Whitney, Holm, 5 %).")
    if marks.LOWEST in marked:
        said.append("Underlined: the lowest, without a test: too few seeds, or one sample.")
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


def passing_tables(material: Material) -> list[Table]:
    """Table 5, on the paper's experiments: the renders until each method passes where the published algorithm ends."""
    goals = passing.goals(material.runs("published"))
    runs = [run for run in material.runs("published") if run.row["task"] in goals]
    if not runs:
        return []
    measures = {
        "renders until the loss at which ZeroGrads, as published, ends": (
            lambda run: passing.passed(run, goals[run.row["task"]]),
            True,
        ),
        "the same, % of the paper's renders": (
            lambda run: 100 * passing.passed(run, goals[run.row["task"]]) / goals[run.row["task"]].renders,
            False,
        ),
    }
    table = compare("table5", "Renders to where the published algorithm ends", runs, material, measures)
    ends = "; ".join(f"{task}: {goal.loss:.3g}" for task, goal in goals.items())
    said = [
        f"The published algorithm ends at (a loss that more than half of its runs reach): {ends}.",
        "The loss is measured at about 50 numbers of renders, and the first at or below that loss counts.",
    ]
    return [replace(table, notes=[*said, *table.notes])]
