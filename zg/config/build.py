"""Checks composed configs, and makes their tasks and methods."""

import importlib
import inspect
import os
import re
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from zg.budget import Budget
from zg.config.compose import KINDS, Config
from zg.config.registry import registered
from zg.errors import SettingError, in_words, nearest
from zg.extras import missing_package
from zg.method import Method
from zg.task import Task

#: The base class of a task and of a method, by key of the config.
BASES: dict[str, type] = {"data": Task, "model": Method}
# Types in messages of jsonargparse: <class 'float'>, typing.Literal['a', 'b'].
KIND = re.compile(r"<class '(?:\w+\.)*(\w+)'>|typing\.Literal\[(.*)\]")
# Settings of a run other than its budget, with their types.
SETTINGS: dict[str, Any] = {
    "seed": int,
    "checkpoint_renders": int | None,
    "checkpoint_seconds": float,
    "curve_points": int,
    "video": bool,
    "wandb": str,
    "group": str | None,
    "tensorboard": bool,
    "workers": int,
    "pool": str,
    "address": str | None,
    "asynchronous": bool,
    "devices": str | list[str],
    "about": str,
}


def parse(config: Config, bases: Mapping[str, type] = BASES) -> dict[str, Any]:
    """The settings of a composed config, converted to their types. Settings that are not given stay absent.

    bases: {key: base class} of the components. Raises SettingError for an unknown key or a value of the wrong type.
    """
    known = [*bases, "trainer", *Budget.__dataclass_fields__, *SETTINGS]
    kinds = {name: field.type for name, field in Budget.__dataclass_fields__.items()} | SETTINGS
    for key, value in config.items():
        if key not in known:
            raise SettingError(f"{key} is unknown{nearest(key, known)}")
        if value is None and key in kinds and "None" not in str(kinds[key]):
            raise SettingError(f"{key} must be {getattr(kinds[key], '__name__', kinds[key])}, got null")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Budget)
    for name, kind in SETTINGS.items():
        parser.add_argument(f"--{name}", type=kind)
    parsed = _parse(parser, {key: value for key, value in config.items() if key not in (*bases, "trainer")})
    given = {key: parsed[key] for key in config if key in parsed}
    for key, base in bases.items():
        check_keys(key, config[key], base)
        given[key] = parse_component(key, config[key], base)
    if "trainer" in config:
        given["trainer"] = parse_trainer(config["trainer"])
    return given


def parse_trainer(settings: Any) -> dict[str, Any]:
    """Arguments of Lightning's Trainer, with their loggers and callbacks made. Raises SettingError for a wrong one."""
    if not isinstance(settings, dict):
        raise SettingError(f"trainer must be settings of Lightning's Trainer, got {settings!r}")
    from pytorch_lightning import Trainer

    parameters = inspect.signature(Trainer.__init__).parameters
    known = [name for name in parameters if name != "self"]
    for setting, given in settings.items():
        if setting not in known:
            raise SettingError(f"trainer.{setting} is unknown{nearest(str(setting), known)}")
        check_null(f"trainer.{setting}", given, parameters[setting])
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Trainer, "trainer", fail_untyped=False, instantiate=False)
    parsed = _parse(parser, {"trainer": settings})
    try:
        trainer = parser.instantiate(parsed)["trainer"]
    except Exception as error:  # of the class of a logger or callback that the user chose
        if lacking := missing_package(error):
            raise SettingError(f"trainer {lacking}") from error
        raise SettingError(f"trainer must have loggers and callbacks that can be made: {in_words(error)}") from error
    return {key: trainer[key] for key in settings}


