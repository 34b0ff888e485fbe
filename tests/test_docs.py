"""Numbers in the guide are those of the rows that stand beside it."""

from pathlib import Path

import pytest

from benchmarks import large, small

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize("bench", [small, large])
def test_a_table_of_surrogates_is_that_of_its_rows(bench):
    assert bench.table(bench.ROWS) in (DOCS / "surrogates.md").read_text()
