"""Configs: YAML files and settings of the command line, composed into one nested dictionary.

    data: texture                        # a registered name, or
    data: {name: texture, size: 64}      # a name with settings, or
    data: {class_path: my.Task, init_args: {size: 64}}
    model: {name: es, lr: 0.01}
    model: nevergrad:TwoPointsDE         # the same as {name: nevergrad, optimizer: TwoPointsDE}
    max_renders: 20000

    training: spline_vae                 # in place of data and model: a network that is trained through renders

Later files and settings override earlier ones. A config that selects another class drops the settings of the former
class. In the composed config, each task and method is {class_path, init_args}.
"""

import contextlib
import copy
import os
import re
from pathlib import Path
from typing import Any

import yaml

from zg.config.registry import CONFIGS, find_config, registered, resolve_class
from zg.errors import SettingError

#: The keys of task and method in a config, the names that LightningCLI uses; and of a network that is trained.
KINDS = {"data": "task", "model": "method", "training": "training"}
Config = dict[str, Any]


class Loader(yaml.SafeLoader):
    """YAML in which `1e-3` and `1e4` are numbers, as in YAML 1.2; PyYAML's YAML 1.1 takes them for text."""


def _exponent(loader: yaml.Loader, node: yaml.ScalarNode) -> float | int:
    value = float(node.value)
    return int(value) if value.is_integer() else value


Loader.add_constructor("!exponent", _exponent)
Loader.add_implicit_resolver("!exponent", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789"))
# The last resolver that matches would be PyYAML's own for `1.0e+2`, so ours comes first.
for resolvers in Loader.yaml_implicit_resolvers.values():
    resolvers.sort(key=lambda resolver: resolver[0] != "!exponent")


def load_yaml(text: str) -> Any:
    """The content of a YAML document. Raises yaml.YAMLError."""
    try:
        return yaml.load(text, Loader)  # a SafeLoader
    except (ValueError, RecursionError) as error:  # PyYAML: a date such as 2026-99-99, a number of 5000 digits, depth
        raise yaml.YAMLError(str(error)) from error


def read_yaml(path: Path) -> Config:
    """A config file as a dictionary. Raises SettingError, with the path, if the file is no config."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise SettingError(f"config '{path}' cannot be read: {getattr(error, 'strerror', None) or error}") from None
    try:
        content = load_yaml(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        raise SettingError(f"config '{path}' must be valid YAML, got an error{where}") from None
    if not isinstance(content, dict):
        raise SettingError(f"config '{path}' must have 'key: value' lines, got {type(content).__name__}")
    for key in content:
        if not isinstance(key, str):
            raise SettingError(f"config '{path}' must have strings as keys, got {key!r}")
    return content


def locate(name: str) -> Path:
    """The path of a config file. A relative path is first tried in the working directory, then in the repository."""
    path = Path(name)
    in_repository = CONFIGS.parent / name
    # Path.is_file would raise for a name that is too long.
    return in_repository if os.path.isfile(in_repository) and not os.path.isfile(path) else path


def compose(*layers: Config) -> Config:
    """Merge configs. Later ones override earlier ones. Each name of a task or method becomes a class path."""
    composed: Config = {}
    for layer in layers:
        _merge(composed, {key: _component(key, value) if key in KINDS else value for key, value in layer.items()})
    return composed


def assign(setting: str, text: str) -> Config:
    """A setting of the command line as a config: `model.sigma` and `0.1` -> {"model": {"sigma": 0.1}}."""
    try:
        value: Any = load_yaml(text)
    except yaml.YAMLError:
        value = text
    if isinstance(value, str):
        with contextlib.suppress(ValueError):  # YAML 1.1 reads 1e-3 as a string
            value = float(value)
    *outer, innermost = setting.replace("-", "_").split(".")
    config: Config = {innermost: value}
    for key in reversed(outer):
        config = {key: config}
    return config


def task_config(name: str) -> Config:
    """The config of a task, by file stem, path or registered name."""
    found = find_config("task", name)
    return read_yaml(found) if isinstance(found, Path) else found


def method_config(name: str) -> Config:
    """The config of a method, by file stem, path or registered name."""
    found = find_config("method", name)
    return read_yaml(found) if isinstance(found, Path) else found


def class_name(kind: str, component: Config) -> str:
    """The registered name of the class of a component; its class path if it has no name."""
    path = component["class_path"]
    return next((name for name, known in registered(kind).items() if known == path), path)


def _component(key: str, value: Any) -> Config:
    """The value of `data` or `model` in any form -> {class_path, init_args}; no class_path if it names no class."""
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
    init_args = {str(setting): given for setting, given in init_args.items()} | settings
    if isinstance(name, str) and ":" in name:
        name, _, optimizer = name.partition(":")
        init_args = {"optimizer": optimizer, **init_args}
    component: Config = {} if name is None else {"class_path": resolve_class(KINDS[key], name)}
    return component | {"init_args": init_args}


def _keeps_class(layer: Config, base: Config) -> bool:
    """Whether a layer selects no other class; always true for dictionaries that are no components."""
    return bool(layer.get("class_path", base.get("class_path")) == base.get("class_path"))


def _merge(base: Config, layer: Config) -> None:
    """Merge a layer into `base`, in place. A component with another class path replaces the former one."""
    for key, value in layer.items():
        old = base.get(key)
        if isinstance(value, dict) and isinstance(old, dict) and _keeps_class(value, old):
            _merge(old, value)
        else:
            base[key] = copy.deepcopy(value)  # later layers must not change an earlier one
