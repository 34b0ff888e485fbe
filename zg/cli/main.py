"""The command line: zg COMMAND.

`fit` and `list` are of this package. Other packages register theirs as entry points of the group `zerograds.commands`:
functions that take the words of the command line and return an exit code. The first line of the docstring is shown.
"""

import inspect
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint, entry_points, version

from zg.errors import SettingError, nearest

Command = Callable[[list[str]], int]

USAGE = """usage: zg COMMAND ...

  zg fit --config configs/toy.yaml [--config ...] [--model es] [--model.sigma 0.1] [--out DIR] [--resume]
  zg list tasks|methods [--plain]
"""
HELP = "`zg COMMAND --help` says more; --debug anywhere shows the traceback of an error."
#: Exit codes: of a mistake of the user, after Ctrl-C, and where the reader of the output has gone (128 + SIGPIPE).
MISTAKE, INTERRUPTED, NO_READER = 2, 130, 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; mistakes of the user end in one line and exit code 2."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    if words[:1] == ["--version"]:
        print(f"zerograds {version('zerograds')}")
        return 0
    try:
        return _run(words)
    except SettingError as error:
        if debug:
            raise
        print(f"zg: {error}", file=sys.stderr)
        return MISTAKE
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NO_READER


def fit(words: list[str]) -> int:
    """One run from configs and settings."""
    from zg.cli.fit import FIT_HELP, fit_command

    if "-h" in words or "--help" in words:
        print(FIT_HELP)
        return 0
    return fit_command(words)


def list_names(words: list[str]) -> int:
    """Tasks or methods by name."""
    from zg.cli.list import list_command

    return list_command(words)


OWN: dict[str, Command] = {"fit": fit, "list": list_names}


def registered_commands() -> dict[str, EntryPoint]:
    """The commands of other packages by name."""
    found = entry_points(group="zerograds.commands")
    return {entry.name: entry for entry in sorted(found, key=lambda entry: entry.name)}


def _run(words: list[str]) -> int:
    from zg.config.registry import check_packages

    check_packages()
    if "" not in sys.path:
        sys.path.append("")  # a class path may name a module of the working directory
    if not words or words[0] in ("-h", "--help", "help"):
        print(_usage())
        return 0
    others = registered_commands()
    if words[0] in OWN:
        command = OWN[words[0]]
    elif words[0] in others:
        command = others[words[0]].load()
    else:
        raise SettingError(f"command '{words[0]}' is unknown{nearest(words[0], [*OWN, *others])}")
    code = command(words[1:])
    sys.stdout.flush()  # or the absence of a reader would be noticed where nothing can be done about it
    return code


def _usage() -> str:
    """The commands of this package, and a line for each of the others."""
    about = {name: inspect.getdoc(entry.load()) or "" for name, entry in registered_commands().items()}
    lines = [f"  zg {name:8} {text.splitlines()[0]}" for name, text in about.items() if text]
    return "\n".join([USAGE, *lines, "", HELP] if lines else [USAGE, HELP])


if __name__ == "__main__":
    sys.exit(main())
