"""What a method costs by itself: seconds and memory of an iteration against n, on a quadratic loss that costs nothing.

Each (method, n) has a process of its own with limited memory. A method that needs more memory fails there, and its row
says so.
"""

import math
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from baselines.compare.grid import PUBLISHED, model_of
from baselines.compare.names import OURS_PUBLISHED
from baselines.compare.rows import Row
from paper.names import LOW_DIMENSION
from paper.plan import GB, Preset, Variant
from paper.probes import Probe
from zg.config.compose import Config, compose, read_yaml

# The budget in renders, for methods whose schedule or choice depends on it.
BUDGET = 10_000
# The number of iterations that are timed: more than the least only within the seconds of the preset.
LEAST_ITERATIONS, MOST_ITERATIONS = 3, 200


def cost_probes(methods: Mapping[str, Variant], preset: Preset, out: Path) -> list[Probe]:
    """A probe for each method and n."""
    found = []
    for label, variant in methods.items():
        for n in preset.cost["n"]:
            about, path = {"method": label, "n": n}, out / "probes" / "cost" / f"{label}-{n}.json"
            if reason := variant.refusal(n, preset.memory_gb):
                found.append(Probe(about, path, refuse, (reason,)))
            else:
                limits = (preset.cost["seconds"], preset.memory_gb)
                found.append(Probe(about, path, measure_cost, (model_at(label, variant, n), n, *limits)))
    return found


def model_at(label: str, variant: Variant, n: int) -> Config:
    """The method's settings at an n. The published algorithm has a deeper network for many parameters."""
    layer = model_of(variant.of)
    if label == OURS_PUBLISHED and n > LOW_DIMENSION:
        layer = {"model": read_yaml(PUBLISHED / "texture.yaml")["model"]}
    return compose(layer, {"model": {"init_args": dict(variant.put)}})["model"]


def refuse(reason: str, beat: Callable[[int, int], None]) -> Row:
    """The row of a method that cannot run."""
    return {"error": reason}


def measure_cost(model: Config, n: int, seconds: float, memory_gb: float, beat: Callable[[int, int], None]) -> Row:
    """Median seconds and mean renders of an iteration with n parameters, and the memory that the method adds, in MB."""
    import torch

    from zg import Block, Optimizer, ParameterSpace

    torch.set_num_threads(1)
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    size = int(memory_gb * GB) + base * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (size, size))
    optimizer = Optimizer(ParameterSpace(x=Block(torch.ones(n))), model, max_renders=BUDGET)
    took: list[float] = []
    counts: list[int] = []
    begin = time.perf_counter()
    while len(took) < MOST_ITERATIONS:
        start = time.perf_counter()
        x = optimizer.ask()
        asked = time.perf_counter()
        losses = x.square().mean(1)
        telling = time.perf_counter()
        optimizer.tell(losses)
        took.append(time.perf_counter() - telling + asked - start)
        counts.append(len(x))
        beat(len(took), MOST_ITERATIONS)
        if optimizer.renders + len(x) > BUDGET or optimizer.method.finished():
            break
        if time.perf_counter() - begin > seconds and len(took) >= (LEAST_ITERATIONS if took[-1] < seconds else 1):
            break
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "iterations": len(took),
        "renders": float(np.mean(counts)),
        "seconds": float(np.median(took)),
        "seconds_low": float(np.quantile(took, 0.25)),
        "seconds_high": float(np.quantile(took, 0.75)),
        "mb": (peak - base) / 1024,
        "settings": model["init_args"],
    }


def seconds_a_render(rows: Sequence[Row], method: str, n: int) -> float:
    """The seconds that a method adds to a render at an n, interpolated linearly in the logarithms of both."""
    known = sorted(
        (row["n"], row["seconds"] / row["renders"]) for row in rows if row["method"] == method and not row["error"]
    )
    if not known:
        return 0.0
    x, y = np.log(np.array(known)).T
    place = math.log(max(1, n))
    if place > x[-1]:  # beyond the largest measured n: in proportion to n
        return math.exp(float(y[-1] + place - x[-1]))
    return math.exp(float(np.interp(place, x, y)))
