"""Which of the paper's experiments a task is, and the share of the paper's renders that a run had.

A task is an experiment of the paper if its settings are those in `configs/paper`, but for the size of its pictures.
"""

import math
from dataclasses import dataclass
from functools import cache

from baselines.compare.grid import PUBLISHED
from baselines.compare.names import OURS_PUBLISHED
from baselines.compare.rows import Run
from zg.budget import StopReason
from zg.config.compose import Config, class_name, compose, read_yaml
from zg.config.registry import configured

# A claim needs at least this share of the paper's renders.
TESTED_FROM = 0.1
# The reasons for which a run ended before its method had converged.
CUT = (StopReason.BUDGET, StopReason.TIME, StopReason.INTERRUPTED, StopReason.FAILED_RENDERS, StopReason.ERROR)


@dataclass(frozen=True)
class Experiment:
    """renders: the paper's number of renders. is_released: whether the task is the experiment, or our variant of it."""

    renders: int
    is_released: bool


@cache
def experiment_of(task: str) -> Experiment | None:
    """The experiment that a task, by its name in tables, is or is a variant of; None where the paper's is not known."""
    if task not in configured("task"):
        return None
    data = compose(read_yaml(configured("task")[task]))["data"]
    path = PUBLISHED / f"{class_name('task', data)}.yaml"
    if not path.is_file():
        return None
    published = compose(read_yaml(path))
    return Experiment(published["max_renders"], without_size(data) == without_size(published["data"]))


def without_size(data: Config) -> Config:
    """A task without the size of its pictures."""
    settings = {name: value for name, value in data["init_args"].items() if name != "size"}
    return {"class_path": data["class_path"], "init_args": settings}


def share(run: Run) -> float:
    """The share of the paper's renders that a run had; NaN where their number is not known."""
    experiment = experiment_of(run.row["task"])
    return math.nan if experiment is None else run.row["renders"] / experiment.renders


def share_tested(run: Run) -> float:
    """The share of the paper's renders that a run speaks for: one that converged would not have moved any more."""
    experiment = experiment_of(run.row["task"])
    if experiment is None:
        return math.nan
    has_converged = run.row["stop_reason"] not in CUT
    return (run.row["max_renders"] if has_converged else run.row["renders"]) / experiment.renders


def iterations(run: Run) -> int | None:
    """The iterations of a run; None where they are not known: older rows do not have them.

    The published algorithm has the same number of renders in each iteration, so that its older rows tell them too.
    """
    row = run.row
    if (known := row.get("iterations")) is not None:
        return int(known)
    settings = row.get("settings") or {}
    if row["method"] != OURS_PUBLISHED or "batch" not in settings:
        return None
    return round((row["renders"] or 0) / (settings["batch"] * (1 + bool(settings.get("antithetic", True))) + 1))


def percent(part: float) -> str:
    """A share in percent with two significant digits: `100 %`, `1.5 %`, `0.00012 %`."""
    return f"{float(f'{100 * part:.2g}'):.10g} %" if part < 1 else f"{100 * part:.0f} %"
