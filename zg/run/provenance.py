"""The origin of a row: hashes of code and settings, revision, machine."""

import ast
import hashlib
import json
import os
import platform
import resource
import subprocess
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("zg", "tasks", "baselines", "paper")
#: The module of the loop, which every run executes.
LOOP = "zg.loop"


def config_hash(config: Any) -> str:
    """A hash of nested plain values: 12 hexadecimal digits."""
    return hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode()).hexdigest()[:12]


def code_hash(*modules: str) -> str:
    """A hash (12 hexadecimal digits) of the files that these modules and the loop import, directly or indirectly.

    modules: those of the task and of the method of a run. The code that compares, draws and tracks runs is not imported
    by them. It can change, and the rows stay valid.
    """
    return _hash_of(tuple(sorted({*modules, LOOP})))


@cache
def _hash_of(modules: tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    for path in sorted(reached({path for module in modules for path in files_of(module)})):
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def reached(start: Iterable[Path]) -> set[Path]:
    """These files and all files of the project that they import, or name as scripts, directly or indirectly.

    The files are parsed, not executed. `modulefinder` of the standard library would also read all of PyTorch.
    """
    found: set[Path] = set()
    waiting = list(start)
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.add(path)
        waiting += [other for other in named_in(path) if other not in found]
    return found


def named_in(path: Path) -> Iterator[Path]:
    """The files of the project that a file imports anywhere, or names as the script of a renderer (`"stage.py"`)."""
    for node in _executed(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from (*files_of(alias.name), *beside(path, alias.name))
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (*files_of(node.module), *beside(path, node.module))
            for alias in node.names:
                yield from files_of(f"{node.module}.{alias.name}")
                if node.module == "zg":
                    yield from files_of(public_names().get(alias.name, ""))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.endswith(".py"):
            yield from (ROOT / path.relative_to(ROOT).parts[0]).rglob(Path(node.value).name)


@cache
def public_names() -> dict[str, str]:
    """{name: module} of the names that `from zg import NAME` imports when they are used, such as `zg.Block`."""
    tree = ast.parse((ROOT / "zg" / "__init__.py").read_bytes())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {alias.name: node.module or "" for node in imports for alias in node.names}


def _executed(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a tree, without blocks `if TYPE_CHECKING:`, which only type checkers read."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            waiting += node.orelse
        else:
            yield node
            waiting += ast.iter_child_nodes(node)


def files_of(module: str) -> list[Path]:
    """The file of a module of the project, and the `__init__` files of its packages; none for any other module."""
    parts = module.split(".")
    if parts[0] not in PACKAGES:
        return []
    packages = [ROOT.joinpath(*parts[:k], "__init__.py") for k in range(1, len(parts) + 1)]
    return [path for path in (*packages, ROOT.joinpath(*parts).with_suffix(".py")) if path.is_file()]


def beside(path: Path, module: str) -> list[Path]:
    """The file of a module that a scene imports from its own folder. Scenes run in another program, such as Blender."""
    other = path.with_name(f"{module}.py")
    return [other] if path.parent.name == "scenes" and other.is_file() else []


@cache
def revision() -> str:
    """The git revision of the clone, with `+` if tracked files were changed; empty if there is no clone or no git."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""


@cache
def machine() -> str:
    """The kind of machine: processor model, number of cores, operating system."""
    model = platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{model}, {os.cpu_count()} cores, {platform.system()}"


def peak_mb() -> float:
    """The largest resident memory of this process so far, in MB (2²⁰ bytes)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
