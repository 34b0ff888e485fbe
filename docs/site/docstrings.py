"""Docstrings as this project writes them, for the API reference: a Griffe extension.

    theta: the present θ [n].        a sentence of a docstring, with the name of a parameter or field
    #: The present θ [n].            a comment above a field
    >>> zg.Block(0.5).kind          an example

The first becomes an item of a list, the second the docstring of the field, the third a block of code.
"""

import re
from typing import Any

import griffe

#: Names, a colon and a text.
ITEM = re.compile(r"^(?P<names>\w+(?:, \w+)*): (?P<text>.*)$")
#: Between two sentences.
BETWEEN = re.compile(r"(?<=\.) ")
#: What explains the call, and no longer the parameter before it.
OF_THE_CALL = re.compile(r"Raises |Warns ")
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
    """Make an item of each explanation of one or more of the names in a docstring, and code of examples."""
    if thing.docstring is None:
        return
    text = "\n\n".join(listed(paragraph, names) for paragraph in thing.docstring.value.split("\n\n"))
    thing.docstring.value = EXAMPLE.sub(lambda found: f"```pycon\n{found[0]}\n```", text)


def listed(paragraph: str, names: set[str]) -> str:
    """A paragraph as text and a list.

    An item begins where a sentence does, anywhere in a line. It ends before the next item, before "Raises" or "Warns",
    or with the paragraph.
    """
    if paragraph.startswith(("    ", ">>> ")):
        return paragraph  # code
    parts: list[str] = []
    for sentence in BETWEEN.split(" ".join(line.strip() for line in paragraph.splitlines())):
        found = ITEM.match(sentence)
        if found and names.issuperset(found["names"].split(", ")):
            parts.append(f"- `{found['names']}`: {found['text']}")
        elif parts and not (parts[-1].startswith("- ") and OF_THE_CALL.match(sentence)):
            parts[-1] += f" {sentence}"
        else:
            parts.append(sentence)
    if not any(part.startswith("- ") for part in parts):
        return paragraph
    # Markdown wants an empty line before and after a list.
    return "".join(
        part + ("\n" if part.startswith("- ") and following.startswith("- ") else "\n\n")
        for part, following in zip(parts, [*parts[1:], ""], strict=True)
    ).rstrip("\n")


def comment_above(attribute: griffe.Attribute) -> str:
    """The lines "#: …" directly above a field, as one text; "" if there are none."""
    source = attribute.module.lines_collection[attribute.module.filepath]
    comment: list[str] = []
    for line in reversed(source[: (attribute.lineno or 1) - 1]):
        if not line.strip().startswith("#: "):
            break
        comment.insert(0, line.strip().removeprefix("#: "))
    return " ".join(comment)
