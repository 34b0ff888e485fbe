"""The architecture: which module may import which, and the largest size of files, functions and classes."""

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("zg", "tasks", "baselines", "paper", "benchmarks")
FILE_LINES, FUNCTION_LINES, ATTRIBUTES = 400, 50, 15
# Ends of names of classes that only hold data, with one line for each field.
RECORDS = ("Settings", "State", "Row")


def sources() -> list[Path]:
    """Every Python file of the project, including tests."""
    return sorted(path for name in (*PACKAGES, "tests", "docs") for path in (ROOT / name).rglob("*.py"))


def nodes(*kinds: type) -> Iterator[tuple[Path, Any]]:
    """Every syntax node of these kinds, with its file."""
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, kinds):
                yield path, node


def attributes(node: ast.ClassDef) -> set[str]:
    """The names that a class sets on `self`, and its fields if it is a dataclass."""
    found = set()
    for inner in ast.walk(node):
        is_own = isinstance(inner, ast.Attribute) and isinstance(inner.value, ast.Name) and inner.value.id == "self"
        if is_own and isinstance(inner.ctx, ast.Store):
            found.add(inner.attr)
    if any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list):
        found |= {line.target.id for line in node.body if isinstance(line, ast.AnnAssign)}  # type: ignore[union-attr]
    return found


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Check the contracts of pyproject.toml in a folder with the packages."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env={"PYTHONPATH": str(folder)})


def test_no_file_has_more_than_400_lines() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in sources()
        if (lines := len(path.read_text().splitlines())) > FILE_LINES
    }
    assert not long, f"files above {FILE_LINES} lines: {long}"


def body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Number of lines of a function, without its signature and docstring."""
    first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
    return (node.end_lineno or 0) - first.lineno + 1


def test_no_function_has_more_than_50_lines() -> None:
    long = {
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}": body_lines(node)
        for path, node in nodes(ast.FunctionDef, ast.AsyncFunctionDef)
        if body_lines(node) > FUNCTION_LINES
    }
    assert not long, f"functions above {FUNCTION_LINES} lines: {long}"


def test_no_class_has_more_than_15_attributes() -> None:
    wide = {
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}": len(attributes(node))
        for path, node in nodes(ast.ClassDef)
        if not node.name.endswith(RECORDS) and len(attributes(node)) > ATTRIBUTES
    }
    assert not wide, f"classes with more than {ATTRIBUTES} attributes outside their settings and state: {wide}"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the packages and the contracts, to be changed."""
    for name in PACKAGES:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_imports_follow_the_layers(copy: Path) -> None:
    checked = lint_imports(copy)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("zg/loop.py", "import tasks.toy", "zg knows none of them"),
        ("zg/objective.py", "import zg.run.run", "data goes one way"),
        ("baselines/es.py", "import tasks.toy", "zg knows none of them"),
        ("zg/errors.py", "import zg.space", "no circle of imports"),
        ("zg/task.py", "import pytorch_lightning", "neither Lightning nor W&B"),
    ],
)
def test_an_import_against_the_layers_is_detected(copy: Path, file: str, line: str, contract: str) -> None:
    with (copy / file).open("a") as source:
        source.write(f"\n{line}\n")
    checked = lint_imports(copy)
    assert checked.returncode != 0
    broken = " ".join(checked.stdout.split())
    assert f"{contract} BROKEN" in broken, checked.stdout
