"""How many renders side by side a method can use: python -m benchmarks.side_by_side

A quadratic of 10 parameters with condition 10, to a thousandth of the loss of the start. With W workers and
renders that take equally long, a batch of b takes ⌈b / W⌉ rounds, so rounds are wall time in units of one render, and
need no clock. Medians over five seeds.
"""

import argparse
import math
import statistics

import torch
from torch import Tensor

from tests.problems import Quadratic
from zg.budget import Budget
from zg.given import make_method
from zg.run.run import run

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

    def __init__(self) -> None:
        super().__init__(n=10, condition=10.0)
        self.rounds = 0

    def build(self) -> None:
        super().build()
        self.space.init += torch.randn(self.n, generator=self.generator("start"))

    def render_batch(self, x: Tensor, *seeds: Tensor) -> Tensor:
        self.rounds += math.ceil(len(x) / self.parallel)
        return self.render(x)


def measure(name: str, workers: int, seeds: int) -> str:
    """Renders and rounds to the target, as `renders (rounds)`."""
    found = []
    for seed in range(seeds):
        task = Counted()
        task.seed = seed
        task.setup()
        start = float(task.render(task.space.to_user(task.space.init)[None])[0])
        budget = Budget(MOST, target_loss=LEFT * start)
        made = run(task, make_method(name)[0], budget, seed=seed, workers=workers, curve_points=0)
        rounds = task.rounds - MEASURED
        found.append((made.renders, rounds) if made.stop_reason == "target" else (math.inf, math.inf))
    medians = [statistics.median(values) for values in zip(*found, strict=True)]
    return "–" if math.isinf(medians[0]) else "{:,.0f} ({:,.0f})".format(*medians)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    print("| method | " + " | ".join(f"{workers} workers" if workers > 1 else "1 worker" for workers in WORKERS) + " |")
    print("|---|" + "---|" * len(WORKERS))
    for name in METHODS:
        print(
            f"| {name} | " + " | ".join(measure(name, workers, options.seeds) for workers in WORKERS) + " |", flush=True
        )


if __name__ == "__main__":
    main()
