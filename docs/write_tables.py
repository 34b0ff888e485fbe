"""The tables of pages, from the rows in `results`: python -m docs.write_tables

A table stands between two markers that name its command; with several on one page, the first marker names the table,
too. A test fails when a table differs from the rows.
"""

import re
from collections.abc import Callable
from pathlib import Path

from benchmarks import large, pictures, pictures_table, small, surrogates

ROOT = Path(__file__).parents[1]
#: {page: {name of the table: what makes it}}; a page with one table need not name it.
TABLES: dict[str, dict[str, Callable[[], str]]] = {
    "docs/results/many_parameters.md": {"": lambda: large.table(large.ROWS)},
    "docs/results/parts.md": {"": lambda: small.table(small.ROWS)},
    "docs/results/cost.md": {"": lambda: surrogates.table(surrogates.ROWS)},
    "docs/surrogates/picture.md": {
        " (measured)": lambda: pictures_table.measured(pictures.ROWS),
        " (ablation)": lambda: pictures_table.ablation(pictures.ROWS),
    },
    "README.md": {"": lambda: pictures_table.peers(pictures.ROWS)},
}
#: What is between the markers, and the name of the table.
BETWEEN = re.compile(r"(<!-- made by python -m docs.write_tables(.*?) -->\n).*?(?=<!-- end -->)", re.DOTALL)


def renewed(name: str) -> str:
    """A page with its tables made from the rows again."""
    page = (ROOT / name).read_text(encoding="utf-8")
    return BETWEEN.sub(lambda found: f"{found[1]}\n{TABLES[name][found[2]]()}\n\n", page)


if __name__ == "__main__":
    for name in TABLES:
        (ROOT / name).write_text(renewed(name), encoding="utf-8")
