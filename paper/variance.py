"""How much the surrogate's gradient varies while θ stands still, with memory and without: the paper's hysteresis.

θ is held by a learning rate of next to nothing; the gradient of h at θ is read after every iteration. Its variance is
told relative to the squared length of its mean, so that the network's scale does not matter.
"""

from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path

from baselines.compare.grid import PUBLISHED
from paper.names import OURS_PUBLISHED
from paper.plan import Preset, Variant, compose_run
from paper.probes import Probe, Row
from zg.config.compose import Config

MEMORY = {"with memory": True, "without memory": False}
STILL = 1e-12
# The share of the iterations that are not read: until then the surrogate learns.
WARM_UP = 0.5


def variance_probes(preset: Preset, tasks: Sequence[str], out: Path) -> list[Probe]:
    """One for each of some tasks, seeds and forms of memory."""
    found = []
    for task, seed, (label, memory) in product(tasks, range(preset.variance["seeds"]), MEMORY.items()):
        variant = Variant(OURS_PUBLISHED, put={"memory": memory, "lr_theta": STILL})
        config, _ = compose_run(task, variant, seed, {"max_renders": 10**9}, "paper")
        path = out / "probes" / "variance" / f"{task}-{label.replace(' ', '_')}-{seed}.json"
        about = {"task": task, "seed": seed, "memory": label, "published": (PUBLISHED / f"{task}.yaml").is_file()}
        found.append(Probe(about, path, measure_variance, (config, preset.variance["iterations"])))
    return found


def measure_variance(config: Config, iterations: int, beat: Callable[[int, int], None]) -> Row:
    """The relative variance of the surrogate's gradient at the start, over the later iterations."""
    import torch

    from zg.config.build import instantiate, parse
    from zg.method import Budget
    from zg.objective import Objective

    parsed = parse(config)
    task, method = (instantiate(key, parsed[key]) for key in ("data", "model"))
    task.seed = method.seed = config["seed"]
    method.budget = Budget(config["max_renders"])
    task.setup()
    method.objective = Objective(task, config["max_renders"], config["seed"])
    method.start(task.space)
    start = task.space.project(task.space.init)
    gradients = []
    for i in range(iterations):
        theta = method.ask()
        method.tell(theta, method.objective.evaluate(theta, i))
        if i >= WARM_UP * iterations:
            gradients.append(method.surrogate_gradient(start))
        beat(i, iterations)
    task.close()
    found = torch.stack(gradients)
    mean = found.mean(0)
    spread = (found - mean).square().sum(1).mean()
    return {"variance": float(spread / mean.square().sum()), "iterations": len(gradients), "n": len(mean)}
