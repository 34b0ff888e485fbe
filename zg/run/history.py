"""The records of a run, in `history.csv`."""

import csv
import math
from pathlib import Path
from typing import TextIO

from zg.run.files import partial_of


class History:
    """One row for each record, in memory and in `history.csv` of the folder, if there is a folder.

    Unlike with Lightning's CSVLogger, a later record may have new columns. The file is written and never read: a
    checkpoint holds the rows, and a resumed run writes the file again from them, whatever has happened to it.
    """

    FILE = "history.csv"

    def __init__(self, folder: Path | None) -> None:
        self.path = folder / self.FILE if folder else None
        self.rows: list[dict[str, float]] = []
        self._columns: list[str] = []
        self._file: TextIO | None = None

    def write(self, record: dict[str, float]) -> None:
        """Add a row. It is in the file when `write` returns. Values that are not finite are left blank."""
        row = {name: value for name, value in record.items() if math.isfinite(value)}
        self.rows.append(row)
        if self.path is None:
            return
        if new := [name for name in record if name not in self._columns]:
            self._columns += new
            self._rewrite()
            return
        self._file = self._file or self.path.open("a", newline="")
        csv.DictWriter(self._file, self._columns).writerow(row)
        self._file.flush()

    def close(self) -> None:
        """Close the file. The next `write` opens it again."""
        if self._file:
            self._file.close()
            self._file = None

    def restore(self, rows: list[dict[str, float]]) -> None:
        """Go on after these rows of an interrupted run. Rows that it logged later are dropped."""
        self.rows = list(rows)
        self._columns = list(dict.fromkeys(key for row in self.rows for key in row))
        if self.path is not None:
            self._rewrite()

    def _rewrite(self) -> None:
        assert self.path is not None
        self.close()
        partial = partial_of(self.path)
        self._file = partial.open("w", newline="")  # stays open: the next rows are appended
        writer = csv.DictWriter(self._file, self._columns)
        writer.writeheader()
        writer.writerows(self.rows)
        self._file.flush()
        partial.replace(self.path)  # without fsync: after a power failure, only the checkpoint is needed


def as_number(text: str) -> float:
    """The number in a cell of the file; an int if it was written as one."""
    return int(text) if text.lstrip("-").isdigit() else float(text)
