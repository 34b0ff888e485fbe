"""The tables of pages, from the rows in `results`: python -m docs.write_tables

A table stands between two markers that name its command. A test fails when it differs from the rows.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import (
    autoencoder,
    devices,
    large,
    layer,
    material_encoder,
    pictures,
    pictures_table,
    pictures_time,
    pools,
    side_by_side,
    small,
    surrogates,
)
from benchmarks.profiles import best_known, grid, tables

ROOT = Path(__file__).parents[1]
#: Rows of the held-out run whose table the page on data profiles shows.
HELD_OUT = ROOT / "results" / "profiles" / "held_out" / "9ddad27736f1.jsonl"
#: The same for methods that see pictures.
HELD_OUT_PICTURES = ROOT / "results" / "profiles" / "held_out_pictures" / "b995e2faa372.jsonl"
#: What stands between the pairs of markers of each page, in order.
TABLES: dict[str, Sequence[Callable[[], str]]] = {
    "docs/results/many_parameters.md": [lambda: large.table(large.ROWS)],
    "docs/results/parts.md": [lambda: small.table(small.ROWS)],
    "docs/results/cost.md": [lambda: surrogates.table(surrogates.ROWS)],
    "docs/results/pictures.md": [
        lambda: "\n\n".join(
            [
                pictures_table.measured(pictures.ROWS),
                held_out_table(HELD_OUT_PICTURES),
                pictures_time.table(pictures_time.ROWS),
            ]
        )
    ],
    "docs/surrogates/picture.md": [lambda: pictures_table.ablation(pictures.ROWS)],
    "docs/results/scale.md": [
        lambda: pools.overhead_table(pools.ROWS),
        lambda: pools.gain_table(pools.ROWS),
        lambda: side_by_side.table(side_by_side.ROWS),
        lambda: devices.table(devices.ROWS),
    ],
    "docs/layer.md": [lambda: layer.table(layer.ROWS)],
    "docs/spline_vae.md": [lambda: autoencoder.table(autoencoder.ROWS)],
    "docs/material_encoder.md": [lambda: material_encoder.table(material_encoder.ROWS)],
    "docs/profiles.md": [lambda: held_out_table(HELD_OUT)],
    "README.md": [lambda: pictures_table.peers(pictures.ROWS)],
}
#: A place for a table.
BETWEEN = re.compile(r"(?<=<!-- made by python -m docs.write_tables -->\n).*?(?=<!-- end -->)", re.DOTALL)


def held_out_table(path: Path) -> str:
    """The table of methods of a held-out run."""
    rows = grid.read(path)
    floors = best_known.floors(rows, best_known.read())
    return tables.zoo_table(tables.zoo_methods(rows, floors), floors)


def renewed(name: str) -> str:
    """A page with its tables made from the rows again."""
    page, makers = (ROOT / name).read_text(encoding="utf-8"), iter(TABLES[name])
    return BETWEEN.sub(lambda _: f"\n{next(makers)()}\n\n", page)


if __name__ == "__main__":
    for name in TABLES:
        (ROOT / name).write_text(renewed(name), encoding="utf-8")
