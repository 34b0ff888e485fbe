"""The runs of a comparison: tasks × methods × seeds, each with its whole config and its key."""

import importlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

from baselines.compare.options import TUNED
from zg.config.compose import Config, class_name, compose, method_config, read_yaml, task_config
from zg.config.registry import CONFIGS
from zg.errors import SettingError
from zg.run.provenance import code_hash, config_hash

# Where the settings of the methods come from.
Settings = Literal["default", "tuned", "paper"]
# The settings of the published algorithm, TASK.yaml.
PUBLISHED = CONFIGS / "paper"
# Settings that change which files a run writes, and not its result.
KEEPING = (
    *("about", "group", "video", "wandb", "tensorboard"),
    *("checkpoint_renders", "checkpoint_seconds", "pool", "address"),
)


@dataclass(frozen=True, eq=False)
class Job:
    """One run of a comparison.

    config: task, method, seed and budget, composed. settings: where the method's settings come from: `default`,
    `tuned`, `untuned` (tuned settings were asked for, and there are none), `paper`. key: see `key_of`; taken when the
    grid is planned, because that is the code that runs. group: the group in W&B, where it is not the comparison's.
    """

    task: str
    method: str
    seed: int
    config: Config = field(repr=False)
    folder: Path
    settings: str
    key: str
    group: str = ""


def key_of(config: Config) -> str:
    """A short hash of everything that a run's result depends on: both configs, seed, budget and code."""
    content = {name: value for name, value in config.items() if name not in KEEPING}
    sources = [source_hash(config[name]["class_path"]) for name in ("data", "model")]
    return config_hash(content | {"code": [code_of(config), *sources]})


def code_of(config: Config) -> str:
    """The hash of the code that a run of a composed config imports, as it will be in its row."""
    return code_hash(*(config[name]["class_path"].rpartition(".")[0] for name in ("data", "model")))


@cache
def source_hash(class_path: str) -> str:
    """A short hash of the source file of a class, which may be the user's own class."""
    path = importlib.import_module(class_path.rpartition(".")[0]).__file__
    return config_hash(Path(path).read_text()) if path else ""


def plan(
    tasks: Sequence[str],
    methods: Sequence[str],
    seeds: Iterable[int],
    limits: Config,
    out: Path,
    settings: Settings = "default",
    tuned: Sequence[Path] = (TUNED,),
) -> list[Job]:
    """The jobs of a grid, task by task and seed by seed, so that all methods have a first result early.

    Raises SettingError, before anything runs, for a name that is unknown or given twice, and for settings that a task
    or a method refuses.
    """
    seeds = list(seeds)
    task_layers = {label: without(task_config(name), "model") for label, name in labelled("tasks", tasks).items()}
    method_layers = {label: model_of(name) for label, name in labelled("methods", methods).items()}
    jobs = []
    for task, task_layer in task_layers.items():
        chosen = {}
        for method, layer in method_layers.items():
            layers, origin = choose_settings(task, method, task_layer, layer, settings, tuned)
            chosen[method] = compose(*layers, {"video": False}, task_layer, limits), origin
            check(chosen[method][0])
        for seed in seeds:
            for method, (base, origin) in chosen.items():
                config = compose(base, {"seed": seed})
                folder = out / "runs" / task / method / f"seed{seed}"
                jobs.append(Job(task, method, seed, config, folder, origin, key_of(config)))
    return jobs


def labelled(setting: str, names: Sequence[str]) -> dict[str, str]:
    """{the name in tables and folders: the name as given}. Raises SettingError where two would have the same name."""
    found: dict[str, str] = {}
    for name in names:
        label = label_of(name)
        if label in found:
            raise SettingError(f"{setting} must differ in name, got '{found[label]}' and '{name}', both '{label}'")
        found[label] = name
    return found


def label_of(name: str) -> str:
    """The name of a task or method in tables and folders: the stem of a path; `nevergrad-CMA` for `nevergrad:CMA`.

    Raises SettingError for a path such as `...yaml`, whose stem is no name of a folder.
    """
    stem = Path(name).stem if name.endswith((".yaml", ".yml")) else name
    if not stem.strip(".") or not stem.isprintable():
        raise SettingError(f"a task or method must have a name that a folder can have, got '{name}'")
    return stem.replace(":", "-").replace("/", "-")


def without(config: Config, key: str) -> Config:
    """A config without one of its keys, so that the config of a task sets no method."""
    return {name: value for name, value in config.items() if name != key}


def model_of(method: str) -> Config:
    """The part of a method's config that is the method, so that it sets no task."""
    config = method_config(method)
    if "model" not in config:
        raise SettingError(f"method '{method}' must be a config with a model, got {', '.join(config)}")
    return {"model": config["model"]}


def choose_settings(
    task: str,
    method: str,
    task_layer: Config,
    layer: Config,
    settings: Settings,
    tuned: Sequence[Path] = (TUNED,),
) -> tuple[list[Config], str]:
    """The layers of a method's config on a task, and where the settings come from (`Job.settings`).

    tuned: folders of tuned configs; the first that has one for the task and the method is taken.
    """
    if settings == "tuned":
        paths = [folder / task / f"{method}.yaml" for folder in tuned]
        path = next((path for path in paths if path.is_file()), None)
        return ([layer], "untuned") if path is None else ([layer, read_yaml(path)], "tuned")
    if settings == "paper":
        for name in (task, class_name("task", compose(task_layer)["data"])):
            path = PUBLISHED / f"{name}.yaml"
            if path.is_file():
                published = {"model": read_yaml(path)["model"]}
                same = compose(published)["model"]["class_path"] == compose(layer)["model"]["class_path"]
                return ([published], "paper") if same else ([layer], "default")
    return [layer], "default"


def check(config: Config) -> None:
    """Instantiate the task and the method of a run, so that wrong settings raise an error before anything runs."""
    from zg.config.build import instantiate, parse

    parsed = parse(config)
    for key in ("data", "model"):
        instantiate(key, parsed[key])