def parse_component(key: str, component: Config, base: type | None = None) -> Namespace:
    """A component {class_path, init_args} with its settings converted to their types. base: of its class."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(base or BASES[key], key, required=True)
    parsed: Namespace = _parse(parser, {key: component})[key]
    return parsed


def _parse(parser: ArgumentParser, values: Config) -> Namespace:
    try:
        parsed: Namespace = parser.parse_object(values)
        return parsed
    except (Exception, SystemExit) as error:
        message = one_line(str(error))
        is_unnamed = "trainer" in values and "trainer" not in message  # an option of a class that a setting names
        raise SettingError(f"trainer: {message}" if is_unnamed else message) from None


def check_keys(key: str, component: Config, base: type | None = None) -> None:
    """Raise SettingError for a class that cannot be imported, or for a setting that the class does not have."""
    base = base or BASES[key]
    path = component["class_path"]
    module, _, name = path.rpartition(".")
    try:
        found = getattr(_import_module(module), name)
    except Exception as error:  # the module of a user may raise any exception
        refuse_missing(error, KINDS[key], path)
        why = f"{type(error).__name__}: {error}"
        raise SettingError(f"{key} must be a class that can be imported, got '{path}' ({why})") from error
    if not (isinstance(found, type) and issubclass(found, base)) or found is base:
        raise SettingError(f"{key} must be a subclass of {base.__name__}, got '{path}'")
    parameters = inspect.signature(found.__init__).parameters
    known = [name for name in parameters if name != "self"]
    for setting, given in component["init_args"].items():
        if setting not in known:
            raise SettingError(f"{key}.{setting} is unknown{nearest(setting, known)}")
        check_null(f"{key}.{setting}", given, parameters[setting])


def check_null(setting: str, value: Any, parameter: inspect.Parameter) -> None:
    """Raise SettingError for a null where the type has none; jsonargparse takes a null for every type."""
    allowed = "None" in str(parameter.annotation) or "Optional" in str(parameter.annotation)
    if value is None and parameter.default is not None and not allowed:
        kind = getattr(parameter.annotation, "__name__", str(parameter.annotation))
        raise SettingError(f"{setting} must be {kind}, got null")


def _import_module(module: str) -> ModuleType:
    """Import a module of an installed package, or else of the working directory.

    The working directory is searched last, and only for a class path that needs it: a file there that is called as an
    installed package is never run by accident.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        is_not_installed = error.name == module.partition(".")[0]
        if not is_not_installed or os.getcwd() in sys.path:
            raise
        sys.path.append(os.getcwd())
        return importlib.import_module(module)


def refuse_missing(error: Exception, kind: str, path: str) -> None:
    """Raise SettingError where the import of a task's or a method's class failed for want of an optional package."""
    if lacking := missing_package(error):
        name = next((name for name, known in registered(kind).items() if known == path), path)
        raise SettingError(f"{kind} '{name}' {lacking}") from error


def instantiate(key: str, component: Namespace) -> Any:
    """Make the task, method or training of a parsed component. key: `data`, `model` or `training`."""
    module, _, name = component["class_path"].rpartition(".")
    settings = component.get("init_args")
    try:
        return getattr(importlib.import_module(module), name)(**(vars(settings) if settings else {}))
    except SettingError as error:
        raise SettingError(f"{key}.{error}") from None


def one_line(message: str) -> str:
    """An error message of jsonargparse in one line, such as `max_renders must be int, got many`."""
    # jsonargparse has no other form of its errors than text of several lines with the types as Python writes them.
    key = re.findall(r'[Kk]ey "([\w.]+)"', message)
    if about_setting := re.search(r"given class_path.*?\n(.*?)\n    - Expected", message, re.DOTALL):
        message = about_setting[1]
    wanted = dict.fromkeys(re.findall(r"Expected (?:an? )?(.*?)(?:, but got .*?)?\.?(?: Got value:|\n|$)", message))
    given = re.search(r"(?:Got|Given) value: (.*?)(?:\n|$)", message)
    if key and wanted and given:
        kinds = " or ".join(
            KIND.sub(lambda found: found[1] or f"one of {found[2]}", kind).replace("NoneType", "null")
            for kind in wanted
        )
        return f"{'.'.join(dict.fromkeys(key))} must be {kinds}, got {given[1]}"
    return " ".join(message.split())


def resolved(config: Config, parsed: dict[str, Any]) -> Config:
    """A composed config with all settings of its components, including defaults. parsed: by `parse`."""
    return config | {key: {"init_args": {}} | parsed[key].as_dict() for key in KINDS if key in parsed}
