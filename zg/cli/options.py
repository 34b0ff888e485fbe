"""The options of commands, parsed by argparse, whose errors are told in one line as those of settings are."""

import argparse
import os
import re
from collections.abc import Callable
from typing import Any, NoReturn

from zg.config.registry import names
from zg.errors import SettingError, nearest
from zg.extras import load_package

# Errors of argparse -> in words. It has no other form of them than text.
INVALID = re.compile(r"argument (?:--)?([\w-]+)(?:/\S+)?: invalid (\w+) value: (.*)", re.DOTALL)
CHOICE = re.compile(r"argument (?:--)?([\w-]+): invalid choice: (.*?) \(choose from (.*)\)", re.DOTALL)
NO_VALUE = re.compile(r"argument (--[\w-]+): expected")
REQUIRED = "the following arguments are required: "
UNKNOWN = "unrecognized arguments: "
# The variable by which argcomplete tells a command that a shell asks for completions.
COMPLETING = "_ARGCOMPLETE"
# Options whose value is a list of names, and of which kind they are.
LISTS = {"tasks": "task", "methods": "method"}


class Defaults(argparse.HelpFormatter):
    """Writes the default of an option behind its help, unless the help says what it is."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        told = action.help or ""
        is_plain = action.option_strings and action.nargs != 0 and action.default not in (None, argparse.SUPPRESS)
        return f"{told} (default %(default)s)" if is_plain and "default" not in told else told


class OptionParser(argparse.ArgumentParser):
    """Raises SettingError where argparse prints its usage and ends the process. Help names every default."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"formatter_class": Defaults, **settings})

    def parse_args(self, *arguments: Any, **settings: Any) -> Any:
        if COMPLETING in os.environ:
            self.answer()
        return super().parse_args(*arguments, **settings)

    def answer(self) -> None:
        """Answer the shell that asks what may come next (`zg.cli.completion`), and end the process."""
        argcomplete = load_package("argcomplete", "completion")
        for action in self._actions:
            if action.dest in LISTS:
                action.completer = listed(LISTS[action.dest])  # type: ignore[attr-defined]
        argcomplete.autocomplete(self, always_complete_options="long")

    def error(self, message: str) -> NoReturn:
        if found := INVALID.match(message):
            name, kind, value = found.groups()
            message = f"{name.replace('-', '_')} must be {'a path' if kind == 'Path' else kind}, got {value}"
        elif found := CHOICE.match(message):
            message = f"{found[1]} must be one of {found[3]}, got {found[2]}"
        elif found := NO_VALUE.match(message):
            message = f"{found[1]} needs a value"
        elif message.startswith(REQUIRED):
            message = f"{message.removeprefix(REQUIRED)} must be given"
        elif message.startswith(UNKNOWN):
            word = message.removeprefix(UNKNOWN).split(" ")[0]
            known = [option for action in self._actions for option in action.option_strings]
            message = f"option '{word}' is unknown{nearest(word, known)}"
        raise SettingError(" ".join(message.split()))


def listed(kind: str) -> Callable[..., list[str]]:
    """A completer of names that are separated by commas."""

    def completer(prefix: str, **_: Any) -> list[str]:
        before, comma, _last = prefix.rpartition(",")
        return [f"{before}{comma}{name}" for name in names(kind)]

    return completer
