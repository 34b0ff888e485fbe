"""The path of one θ, from a run that is traced: python -m docs.trace [--print]

`architecture.md` has three tables between two markers: what one run calls before, in and after one of its iterations.
This program writes them there, or prints them. A test compares the page with what it prints.
"""

import argparse
import importlib
import inspect
import re
import sys
import tempfile
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import cached_property, reduce
from io import StringIO
from pathlib import Path
from types import CodeType, FrameType, ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE = Path(__file__).with_name("architecture.md")
#: The run: small, without a tracker.
WORDS = "fit --config configs/toy.yaml --max-renders 30 --curve-points 2 --video false --wandb disabled --out"
#: What is between the markers.
BETWEEN = re.compile(r"(?<=<!-- made by python -m docs.trace -->\n).*?(?=<!-- end -->)", re.DOTALL)
FOLDERS = ("zg", "tasks")
#: Imported before the run is traced, for imports are slower while they are traced.
SLOW = ("zg.run.module", "zg.run.folder", "zg.run.metrics", "tasks.toy")
#: The iteration that is shown. The first one measures noise, and asks no surrogate.
SHOWN = 2
#: The tables: before that iteration, the iteration, after the last one.
BEFORE, ITERATION, AFTER = range(3)


class Tracer:
    """Notes the functions of the package that are called, in the order of their first calls.

    steps: for each table, {(file, function): None}. Before and after the iteration the first function of a file stands
    for the file; in the iteration every public function counts. Properties do not.
    """

    def __init__(self) -> None:
        self.steps: list[dict[tuple[str, str], None]] = [{}, {}, {}]
        self.iterations = 0
        self.table: int | None = BEFORE
        self.known: dict[CodeType, tuple[str, str] | None] = {}

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        """What Python calls at each call and return of this thread."""
        code = frame.f_code
        if code not in self.known:
            self.known[code] = named(frame)
        step = self.known[code]
        if step is None:
            return
        if event == "call":
            self._enter(step)
        elif event == "return" and step[1] == "Loop.iterate":
            self.table = None

    def _enter(self, step: tuple[str, str]) -> None:
        path, name = step
        if name == "Loop.iterate":
            self.iterations += 1
            self.table = ITERATION if self.iterations == SHOWN else None
        elif name == "_finish":
            self.table = AFTER
        if self.table is None:
            return
        steps = self.steps[self.table]
        is_private = name.rpartition(".")[2].startswith("_")
        is_new_file = all(path != other for other, _ in steps)
        if is_new_file or (self.table == ITERATION and not is_private):
            steps[step] = None


def named(frame: FrameType) -> tuple[str, str] | None:
    """File and qualified name of a function of the package; None for properties, bodies of classes, and other code."""
    code, path = frame.f_code, Path(frame.f_code.co_filename)
    if not path.is_relative_to(ROOT) or path.relative_to(ROOT).parts[0] not in FOLDERS:
        return None
    is_function = bool(code.co_flags & inspect.CO_OPTIMIZED) and "<" not in code.co_qualname
    if not is_function or is_property(sys.modules[frame.f_globals["__name__"]], code.co_qualname):
        return None
    return path.relative_to(ROOT).as_posix(), code.co_qualname


def is_property(module: ModuleType, name: str) -> bool:
    """Whether this is the qualified name of a property."""
    owner, _, last = name.rpartition(".")
    if not owner or not hasattr(module, owner.partition(".")[0]):
        return False
    return isinstance(inspect.getattr_static(find(module, owner), last), property | cached_property)


def trace(call: Callable[[], Any]) -> list[dict[tuple[str, str], None]]:
    """The steps of a call, for each table."""
    tracer, before = Tracer(), sys.getprofile()
    sys.setprofile(tracer)
    try:
        call()
    finally:
        sys.setprofile(before)
    return tracer.steps


def meaning(path: str, name: str) -> str:
    """The first sentence of the docstring of a function, inherited or of its class where it has none."""
    owner, _, last = name.rpartition(".")
    place = find(module_of(path), owner if last in ("__init__", "__post_init__") else name)
    text = " ".join((inspect.getdoc(place) or "").partition("\n\n")[0].split())
    return re.split(r"(?<=\.) ", text)[0].rstrip(".").replace("|", "\\|")


def module_of(path: str) -> ModuleType:
    """The module of a file."""
    return importlib.import_module(path.removesuffix(".py").removesuffix("/__init__").replace("/", "."))


def find(module: ModuleType, name: str) -> Any:
    """What has this qualified name in a module."""
    return reduce(getattr, name.split("."), module)


def table(steps: dict[tuple[str, str], None]) -> str:
    """The steps as a Markdown table."""
    lines = ["| file | calls | which |", "|---|---|---|"]
    lines += [f"| [`{path}`](../{path}) | `{name}` | {meaning(path, name)} |" for path, name in steps]
    return "\n".join(lines)


def traced() -> str:
    """The tables of a run of `zg fit` in an empty folder."""
    from zg.cli.main import main

    for name in SLOW:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(StringIO()):
        before, iteration, after = trace(lambda: main([*WORDS.split(), f"{folder}/run"]))
    titles = ("From the command to the first iteration", "One iteration", "From the last iteration to the row")
    parts = zip(titles, (before, iteration, after), strict=True)
    return "\n" + "".join(f"### {title}\n\n{table(steps)}\n\n" for title, steps in parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--print", action="store_true")
    made = traced()
    if parser.parse_args().print:
        print(made)
    else:
        PAGE.write_text(BETWEEN.sub(lambda _: made, PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
