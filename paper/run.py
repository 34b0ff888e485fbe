"""`zg paper`: measure, print the expected time, run what is missing, write tables, figures, verdicts and report."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from baselines.compare.options import add_place, parse_place
from zg.cli.options import OptionParser
from zg.errors import SettingError, check_positive, nearest

# Where the settings of the methods come from.
SETTINGS = ("published", "tuned")
# What `--parts` can name: tables, and what is measured besides.
PARTS = ("table1", "table2", "table1-tuned", "table2-tuned", "table3", "table4", "sensitivity", "frames", "variance")


def paper_command(words: list[str]) -> int:
    """The paper's tables, figures and verdicts from one command."""
    options = paper_options(words)
    from paper.make import make_paper  # its imports take seconds

    return make_paper(options)


def paper_options(words: list[str]) -> argparse.Namespace:
    """The options of `zg paper`. Raises SettingError for a value that is wrong whatever the preset is."""
    parser = OptionParser(prog="zg paper", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--preset", help="smoke, cpu, budget, medium or full, or a YAML like those in paper/presets")
    parser.add_argument("--out", required=True, type=Path, help="folder for everything; given again, it is completed")
    add_place(parser, "runs side by side; compare times with 1 only")
    parser.add_argument("--settings", default="published,tuned", help="published, tuned or both (default)")
    parser.add_argument("--parts", help=f"only these, separated by commas: {', '.join(PARTS)}")
    parser.add_argument("--tasks", help="only these, separated by commas; by default the tasks of the preset")
    parser.add_argument("--methods", help="only these in Tables 1 and 2; by default every method of this package")
    plugins = "with the tasks and methods that other packages register; by default only with those named"
    parser.add_argument("--plugins", action="store_true", help=plugins)
    parser.add_argument("--seeds", type=int, help="the number of seeds, instead of the preset's")
    parser.add_argument("--estimate", action="store_true", help="measure, print the expected time, and stop")
    parser.add_argument("--retry", action="store_true", help="run again what ended in an error")
    parser.add_argument("--wandb", default="offline", help="offline (default), online, auto or disabled")
    parser.add_argument("--keep", type=Path, help="write rows, curves, tables, figures and report to this folder too")
    options = parser.parse_args(words)
    check_positive(**({} if options.seeds is None else {"seeds": options.seeds}))
    options.place = parse_place(options)
    options.jobs = options.jobs or 1  # of measurements, which are made on this machine
    options.settings = options.settings.split(",")
    for name in options.settings:
        if name not in SETTINGS:
            raise SettingError(f"settings must be published, tuned or both, got '{name}'{nearest(name, SETTINGS)}")
    options.parts = options.parts.split(",") if options.parts else default_parts(options.settings)
    for name in options.parts:
        if name not in PARTS:
            raise SettingError(f"parts must be of {', '.join(PARTS)}, got '{name}'{nearest(name, PARTS)}")
    return options


def default_parts(settings: Sequence[str]) -> list[str]:
    """The parts of published settings, of tuned settings, or of both."""
    return [part for part in PARTS if ("tuned" if part.endswith("tuned") else "published") in settings]
