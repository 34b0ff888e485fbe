"""`zg fit`: configs and settings -> one run."""

import importlib
import inspect
import re
import time
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentParser, Namespace
from pytorch_lightning import Trainer

from zg.config import KINDS, Config, assign, class_name, compose, locate, read_yaml
from zg.errors import SettingError, nearest
from zg.method import Budget, Method
from zg.registry import configured, registered
from zg.run import CONFIG_FILE, Result, run
from zg.task import Task

BASES: dict[str, type] = {"data": Task, "model": Method}
FLAGS = ("resume", "print_config")
# How Python writes a type: <class 'float'>, typing.Literal['a', 'b'].
KIND = re.compile(r"<class '(?:\w+\.)*(\w+)'>|typing\.Literal\[(.*)\]")
# Settings of a run beside its budget.
SETTINGS: dict[str, Any] = {
    "seed": int,
    "checkpoint_renders": int | None,
    "checkpoint_seconds": float,
    "curve_points": int,
    "video": bool,
    "wandb": str,
    "group": str | None,
    "about": str,
}


def fit_command(words: list[str]) -> int:
    """Run `zg fit` with these words of the command line."""
    layers, options = parse_words(words)
    folder = Path(options["out"]) if "out" in options else None
    resume = "resume" in options
    if resume:
        if folder is None:
            raise SettingError("resume needs --out, the folder of the run to go on with")
        former = read_yaml(folder / CONFIG_FILE)
        config = compose(former, *layers)
        if any(config.get(key, 0) != former.get(key, 0) for key in (*BASES, "seed")):
            raise SettingError(f"resume must keep task, method and seed as they are in {folder / CONFIG_FILE}")
    else:
        config = compose({"model": "zerograds"}, *layers)
    if "class_path" not in config.get("data", {}):
        raise SettingError("data must name a task, as in --config configs/toy.yaml or --data toy")
    if "print_config" in options:
        print(yaml.safe_dump(resolved(config, parse(config)), sort_keys=False, allow_unicode=True), end="")
        return 0
    start = time.monotonic()
    result = fit(config, folder or next_folder(config), resume=resume, say=print)
    report(result, time.monotonic() - start)
    return 130 if result.stop_reason == "interrupted" else 0


def fit(config: Config, folder: Path | None, **options: Any) -> Result:
    """Instantiate a composed config and run it; `options` as for `zg.run.run`."""
    parsed = parse(config)
    settings = {key: value for key, value in parsed.items() if key not in ("data", "model", "trainer", "about")}
    budget = {key: settings.pop(key) for key in list(settings) if key in Budget.__dataclass_fields__}
    task, method = (instantiate(key, parsed[key]) for key in BASES)
    return run(
        task,
        method,
        Budget(**budget),
        config=resolved(config, parsed),
        folder=folder,
        trainer=parsed.get("trainer"),
        **{"wandb": "auto", **settings, **options},
    )


def resolved(config: Config, parsed: dict[str, Any]) -> Config:
    """A composed config with every setting of task and method, defaults too."""
    return config | {key: {"init_args": {}} | parsed[key].as_dict() for key in BASES if key in parsed}


def parse_words(words: list[str]) -> tuple[list[Config], dict[str, str]]:
    """Words of the command line -> config layers in order (the choice of a class before its settings), options."""
    files: list[Config] = []
    choices: list[Config] = []
    settings: list[Config] = []
    options: dict[str, str] = {}
    rest = [part for word in words for part in (word.split("=", 1) if word.startswith("--") else [word])]
    while rest:
        word = rest.pop(0)
        if not word.startswith("--") and word != "-c":
            raise SettingError(f"settings are given as --NAME VALUE, got '{word}'")
        name = "config" if word == "-c" else word.removeprefix("--")
        key = name.replace("-", "_")
        if key in FLAGS:
            options[key] = ""
            continue
        if not rest:
            raise SettingError(f"--{name} needs a value")
        value = rest.pop(0)
        if key == "config":
            files.append(read_yaml(locate(value)))
        elif key == "out":
            options[key] = value
        else:
            (choices if key in BASES else settings).append(choose(key, value) if key in BASES else assign(key, value))
    return [*files, *choices, *settings], options


def choose(key: str, name: str) -> Config:
    """--data NAME or --model NAME as a config: that of the name's YAML, where it stands for one."""
    value = assign(key, name)
    kind = KINDS[key]
    if value[key] in registered(kind) or value[key] not in configured(kind):
        return value
    return read_yaml(configured(kind)[value[key]])


