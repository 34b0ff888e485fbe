"""`zg list`: the names of all tasks, methods or trainings."""

from zg.cli.options import OptionParser
from zg.cli.output import say
from zg.cli.source import first_line
from zg.config.compose import read_yaml
from zg.config.registry import configured, names, registered


def about(kind: str, name: str) -> str:
    """What a task or method is: `about` of its config, else the first line of its docstring."""
    path = configured(kind).get(name)
    told = str(read_yaml(path).get("about", "")) if path else ""
    return told or (first_line(registered(kind)[name]) if name in registered(kind) else "")


def list_command(words: list[str]) -> int:
    """Run `zg list`. words: the words of the command line after `list`. Returns the exit code."""
    parser = OptionParser(prog="zg list", description="Print all tasks, methods or trainings, with a description.")
    parser.add_argument("what", choices=("tasks", "methods", "trainings"))
    parser.add_argument("--plain", action="store_true", help="print names only, one per line")
    options = parser.parse_args(words)
    kind = options.what.removesuffix("s")
    for name in names(kind):
        if options.plain:
            say(name)
            continue
        say(f"{name:20} {about(kind, name)}")
    return 0
