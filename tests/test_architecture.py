"""The house: what may import what, and how large a thing may be."""

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
# Names of classes that hold data, one line a field, and do nothing.
RECORDS = ("Settings", "State", "Row")


def sources() -> list[Path]:
    """Every Python file of the project, tests too."""
    return sorted(path for name in (*PACKAGES, "tests", "docs") for path in (ROOT / name).rglob("*.py"))


def nodes(*kinds: type) -> Iterator[tuple[Path, Any]]:
    """Every node of that kind, with its file."""
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, kinds):
                yield path, node


def attributes(node: ast.ClassDef) -> set[str]:
    """What is set on `self` anywhere in a class, and its fields if it is a dataclass."""
    found = set()
    for inner in ast.walk(node):
        is_own = isinstance(inner, ast.Attribute) and isinstance(inner.value, ast.Name) and inner.value.id == "self"
        if is_own and isinstance(inner.ctx, ast.Store):
            found.add(inner.attr)
    if any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list):
        found |= {line.target.id for line in node.body if isinstance(line, ast.AnnAssign)}  # type: ignore[union-attr]
    return found


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """The contracts of pyproject.toml, checked in a folder with the packages."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env={"PYTHONPATH": str(folder)})


def test_no_file_is_longer_than_a_sitting() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in sources()
        if (lines := len(path.read_text().splitlines())) > FILE_LINES
    }
    assert not long, f"files above {FILE_LINES} lines: {long}"


def body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function below its signature and docstring."""
    first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
    return (node.end_lineno or 0) - first.lineno + 1


def test_no_function_is_longer_than_a_screen() -> None:
    long = {
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}": body_lines(node)
        for path, node in nodes(ast.FunctionDef, ast.AsyncFunctionDef)
        if body_lines(node) > FUNCTION_LINES
    }
    assert not long, f"functions above {FUNCTION_LINES} lines: {long}"


def test_no_class_has_more_attributes_than_a_reader_can_hold() -> None:
    wide = {
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}": len(attributes(node))
        for path, node in nodes(ast.ClassDef)
        if not node.name.endswith(RECORDS) and len(attributes(node)) > ATTRIBUTES
    }
    assert not wide, f"classes with more than {ATTRIBUTES} attributes outside their settings and state: {wide}"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The packages and the contracts, to be broken."""
    for name in PACKAGES:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_every_floor_imports_only_what_it_stands_on(copy: Path) -> None:
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
def test_an_upward_import_is_noticed(copy: Path, file: str, line: str, contract: str) -> None:
    with (copy / file).open("a") as source:
        source.write(f"\n{line}\n")
    checked = lint_imports(copy)
    assert checked.returncode != 0
    broken = " ".join(checked.stdout.split())
    assert f"{contract} BROKEN" in broken, checked.stdout
