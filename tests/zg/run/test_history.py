"""history.csv: columns, truncation, and what is on the disk at which moment."""

import csv
import math
import signal
import subprocess
import sys

import pytest

from zg.run.history import History, as_number


def lines(folder):
    """The rows of the file, with text as values."""
    with (folder / History.FILE).open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_row_is_in_the_file_when_write_returns(tmp_path):
    history = History(tmp_path)
    for renders in range(1, 4):
        history.write({"renders": renders, "loss": 0.5})
        assert [row["renders"] for row in lines(tmp_path)] == [str(number) for number in range(1, renders + 1)]
    history.close()


def test_a_new_column_is_added_to_the_rows_before_it(tmp_path):
    history = History(tmp_path)
    history.write({"renders": 1, "loss": 0.5})
    history.write({"renders": 2, "sigma": 0.1})
    history.write({"renders": 3, "loss": 0.25})
    assert lines(tmp_path) == [
        {"renders": "1", "loss": "0.5", "sigma": ""},
        {"renders": "2", "loss": "", "sigma": "0.1"},
        {"renders": "3", "loss": "0.25", "sigma": ""},
    ]
    assert history.rows == [{"renders": 1, "loss": 0.5}, {"renders": 2, "sigma": 0.1}, {"renders": 3, "loss": 0.25}]
    history.close()


def test_values_that_are_not_finite_are_blank(tmp_path):
    history = History(tmp_path)
    history.write({"renders": 1, "loss": math.nan, "best_loss": math.inf})
    history.close()
    assert lines(tmp_path) == [{"renders": "1", "loss": "", "best_loss": ""}]
    assert history.rows == [{"renders": 1}]


def test_without_a_folder_the_rows_are_kept_in_memory_only(tmp_path):
    history = History(None)
    history.write({"renders": 1})
    history.restore([{"renders": 1}])
    history.close()
    assert history.rows == [{"renders": 1}]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "damage", [None, b"", b"renders,loss\n0,x\n", b"\xff\x00"], ids=["", "empty", "words", "bytes"]
)
def test_a_resumed_run_writes_the_rows_of_its_checkpoint_again_and_appends(damage, tmp_path):
    interrupted = History(tmp_path)
    for renders in (0, 20, 40, 60):
        interrupted.write({"renders": renders, "loss": 1 / (1 + renders)})
    interrupted.close()
    if damage is not None:
        (tmp_path / "history.csv").write_bytes(damage)
    history = History(tmp_path)
    history.restore(interrupted.rows[:3])
    assert [row["renders"] for row in lines(tmp_path)] == ["0", "20", "40"]
    history.write({"renders": 60, "loss": 0.125})
    history.close()
    assert [row["renders"] for row in lines(tmp_path)] == ["0", "20", "40", "60"]
    assert history.rows == [*interrupted.rows[:3], {"renders": 60, "loss": 0.125}]


def test_a_row_can_be_written_after_close(tmp_path):
    history = History(tmp_path)
    history.write({"renders": 1})
    history.close()
    history.write({"renders": 2})
    history.close()
    assert [row["renders"] for row in lines(tmp_path)] == ["1", "2"]


def test_rows_survive_a_kill_of_the_process(tmp_path):
    script = """
import os, signal
from pathlib import Path
from zg.run.history import History
history = History(Path("."))
for renders in range(100):
    history.write({"renders": renders, "loss": 0.5} | ({"sigma": 0.1} if renders > 50 else {}))
os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert [int(row["renders"]) for row in lines(tmp_path)] == list(range(100))


@pytest.mark.parametrize(("text", "number"), [("12", 12), ("-3", -3), ("0.5", 0.5), ("1e-3", 0.001), ("12.0", 12.0)])
def test_a_number_is_read_with_the_type_that_was_written(text, number):
    assert as_number(text) == number
    assert type(as_number(text)) is type(number)
