"""Docstrings as this project writes them, for the API reference: a Griffe extension.

    theta: the present θ [n].        a line of a docstring that begins with a parameter's or a field's name
    #: The present θ [n].            a comment above a field
    >>> zg.Block(0.5).kind          an example

The first becomes an item of a list, the second the docstring of the field, the third a block of code.
"""

import re
from typing import Any

import griffe

#: A line that begins with names, a colon and a text.
ITEM = re.compile(r"^(?P<names>\w+(?:, \w+)*): (?P<text>.*)$")
#: Where a sentence ends and the line may go on with names, a colon and a text.
NEXT = re.compile(r"(?<=\.) (?=\w+(?:, \w+)*: )")
#: An example, to the next empty line.
EXAMPLE = re.compile(r"^>>> .*(?:\n(?!\n|$).*)*", re.MULTILINE)


class Docstrings(griffe.Extension):
    """Called by Griffe for every object that it finds."""

    def on_function(self, *, func: griffe.Function, **_: Any) -> None:
        """Make a list of the parameters in the docstring of a function."""
        list_items(func, {parameter.name for parameter in func.parameters})

    def on_class_members(self, *, cls: griffe.Class, **_: Any) -> None:
        """Make a list of the parameters of a constructor, or of the fields, in the docstring of a class."""
        constructor = cls.members.get("__init__")
        names = set(cls.members)
        if isinstance(constructor, griffe.Function):
            names |= {parameter.name for parameter in constructor.parameters}
        list_items(cls, names)

    def on_attribute(self, *, attr: griffe.Attribute, **_: Any) -> None:
        """Take the comment above a field as its docstring."""
        comment = comment_above(attr)
        if attr.docstring is None and comment:
            attr.docstring = griffe.Docstring(comment, parent=attr)


def list_items(thing: griffe.Object, names: set[str]) -> None:
    """Make an item of each line of a docstring that explains one or more of the names, and code of examples."""
    if thing.docstring is None:
        return
    lines, is_in_list = [], False
    for line in [part for whole in thing.docstring.value.splitlines() for part in items_of(whole, names)]:
        if found := item(line, names):
            if not is_in_list:
                lines.append("")
            line, is_in_list = f"- `{found['names']}`: {found['text']}", True
        elif is_in_list and line.startswith("    "):
            line = line.strip()
        elif is_in_list and re.match(r"Raises |Warns ", line):
            lines.append("")
            is_in_list = False
        elif not line:
            is_in_list = False
        lines.append(line)
    thing.docstring.value = EXAMPLE.sub(lambda found: f"```pycon\n{found[0]}\n```", "\n".join(lines))


def item(line: str, names: set[str]) -> re.Match[str] | None:
    """The names and the text of a line that explains some of the names."""
    found = ITEM.match(line)
    return found if found and names.issuperset(found["names"].split(", ")) else None


def items_of(line: str, names: set[str]) -> list[str]:
    """A line of a list, divided where it goes on with the next name."""
    if not line.startswith("    ") and not item(line, names):
        return [line]
    parts: list[str] = []
    for part in NEXT.split(line):
        if parts and not item(part, names):
            parts[-1] += f" {part}"
        else:
            parts.append(part)
    return parts


def comment_above(attribute: griffe.Attribute) -> str:
    """The lines "#: …" directly above a field, as one text; "" if there are none."""
    source = attribute.module.lines_collection[attribute.module.filepath]
    comment: list[str] = []
    for line in reversed(source[: (attribute.lineno or 1) - 1]):
        if not line.strip().startswith("#: "):
            break
        comment.insert(0, line.strip().removeprefix("#: "))
    return " ".join(comment)
