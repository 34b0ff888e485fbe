"""How much the surrogate's gradient g varies while θ stands still, with memory and without: the paper's hysteresis.

    relative variance = mean |g - mean g|² / |mean g|²

over the later iterations of a run, with the gradient of h at θ₀ read after every iteration. The learning rate STILL
holds θ in place. The division makes the result independent of the network's scale.
"""

from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from baselines.compare.grid import PUBLISHED
from baselines.compare.rows import Row
from paper.names import OURS_PUBLISHED
from paper.plan import Preset, Variant, compose_run
from paper.probes import Probe, start_loop
from zg.config.compose import Config

# {form of memory: the setting `memory` of the published algorithm}.
MEMORY = {"with memory": True, "without memory": False}
# The learning rate of θ.
STILL = 1e-12
# The share of the iterations after which the gradient is read. Until then the surrogate learns.
WARM_UP = 0.5


def variance_probes(preset: Preset, tasks: Sequence[str], out: Path) -> list[Probe]:
    """A probe for each task, seed and form of memory."""
    found = []
    for task, seed, (label, memory) in product(tasks, range(preset.variance["seeds"]), MEMORY.items()):
        variant = Variant(OURS_PUBLISHED, put={"memory": memory, "lr_theta": STILL})
        config, _ = compose_run(task, variant, seed, {"max_renders": 10**9}, "paper")
        path = out / "probes" / "variance" / f"{task}-{label.replace(' ', '_')}-{seed}.json"
        about = {"task": task, "seed": seed, "memory": label, "published": (PUBLISHED / f"{task}.yaml").is_file()}
        found.append(Probe(about, path, measure_variance, (config, preset.variance["iterations"])))
    return found


def measure_variance(config: Config, iterations: int, beat: Callable[[int, int], None]) -> Row:
    """The relative variance of the surrogate's gradient at the start θ₀ of the task."""
    import torch

    loop = start_loop(config)
    method: Any = loop.method  # it has a surrogate
    gradients = []
    for i in range(iterations):
        loop.iterate()
        if i >= WARM_UP * iterations:
            gradients.append(method.surrogate_gradient(loop.objective.start))
        beat(i, iterations)
    loop.objective.task.close()
    found = torch.stack(gradients)
    mean = found.mean(0)
    spread = (found - mean).square().sum(1).mean()
    return {"variance": float(spread / mean.square().sum()), "iterations": len(gradients), "n": len(mean)}
