"""What the authors published, as far as it is known: `published.csv`, with a source for each line."""

import csv
from pathlib import Path

# One line for each number: experiment, method, quantity, value, source.
FILE = Path(__file__).with_name("published.csv")


def read_reported() -> list[dict[str, str]]:
    """The lines of the file. The value is blank where it is not known."""
    with FILE.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
