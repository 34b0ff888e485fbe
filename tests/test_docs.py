"""Numbers in the guide are those of the rows that stand beside it."""

from pathlib import Path

from tests.benchmarks import bench_small

DOCS = Path(__file__).parents[1] / "docs"


def test_the_table_of_surrogates_on_small_problems_is_that_of_its_rows():
    assert bench_small.table(bench_small.ROWS) in (DOCS / "surrogates.md").read_text()
