"""`zg new`: a task, a method or a renderer to start from, with a config that runs and a test that passes."""

import keyword
from importlib.util import find_spec
from pathlib import Path
from string import Template

from zg.cli.options import OptionParser
from zg.cli.output import say
from zg.errors import SettingError

TEMPLATES = Path(__file__).parent / "templates"
KINDS = ("task", "method", "renderer")


def new_command(words: list[str]) -> int:
    """Run `zg new`. words: the words of the command line after `new`. Returns the exit code."""
    parser = OptionParser(prog="zg new", description="Write a task, a method or a renderer, a config and a test.")
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("name", help="of the module: letters, digits and underscores")
    parser.add_argument("--folder", type=Path, default=Path(), help="where to write (default: the working directory)")
    options = parser.parse_args(words)
    check_name(options.name)
    made = write(options.kind, options.name, options.folder)
    for path in made:
        say(str(path))
    inside = "" if options.folder == Path() else f"cd {options.folder} && "
    file, is_method = f"{options.name}.yaml", options.kind == "method"
    grid = f"--tasks toy --methods zerograds,{file}" if is_method else f"--tasks {file} --methods zerograds,es"
    say(f"try it:     {inside}zg fit --config {file}")
    say(f"test it:    {inside}python -m pytest test_{options.name}.py")
    say(f"compare it: {inside}zg compare {grid} --max-renders 200 --out runs/comparison")
    return 0


def write(kind: str, name: str, folder: Path) -> list[Path]:
    """Write the files of a new task, method or renderer. Raises SettingError, and writes nothing, if one is there."""
    words = {"name": name, "class_name": "".join(part.capitalize() for part in name.split("_"))}
    files = {
        folder / f"{name}.py": f"{kind}.py.tmpl",
        folder / f"{name}.yaml": f"{kind}.yaml.tmpl",
        folder / f"test_{name}.py": f"test_{kind}.py.tmpl",
    }
    if taken := [str(path) for path in files if path.exists()]:
        raise SettingError(f"name must be new, and there is {', '.join(taken)}")
    folder.mkdir(parents=True, exist_ok=True)
    for path, template in files.items():
        text = (TEMPLATES / template).read_text(encoding="utf-8")
        path.write_text(Template(text).substitute(words), encoding="utf-8")
    return list(files)


def check_name(name: str) -> None:
    """Raise SettingError for a name that no module can have, or that an installed one has."""
    is_right = name.isidentifier() and not keyword.iskeyword(name) and name.strip("_") != ""
    if not is_right:
        raise SettingError(f"name must be letters, digits and underscores, as in my_{KINDS[0]}, got '{name}'")
    found = find_spec(name)
    if found is not None:
        raise SettingError(f"name must be one that no installed module has, got '{name}' ({found.origin})")
