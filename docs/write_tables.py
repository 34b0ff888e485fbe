"""The tables of docs/results and of two guides, from the rows in `results`: python -m docs.write_tables

A table stands between two markers that name its command. A test fails when it differs from the rows.
"""

import re
from collections.abc import Callable
from pathlib import Path

from benchmarks import autoencoder, large, layer, small, surrogates

RESULTS = Path(__file__).with_name("results")
#: The table of each page.
TABLES: dict[str, Callable[[], str]] = {
    "many_parameters.md": lambda: large.table(large.ROWS),
    "parts.md": lambda: small.table(small.ROWS),
    "../layer.md": lambda: layer.table(layer.ROWS),
    "../spline_vae.md": lambda: autoencoder.table(autoencoder.ROWS),
    "cost.md": lambda: surrogates.table(surrogates.ROWS),
}
#: What is between the markers.
BETWEEN = re.compile(r"(?<=<!-- made by python -m docs.write_tables -->\n).*?(?=<!-- end -->)", re.DOTALL)


def renewed(name: str) -> str:
    """A page with its table made from the rows again."""
    page = (RESULTS / name).read_text(encoding="utf-8")
    return BETWEEN.sub(lambda _: f"\n{TABLES[name]()}\n\n", page)


if __name__ == "__main__":
    for name in TABLES:
        (RESULTS / name).write_text(renewed(name), encoding="utf-8")
