"""Files of a run are complete or absent."""

import json
import math
import os
import signal
import subprocess
import sys

import pytest

from zg.run.files import write_json, written_whole


def test_the_file_appears_at_the_end_of_the_block(tmp_path):
    path = tmp_path / "result.txt"
    with written_whole(path) as partial:
        partial.write_text("half")
        assert not path.exists()
        partial.write_text("half and half")
    assert path.read_text() == "half and half"
    assert [file.name for file in tmp_path.iterdir()] == ["result.txt"], "no temporary file is left"


def test_the_former_file_stays_until_the_end_of_the_block(tmp_path):
    path = tmp_path / "result.txt"
    path.write_text("former")
    with written_whole(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "former"
    assert path.read_text() == "new"


def test_after_an_exception_the_former_file_is_there_and_complete(tmp_path):
    path = tmp_path / "result.txt"
    path.write_text("former")
    with pytest.raises(ZeroDivisionError), written_whole(path) as partial:
        partial.write_text("ha")
        raise ZeroDivisionError
    assert path.read_text() == "former"
    with written_whole(path) as partial:  # the next attempt is not disturbed by the failed one
        partial.write_text("new")
    assert path.read_text() == "new"


def test_after_an_exception_there_is_no_file_if_there_was_none(tmp_path):
    with pytest.raises(ZeroDivisionError), written_whole(tmp_path / "result.txt") as partial:
        partial.write_text("ha")
        raise ZeroDivisionError
    assert not (tmp_path / "result.txt").exists()


def test_a_process_that_is_killed_while_it_writes_leaves_the_former_file(tmp_path):
    (tmp_path / "result.txt").write_text("former")
    script = """
import os, signal
from pathlib import Path
from zg.run.files import written_whole
with written_whole(Path("result.txt")) as partial:
    partial.write_text("ha")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert (tmp_path / "result.txt").read_text() == "former"


def test_a_reader_never_sees_an_incomplete_json_file(tmp_path):
    """The reader sees another inode after each write: the file is replaced, not changed."""
    path = tmp_path / "row.json"
    write_json(path, {"loss": 1.0})
    with path.open() as reader:
        write_json(path, {"loss": 2.0})
        assert json.load(reader) == {"loss": 1.0}
        assert os.fstat(reader.fileno()).st_ino != path.stat().st_ino
    assert json.loads(path.read_text()) == {"loss": 2.0}


def test_numbers_that_are_not_finite_become_null_at_any_depth(tmp_path):
    content = {"loss": math.nan, "settings": {"sigma": math.inf, "list": [1, -math.inf, (2.5, math.nan)]}, "name": "es"}
    write_json(tmp_path / "row.json", content)
    expected = {"loss": None, "settings": {"sigma": None, "list": [1, None, [2.5, None]]}, "name": "es"}
    assert json.loads((tmp_path / "row.json").read_text(), parse_constant=pytest.fail) == expected
