"""A table as LaTeX (booktabs, ready to paste), Markdown, CSV and HTML: the same cells, the same footnotes.

LaTeX and Markdown are written by hand: pandas' writers have neither footnotes nor panels.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

from baselines.compare import markup, tables
from baselines.compare.rows import Row
from paper.marks import BEST, LOWEST, TIED
from paper.names import OURS, name_of
from paper.tables import Cell, Panel, Table

# The number of columns that fit the width of a page.
ACROSS = 5
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
SPECIAL |= {"–": "--", "…": r"\dots{}", "×": r"$\times$", "°": r"$^\circ$", "≤": r"$\leq$", "σ": r"$\sigma$"}
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


def lines_of(panel: Panel, cell: Callable[[Cell], str], columns: slice = slice(None)) -> list[list[str]]:
    """The lines of a panel as text, each with the method's name first."""
    return [[name_of(method), *map(cell, cells[columns])] for method, cells in panel.lines.items()]


def latex(table: Table) -> str:
    """The table in LaTeX. It needs no package but booktabs."""
    said = [
        rf"% {tex(table.title)}: needs \usepackage{{booktabs}}",
        r"\begin{table*}",
        r"\centering\scriptsize",
        rf"\caption{{{tex(table.title)}. {tex(' '.join(table.notes))}}}",
        rf"\label{{tab:{table.name}}}",
    ]
    for panel in table.panels:
        for first in range(0, len(panel.columns), ACROSS):
            part = slice(first, first + ACROSS)
            columns = panel.columns[part]
            said += [
                rf"\begin{{tabular}}{{l{'r' * len(columns)}}}",
                r"\toprule",
                rf"\multicolumn{{{len(columns) + 1}}}{{l}}{{\emph{{{tex(panel.title)}}}}} \\",
                " & ".join(["", *map(tex, columns)]) + r" \\",
                r"\midrule",
            ]
            for name, *cells in lines_of(panel, lambda cell: tex_cell(cell, table), part):
                said.append(" & ".join([tex(name), *cells]) + r" \\")
            said += [r"\bottomrule", r"\end{tabular}", r"\par\medskip"]
    notes = [rf"$^{{{letter(place)}}}$~{tex(note)}" for place, note in enumerate(table.footnotes)]
    if notes:
        said.append(r"\begin{flushleft}" + "; ".join(notes) + r".\end{flushleft}")
    return "\n".join([*said, r"\end{table*}", ""])


def tex_cell(cell: Cell, table: Table) -> str:
    """A cell in LaTeX."""
    note = f"$^{{{letters(cell, table)}}}$" if cell.notes else ""
    if cell.middle is None:
        return missing(cell).replace(DASH, "--") + note
    value = number(cell.middle.value).replace("∞", r"$\infty$").replace(DASH, "--")
    value = {BEST: rf"\textbf{{{value}}}", TIED: rf"\textbf{{{value}}}$^\circ$", LOWEST: rf"\underline{{{value}}}"}.get(
        cell.mark, value
    )
    spread = interval(cell).replace("∞", r"$\infty$")
    return value + (rf" {{\tiny {spread}}}" if spread else "") + note


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
                rests_on = {"renders": cell.renders, "share_of_the_papers_renders": cell.share}
                found.append(place | numbers | {"mark": cell.mark, "notes": "; ".join(cell.notes)} | rests_on)
    return found


class Block(NamedTuple):
    """A table for the template of the report. panels: (title, sortable table). footnotes: (letter, note)."""

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
    return Block(table.title, " ".join(table.notes), panels, notes)


def html_cell(cell: Cell, table: Table) -> markup.Cell:
    """A cell in HTML."""
    note = letters(cell, table)
    if cell.middle is None:
        return markup.Cell(missing(cell), math.nan, note=note)
    value = cell.middle.value
    tag, sign = {BEST: ("b", ""), TIED: ("b", "°"), LOWEST: ("u", "")}.get(cell.mark, ("", ""))
    spread = [interval(cell)] if interval(cell) else []
    return markup.Cell(number(value), value, tag=tag, sign=sign, small=spread, note=note)
