"""Numbers in the results are those of the rows that stand beside them."""

import pytest

from docs.write_tables import RESULTS, TABLES, renewed


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_that_of_its_rows(name: str) -> None:
    assert (RESULTS / name).read_text() == renewed(name), "run: python -m docs.write_tables"
