"""The options of commands, parsed by argparse, whose errors are told in one line as those of settings are."""

import argparse
import re
from typing import NoReturn

from zg.errors import SettingError, nearest

# Errors of argparse -> in words. It has no other form of them than text.
INVALID = re.compile(r"argument (?:--)?([\w-]+)(?:/\S+)?: invalid (\w+) value: (.*)", re.DOTALL)
CHOICE = re.compile(r"argument (?:--)?([\w-]+): invalid choice: (.*?) \(choose from (.*)\)", re.DOTALL)
NO_VALUE = re.compile(r"argument (--[\w-]+): expected")
REQUIRED = "the following arguments are required: "
UNKNOWN = "unrecognized arguments: "


class OptionParser(argparse.ArgumentParser):
    """Raises SettingError where argparse prints its usage and ends the process."""

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
