"""The lowest known loss f* of every instance.

It is 0 where the reference shows hidden parameters (`reachable`). Elsewhere it is the lowest loss that any row has ever
seen, of any method and at any point of its curve: `benchmarks/zoo/best_known.csv` keeps it for the instances that are
run again and again, and the rows of a run count, too. For the fresh instances of a held-out run, it is the lowest loss
of all methods in this run.
"""

import csv
from collections.abc import Iterable
from pathlib import Path

from benchmarks.profiles.runs import Row

FILE = Path(__file__).parents[1] / "zoo" / "best_known.csv"

Known = dict[tuple[str, int], float]


def floors(rows: Iterable[Row], known: Known) -> Known:
    """f* of every instance in the rows. known: of earlier rows."""
    found: Known = {}
    for row in rows:
        if row["error"]:
            continue
        at = row["problem"], row["instance"]
        lowest = 0.0 if row["reachable"] else min([row["start"], row["final"], *(loss for _, loss in row["curve"])])
        found[at] = min(found.get(at, known.get(at, lowest)), lowest)
    return found


def read(path: Path = FILE) -> Known:
    """The file; empty if there is none."""
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        return {(row["problem"], int(row["instance"])): float(row["loss"]) for row in csv.DictReader(file)}


def update(rows: Iterable[Row], path: Path = FILE) -> int:
    """Enter lower losses of instances that are not reachable into the file. Returns how many entries have changed."""
    rows, known = list(rows), read(path)
    reachable = {row["problem"] for row in rows if row["reachable"]}
    found = {at: loss for at, loss in floors(rows, known).items() if at[0] not in reachable}
    changed = sum(known.get(at) != loss for at, loss in found.items())
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["problem", "instance", "loss"])
        writer.writerows([*at, loss] for at, loss in sorted((known | found).items()))
    return changed
