"""The examples in the docstrings of zg run, and say what they print."""

import doctest
import importlib
from pathlib import Path

import pytest

import zg

ROOT = Path(__file__).parents[1]
#: Public names that a reader calls or subclasses: each has an example.
SHOWN = ("Block", "Budget", "Layer", "Method", "Optimizer", "ParameterSpace", "Task", "minimize", "optimize")


def modules_with_examples() -> list[str]:
    """The modules of zg whose source has a line that starts an example."""
    paths = sorted(path for path in (ROOT / "zg").rglob("*.py") if ">>> " in path.read_text(encoding="utf-8"))
    return [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]


@pytest.mark.parametrize("name", modules_with_examples())
def test_the_examples_of_a_module_print_what_they_say(name: str) -> None:
    said: list[str] = []
    runner = doctest.DocTestRunner(verbose=False)
    for test in doctest.DocTestFinder(exclude_empty=True).find(importlib.import_module(name)):
        runner.run(test, out=said.append)
    assert runner.tries > 0, f"{name} has '>>> ' in its source, but no docstring with an example"
    assert runner.failures == 0, "".join(said)


@pytest.mark.parametrize("name", SHOWN)
def test_a_public_name_has_an_example(name: str) -> None:
    assert ">>> " in (getattr(zg, name).__doc__ or ""), f"zg.{name} has no example in its docstring"
