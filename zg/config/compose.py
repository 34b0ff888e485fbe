"""Configs: YAML files and command-line settings, composed into one nested dictionary.

    data: texture                        # a registered name, or
    data: {name: texture, size: 64}      # with settings, or
    data: {class_path: my.Task, init_args: {size: 64}}
    model: {name: es, lr: 0.01}
    model: nevergrad:TwoPointsDE         # short for {name: nevergrad, optimizer: TwoPointsDE}
    max_renders: 20000

Later files and settings win. Choosing another class drops the settings of the former one. Names become class
paths here, before the parser of the command line sees them.
"""

import contextlib
import copy
from pathlib import Path
from typing import Any

import yaml

from zg.config.registry import find_config, registered, resolve_class
from zg.errors import SettingError

KINDS = {"data": "task", "model": "method"}
Config = dict[str, Any]


def read_yaml(path: Path) -> Config:
    """A config file as a dictionary. Raises SettingError, naming the file, when it cannot be read."""
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"config '{path}' cannot be read: {getattr(error, 'strerror', None) or error}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        raise SettingError(f"config '{path}' must be valid YAML, and is not{where}") from None
    if not isinstance(content, dict):
        raise SettingError(f"config '{path}' must hold 'key: value' lines, got {type(content).__name__}")
    for key in content:
        if not isinstance(key, str):
            raise SettingError(f"config '{path}' must have words for keys, got {key!r}")
    return content


def locate(name: str) -> Path:
    """A config by path; relative ones are looked for here first, then in the repository."""
    path = Path(name)
    beside = Path(__file__).resolve().parents[2] / name
    return path if path.is_file() or not beside.is_file() else beside


def compose(*layers: Config) -> Config:
    """Merge configs, later ones over earlier ones, with every name resolved to a class path."""
    composed: Config = {}
    for layer in layers:
        _merge(composed, {key: _component(key, value) if key in KINDS else value for key, value in layer.items()})
    return composed


def assign(setting: str, text: str) -> Config:
    """A setting of the command line as a config: `model.sigma` and `0.1` -> {model: {sigma: 0.1}}."""
    try:
        value: Any = yaml.safe_load(text)
    except yaml.YAMLError:
        value = text
    if isinstance(value, str):
        with contextlib.suppress(ValueError):  # YAML 1.1 takes 1e-3 for a word
            value = float(value)
    for key in reversed(setting.replace("-", "_").split(".")):
        value = {key: value}
    return value


def task_config(name: str) -> Config:
    """The config of a task by stem, path or registered name."""
    found = find_config("task", name)
    return read_yaml(found) if isinstance(found, Path) else found


def method_config(name: str) -> Config:
    """The config of a method by stem, path or registered name."""
    found = find_config("method", name)
    return read_yaml(found) if isinstance(found, Path) else found


def class_name(kind: str, component: Config) -> str:
    """The registered name of a resolved component, or its class path."""
    path = component["class_path"]
    return next((name for name, known in registered(kind).items() if known == path), path)


def _component(key: str, value: Any) -> Config:
    """`data` or `model` in any of its spellings -> {class_path?, init_args}."""
    if isinstance(value, str):
        value = {"name": value}
    if not isinstance(value, dict):
        raise SettingError(f"{key} must be the name of a {KINDS[key]} or its settings, got {value!r}")
    settings = {str(setting): given for setting, given in value.items()}
    init_args = settings.pop("init_args", None) or {}
    if not isinstance(init_args, dict):
        raise SettingError(f"{key}.init_args must be 'key: value' lines, got {init_args!r}")
    name = settings.pop("name", None) or settings.pop("class_path", None)
    if not isinstance(name, str | None):
        raise SettingError(f"{key} must be the name of a {KINDS[key]}, got {name!r}")
    init_args = {**init_args, **settings}
    if isinstance(name, str) and ":" in name:
        name, _, optimizer = name.partition(":")
        init_args = {"optimizer": optimizer, **init_args}
    component: Config = {} if name is None else {"class_path": resolve_class(KINDS[key], name)}
    return component | {"init_args": init_args}


def _merge(base: Config, layer: Config) -> None:
    for key, value in layer.items():
        old = base.get(key)
        if (
            not isinstance(value, dict)
            or not isinstance(old, dict)
            or value.get("class_path", old.get("class_path")) != old.get("class_path")
        ):
            base[key] = copy.deepcopy(value)  # later layers must not change an earlier one
        else:
            _merge(old, value)
