"""CPU seconds an iteration of the published algorithm, beside the same algorithm written down line by line.

    python -m benchmarks.published [--experiments toy rosenbrock texture16 mlp] [--iterations 3] [--repeats 3]

The settings are those of `configs/paper`. The plain form is `tests.zg.zerograds.plain_published`; tests show that the
two take the same path. Both run in one process on one thread, in turn, after one iteration that is not timed. Seconds
are those of the process: renders, sampling, both of Adam's loops.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from baselines.compare.grid import PUBLISHED
from tests.zg.zerograds.plain_published import Plain
from zg.budget import Budget
from zg.config.build import instantiate, parse
from zg.config.compose import compose, read_yaml
from zg.loop import Loop
from zg.objective import Objective
from zg.seeding import make_generator

# {experiment: (its settings in `configs/paper`, changes of the task)}.
EXPERIMENTS: dict[str, tuple[str, dict[str, Any]]] = {
    "toy": ("toy", {}),
    "rosenbrock": ("rosenbrock", {}),
    "texture16": ("texture", {"size": 16}),
    "texture64": ("texture", {"size": 64}),
    "caustic": ("caustic", {"size": 128}),
    "mlp": ("mlp", {}),
}


def both(name: str) -> tuple[Callable[[], object], Callable[[], object], int]:
    """One iteration of the method and one of its plain form, each on a task of its own; n."""
    of, changes = EXPERIMENTS[name]
    config = compose(read_yaml(PUBLISHED / f"{of}.yaml"), {"data": {"init_args": changes}})
    parsed = parse(config)
    task, method = (instantiate(key, parsed[key]) for key in ("data", "model"))
    task.setup()
    renders = config["max_renders"]
    loop = Loop(method, Budget(renders))
    loop.start(Objective(task, renders))
    settings = parsed["model"]["init_args"]
    plain = Plain(**{field.name: settings[field.name] for field in fields(Plain)})
    beside = Objective(task, renders)

    def losses(x: Tensor) -> Tensor:
        return beside.evaluate(x / task.space.scale, 0).losses

    start = task.space.init * task.space.scale
    steps = plain.steps(losses, start, make_generator(0, "method"))
    return loop.iterate, lambda: next(steps), task.space.n


def seconds(iterate: Callable[[], object], iterations: int) -> float:
    """CPU seconds an iteration."""
    start = time.process_time()
    for _ in range(iterations):
        iterate()
    return (time.process_time() - start) / iterations


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--experiments", nargs="+", choices=EXPERIMENTS, default=["toy", "rosenbrock", "texture16", "mlp"]
    )
    parser.add_argument("--iterations", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| experiment | n | published.py | line by line | ratio |\n|---|---|---|---|---|")
    for name in options.experiments:
        method, plain, n = both(name)
        method(), plain()
        pairs = [[seconds(form, options.iterations) for form in (method, plain)] for _ in range(options.repeats)]
        ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
        print(f"| {name} | {n:,} | {ours:.4f} | {theirs:.4f} | {ours / theirs:.2f} |", flush=True)


if __name__ == "__main__":
    main()
