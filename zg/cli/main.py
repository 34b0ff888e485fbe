"""The command line: zg COMMAND.

The commands in `OWN` belong to this package. Other packages register commands as entry points of the group
`zerograds.commands`. A command is a function that takes the words of the command line and returns an exit code. The
first line of its docstring is its line in the usage.
"""

import inspect
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint, entry_points, version

from zg.cli import output
from zg.cli.options import COMPLETING
from zg.errors import Interrupted, RunError, SettingError, in_words, nearest
from zg.extras import missing_package

Command = Callable[[list[str]], int]

USAGE = """usage: zg COMMAND ...

  zg fit --config configs/toy.yaml [--config ...] [--model es] [--model.sigma 0.1] [--out DIR] [--resume]
  zg list tasks|methods [--plain]
  zg new task|method|renderer NAME [--folder DIR]
  zg explain DIR [--renders N]   why a run did not move, and how sure each parameter is
  zg watch [DIR] [--port N]      a local page of all runs in a folder, while they go on
"""
HELP = """`zg COMMAND --help` explains a command, `zg fit --model NAME --help` the settings of a method. With --debug,
an error shows its traceback. Completion in a shell: pip install 'zerograds[completion]', and in ~/.bashrc or ~/.zshrc

  eval "$(register-python-argcomplete zg)"
"""
#: Exit codes: a failure; a wrong setting; a signal (128 and its number); the reader of the output has ended (SIGPIPE).
FAILED, WRONG_SETTING, SIGNALLED, NO_READER = 1, 2, 128, 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    A wrong setting is reported in one line, with exit code 2. Any other exception is a fault of this project or of the
    user's own code: the line says what it is and in which file its traceback is, with exit code 1.
    """
    # By default, OpenMP threads spin while they wait for work. Two runs at the same time on one machine are then ten
    # times slower than one after the other. OpenMP reads this variable once, when PyTorch is first imported; processes
    # that a command starts inherit it. Only a process of our own may set it, so importing zg does not.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    output.open_streams()
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    if words[:1] == ["--version"]:
        print(f"zerograds {version('zerograds')}")
        return 0
    try:
        if COMPLETING in os.environ:
            from zg.cli.completion import complete

            complete(OWN, registered_commands())
        return _run(words)
    except SettingError as error:
        if debug:
            raise
        output.complain(str(error))
        return WRONG_SETTING
    except ModuleNotFoundError as error:
        lacking = missing_package(error)
        if debug or not lacking:
            raise
        output.complain(f"{words[0]} {lacking}")
        return WRONG_SETTING
    except KeyboardInterrupt as interrupt:
        return SIGNALLED + (interrupt.number if isinstance(interrupt, Interrupted) else signal.SIGINT)
    except BrokenPipeError:  # the reader, such as `head`, has ended
        output.discard()
        return NO_READER
    except Exception as error:
        if debug:
            raise
        output.complain(str(error) if isinstance(error, RunError) else _leave_traceback(error, words))
        return FAILED


def fit(words: list[str]) -> int:
    """Optimise one task with one method."""
    if words in (["-h"], ["--help"]):  # without the imports of a run
        from zg.cli.fit_help import fit_help

        output.say(fit_help({}))
        return 0
    from zg.cli.fit import fit_command

    return fit_command(words)


def list_names(words: list[str]) -> int:
    """Print the names of all tasks or methods."""
    from zg.cli.list import list_command

    return list_command(words)


def new(words: list[str]) -> int:
    """Write a task, a method or a renderer to start from."""
    from zg.cli.new import new_command

    return new_command(words)


def explain(words: list[str]) -> int:
    """Why a run did not move, and how sure each parameter is."""
    from zg.cli.explain import explain_command

    return explain_command(words)


def watch(words: list[str]) -> int:
    """A local page of all runs in a folder, while they go on."""
    from zg.cli.watch.command import watch_command

    return watch_command(words)


OWN: dict[str, Command] = {"fit": fit, "list": list_names, "new": new, "explain": explain, "watch": watch}


def registered_commands() -> dict[str, EntryPoint]:
    """{name: entry point} of the commands that other packages register."""
    found = entry_points(group="zerograds.commands")
    return {entry.name: entry for entry in sorted(found, key=lambda entry: entry.name)}


def _run(words: list[str]) -> int:
    from zg.config.registry import check_packages

    check_packages()
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
    if trouble := output.flush():  # here, where it is handled, and not at the exit of Python
        output.complain(trouble)
        return code or FAILED
    return code


def _leave_traceback(error: Exception, words: list[str]) -> str:
    """Write the traceback of a command that has no run folder to a temporary file; the line that tells of it."""
    try:
        descriptor, path = tempfile.mkstemp(prefix="zg-error-", suffix=".txt")
        with open(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.writelines(traceback.format_exception(error))
    except OSError:
        path = ""
    where = f"the traceback is in {path}" if path else "--debug shows the traceback"
    return f"{words[0] if words else 'zg'} failed with {in_words(error)}; {where}"


def _usage() -> str:
    """The usage: commands of this package, and one line for each other command."""
    about = {name: inspect.getdoc(entry.load()) or "" for name, entry in registered_commands().items()}
    lines = [f"  zg {name:8} {text.splitlines()[0]}" for name, text in about.items() if text]
    return "\n".join([USAGE, *lines, "", HELP] if lines else [USAGE, HELP])


if __name__ == "__main__":
    sys.exit(main())
