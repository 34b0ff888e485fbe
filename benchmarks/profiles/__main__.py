"""Data profiles of the default and its peers. Interrupted, the same command goes on. docs/profiles.md explains it.

python -m benchmarks.profiles zoo --half development --instances 1 2 3
python -m benchmarks.profiles zoo --half held_out [--feedback image]
python -m benchmarks.profiles bbob
python -m benchmarks.profiles table FILE
"""

import argparse
import sys
import time
from pathlib import Path

from benchmarks import zoo
from benchmarks.profiles import bbob, best_known, grid, held_out
from benchmarks.profiles.peers import FIELDS, OURS, TOLD, check_feedback
from benchmarks.profiles.problems import Problem, Variant
from benchmarks.profiles.runs import Row
from benchmarks.profiles.tables import report, zoo_methods
from zg.errors import SettingError
from zg.run.provenance import ROOT

RESULTS = ROOT / "results" / "profiles"
#: The methods of BBOB's table: its budget is large.
BBOB_METHODS = (OURS, "cmaes", "pycma", "bfgs")


def main(words: list[str] | None = None) -> None:
    options = parser().parse_args(words)
    try:
        options.command(options)
    except SettingError as error:
        sys.exit(str(error))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    whole = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = whole.add_subparsers(required=True)
    own = commands.add_parser("zoo", help="run methods on the zoo")
    own.add_argument("--half", choices=("development", "held_out"), required=True)
    own.add_argument("--instances", type=int, nargs="+", default=[1, 2, 3], help="those of the held-out half are drawn")
    own.add_argument("--feedback", choices=list(FIELDS), default="loss", help="image: methods that see pictures")
    own.add_argument("--methods", nargs="+", help="names, or YAML with settings")
    own.add_argument("--problems", nargs="+", help="some problems of the development half alone")
    own.add_argument("--one-block", action="store_true", help="all parameters as one unnamed block")
    own.add_argument("--again", action="store_true", help="a second held-out run of the same code, without counting")
    own.set_defaults(command=run_zoo)
    coco = commands.add_parser("bbob", help="run methods on BBOB")
    coco.add_argument("--dimensions", type=int, nargs="+", default=[5, 20])
    coco.add_argument("--instances", type=int, nargs="+", default=list(range(101, 116)))
    coco.add_argument("--methods", nargs="+", default=list(BBOB_METHODS))
    coco.add_argument("--no-bounds", action="store_true")
    coco.set_defaults(command=run_bbob)
    for command in (own, coco):
        command.add_argument("--jobs", type=int, choices=(1, 2), default=2)
        command.add_argument("--out", type=Path, help="by default a file in results/profiles, of clean code alone")
        command.add_argument("--estimate", action="store_true", help="print what it will cost, and run nothing")
    shown = commands.add_parser("table", help="print the tables of files of rows")
    shown.add_argument("files", type=Path, nargs="+")
    shown.add_argument("--problems", action="store_true", help="also a line for every problem")
    shown.add_argument("--figure", type=Path, help="draw the data profiles into this file")
    shown.add_argument(
        "--best-known", action="store_true", help="enter lower losses into benchmarks/zoo/best_known.csv"
    )
    shown.set_defaults(command=show)
    return whole


def run_zoo(options: argparse.Namespace) -> None:
    """Run methods on one half of the zoo."""
    sees = options.feedback == "image"
    field = FIELDS[options.feedback]
    options.methods = options.methods or ([field.ours, *field.others] if sees else list(TOLD))
    if not sees:
        check_feedback(options.methods)
    out = options.out or RESULTS / ("development_pictures.jsonl" if sees else "development.jsonl")
    marks, instances, names = {}, options.instances, zoo.names(options.half)
    if options.half == "held_out":
        if options.problems or options.one_block or options.out:
            raise SettingError("a held-out run is whole and kept: --problems, --one-block and --out are not for it")
        change = held_out.present_change()
        folder = RESULTS / ("held_out_pictures" if sees else "held_out")
        earlier = [row for path in sorted(folder.glob("*.jsonl")) for row in grid.read(path)]
        marks = held_out.marks(change, earlier, options.again)
        instances, out = change.instances(), folder / f"{change.sha[:12]}.jsonl"
    else:
        names = options.problems or names
        unknown = set(names) - set(zoo.names("development"))
        if unknown:
            raise SettingError(f"problems must be of the development half, got {', '.join(sorted(unknown))}")
    variant: Variant = "one block" if options.one_block else ""
    problems = [Problem("zoo", name, instance, variant) for instance in instances for name in names]
    rows = perform(options, problems, out, marks)
    if not options.estimate:
        print(report(rows, best_known.floors(rows, best_known.read())))


def run_bbob(options: argparse.Namespace) -> None:
    """Run methods on BBOB."""
    check_feedback(options.methods)
    variant: Variant = "no bounds" if options.no_bounds else ""
    names = bbob.names(options.dimensions)
    problems = [Problem("bbob", name, instance, variant) for instance in options.instances for name in names]
    rows = perform(options, problems, options.out or RESULTS / "bbob.jsonl", {})
    if not options.estimate:
        print(report(rows, {}))


def perform(options: argparse.Namespace, problems: list[Problem], out: Path, marks: dict[str, object]) -> list[Row]:
    """Execute the runs that have no row yet; with --estimate none. Returns all rows of the file."""
    if out.resolve().is_relative_to(ROOT / "results") and not options.estimate:
        held_out.present_change()  # rows of code that nobody can find again do not go there
    rows = grid.read(out)
    runs, refused = grid.plan(problems, options.methods)
    left = grid.missing(runs, rows)
    renders, seconds = grid.estimate(
        left, [*rows, *(row for path in RESULTS.rglob("*.jsonl") for row in grid.read(path))]
    )
    for why in refused:
        print(f"left out: {why}", file=sys.stderr)
    print(
        f"{len(left)} of {len(runs)} runs to do, {renders:,} renders, "
        f"about {seconds / options.jobs / 60:.0f} minutes in {options.jobs} processes",
        file=sys.stderr,
    )
    if options.estimate:
        return rows
    start = time.monotonic()
    for number, row in enumerate(grid.perform(left, out, options.jobs, marks), 1):
        minutes = (time.monotonic() - start) / 60
        what = f"{row['problem']} {row['instance']} {row['method']}"
        print(f"{number}/{len(left)} {minutes:.1f} min {what} {row['error'] or row['final']}", file=sys.stderr)
    return grid.read(out)


def show(options: argparse.Namespace) -> None:
    """Print the tables of files; draw the figure; enter what is best known."""
    rows = [row for path in options.files for row in grid.read(path)]
    if options.best_known:
        print(f"{best_known.update(rows)} entries of {best_known.FILE.relative_to(ROOT)} changed", file=sys.stderr)
    floors = best_known.floors(rows, best_known.read())
    print(report(rows, floors, options.problems))
    if options.figure:
        from benchmarks.profiles.figure import draw

        draw(zoo_methods(rows, floors), floors, options.figure)


if __name__ == "__main__":
    main()
