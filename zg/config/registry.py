"""Tasks and methods by name: entry points, and the configs that stand for variants of a task.

Importing this module imports neither torch nor Lightning.
"""

from functools import cache
from importlib.metadata import distribution, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from zg.errors import SettingError, nearest

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
GROUPS = {"task": "zerograds.tasks", "method": "zerograds.methods"}


def check_packages() -> None:
    """Raise SettingError if a package that this project registers is somebody else's: names like `tasks` are common."""
    ours = {entry.value.partition(".")[0] for entry in distribution("zerograds").entry_points}
    for name in sorted(ours):
        found = find_spec(name)
        where = Path(found.origin).resolve() if found and found.origin else Path("not there")
        if CONFIGS.parent not in where.parents:
            raise SettingError(
                f"package '{name}' must be that of {CONFIGS.parent}, and is {where}: "
                "install the clone with pip install -e, and nothing else of that name"
            )


@cache
def registered(kind: str) -> dict[str, str]:
    """{name: class path} of every task or method that an installed package declares."""
    found = entry_points(group=GROUPS[kind])
    return {entry.name: entry.value.replace(":", ".") for entry in sorted(found, key=lambda entry: entry.name)}


def configured(kind: str) -> dict[str, Path]:
    """{stem: path} of the YAMLs that come with the repository: `configs/` for tasks, `configs/methods` for methods."""
    folder = CONFIGS if kind == "task" else CONFIGS / "methods"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def names(kind: str) -> list[str]:
    """Every name that stands for a task or a method."""
    return sorted({*registered(kind), *configured(kind)})


def find_config(kind: str, name: str) -> dict[str, Any] | Path:
    """The YAML of a task or method: a path, the stem of one that comes along, or else the bare registered name."""
    if name.endswith((".yaml", ".yml")):
        path = Path(name)
        if not path.is_file():
            raise SettingError(f"{kind} '{name}' must be a readable YAML file, and is not there")
        return path
    if name in configured(kind):
        return configured(kind)[name]
    if name.split(":")[0] in registered(kind):
        return {"data" if kind == "task" else "model": name}
    raise SettingError(f"{kind} '{name}' is unknown{nearest(name, names(kind))}")


def resolve_class(kind: str, name: str) -> str:
    """The class path of a task or method by registered name; a dotted class path stands for itself."""
    known = registered(kind)
    if name in known:
        return known[name]
    if "." in name:
        return name
    if name in configured(kind):
        path = configured(kind)[name].relative_to(CONFIGS.parent)
        raise SettingError(f"{kind} '{name}' is a config: --config {path}")
    raise SettingError(f"{kind} '{name}' is unknown{nearest(name, names(kind))}")
