"""A skip that nobody has allowed fails in CI, and the list of allowed skips names tests that exist."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import MAY_SKIP

ROOT = Path(__file__).parents[1]
SKIPPING = """
import pytest

def test_one():
    pytest.skip("no GPU")

@pytest.mark.xfail
def test_two():
    assert 0
"""


def test_a_skip_that_is_not_listed_fails_in_ci(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(SKIPPING)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", "-p", "no:cacheprovider", "test_it.py"]
    environment = {**os.environ, "CI": "true", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert "test_one was skipped and is not in tests/may_skip.txt" in done.stdout, done.stdout
    assert "1 failed, 1 xfailed" in done.stdout, done.stdout


@pytest.mark.parametrize("name", sorted(MAY_SKIP))
def test_a_test_that_may_be_skipped_exists(name: str) -> None:
    path, _, test = name.partition("::")
    assert f"def {test.partition('[')[0]}(" in (ROOT / path).read_text(), f"tests/may_skip.txt: there is no {name}"
