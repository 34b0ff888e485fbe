"""The table in the top README, from the rows that are kept in `results`: `python -m paper.readme`.

The table stands between two markers. A test fails when it differs from the rows.
"""

import re
from pathlib import Path

from baselines.compare.tables import escape, header, table_line
from paper import rows
from paper.cells import CUT, LOSS, Cell
from paper.experiments import percent
from paper.formats import DASH, number
from paper.marks import BEST, LOWEST, TIED
from paper.names import name_of
from paper.tables import DEFAULT, better_panel, notes_of

# The repository.
ROOT = Path(__file__).resolve().parent.parent
# The file that has the table.
README = ROOT / "README.md"
# The rows, kept by `zg paper --preset cpu --keep results/paper`.
KEPT = "results/paper"
# What stands below the table. {}: the largest share of the paper's renders.
SETTINGS = (
    "Each method has the better of its default and its tuned settings, chosen on the seeds of this table; "
    "<sup>d</sup>: the default (of ZeroGrads as published: the setting of `configs/paper`). Tuning was 24 trials on "
    "one other seed, for every method. †: some runs were cut by the limit of time. A dash: not run, or cannot; why is "
    "in `results/paper/tables`. These are at most {} of the paper's renders, and caustic, MLP and Rosenbrock are our "
    "variants: this says nothing of the published results. Toy, Rosenbrock, LED and MLP at the paper's renders: "
    "[`results/budget`](results/budget/tables/table5.md)."
)
# The two markers.
BEGIN, END = "<!-- made by python -m paper.readme -->", "<!-- end -->"
# The text between them.
BETWEEN = re.compile(f"(?<={re.escape(BEGIN)}\n).*?(?={re.escape(END)})", re.DOTALL)


def table() -> str:
    """The final loss of each method that is told losses on every tuned task, with marks and without intervals."""
    folder = ROOT / KEPT
    parts = {part: rows.read_kept(folder / part) for part in ("published", "tuned")}
    material = rows.Material(folder, parts, rows.read_probes(folder, "tasks"))
    losses = [run for run in parts["tuned"] if run.row["feedback"] == "loss"]
    panel = better_panel(material, losses)
    cells = [cell for line in panel.lines.values() for cell in line]
    said = header(LOSS, *map(escape, panel.columns))
    said += [table_line(escape(name_of(method)), *map(short, line)) for method, line in panel.lines.items()]
    notes = " ".join(notes_of(losses, {cell.mark for cell in cells})).replace(" [95 % bootstrap interval]", "")
    settings = SETTINGS.format(percent(max(cell.share or 0.0 for cell in cells)))
    return "\n".join([*said, "", f"{notes} {settings} Rows: [`{KEPT}`]({KEPT}).", ""])


def short(cell: Cell) -> str:
    """The median with its mark, and what has to be known of it."""
    if cell.middle is None:
        return DASH
    value = number(cell.middle.value)
    value = {BEST: f"**{value}**", TIED: f"**{value}**°", LOWEST: f"<u>{value}</u>"}.get(cell.mark, value)
    return value + "<sup>d</sup>" * (DEFAULT in cell.notes) + "†" * (CUT in cell.notes)


def renewed(text: str) -> str:
    """The README with the table made from the rows again."""
    return BETWEEN.sub(lambda _: table(), text)


if __name__ == "__main__":
    README.write_text(renewed(README.read_text(encoding="utf-8")), encoding="utf-8")
