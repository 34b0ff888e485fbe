"""What HTML reports are made of: sortable tables, their cells, and the Jinja2 templates that write them.

The templates escape every string at the place where they write it. Nothing here returns a piece of HTML.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

# The frame of a page, and the parts that several reports share.
TEMPLATES = Path(__file__).with_name("templates")


class Cell(NamedTuple):
    """A cell of a table.

    value: the number that the column is sorted by; None for text. kind: a CSS class. tag: the element around the text,
    `b` or `u`. sign: what follows that element. small: remarks in small print. note: letters of footnotes, raised.
    """

    text: str
    value: float | None = None
    kind: str = ""
    tag: str = ""
    sign: str = ""
    small: Sequence[str] = ()
    note: str = ""

    @property
    def css(self) -> str:
        """The class of the cell: text is on the left, numbers are on the right."""
        return self.kind or ("left" if self.value is None else "")


class Line(NamedTuple):
    """A line of a table. house: whether it is of this project's method, whose name is bold."""

    cells: Sequence[Cell]
    house: bool = False


class Table(NamedTuple):
    """A table that is sorted by a click on the name of a column."""

    names: Sequence[str]
    lines: Sequence[Line]

    @property
    def heads(self) -> list[tuple[str, bool]]:
        """(name, whether the column is text) of each column, as its first line says."""
        first = self.lines[0].cells if self.lines else []
        text = [cell.value is None for cell in first] or [False] * len(self.names)
        return list(zip(self.names, text, strict=True))


@cache
def environment(*folders: Path) -> Environment:
    """Jinja2 with the templates of some folders and those of this package."""
    return Environment(
        loader=FileSystemLoader([*folders, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def render(template: str, *folders: Path, **values: Any) -> str:
    """The page that a template makes of some values. folders: where templates of other packages are."""
    return environment(*folders).get_template(template).render(values)
