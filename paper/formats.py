"""A table as LaTeX (booktabs, ready to paste), Markdown, CSV and HTML: the same cells, the same footnotes.

LaTeX and Markdown are written by hand: pandas' writers have neither footnotes nor panels.
"""

import math
import textwrap
from collections.abc import Callable
from typing import NamedTuple

from baselines.compare import markup, tables
from baselines.compare.names import OURS
from baselines.compare.rows import Row
from paper.cells import Cell, Panel, Table, cells_of
from paper.marks import BEST, LOWEST, TIED
from paper.names import name_of

# The number of columns that fit the width of a page, and the letters of a line above a column and of a method's name.
ACROSS, HEAD, NAME = 4, 14, 20
# The size of an interval in LaTeX; its number has 7 points.
SPREAD = r"\fontsize{5.5}{6.5}\selectfont"
# What stands where there is no number: in general, and where the memory does not suffice (such notes start with it).
DASH, REFUSED = "–", "cannot run"
# Characters that LaTeX would interpret or does not have.
SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
}
SPECIAL |= {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}"}
SPECIAL |= {
    "\u00a0": "~",
    "–": "--",
    "…": r"\dots{}",
    "×": r"$\times$",
    "°": r"$^\circ$",
    "≤": r"$\leq$",
    "σ": r"$\sigma$",
}
SPECIAL |= {"θ": r"$\theta$", "φ": r"$\varphi$", "²": r"$^2$", "“": "``", "”": "''", "—": "---"}


def number(value: float) -> str:
    """Three significant digits; ∞ for an infinite value."""
    return "∞" if math.isinf(value) else tables.number(value)


