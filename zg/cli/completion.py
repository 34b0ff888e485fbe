"""Completion of `zg …` in a shell, by argcomplete (the extra `completion`).

    eval "$(register-python-argcomplete zg)"

Names of tasks, methods, options and their values are completed; after `--model es`, also the settings of `es`. Nothing
is run and PyTorch is not imported.
"""

import os
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint
from itertools import pairwise

from zg.cli.fit_help import CHOICES, FLAGS, OPTIONS
from zg.cli.options import COMPLETING, OptionParser
from zg.cli.source import settings_of
from zg.config.compose import KINDS
from zg.config.registry import names, registered
from zg.extras import DISTRIBUTION, load_package


def complete(own: Mapping[str, Callable[[list[str]], int]], others: Mapping[str, EntryPoint]) -> None:
    """Answer the shell that asks, and end the process. own, others: the commands, by name."""
    argcomplete = load_package("argcomplete", "completion")
    line, point = os.environ["COMP_LINE"], int(os.environ["COMP_POINT"])
    words = argcomplete.split_line(line, point)[3]
    command = words[1] if len(words) > 1 else ""
    os.environ[COMPLETING] = "1"
    if not command:
        parser = OptionParser(prog="zg", add_help=False)
        parser.add_argument("command", choices=[*own, *others])
        parser.answer()
    os.environ[COMPLETING] = "2"  # argcomplete leaves out the first word of the line
    if command == "fit":
        fit_parser(words).answer()
    elif command in own:
        own[command]([])
    elif command in others and getattr(others[command].dist, "name", "") == DISTRIBUTION:
        others[command].load()([])  # asks its options before anything else; commands of other packages may not
    raise SystemExit(1)


def fit_parser(words: list[str]) -> OptionParser:
    """The options of `zg fit`, with the settings of the task and method that the words so far choose."""
    parser = OptionParser(prog="zg fit")
    for entry, _ in OPTIONS:
        option, _, value = entry.partition(",")[0].partition(" ")
        key = option.removeprefix("--")
        if key.replace("-", "_") in FLAGS:
            parser.add_argument(option, action="store_true")
        elif "." not in key and value:
            choices = names(KINDS[key]) if key in KINDS else CHOICES.get(option)
            parser.add_argument(option, choices=choices)
    for key, kind in KINDS.items():
        chosen = [after for word, after in pairwise(words) if word == f"--{key}"]
        for setting in settings_of(registered(kind).get(chosen[-1], "")) if chosen else []:
            parser.add_argument(f"--{key}.{setting.name}")
    return parser
