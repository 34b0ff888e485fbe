"""Where a row comes from: code, settings, revision and machine."""

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
#: Every run goes through it: ask, evaluate, tell.
LOOP = "zg.loop"


def config_hash(config: Any) -> str:
    """A short hash of nested plain values."""
    return hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode()).hexdigest()[:12]


def code_hash(*modules: str) -> str:
    """A short hash of the files that a run with a task and a method of these modules can reach by its imports.

    Other files may change without making rows stale: what compares, draws and tracks runs among them.
    """
    return _hash_of(tuple(sorted({*modules, LOOP})))


@cache
def _hash_of(modules: tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    for path in sorted(reached({path for module in modules for path in files_of(module)})):
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def reached(start: Iterable[Path]) -> set[Path]:
    """These files of the project and all that they import, or name as a script that a renderer runs.

    `modulefinder` of the standard library would read PyTorch, too; this reads the project alone, and runs nothing.
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
    """The files of the project that a file imports, wherever in it, or names as a script (`"stage.py"`)."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from (*files_of(alias.name), *beside(path, alias.name))
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (*files_of(node.module), *beside(path, node.module))
            for alias in node.names:
                yield from files_of(f"{node.module}.{alias.name}")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.endswith(".py"):
            yield from (ROOT / path.relative_to(ROOT).parts[0]).rglob(Path(node.value).name)


def files_of(module: str) -> list[Path]:
    """The file of a module of the project, and the `__init__` files above it; nothing for any other module."""
    parts = module.split(".")
    if parts[0] not in PACKAGES:
        return []
    packages = [ROOT.joinpath(*parts[:k], "__init__.py") for k in range(1, len(parts) + 1)]
    return [path for path in (*packages, ROOT.joinpath(*parts).with_suffix(".py")) if path.is_file()]


def beside(path: Path, module: str) -> list[Path]:
    """The file of a module that a scene, which runs in another program, imports from its own folder."""
    other = path.with_name(f"{module}.py")
    return [other] if path.parent.name == "scenes" and other.is_file() else []


@cache
def revision() -> str:
    """The git revision of the clone, with `+` when files differ from it; empty outside a clone."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""


@cache
def machine() -> str:
    """The machine class: processor, cores, system."""
    model = platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{model}, {os.cpu_count()} cores, {platform.system()}"


def peak_mb() -> float:
    """The largest resident memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
