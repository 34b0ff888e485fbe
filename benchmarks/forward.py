"""How long each task's forward model takes: python -m benchmarks.forward [CONFIG ...]

Milliseconds a render with its loss, in batches as methods ask for them: the fastest of some repetitions, so that
neighbours on the machine count little. By default every config of a task but the Monte-Carlo ones.
"""

import sys
from contextlib import closing
from time import perf_counter

import torch

from zg.config.build import instantiate, parse
from zg.config.compose import compose, task_config
from zg.config.registry import configured
from zg.errors import SettingError
from zg.objective import Objective
from zg.task import Task

BATCH = 20
REPETITIONS = 5


def milliseconds(task: Task) -> float:
    """Milliseconds a render near the start, through the objective as in a run."""
    task.setup()
    objective = Objective(task, max_renders=10**9)
    offsets = torch.randn(BATCH, task.space.n, generator=torch.Generator().manual_seed(0))
    theta = task.space.init + 0.05 * offsets.to(task.space.init)
    taken = []
    for _ in range(1 + REPETITIONS):
        start = perf_counter()
        objective.evaluate(theta, 0)
        taken.append(perf_counter() - start)
    return 1e3 * min(taken[1:]) / BATCH


def main(names: list[str]) -> None:
    print(f"{torch.get_num_threads()} threads, batches of {BATCH}")
    for name in names or sorted(configured("task")):
        config = compose({"model": "es"}, task_config(name))
        try:
            with closing(instantiate("data", parse(config)["data"])) as task:
                if names or not task.noisy:
                    print(f"{name:16} {milliseconds(task):8.3f} ms a render")
        except SettingError as error:  # a renderer that is not installed
            print(f"{name:16} {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
