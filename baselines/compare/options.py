"""What `zg compare`, `zg report` and `zg tune` can be told. Importing this imports neither torch nor Lightning."""

import argparse
from pathlib import Path

from zg.config.registry import CONFIGS
from zg.errors import SettingError

# Comparisons count their seeds from 0, tuning from here.
FIRST_SEED = 1000
SETTINGS = ("default", "tuned", "paper")


def compare_options(words: list[str]) -> argparse.Namespace:
    """The options of `zg compare`."""
    parser = argparse.ArgumentParser(prog="zg compare", description="Methods × tasks × seeds on equal terms.")
    add_grid(parser)
    parser.add_argument("--max-renders", type=int, help="budget of every run; by default the task's own")
    parser.add_argument("--max-seconds", type=float, help="longest time of a run, rendering and method together")
    parser.add_argument("--seeds", default="3", help="how many (5: 0 to 4), or which (3,7,9); default 3")
    parser.add_argument("--settings", default="default", help="default, tuned (--tuned) or paper (configs/paper)")
    parser.add_argument("--tuned", type=Path, default=CONFIGS / "tuned", help="from zg tune; default configs/tuned")
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side; times are to be compared with 1 only")
    parser.add_argument("--retry", action="store_true", help="run again what ended in an error")
    parser.add_argument("--hang-seconds", type=float, help="kill a run that is silent for so long")
    parser.add_argument("--wandb", default="offline", help="offline (default), online, auto or disabled")
    add_versus(parser)
    parser.add_argument("--out", required=True, type=Path, help="folder for runs, tables and figures")
    options = parser.parse_args(words)
    options.seeds = parse_seeds(options.seeds)
    if options.settings not in SETTINGS:
        raise SettingError(f"settings must be {', '.join(SETTINGS[:-1])} or {SETTINGS[-1]}, got '{options.settings}'")
    return options


def report_options(words: list[str]) -> argparse.Namespace:
    """The options of `zg report`."""
    parser = argparse.ArgumentParser(prog="zg report", description="Tables, figures and page of a comparison anew.")
    parser.add_argument("folder", type=Path, help="the folder of a comparison")
    add_versus(parser)
    return parser.parse_args(words)


def tune_options(words: list[str]) -> argparse.Namespace:
    """The options of `zg tune`."""
    parser = argparse.ArgumentParser(prog="zg tune", description="The best settings of each method on each task.")
    add_grid(parser)
    parser.add_argument("--trials", type=int, default=24, help="for every method, its default included; default 24")
    parser.add_argument("--max-renders", type=int, help="budget of a trial; by default a fifth of the task's own")
    parser.add_argument("--max-seconds", type=float, default=60.0, help="longest time of a trial; default 60")
    parser.add_argument("--seeds", type=int, default=1, help=f"how many, from {FIRST_SEED} on; default 1")
    parser.add_argument("--jobs", type=int, default=1, help="methods tuned side by side")
    parser.add_argument("--out", type=Path, default=CONFIGS / "tuned", help="default configs/tuned")
    return parser.parse_args(words)


def add_grid(parser: argparse.ArgumentParser) -> None:
    """What is compared or tuned."""
    parser.add_argument("--tasks", required=True, help="names or YAML paths, separated by commas")
    parser.add_argument("--methods", required=True, help="names or YAML paths, separated by commas")


def add_versus(parser: argparse.ArgumentParser) -> None:
    """What the probability of improvement is over."""
    parser.add_argument("--versus", default="zerograds", help="the method that the others are compared with")


def parse_seeds(text: str) -> list[int]:
    """`5` -> 0 to 4; `3,7,9` -> those."""
    try:
        seeds = [int(part) for part in text.split(",") if part]
    except ValueError:
        seeds = []
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0 or ("," not in text and seeds[0] < 1):
        raise SettingError(f"seeds must be how many (5), or which, each once (3,7,9), got '{text}'")
    return seeds if "," in text else list(range(seeds[0]))
