"""What it gains to be told results as they come: python -m benchmarks.asynchronous

Wall time until a target is reached, synchronous and asynchronous in turn, with 8 workers that sleep: log-normal times
(median 20 ms, σ of the logarithm 0.3), and one render in ten takes ten times as long. Medians over seeds; the ratio is
that of the medians. Workers are threads, so the renderer costs no core.

- es, snes, cmaes, nevergrad (its CMA): a quadratic of 10 parameters with condition 10, to a thousandth of the loss of
  the start. es has lr 0.05.
- linear: `zerograds` with the sketched gradient, the same with 300 parameters.
- picture: `zerograds-image` (dense), four blobs of 3 parameters each in 24 × 24 pixels, to 10⁻⁴ of the loss.
"""

import argparse
import math
import random
import statistics
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

import zg

WORKERS, MEDIAN_SECONDS, SPREAD, SLOW_SHARE, SLOW_FACTOR = 8, 0.02, 0.3, 0.1, 10.0
MOST = 20_000  # renders
METHODS: dict[str, Any] = {
    "es": {"name": "es", "lr": 0.05},
    "snes": "snes",
    "cmaes": "cmaes",
    "nevergrad": {"name": "nevergrad", "optimizer": "CMA"},
    "linear": {"name": "zerograds", "surrogate": "sketched_gradient"},
    "picture": "zerograds-image",
}


class Sleeper:
    """Times of renders, drawn from a seed in the order of the calls."""

    def __init__(self, seed: int) -> None:
        self.random, self.lock = random.Random(seed), threading.Lock()

    def sleep(self) -> None:
        with self.lock:
            seconds = MEDIAN_SECONDS * math.exp(SPREAD * self.random.gauss(0.0, 1.0))
            is_slow = self.random.random() < SLOW_SHARE
        time.sleep(seconds * (SLOW_FACTOR if is_slow else 1.0))


def quadratic(n: int, seed: int) -> tuple[Callable[[Any], float], np.ndarray]:
    """A quadratic with condition 10, and a start."""
    curvatures = np.logspace(0, -1, n)
    return lambda x: float(0.5 * (curvatures * x * x).sum()), 1 + np.random.default_rng(seed).standard_normal(n)


def blobs(seed: int) -> tuple[Callable[[Any], np.ndarray], np.ndarray, np.ndarray]:
    """Four Gaussian blobs, a start near the solution, and the solution."""
    rng, (v, u) = np.random.default_rng(seed), np.mgrid[0:24, 0:24] / 24
    solution = np.column_stack([rng.uniform(0.2, 0.8, (4, 2)), np.full(4, 0.25)]).ravel()

    def render(x: Any) -> np.ndarray:
        pictures = [c * np.exp(-((u - a) ** 2 + (v - b) ** 2) / 0.02) for a, b, c in x.reshape(-1, 3)]
        return np.sum(pictures, axis=0)

    return render, solution + 0.05 * rng.standard_normal(len(solution)), solution


def measure(name: str, seed: int, asynchronous: bool) -> tuple[float, int]:
    """Seconds and renders to the target; infinity where it was not reached."""
    sleeper, loss = Sleeper(seed), None
    if name == "picture":
        render, start, solution = blobs(seed)
        reference = render(solution)
        loss = 1e-4 * float(((render(start) - reference) ** 2).mean())
        given: dict[str, Any] = {"reference": reference, "linear": True}
    else:
        render, start = quadratic(300 if name == "linear" else 10, seed)  # type: ignore[assignment]
        loss, given = 1e-3 * float(render(start)), {}

    def slow(x: Any) -> Any:
        sleeper.sleep()
        return render(x)

    settings = {"method": METHODS[name], "max_renders": MOST, "target_loss": loss, "curve_points": 0, "seed": seed}
    started = time.perf_counter()
    result = zg.optimize(slow, start, workers=WORKERS, asynchronous=asynchronous, **settings, **given)
    seconds = time.perf_counter() - started
    return (seconds, result.renders) if result.stop_reason == "target" else (math.inf, MOST)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--methods", nargs="+", default=[*METHODS], choices=[*METHODS])
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message=".*threads make")  # that hint is for functions that compute
    print("| method | synchronous | asynchronous | ratio |\n|---|---|---|---|")
    for name in options.methods:
        found = [[measure(name, seed, how) for how in (False, True)] for seed in range(options.seeds)]
        seconds = [statistics.median(pair[how][0] for pair in found) for how in (0, 1)]
        renders = [statistics.median(pair[how][1] for pair in found) for how in (0, 1)]
        texts = [f"{took:.1f} s ({count:,.0f} renders)" for took, count in zip(seconds, renders, strict=True)]
        print(f"| {name} | {texts[0]} | {texts[1]} | {seconds[1] / seconds[0]:.2f} |", flush=True)


if __name__ == "__main__":
    main()
