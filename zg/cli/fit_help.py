"""The help of `zg fit`: its options, and the settings of the task and the method that its words choose."""

import shutil
import textwrap
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints

from zg.cli.source import Setting, fields_of, first_line, settings_of
from zg.config.compose import KINDS, Config, class_name
from zg.config.registry import names

#: Options without a value.
FLAGS = ("resume", "print_config")
#: The options with their values, and what they mean.
OPTIONS = (
    ("--data NAME, --data.KEY VALUE", "the task and its settings"),
    (
        "--model NAME, --model.KEY VALUE",
        "the method and its settings (default zerograds, told losses alone; zerograds-image sees the picture)",
    ),
    ("--training NAME, --training.KEY V", "in place of both: a network that is trained through renders"),
    ("--config FILE", "a YAML with any of these; once or more"),
    ("--seed N", "seed of initial θ, reference and method (default 0)"),
    ("--max-renders N", "number of renders (default 2000)"),
    ("--max-seconds S", "stop after S seconds of rendering and method (default: no limit)"),
    ("--target-loss L", "stop when a loss is at or below L (default: no target)"),
    ("--patience N", "stop after N renders without a new lowest loss (default: no limit)"),
    ("--max-failed FRACTION", "stop when a larger fraction of the renders has failed (default 0.5)"),
    ("--out DIR", "the run folder (default runs/TASK-METHOD-seedS-N)"),
    ("--resume", "continue the run in --out from its checkpoint"),
    ("--checkpoint-renders N", "write a checkpoint every N renders (default: by time alone)"),
    ("--checkpoint-seconds S", "write a checkpoint every S seconds (default 60)"),
    ("--curve-points N", "points of the curve and frames of the video, not counted (default 50)"),
    ("--video false", "write no frames and no video (default true)"),
    ("--workers N", "renders side by side (default: what the task says)"),
    ("--pool NAME", "threads, processes or ray (default processes)"),
    ("--address HOST:PORT", "the Ray cluster of --pool ray (default: Ray on this machine)"),
    ("--asynchronous true", "tell results as they come; seed then promises less (docs/scale.md) (default false)"),
    ("--devices NAMES", "cpu, cuda:0,cuda:1 or all GPUs: a task in PyTorch renders a part on each (default cpu)"),
    ("--wandb MODE", "auto, online, offline or disabled (default auto)"),
    ("--group NAME", "group of the run in W&B (default: none)"),
    ("--tensorboard true", "write for TensorBoard, too, into the run folder (default false)"),
    ("--trainer.KEY VALUE", "an argument of Lightning's Trainer, such as --trainer.accelerator gpu"),
    ("--print-config", "print the composed config and stop"),
)
#: The values of options that have a few. The names of tasks and methods are added where they are needed.
CHOICES = {
    "--pool": ("threads", "processes", "ray"),
    "--wandb": ("auto", "online", "offline", "disabled"),
    "--video": ("true", "false"),
    "--tensorboard": ("true", "false"),
    "--asynchronous": ("true", "false"),
}
#: Width of the column of options.
COLUMN = 34


def fit_help(config: Config) -> str:
    """The help of `zg fit`, of the task and the method in a composed config if it names one."""
    chosen = [key for key in KINDS if "class_path" in config.get(key, {})]
    if chosen:
        return "\n\n".join(component_help(key, config[key]) for key in chosen)
    lines = [
        "usage: zg fit --config FILE [--config FILE ...] [--SETTING VALUE ...]",
        "",
        "Optimise one task with one method. Later configs override earlier ones; settings override configs.",
        "",
    ]
    for option, meaning in OPTIONS:
        lines += wrapped(option, meaning)
    for kind in KINDS.values():
        lines += ["", *wrapped(f"{kind}s", ", ".join(names(kind)))]
    explained = "`zg fit --model NAME --help` and `zg fit --data NAME --help` explain the settings of NAME."
    return "\n".join([*lines, "", explained])


def component_help(key: str, component: Config) -> str:
    """The settings of a task or a method with their types, defaults and meanings."""
    path = component["class_path"]
    title = f"{KINDS[key]} {class_name(KINDS[key], component)}: {first_line(path)}"
    given = component.get("init_args", {})
    lines = [line for setting in settings_of(path) for line in described(f"--{key}", setting, given)]
    options = [
        line for prefix, setting in options_of(path, given) for line in described(f"--{key}.{prefix}", setting, {})
    ]
    if options:
        lines += ["", f"options of the surrogate '{given['surrogate']}':", *options]
    return "\n".join([title, "", *(lines or ["  no settings"])])


def described(prefix: str, setting: Setting, given: Config) -> list[str]:
    """A setting in lines: option, type and default, and the meaning below."""
    default = "must be given" if setting.default is None else f"default {setting.default}"
    if setting.name in given:
        default += f", here {given[setting.name]!r}"
    kind = f"{setting.kind}, " if setting.kind else ""
    head = f"  {prefix}.{setting.name}"
    meaning = textwrap.wrap(setting.meaning, width() - 6)
    return [f"{head:{COLUMN}} {kind}{default}", *(f"      {line}" for line in meaning)]


def options_of(path: str, given: Config) -> Iterator[tuple[str, Setting]]:
    """Settings of the surrogate that is named, each with the prefix of its option; those of its parts are nested."""
    if "surrogate" not in given or not path.startswith("zg.zerograds."):
        return
    from zg.zerograds.image import PICTURED
    from zg.zerograds.surrogates import SURROGATES

    known: dict[str, Any] = {**SURROGATES, **PICTURED}
    if given["surrogate"] in known:
        yield from nested("options", known[given["surrogate"]].Settings)


def nested(prefix: str, kind: type) -> Iterator[tuple[str, Setting]]:
    """The fields of a dataclass of settings and of those within it."""
    types = get_type_hints(kind)
    explained: dict[str, Setting] = {}
    for base in reversed(kind.__mro__):
        explained |= {setting.name: setting for setting in fields_of(f"{base.__module__}.{base.__qualname__}")}
    for field in fields(kind):
        inner = types[field.name]
        if is_dataclass(inner) and isinstance(inner, type):
            yield from nested(f"{prefix}.{field.name}", inner)
        else:
            yield prefix, explained[field.name]


def wrapped(option: str, meaning: str) -> list[str]:
    """An option and its meaning, in two columns."""
    first, *rest = textwrap.wrap(meaning, max(20, width() - COLUMN - 3)) or [""]
    return [f"  {option:{COLUMN}} {first}", *(f"  {'':{COLUMN}} {line}" for line in rest)]


def width() -> int:
    """Columns of the terminal, at most 120."""
    return min(120, shutil.get_terminal_size((100, 24)).columns)