def parse(config: Config) -> dict[str, Any]:
    """Check every key and type of a composed config; values as their types."""
    known = [*BASES, "trainer", *Budget.__dataclass_fields__, *SETTINGS]
    for key in config:
        if key not in known:
            raise SettingError(f"{key} is unknown{nearest(key, known)}")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Budget)
    for name, kind in SETTINGS.items():
        parser.add_argument(f"--{name}", type=kind)
    parsed = _parse(parser, {key: value for key, value in config.items() if key not in (*BASES, "trainer")})
    given = {key: parsed[key] for key in config if key in parsed}
    for key in BASES:
        check_keys(key, config[key])
        given[key] = parse_component(key, config[key])
    if "trainer" in config:
        if not isinstance(config["trainer"], dict):
            raise SettingError(f"trainer must be settings of Lightning's Trainer, got {config['trainer']!r}")
        parser = ArgumentParser(exit_on_error=False)
        parser.add_class_arguments(Trainer, "trainer", fail_untyped=False, instantiate=False)
        trainer = parser.instantiate(_parse(parser, {"trainer": config["trainer"]}))["trainer"]
        given["trainer"] = {key: trainer[key] for key in config["trainer"]}
    return given


def parse_component(key: str, component: Config) -> Namespace:
    """Check the types of the settings of a task or method; a Namespace of class_path and init_args."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(BASES[key], key, required=True)
    return _parse(parser, {key: component})[key]


def _parse(parser: ArgumentParser, values: Config) -> Namespace:
    try:
        return parser.parse_object(values)
    except (Exception, SystemExit) as error:
        raise SettingError(one_line(str(error))) from None


def check_keys(key: str, component: Config) -> None:
    """Raise SettingError for a class that cannot be found or a setting that it does not have."""
    path = component["class_path"]
    module, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except Exception as error:  # whatever a user's module does when it is imported
        why = f"{type(error).__name__}: {error}"
        raise SettingError(f"{key} must be a class that can be imported, got '{path}' ({why})") from error
    if not (isinstance(found, type) and issubclass(found, BASES[key])) or found in BASES.values():
        raise SettingError(f"{key} must be a {BASES[key].__name__} of some kind, got '{path}'")
    known = [name for name in inspect.signature(found.__init__).parameters if name != "self"]
    for setting in component["init_args"]:
        if setting not in known:
            raise SettingError(f"{key}.{setting} is unknown{nearest(setting, known)}")


def instantiate(key: str, component: Namespace) -> Any:
    """The task or method of a parsed component."""
    module, _, name = component["class_path"].rpartition(".")
    settings = component.get("init_args") or Namespace()
    try:
        return getattr(importlib.import_module(module), name)(**vars(settings))
    except SettingError as error:
        raise SettingError(f"{key}.{error}") from None


def one_line(message: str) -> str:
    """jsonargparse's message without its line breaks and nesting."""
    key = re.findall(r'[Kk]ey "([\w.]+)"', message)
    if about_setting := re.search(r"given class_path.*?\n(.*?)\n    - Expected", message, re.DOTALL):
        message = about_setting[1]
    wanted = dict.fromkeys(re.findall(r"Expected (?:an? )?(.*?)\.?(?: Got value:|\n|$)", message))
    given = re.search(r"(?:Got|Given) value: (.*?)(?:\n|$)", message)
    if key and wanted and given:
        kinds = " or ".join(
            KIND.sub(lambda found: found[1] or f"one of {found[2]}", kind).replace("NoneType", "null")
            for kind in wanted
        )
        return f"{'.'.join(dict.fromkeys(key))} must be {kinds}, got {given[1]}"
    return " ".join(message.split())


def next_folder(config: Config) -> Path:
    """The next free runs/TASK-METHOD-N below the working directory."""
    names = (class_name(kind, config[key]).rpartition(".")[2] for kind, key in (("task", "data"), ("method", "model")))
    stem = "-".join(names)
    taken = [int(path.name.rpartition("-")[2]) for path in Path("runs").glob(f"{stem}-[0-9]*")]
    return Path("runs") / f"{stem}-{max(taken, default=-1) + 1}"


def report(result: Result, seconds: float) -> None:
    """Say what came out after so many seconds in all, and where it is."""
    row = result.row
    theta = result.theta.tolist()
    shown = ", ".join(f"{value:.4g}" for value in theta[:12]) + (
        f", … ({len(theta)} values)" if len(theta) > 12 else ""
    )
    print(f"\n{row['task']} by {row['method']}: stopped after {result.renders} renders: {result.stop_reason}")
    print(f"θ       {shown}")
    print(f"loss    {row['init_loss']:.4g} -> {result.loss:.4g}")
    if "metric_theta_error" in row:
        print(f"error   {row['metric_theta_error']:.4g} (distance to the known θ, scaled units)")
    print(
        f"time    {row['seconds_render']:.1f} s rendering, {row['seconds_method']:.1f} s method, {seconds:.1f} s in all"
    )
    if result.folder:
        for name in ("video.mp4", "video.gif", "film.mp4", "panel.png", "curve.png", "history.csv", "row.json"):
            if (result.folder / name).is_file():
                print(f"        {result.folder / name}")
        if result.stop_reason == "interrupted":
            print(f"go on with: zg fit --out {result.folder} --resume")
