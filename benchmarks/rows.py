"""Rows of measurements in a CSV file."""

import argparse
import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any


def append(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Append rows to a file, each as soon as it is there; a new file gets the names of the columns first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    is_new = not path.is_file()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        if is_new:
            writer.writeheader()
        for row in rows:
            writer.writerow(row)
            file.flush()


def groups(path: Path) -> dict[tuple[int, str], list[dict[str, str]]]:
    """{(max_renders, variant): the rows of its seeds} of a file of trainings."""
    found: dict[tuple[int, str], list[dict[str, str]]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault((int(row["max_renders"]), row["variant"]), []).append(row)
    return found


def train_variants(
    description: str | None,
    variants: Sequence[str],
    max_renders: int,
    measure: Callable[[str, int, int], Mapping[str, Any]],
    table: Callable[[Path], str],
    columns: Sequence[str],
    out: Path,
) -> None:
    """The command line of a benchmark that trains each variant with each seed, appends the rows, and prints a table.

    measure(variant, seed, max_renders): one row. max_renders, out: by default.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variants", nargs="+", choices=variants, default=tuple(variants))
    parser.add_argument("--seeds", type=int, nargs="+", default=(0, 1, 2))
    parser.add_argument("--max-renders", type=int, default=max_renders)
    parser.add_argument("--out", type=Path, default=out)
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    if not options.table:
        cases = product(options.seeds, options.variants)
        append(options.out, columns, (measure(variant, seed, options.max_renders) for seed, variant in cases))
    print(table(options.out))