def letter(place: int) -> str:
    """a, b, …, z, aa, ab, …"""
    return (letter(place // 26 - 1) if place >= 26 else "") + "abcdefghijklmnopqrstuvwxyz"[place % 26]


def letters(cell: Cell, table: Table) -> str:
    """The footnotes of a cell: `a` or `a,c`."""
    notes = table.footnotes
    return ",".join(letter(notes.index(note)) for note in cell.notes)


def missing(cell: Cell) -> str:
    """What stands where there is no number."""
    return REFUSED if any(note.startswith(REFUSED) for note in cell.notes) else DASH


def interval(cell: Cell) -> str:
    """`[0.1, 0.2]`; empty where there is no interval or its ends look the same."""
    found = cell.middle
    if found is None or found.low is None or found.high is None or number(found.low) == number(found.high):
        return ""
    return f"[{number(found.low)}, {number(found.high)}]"


def lines_of(panel: Panel, cell: Callable[[Cell], str]) -> list[list[str]]:
    """The lines of a panel as text, each with the method's name first."""
    return [[name_of(method), *map(cell, cells)] for method, cells in panel.lines.items()]


def latex(table: Table) -> str:
    """The table in LaTeX: a float for each panel and at most ACROSS columns. It needs no package but booktabs."""
    said = [rf"% {tex(table.title)}: needs \usepackage{{booktabs}}"]
    for place, panel in enumerate(table.panels):
        for first in range(0, len(panel.columns), ACROSS):
            part = slice(first, first + ACROSS)
            name = f"{table.name}:{place + 1}" + letter(first // ACROSS) * (len(panel.columns) > ACROSS)
            said += latex_float(table, panel, part, name)
    return "\n".join([*said, ""])


def latex_float(table: Table, panel: Panel, part: slice, name: str) -> list[str]:
    """The lines of one float, as wide as the text. The interval of a cell stands below its number."""
    columns = panel.columns[part]
    lines = {method: cells[part] for method, cells in panel.lines.items()}
    heads = [textwrap.wrap(column.replace("_", " ").replace("n = ", "n\u00a0=\u00a0"), HEAD) for column in columns]
    said = [
        r"\begin{table*}",
        r"\centering\scriptsize\setlength{\tabcolsep}{3pt}",
        rf"\caption{{{tex(table.title)}: {tex(panel.title)}. {tex(' '.join(notes_of(table, panel)))}}}",
        rf"\label{{tab:{name}}}\par\smallskip",
        rf"\begin{{tabular*}}{{\textwidth}}{{@{{}}l@{{\extracolsep{{\fill}}}}{'r' * len(columns)}@{{}}}}",
        r"\toprule",
    ]
    for line in range(max(map(len, heads))):
        said.append(" & ".join(["", *(tex(head[line]) if line < len(head) else "" for head in heads)]) + r" \\")
    said.append(r"\midrule")
    for method, cells in lines.items():
        first, *more = textwrap.wrap(name_of(method), NAME)
        said.append(" & ".join([tex(first), *(tex_cell(cell, table) for cell in cells)]) + r" \\")
        spread = [rf"{{{SPREAD} {found}}}" if (found := tex_interval(cell)) else "" for cell in cells]
        if more or any(spread):
            said.append(" & ".join([r"\quad " + tex(" ".join(more)) if more else "", *spread]) + r" \\[1pt]")
    said += [r"\bottomrule", r"\end{tabular*}"]
    used = {note for cells in lines.values() for cell in cells for note in cell.notes}
    notes = [rf"$^{{{letter(place)}}}$~{tex(note)}" for place, note in enumerate(table.footnotes) if note in used]
    if notes:
        said.append(r"\begin{flushleft}" + "; ".join(notes) + r".\end{flushleft}")
    return [*said, r"\end{table*}", ""]


def notes_of(table: Table, panel: Panel) -> list[str]:
    """The notes of a table, without those that are of another panel."""
    marked = any(cell.mark for cell in cells_of(panel))
    is_of_panel = {"Bold": marked, "Underlined": marked}
    is_of_panel |= {"The better": "better" in panel.title, "Runs were made": "seconds" in panel.title}
    return [
        note for note in table.notes if all(here or not note.startswith(first) for first, here in is_of_panel.items())
    ]


def tex_cell(cell: Cell, table: Table) -> str:
    """The number of a cell in LaTeX, with its mark and footnotes."""
    note = f"$^{{{letters(cell, table)}}}$" if cell.notes else ""
    if cell.middle is None:
        return missing(cell).replace(DASH, "--") + note
    value = number(cell.middle.value).replace("∞", r"$\infty$").replace(DASH, "--")
    value = {BEST: rf"\textbf{{{value}}}", TIED: rf"\textbf{{{value}}}$^\circ$", LOWEST: rf"\underline{{{value}}}"}.get(
        cell.mark, value
    )
    return value + note


def tex_interval(cell: Cell) -> str:
    """The interval of a cell in LaTeX, as short as it can be; empty where there is none or its ends look the same."""
    if not interval(cell) or cell.middle is None:
        return ""
    low, high = (brief(edge) for edge in cell.middle[1:] if edge is not None)
    return f"[{low}, {high}]"


def brief(value: float) -> str:
    """Three significant digits, as short as they can be written in LaTeX: `0.0123`, `2.34e-4`, `1.1e5`."""
    if math.isinf(value):
        return r"$\infty$"
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{float(f'{value:.3g}'):.10g}"
    digits, _, power = f"{value:.2e}".partition("e")
    return f"{float(digits):g}e{int(power)}"


def tex(text: str) -> str:
    """Text with its special characters escaped."""
    return "".join(SPECIAL.get(character, character) for character in text)


def markdown(table: Table) -> str:
    """The table in Markdown."""
    said = [f"## {table.title}", "", *table.notes, ""]
    for panel in table.panels:
        said += [f"**{panel.title}**", "", *tables.header("method", *map(tables.escape, panel.columns))]
        said += [tables.table_line(*line) for line in lines_of(panel, lambda cell: markdown_cell(cell, table))]
        said.append("")
    notes = [f"<sup>{letter(place)}</sup> {tables.escape(note)}  " for place, note in enumerate(table.footnotes)]
    return "\n".join([*said, *notes, ""])


def markdown_cell(cell: Cell, table: Table) -> str:
    """A cell in Markdown."""
    note = f"<sup>{letters(cell, table)}</sup>" if cell.notes else ""
    if cell.middle is None:
        return missing(cell) + note
    value = number(cell.middle.value)
    value = {BEST: f"**{value}**", TIED: f"**{value}**°", LOWEST: f"<u>{value}</u>"}.get(cell.mark, value)
    return " ".join(part for part in (value, interval(cell)) if part) + note


def rows(table: Table) -> list[Row]:
    """The table in long form: a row for each cell."""
    found: list[Row] = []
    for panel in table.panels:
        for method, cells in panel.lines.items():
            for column, cell in zip(panel.columns, cells, strict=True):
                place = {"table": table.name, "measure": panel.title, "method": method, "column": column}
                middle = cell.middle
                numbers: Row = middle._asdict() if middle else dict.fromkeys(("value", "low", "high"), "")
                rests_on = {"renders": cell.renders, "iterations": cell.iterations}
                rests_on |= {"share_of_the_papers_renders": cell.share}
                found.append(place | numbers | {"mark": cell.mark, "notes": "; ".join(cell.notes)} | rests_on)
    return found


class Block(NamedTuple):
    """A table for the template of the report.

    name: its anchor. panels: (title, sortable table). footnotes: (letter, note).
    """

    name: str
    title: str
    said: str
    panels: list[tuple[str, markup.Table]]
    footnotes: list[tuple[str, str]]


def block(table: Table) -> Block:
    """The table for HTML, as a sortable table for each panel."""
    panels = []
    for panel in table.panels:
        lines = [
            markup.Line([markup.Cell(name_of(method)), *(html_cell(cell, table) for cell in cells)], method == OURS)
            for method, cells in panel.lines.items()
        ]
        panels.append((panel.title, markup.Table(["method", *panel.columns], lines)))
    notes = [(letter(place), note) for place, note in enumerate(table.footnotes)]
    return Block(table.name, table.title, " ".join(table.notes), panels, notes)


def html_cell(cell: Cell, table: Table) -> markup.Cell:
    """A cell in HTML."""
    note = letters(cell, table)
    if cell.middle is None:
        return markup.Cell(missing(cell), math.nan, note=note)
    value = cell.middle.value
    tag, sign = {BEST: ("b", ""), TIED: ("b", "°"), LOWEST: ("u", "")}.get(cell.mark, ("", ""))
    spread = [interval(cell)] if interval(cell) else []
    return markup.Cell(number(value), value, tag=tag, sign=sign, small=spread, note=note)
