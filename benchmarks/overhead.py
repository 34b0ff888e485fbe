"""What Lightning, callbacks and loggers cost: a run against a bare loop of the same sampling, rendering and updates.

    python -m benchmarks.overhead [--method '{name: zerograds, surrogate: neural}'] [--task toy]

Several times in turn. The run is timed twice: from its first iteration to its last, as the loop is, and with what a run
does once around them: first record, last checkpoint, rows that W&B has not got by then. Imports, W&B's start and the
final pictures are in neither. W&B runs offline beside history.csv.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import yaml

from zg.budget import Budget
from zg.config.build import instantiate, parse
from zg.config.compose import compose, task_config
from zg.given import make_method
from zg.loop import Loop
from zg.objective import Objective
from zg.run.observer import Observer
from zg.run.run import run
from zg.task import Task


class Stopwatch(Observer):
    """seconds: from the start of the first iteration to the end of the last. whole: until observers are closed."""

    def started(self, loop: Loop) -> None:
        self.first = time.perf_counter()

    def iterated(self, loop: Loop) -> None:
        self.seconds = time.perf_counter() - self.first

    def closed(self) -> None:
        self.whole = time.perf_counter() - self.first


def make_task(name: str) -> Task:
    return instantiate("data", parse(compose({"model": "zerograds"}, task_config(name)))["data"])


def bare(task_name: str, method_name: Any, budget: Budget) -> float:
    task, (method, _) = make_task(task_name), make_method(method_name)
    task.setup()
    loop = Loop(method, budget)
    loop.start(Objective(task, budget.max_renders))
    start = time.perf_counter()
    while loop.stop_reason() is None:
        loop.iterate()
    return time.perf_counter() - start


def tracked(task_name: str, method_name: Any, budget: Budget, folder: Path) -> Stopwatch:
    stopwatch = Stopwatch()
    method, config = make_method(method_name)
    task = make_task(task_name)
    run(task, method, budget, config=config, folder=folder, observers=[stopwatch], wandb="offline", video=False)
    return stopwatch


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--task", default="toy")
    parser.add_argument("--method", type=yaml.safe_load, default="zerograds", help="a name, or YAML with settings")
    parser.add_argument("--max-renders", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    budget = Budget(options.max_renders)
    bare(options.task, options.method, Budget(100))  # first use of torch's optimisers imports a good deal
    with tempfile.TemporaryDirectory() as folder:
        pairs = [
            (
                bare(options.task, options.method, budget),
                tracked(options.task, options.method, budget, Path(folder) / str(k)),
            )
            for k in range(options.repeats)
        ]
    alone = statistics.median(seconds for seconds, _ in pairs)
    print(f"bare loop {alone:.3f} s; times as long with CSV and W&B (median of pairs):")
    for name, words in {"seconds": "first to last iteration", "whole": "and what is done once around them"}.items():
        ratio = statistics.median(getattr(watch, name) / seconds for seconds, watch in pairs)
        print(f"{ratio:.2f}  {words}")


if __name__ == "__main__":
    main()
