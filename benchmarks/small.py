"""Small problems: the default, what it loses without each of its parts, and baselines at their defaults.

    python -m benchmarks.small [--seeds 3] [--out results/surrogates_small.csv] [--table]

One row a run: problem, variant, seed, renders, the true loss of what was recommended, revision, command. At the end the
table of docs/results/parts.md; `--table` prints it from the rows that are there.
"""

import argparse
import csv
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from baselines.cmaes import CMAES
from tasks.rosenbrock import Rosenbrock
from tests.problems import Kinks, Rastrigin, Turned
from zg.budget import Budget
from zg.method import Method
from zg.run.provenance import revision
from zg.run.run import run
from zg.task import Task
from zg.zerograds.method import ZeroGrads

ROWS = Path(__file__).parents[1] / "results" / "surrogates_small.csv"
SIGMA = ZeroGrads().sigma


def ablation(surrogate: str, sigma: float = SIGMA, **options: Any) -> Callable[[], Method]:
    """A surrogate alone, with these settings; `auto` would hand over to another one."""
    return lambda: ZeroGrads(sigma, surrogate, options)


COMMON: dict[str, Callable[[], Method]] = {
    "default": ZeroGrads,
    "neural": ablation("neural"),
    "cmaes": CMAES,
    "cmaes, population 100": lambda: CMAES(population=100),
}
BAYESIAN_QUADRATIC: dict[str, Callable[[], Method]] = {
    "no memory": ablation("bayesian_quadratic", pairs=6, window=15),
    "no cubic part": ablation("bayesian_quadratic", cubic=False),
    "one noise for all": ablation("bayesian_quadratic", pairs_for_equal=1e9),
    "no curvature": ablation("bayesian_quadratic", curvature=False),
    "no smoothing": ablation("bayesian_quadratic", 1e-3 * SIGMA, grow=1.0),
}
DD_CMAES: dict[str, Callable[[], Method]] = {
    "no memory": ablation("dd_cmaes", learns_shape=False),
    "no restarts": ablation("dd_cmaes", restarts=False),
}
QUASI_NEWTON: dict[str, Callable[[], Method]] = {"no curvature memory": ablation("quasi_newton", secant=False)}
PROBLEMS: dict[str, tuple[Callable[[], Task], int, dict[str, Callable[[], Method]]]] = {
    "noisy, rotated, n = 12": (lambda: Turned(noise=0.03), 1000, BAYESIAN_QUADRATIC),
    "noise as 0.1 of the loss, rotated, n = 12": (lambda: Turned(loud=0.1), 3000, BAYESIAN_QUADRATIC),
    "kinks, n = 10": (lambda: Kinks(10), 2000, DD_CMAES),
    "Rastrigin, n = 5": (Rastrigin, 3000, DD_CMAES),
    "Rosenbrock, n = 10": (lambda: Rosenbrock(10), 3500, QUASI_NEWTON),
}


def table(path: Path) -> str:
    """The rows of a file as a Markdown table: the median loss, and all of them."""
    losses: dict[tuple[str, str], list[float]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            losses.setdefault((row["problem"], row["variant"]), []).append(float(row["loss"]))
    lines = ["| problem | variant | loss |", "|---|---|---|"]
    for (problem, name), found in losses.items():
        listed = ", ".join(f"{loss:.2g}" for loss in found)
        lines.append(f"| {problem} | {name} | {statistics.median(found):.2g} ({listed}) |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=ROWS)
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    if not options.table:
        measure(options.seeds, options.out)
    print(table(options.out))


def measure(seeds: int, out: Path) -> None:
    """Every variant of every problem, one row a run."""
    out.write_text("problem,variant,seed,renders,loss,revision,options\n")
    for problem, (make, budget, parts) in PROBLEMS.items():
        for name, method in {**COMMON, **parts}.items():
            for seed in range(seeds):
                task = make()
                result = run(task, method(), Budget(budget), seed=seed)
                loss = float(task.clean(result.theta)) if isinstance(task, Turned) else result.loss
                with out.open("a", newline="") as file:
                    row = [problem, name, seed, result.renders, loss, revision(), f"--seeds {seeds}"]
                    csv.writer(file, lineterminator="\n").writerow(row)
            print(f"{problem}: {name}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
