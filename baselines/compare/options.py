"""The options of `zg compare`, `zg report` and `zg tune`. Importing this module imports neither torch nor Lightning."""

import argparse
import os
from pathlib import Path

from baselines.compare.place import Place
from zg.cli.options import OptionParser
from zg.config.registry import CONFIGS
from zg.errors import SettingError, check_positive
from zg.memory import RUN_BYTES, check_memory

# The first seed of tuning. Comparisons count their seeds from 0, so that no seed serves both.
FIRST_SEED = 1000
# Where the settings of the methods come from.
SETTINGS = ("default", "tuned", "paper")
# The tuned configs of this project, TASK/METHOD.yaml.
TUNED = CONFIGS / "tuned"
# Where `zg tune` writes by default: tuned configs, and the tables of the trials that led to them, TASK/METHOD.csv. In
# the working directory, for an installed package is not written to; in a clone these are the project's own.
OWN_TUNED = Path("configs", "tuned")
OWN_TRIALS = Path("results", "tuning")


def compare_options(words: list[str]) -> argparse.Namespace:
    """The options of `zg compare`."""
    parser = OptionParser(prog="zg compare", description="Methods × tasks × seeds on equal terms.")
    add_grid(parser)
    parser.add_argument("--max-renders", type=int, help="renders of every run; by default the task's own budget")
    parser.add_argument("--max-seconds", type=float, help="longest time of a run, rendering and method together")
    parser.add_argument("--seeds", default="3", help="the number of seeds (5: 0 to 4) or a list (3,7,9); default 3")
    parser.add_argument("--settings", default="default", help="default, tuned (--tuned) or paper (configs/paper)")
    parser.add_argument(
        "--tuned",
        type=Path,
        help="folder of zg tune --out; by default configs/tuned in the working directory, then that of this project",
    )
    add_place(parser, "runs side by side; compare times with 1 only")
    parser.add_argument("--retry", action="store_true", help="run again what ended in an error")
    parser.add_argument("--hang-seconds", type=float, help="kill a run after this time without a sign of life")
    parser.add_argument("--wandb", default="offline", help="offline (default), online, auto or disabled")
    parser.add_argument("--tensorboard", action="store_true", help="write for TensorBoard, too, into the run folders")
    add_versus(parser)
    parser.add_argument("--out", required=True, type=Path, help="folder for runs, tables and figures")
    options = parser.parse_args(words)
    options.seeds = parse_seeds(options.seeds)
    options.place = parse_place(options)
    if options.settings not in SETTINGS:
        raise SettingError(f"settings must be {', '.join(SETTINGS[:-1])} or {SETTINGS[-1]}, got '{options.settings}'")
    if options.tuned is not None and not os.path.isdir(options.tuned):
        raise SettingError(f"tuned must be a folder of zg tune --out, got '{options.tuned}'")
    options.tuned = [OWN_TUNED, TUNED] if options.tuned is None else [options.tuned]
    return options


def report_options(words: list[str]) -> argparse.Namespace:
    """The options of `zg report`."""
    description = "Tables, figures and page of a comparison, written again from its rows."
    parser = OptionParser(prog="zg report", description=description)
    parser.add_argument("folder", type=Path, help="the folder of a comparison")
    add_versus(parser)
    return parser.parse_args(words)


def tune_options(words: list[str]) -> argparse.Namespace:
    """The options of `zg tune`."""
    parser = OptionParser(prog="zg tune", description="The best settings of each method on each task.")
    add_grid(parser)
    parser.add_argument("--trials", type=int, default=24, help="for every method, its default included; default 24")
    parser.add_argument("--finalists", type=int, default=4, help="best trials that run on 2 more seeds; default 4")
    parser.add_argument(
        "--max-renders", type=int, help="renders of a trial; by default a fifth of the task's budget, at most 5,000"
    )
    parser.add_argument("--max-seconds", type=float, default=60.0, help="longest time of a trial; default 60")
    parser.add_argument("--seeds", type=int, default=1, help=f"seeds of a trial, from {FIRST_SEED} on; default 1")
    add_place(parser, "methods tuned side by side")
    parser.add_argument(
        "--out",
        type=Path,
        default=OWN_TUNED,
        help="folder for TASK/METHOD.yaml; default configs/tuned in the working directory",
    )
    parser.add_argument(
        "--trials-out",
        type=Path,
        help="folder for the tables of trials, TASK/METHOD.csv; default results/tuning in the working directory, "
        "or the folder of --out where that is not configs/tuned",
    )
    options = parser.parse_args(words)
    options.place = parse_place(options)
    if options.trials_out is None:
        options.trials_out = OWN_TRIALS if options.out.resolve() == OWN_TUNED.resolve() else options.out
    return options


def add_grid(parser: argparse.ArgumentParser) -> None:
    """The options that say what is compared or tuned."""
    parser.add_argument("--tasks", required=True, help="names or YAML paths, separated by commas")
    parser.add_argument("--methods", required=True, help="names or YAML paths, separated by commas")


def add_place(parser: argparse.ArgumentParser, jobs: str) -> None:
    """The options that say where runs are made. jobs: help of `--jobs`."""
    parser.add_argument("--jobs", type=int, help=f"{jobs}; default 1, with --pool ray as many as have a CPU")
    parser.add_argument("--pool", default="processes", help="processes (default) of this machine, or ray")
    parser.add_argument("--address", help="of the Ray cluster, host:6379; by default Ray on this machine")
    parser.add_argument("--cpus", type=float, default=1.0, help="with --pool ray: CPUs of a run; default 1")
    parser.add_argument("--gpus", type=float, default=0.0, help="with --pool ray: GPUs of a run; default 0")
    parser.add_argument("--memory", type=float, help="with --pool ray: memory of a run in GB; by default not counted")


def parse_place(options: argparse.Namespace) -> Place:
    """Where runs are made. Raises SettingError for a wrong setting."""
    given = {"jobs": options.jobs, "memory": options.memory, "cpus": options.cpus}
    check_positive(**{name: value for name, value in given.items() if value is not None})
    if options.gpus:
        check_positive(gpus=options.gpus)
    if options.pool not in ("processes", "ray"):
        raise SettingError(f"pool must be processes or ray for whole runs, got '{options.pool}'")
    for name, default in {"address": None, "cpus": 1.0, "gpus": 0.0, "memory": None}.items():
        if options.pool != "ray" and getattr(options, name) != default:
            raise SettingError(f"{name} is a setting of --pool ray, got --pool {options.pool}")
    return Place(options.pool, options.jobs, options.address, options.cpus, options.gpus, options.memory)


def add_versus(parser: argparse.ArgumentParser) -> None:
    """The option that names the reference of the probability of improvement."""
    parser.add_argument("--versus", default="zerograds", help="the method that the others are compared with")


def make_folder(setting: str, path: Path) -> None:
    """Make a folder that a command writes to. Raises SettingError, which names the setting, where that fails."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingError(f"{setting} must be a folder that can be written, got '{path}': {error.strerror}") from None


def parse_seeds(text: str) -> list[int]:
    """`5` -> seeds 0 to 4; `3,7,9` -> these seeds."""
    try:
        seeds = [int(part) for part in text.split(",") if part]
    except ValueError:
        seeds = []
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0 or ("," not in text and seeds[0] < 1):
        raise SettingError(f"seeds must be a number (5), or a list of different seeds (3,7,9), got '{text}'")
    if "," in text:
        return seeds
    check_memory(RUN_BYTES * seeds[0], seeds=seeds[0])
    return list(range(seeds[0]))
