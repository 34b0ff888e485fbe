"""What the source of a class says of itself: the first line of its docstring, and its settings with their meaning.

    sigma: width of the sampling Gaussian, scaled units. lr: Adam's learning rate.       a docstring
    #: Width of the sampling Gaussian.                                                   a comment above a field

The source is read and not imported: PyTorch takes seconds, and a package of an extra may be missing.
"""

import ast
import re
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

#: Names of settings, at the start of a line or after a sentence.
NAMES = re.compile(r"(?:^|(?<=[.;)`] )|(?<=\n))\s*(\w+(?:, \w+)*):(?=\s)")
#: Where the explanation of the last setting ends.
END = re.compile(r"\n\s*\n|(?<=\s)(?:Raises|Warns) ")


@dataclass(frozen=True)
class Setting:
    """A setting: its name, its type and its default as Python writes them (None: it must be given), and its meaning."""

    name: str
    kind: str
    default: str | None
    meaning: str


class Source(NamedTuple):
    """A class in the tree of its module. lines: of the file."""

    module: ast.Module
    node: ast.ClassDef
    lines: list[str]


@cache
def source_of(path: str) -> Source | None:
    """The source of the class with this path, `package.module.Class`; None if there is none that can be read."""
    module, _, name = path.rpartition(".")
    text = text_of(module)
    tree = tree_of(module)
    node = next((node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name), None)
    return None if node is None else Source(tree, node, text.splitlines())


@cache
def text_of(module: str) -> str:
    """The source of a module; empty if it cannot be read."""
    try:
        found = find_spec(module)
        return Path(found.origin).read_text(encoding="utf-8") if found and found.origin else ""
    except (ImportError, OSError, ValueError):  # of a package that is installed badly
        return ""


@cache
def tree_of(module: str) -> ast.Module:
    """The syntax tree of a module; an empty one if it cannot be read."""
    try:
        return ast.parse(text_of(module))
    except (SyntaxError, ValueError):
        return ast.parse("")


def first_line(path: str) -> str:
    """The first line of the docstring of a class; its path if it has none."""
    source = source_of(path)
    docstring = ast.get_docstring(source.node) if source else None
    return docstring.partition("\n")[0] if docstring else path


def settings_of(path: str) -> list[Setting]:
    """The settings of a class: the arguments of its constructor, explained by its docstring or those of its bases."""
    chain = lineage(path)
    constructors = [made for source in chain if (made := constructor(source.node))]
    if not constructors:
        return []
    names = {argument.arg for made in constructors for argument in arguments(made)}
    known: dict[str, str] = {}
    for source in chain:
        known = meanings(ast.get_docstring(source.node) or "", names) | known
    home = next(source for source in chain if constructor(source.node))
    return [
        Setting(argument.arg, kind_of(argument.annotation, home), default, known.get(argument.arg, ""))
        for argument, default in zip(arguments(constructors[0]), defaults(constructors[0], home), strict=True)
    ]


def fields_of(path: str) -> list[Setting]:
    """The fields of a dataclass, explained by the comments "#: …" above them."""
    source = source_of(path)
    if source is None:
        return []
    found = []
    for node in source.node.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            default = None if node.value is None else ast.unparse(node.value)
            comment = comment_above(source.lines, node.lineno)
            found.append(Setting(node.target.id, kind_of(node.annotation, source), default, comment))
    return found


def lineage(path: str) -> list[Source]:
    """The class with this path and its first bases, as far as their source can be read."""
    found: list[Source] = []
    while (source := source_of(path)) is not None and source not in found:
        found.append(source)
        if not source.node.bases:
            break
        path = imported(ast.unparse(source.node.bases[0]), path.rpartition(".")[0], source.module)
    return found


def imported(name: str, module: str, tree: ast.Module) -> str:
    """The path of what a module knows by this name."""
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return f"{node.module}.{alias.name}"
    return f"{module}.{name}"


def constructor(node: ast.ClassDef) -> ast.FunctionDef | None:
    """The `__init__` of a class, if it has one of its own."""
    return next((item for item in node.body if isinstance(item, ast.FunctionDef) and item.name == "__init__"), None)


def arguments(made: ast.FunctionDef) -> list[ast.arg]:
    """The arguments of a constructor without `self`."""
    return [*made.args.posonlyargs, *made.args.args, *made.args.kwonlyargs][1:]


def defaults(made: ast.FunctionDef, home: Source) -> list[str | None]:
    """The default of each argument as Python writes it, constants by their value; None for one that must be given."""
    positional: list[ast.expr | None] = list(made.args.defaults)
    missing = len(made.args.posonlyargs) + len(made.args.args) - len(positional)
    every = [*[None] * missing, *positional, *made.args.kw_defaults][1:]
    return [None if value is None else constant(value, home.module) for value in every]


def constant(value: ast.expr, tree: ast.Module) -> str:
    """A value as Python writes it; that of a constant, where it is the name of one."""
    if not isinstance(value, ast.Name):
        return ast.unparse(value)
    for node in tree.body:
        if isinstance(node, ast.Assign):
            given = given_to(value.id, node)
            if given is not None:
                return ast.unparse(given)
    module, _, constant_name = imported(value.id, "", tree).rpartition(".")
    return constant(ast.Name(constant_name), tree_of(module)) if module else value.id


def given_to(name: str, node: ast.Assign) -> ast.expr | None:
    """What an assignment gives to a name, also as one of several: `A, B = 1, 2`."""
    for target in node.targets:
        if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
            pairs = zip(target.elts, node.value.elts, strict=False)
            return next((given for one, given in pairs if ast.unparse(one) == name), None)
        if ast.unparse(target) == name:
            return node.value
    return None


def kind_of(annotation: ast.expr | None, source: Source) -> str:
    """A type in words: `one of 'a', 'b'` for a choice, also where the module gives it a name."""
    if annotation is None:
        return ""
    text = constant(annotation, source.module)
    return re.sub(r"(?:typing\.)?Literal\[(.*?)\]", r"one of \1", text)


def meanings(docstring: str, names: set[str]) -> dict[str, str]:
    """{name: its explanation} from the items `name: …` of a docstring."""
    items = [item for item in NAMES.finditer(docstring) if names.issuperset(item[1].split(", "))]
    found: dict[str, str] = {}
    for item, after in zip_longest(items, items[1:]):
        text = docstring[item.end() : after.start() if after else len(docstring)]
        text = " ".join(text[: end.start() if (end := END.search(text)) else len(text)].split())
        found |= dict.fromkeys(item[1].split(", "), text)
    return found


def comment_above(lines: list[str], number: int) -> str:
    """The lines "#: …" directly above line `number` (from 1), as one text."""
    comment: list[str] = []
    for line in reversed(lines[: number - 1]):
        if not line.strip().startswith("#: "):
            break
        comment.insert(0, line.strip().removeprefix("#: "))
    return " ".join(comment)
