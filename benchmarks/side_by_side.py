"""How many renders side by side a method can use: python -m benchmarks.side_by_side

A quadratic of 10 parameters with condition 10, to a thousandth of the loss of the start, with 1, 8 and 32 workers.

- Rounds: with W workers and renders that take equally long, a batch of b takes ⌈b / W⌉ of them. They are wall time in
  units of one render, and need no clock.
- `--sleep 0.2`: seconds by the clock, with a renderer that waits so long, in a pool of threads.

Rows are appended to results/side_by_side.csv; `--table` prints the table of docs/results/scale.md: medians over seeds.
"""

import argparse
import csv
import math
import shlex
import statistics
import sys
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import zg
from benchmarks.rows import append
from tests.problems import Quadratic
from zg.budget import Budget
from zg.given import make_method
from zg.run.provenance import machine, revision
from zg.run.run import run

ROWS = Path(__file__).parents[1] / "results" / "side_by_side.csv"
COLUMNS = "method workers seed sleep stop renders rounds seconds revision command machine".split()
METHODS = (
    "zerograds",
    "bfgs",
    "cmaes",
    "snes",
    "es",
    "pgpe",
    "spsa",
    "finite_differences",
    "bobyqa",
    "nevergrad",
    "nevergrad:CMA",
)
WORKERS = (1, 8, 32)
LEFT = 1e-3  # of the initial loss
MOST = 20_000  # renders
MEASURED = 2  # rounds of the start and of the result, which are rendered once more for the row


class Counted(Quadratic):
    """Counts the rounds that a number of workers would need, and renders here. It starts elsewhere with each seed."""

    def __init__(self, seed: int) -> None:
        super().__init__(n=10, condition=10.0)
        self.seed, self.rounds = seed, 0

    def build(self) -> None:
        super().build()
        self.space.init += torch.randn(self.n, generator=self.generator("start"))

    def render_batch(self, x: Tensor, *seeds: Tensor) -> Tensor:
        self.rounds += math.ceil(len(x) / self.parallel)
        return self.render(x)

    @property
    def target_loss(self) -> float:
        """Set up, a share of the loss of the start."""
        return LEFT * float(self.render(self.space.to_user(self.space.init)[None])[0])


def count(method: str, workers: int, seed: int) -> dict[str, Any]:
    """Renders and rounds to the target."""
    task = Counted(seed)
    task.setup()
    budget = Budget(MOST, target_loss=task.target_loss)
    made = run(task, make_method(method)[0], budget, seed=seed, workers=workers, curve_points=0)
    return {"stop": made.stop_reason, "renders": made.renders, "rounds": task.rounds - MEASURED}


def clock(method: str, workers: int, seed: int, sleep: float) -> dict[str, Any]:
    """Renders and seconds to the target, with renders that wait."""
    task = Counted(seed)
    task.setup()

    def f(x: Any) -> float:
        time.sleep(sleep)
        return float(task.render(torch.as_tensor(x)[None])[0])

    start = time.perf_counter()
    made = zg.minimize(
        f,
        x0=task.space.to_user(task.space.init).numpy(),
        method=method,
        max_renders=MOST,
        target_loss=task.target_loss,
        seed=seed,
        workers=workers,
        pool="threads",
        curve_points=0,
    )
    seconds = f"{time.perf_counter() - start:.4g}"
    return {"stop": made.stop_reason, "renders": made.renders, "sleep": sleep, "seconds": seconds}


def rows(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The rows, each as soon as it is there."""
    words = ["OUT" if word == str(options.out) else word for word in sys.argv[1:]]
    known = {
        "revision": revision(),
        "command": shlex.join(["python", "-m", "benchmarks.side_by_side", *words]),
        "machine": machine(),
    }
    for method, workers, seed in product(options.methods, options.workers, range(options.seeds)):
        case = method, workers, seed
        found = clock(*case, options.sleep) if options.sleep else count(*case)
        row = {"method": method, "workers": workers, "seed": seed, **found}
        print(row, file=sys.stderr, flush=True)
        yield {**row, **known}


def table(path: Path) -> str:
    """Renders, and in brackets rounds and seconds, to the target: medians over seeds, in Markdown."""
    found: dict[tuple[str, int], dict[str, dict[str, dict[str, str]]]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            kinds = found.setdefault((row["method"], int(row["workers"])), {})
            kinds.setdefault("seconds" if row["seconds"] else "rounds", {})[row["seed"]] = row
    names = [f"{workers} workers" if workers > 1 else "1 worker" for workers in WORKERS]
    lines = [f"| method | {' | '.join(names)} |", "|---" * (1 + len(WORKERS)) + "|"]
    for method in dict.fromkeys(method for method, _ in found):
        cells = [cell(found.get((method, workers), {})) for workers in WORKERS]
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return "\n".join(lines)


def cell(kinds: dict[str, dict[str, dict[str, str]]]) -> str:
    """The rows of a method and a number of workers, by kind and seed."""

    def median(kind: str, column: str) -> float:
        values = [float(row[column]) if row["stop"] == "target" else math.inf for row in kinds[kind].values()]
        return statistics.median(values)

    if "rounds" not in kinds or math.isinf(median("rounds", "renders")):
        return "–"
    seconds = f"; {median('seconds', 'seconds'):,.1f} s" if "seconds" in kinds else ""
    return f"{median('rounds', 'renders'):,.0f} ({median('rounds', 'rounds'):,.0f}{seconds})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--workers", type=int, nargs="+", default=WORKERS)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--sleep", type=float, default=0.0, help="seconds that a render waits")
    parser.add_argument("--out", type=Path, default=ROWS)
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    if not options.table:
        append(options.out, COLUMNS, rows(options))
    print(table(options.out))


if __name__ == "__main__":
    main()
