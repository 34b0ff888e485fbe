"""The table in the top README, from the rows that are kept in `results`: `python -m paper.readme`.

The table stands between two markers. A test fails when it differs from the rows.
"""

import re
from pathlib import Path

from baselines.compare.tables import escape, header, table_line
from paper import rows
from paper.formats import DASH, number
from paper.marks import BEST, LOWEST, TIED
from paper.names import name_of
from paper.tables import MEASURES, Cell, compare

# The repository.
ROOT = Path(__file__).resolve().parent.parent
# The file that has the table.
README = ROOT / "README.md"
# The rows, kept by `zg paper --preset cpu --keep results/paper`.
KEPT = "results/paper/published"
# What stands below the table.
SETTINGS = (
    "ZeroGrads as published has the settings of `configs/paper`, made for many more renders (126,000 on the toy); "
    "every other method is at its defaults, untuned. A dash: not run, or cannot; why is in `results/paper/tables`."
)
# The two markers.
BEGIN, END = "<!-- made by python -m paper.readme -->", "<!-- end -->"
# The text between them.
BETWEEN = re.compile(f"(?<={re.escape(BEGIN)}\n).*?(?={re.escape(END)})", re.DOTALL)


def table() -> str:
    """The final loss of every method on every task, with marks and without intervals."""
    folder = ROOT / KEPT
    runs = rows.read_kept(folder)
    material = rows.Material(folder, {"published": runs}, rows.read_probes(folder.parent, "tasks"))
    found = compare("readme", "", runs, material, {"final loss": MEASURES["final loss"]})
    (panel,) = found.panels
    said = header("final loss", *map(escape, panel.columns))
    said += [table_line(escape(name_of(method)), *map(short, cells)) for method, cells in panel.lines.items()]
    notes = " ".join(found.notes).replace(" [95 % bootstrap interval]", "")
    return "\n".join([*said, "", f"{notes} {SETTINGS} Rows: [`{KEPT}`]({KEPT}).", ""])


def short(cell: Cell) -> str:
    """The median with its mark."""
    if cell.middle is None:
        return DASH
    value = number(cell.middle.value)
    return {BEST: f"**{value}**", TIED: f"**{value}**°", LOWEST: f"<u>{value}</u>"}.get(cell.mark, value)


def renewed(text: str) -> str:
    """The README with the table made from the rows again."""
    return BETWEEN.sub(lambda _: table(), text)


if __name__ == "__main__":
    README.write_text(renewed(README.read_text(encoding="utf-8")), encoding="utf-8")
