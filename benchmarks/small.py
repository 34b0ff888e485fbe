"""Small problems: the default, what it loses without each of its parts, and baselines at their defaults.

    python -m benchmarks.small [--seeds 3] [--out results/surrogates_small.csv] [--table]

One row a run: problem, variant, seed, renders, the true loss of what was recommended, revision, command. At the end the
table of docs/surrogates.md; `--table` prints it from the rows that are there.
"""

import argparse
import csv
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from baselines.cmaes import CMAES
from tasks.rosenbrock import Rosenbrock
from tests.problems import Kinks, Rastrigin, Turned
from zg.budget import Budget
from zg.method import Method
from zg.run.provenance import revision
from zg.run.run import run
from zg.task import Task
from zg.zerograds.method import SURROGATES, ZeroGrads
from zg.zerograds.surrogates.bayesian_quadratic import BayesianQuadratic
from zg.zerograds.surrogates.dd_cmaes import DDCMAES
from zg.zerograds.surrogates.quasi_newton import QuasiNewton

ROWS = Path(__file__).parents[1] / "results" / "surrogates_small.csv"


class NoLocality(BayesianQuadratic):
    """Every remembered sample counts alike, however far."""

    LOCALITY = 1e3


class NoCurvature(BayesianQuadratic):
    """A linear model: each step goes to the edge of the samples."""

    def _fit(self) -> None:
        super()._fit()
        self.H = torch.zeros_like(self.H)


class NoSmoothing(BayesianQuadratic):
    """Samples so near that they are differences, not a smoothed loss."""

    GROW = 1.0

    def __init__(self, theta: Tensor, sigma: float, *rest: object) -> None:
        super().__init__(theta, 1e-3 * sigma, *rest)  # type: ignore[arg-type]


class NoShape(DDCMAES):
    """The Gaussian stays round: nothing is remembered but m and σ."""

    def _adapt(self, theta: Tensor, losses: Tensor) -> None:
        super()._adapt(theta, losses)
        self.C = self.axes = torch.eye(self.n).to(self.C)
        self.widths = self.D = torch.ones_like(self.widths)


class NoBeginning(DDCMAES):
    """It never begins anew."""

    def _rest(self, loss: float) -> None:
        return


class NoSecant(QuasiNewton):
    """Curvatures along the axes of each sweep alone."""

    def _secant(self, s: Tensor, y: Tensor) -> None:
        return


def forgetful() -> Method:
    """The ridge surrogate that knows one batch only."""
    return ZeroGrads(surrogate="ridge", options={"pairs": 6, "window": 15})


def variant(kind: type) -> Callable[[], Method]:
    SURROGATES[kind.__name__] = kind
    return lambda: ZeroGrads(surrogate=kind.__name__)  # type: ignore[arg-type]


COMMON: dict[str, Callable[[], Method]] = {
    "default": ZeroGrads,
    "neural": lambda: ZeroGrads(surrogate="neural"),
    "cmaes": CMAES,
    "cmaes, population 100": lambda: CMAES(population=100),
}
RIDGE: dict[str, Callable[[], Method]] = {
    "no memory": forgetful,
    "no locality": variant(NoLocality),
    "no curvature": variant(NoCurvature),
    "no smoothing": variant(NoSmoothing),
}
RANKED = {"no memory": variant(NoShape), "never anew": variant(NoBeginning)}
PROBLEMS: dict[str, tuple[Callable[[], Task], int, dict[str, Callable[[], Method]]]] = {
    "noisy, rotated, n = 12": (lambda: Turned(noise=0.03), 1000, RIDGE),
    "kinks, n = 10": (lambda: Kinks(10), 2000, RANKED),
    "Rastrigin, n = 5": (Rastrigin, 3000, RANKED),
    "Rosenbrock, n = 10": (lambda: Rosenbrock(10), 3500, {"no curvature memory": variant(NoSecant)}),
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
