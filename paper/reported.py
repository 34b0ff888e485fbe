"""What the authors published, as far as it is known: `published.csv`, with a source for each line."""

import csv
from pathlib import Path

FILE = Path(__file__).with_name("published.csv")


def read_published() -> list[dict[str, str]]:
    """The lines; a cell that is not known is blank."""
    with FILE.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
