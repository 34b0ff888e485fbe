"""Tasks, methods and trainings by name: entry points of packages, and the configs in `configs/`.

This module imports neither PyTorch nor Lightning.
"""

import os
import re
from functools import cache
from importlib.metadata import distribution, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from zg.errors import SettingError, nearest
from zg.extras import DISTRIBUTION

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
GROUPS = {"task": "zerograds.tasks", "method": "zerograds.methods", "training": "zerograds.trainings"}
#: The key of a config under which each kind stands.
KEYS = {"task": "data", "method": "model"}
#: A config in `configs/` with a line that starts so is that of a training, not of a task.
TRAINING = re.compile(r"^training:", re.MULTILINE)
#: The registered name of the default method, and words for it.
DEFAULT, DEFAULT_WORDS = "zerograds", ("auto", "default")
#: Methods of other libraries, without hyphens and capitals -> what comes nearest here.
SIMILAR = {
    "cma": "cmaes",
    "neldermead": "bobyqa",
    "powell": "bobyqa",
    "newuoa": "bobyqa",
    "cobyla": "bobyqa",
    "lbfgs": "bfgs",
    "lbfgsb": "bfgs",
    "slsqp": "bfgs",
    "cg": "bfgs",
    "differentialevolution": "nevergrad:DE",
    "de": "nevergrad:DE",
    "pso": "nevergrad:PSO",
    "tpe": "zerograds",
    "bayesian": "zerograds",
    "bo": "zerograds",
    "optuna": "zerograds",
    "random": "random_search",
    "annealing": "simulated_annealing",
    "dualannealing": "simulated_annealing",
    "ga": "genetic",
    "nes": "snes",
    "openaies": "es",
}
#: Methods that need derivatives.
GRADIENT = ("adam", "adamw", "sgd", "rmsprop", "adagrad", "newton", "gradientdescent")


def check_packages() -> None:
    """Raise SettingError if another package hides one of this project. Names such as `tasks` are common."""
    packages = {entry.value.partition(".")[0] for entry in distribution(DISTRIBUTION).entry_points}
    for name in sorted(packages):
        found = find_spec(name)
        where = Path(found.origin).resolve() if found and found.origin else None
        if where is None or CONFIGS.parent not in where.parents:
            raise SettingError(
                f"package '{name}' must be the one in {CONFIGS.parent}, got {where or 'none'}: "
                "install the clone with pip install -e, and no other package of this name"
            )


@cache
def registered(kind: str) -> dict[str, str]:
    """{name: class path} of what installed packages register. kind: `task`, `method` or `training`."""
    found = entry_points(group=GROUPS[kind])
    return {entry.name: entry.value.replace(":", ".") for entry in sorted(found, key=lambda entry: entry.name)}


@cache
def plugins(kind: str) -> frozenset[str]:
    """The names among `registered` that packages other than this one register."""
    own = distribution(DISTRIBUTION).metadata["Name"]
    found = entry_points(group=GROUPS[kind])
    return frozenset(entry.name for entry in found if entry.dist and entry.dist.metadata["Name"] != own)


def configured(kind: str) -> dict[str, Path]:
    """{file stem: path} of the YAML files in `configs/` for tasks and trainings, in `configs/methods` for methods."""
    paths = sorted((CONFIGS / "methods" if kind == "method" else CONFIGS).glob("*.yaml"))
    if kind != "method":
        paths = [path for path in paths if bool(TRAINING.search(path.read_text())) == (kind == "training")]
    return {path.stem: path for path in paths}


def names(kind: str) -> list[str]:
    """Every name of a task, a method or a training: registered names and stems of YAML files."""
    return sorted({*registered(kind), *configured(kind)})


def find_config(kind: str, name: str) -> dict[str, Any] | Path:
    """The YAML file of a task or method, by path or stem; else, for a registered name, a config that selects it."""
    if name.endswith((".yaml", ".yml")):
        path = Path(name)
        if not os.path.isfile(path):  # Path.is_file raises for a name that is too long
            raise SettingError(f"{kind} '{name}' must be a readable YAML file, and there is no such file")
        return path
    if name in configured(kind):
        return configured(kind)[name]
    if name.split(":")[0] in registered(kind):
        return {KEYS[kind]: name}
    if "." in name:
        file = f"{name.partition('.')[0]}.yaml"
        raise SettingError(
            f"{kind} '{name}' must be a name or a YAML file; for a class, such a file has the line "
            f"{KEYS[kind]}: {{class_path: {name}}}{f', as {file} here' if os.path.isfile(file) else ''}"
        )
    raise SettingError(_unknown(kind, name))


def resolve_class(kind: str, name: str) -> str:
    """The class path of a task or method: of a registered name, or the name itself if it has a dot."""
    known = registered(kind)
    if name in known:
        return known[name]
    if "." in name:
        return name
    if kind == "method" and _plain(name) in DEFAULT_WORDS:
        return known[DEFAULT]
    if alike := next((path for other, path in known.items() if _plain(other) == _plain(name)), None):
        return alike
    if name in configured(kind):
        path = configured(kind)[name].relative_to(CONFIGS.parent)
        raise SettingError(f"{kind} '{name}' is a config: --config {path}")
    raise SettingError(_unknown(kind, name))


def _plain(name: str) -> str:
    """A name without capitals, spaces and hyphens."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _unknown(kind: str, name: str) -> str:
    """The line that answers an unknown name."""
    if kind == "method" and _plain(name) in GRADIENT:
        return f"method '{name}' needs derivatives, and a black box has none; the default is '{DEFAULT}', or 'auto'"
    if kind == "method" and (similar := SIMILAR.get(_plain(name))):
        return f"method '{name}' is unknown; what comes nearest here is '{similar}' (see zg list methods)"
    if kind in KEYS and os.path.isfile(f"{name}.yaml"):
        given = f"zg fit --config {name}.yaml, zg compare --{kind}s {name}.yaml"
        return f"{kind} '{name}' is unknown; a file is given with its ending: {given}"
    return f"{kind} '{name}' is unknown{nearest(name, names(kind))}"
