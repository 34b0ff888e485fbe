"""Tables of methods that see the picture."""

from pathlib import Path

from benchmarks.pictures import COLUMNS
from benchmarks.pictures_table import ablation, measured, number, peers


def written(folder: Path) -> Path:
    """Rows of two seeds of the surrogate, and one each of a variant and a baseline."""
    lines = [",".join(COLUMNS)]
    for method, seed, ten, one in (
        ("zerograds-image", 4, "16", ""),
        ("zerograds-image", 3, "14", "30"),
        ('"zerograds-image, no memory"', 3, "20", "40"),
        ("dfols", 3, "13", ""),
    ):
        given = {"task": "brdf", "method": method, "seed": seed, "n": 11, "renders": 60, "share": 0.01}
        row = given | {"renders_to_10": ten, "renders_to_1": one, "seconds_method": 1.5, "peak_mb": 1234}
        lines.append(",".join(str(row.get(column, "")) for column in COLUMNS))
    path = folder / "rows.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_cell_is_the_median_with_its_range_and_a_dash_is_a_run_that_did_not_come_that_far(tmp_path: Path) -> None:
    table = measured(written(tmp_path)).splitlines()
    assert table[2].startswith("| brdf | 11 | ZeroGrads on the image | 2 | 15 [14, 16] | – [30, –] | – |")
    assert table[3].startswith("| brdf | 11 | DFO-LS on the image | 1 | 13 | – | – |") and len(table) == 4
    assert [number(value) for value in (1234.4, 0.00123456, float("inf"))] == ["1,234", "0.00123", "–"]


def test_a_part_is_compared_on_the_seeds_that_it_has(tmp_path: Path) -> None:
    assert ablation(written(tmp_path)).splitlines()[2:] == ["| brdf | 1 | 60 | 14; 30 | 20; 40 |  |  |  |"]


def test_methods_that_see_pictures_have_a_line_each(tmp_path: Path) -> None:
    lines = peers(written(tmp_path)).splitlines()
    assert lines[2] == "| DFO-LS on the image | 13; – |"
    assert lines[-1] == "| ZeroGrads on the image | 15 [14, 16]; – [30, –] |"


def test_where_nothing_comes_to_a_tenth_the_table_of_peers_has_what_is_left(tmp_path: Path) -> None:
    path = written(tmp_path)
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line for line in lines if "zerograds-image" not in line).replace(",13,", ",,") + "\n")
    table = peers(path).splitlines()
    assert table[0] == "| renders to 10 %; to 1 % | brdf: left after 60 |"
    assert table[2] == "| DFO-LS on the image | 0.01 |"
