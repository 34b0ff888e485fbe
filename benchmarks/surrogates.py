"""What a surrogate costs beside its floor: python -m benchmarks.surrogates [--n 200] [--surrogate linear]

Milliseconds an iteration of ask and tell, without rendering; the floor is to draw as many Gaussian probes as it asks
for and to touch each once. Peak memory is that of a process of its own, less what it had before.
"""

import argparse
import math
import multiprocessing
import resource
from time import perf_counter

import torch

from zg.seeding import make_generator
from zg.zerograds.method import FEW, SURROGATES
from zg.zerograds.surrogates.base import Surrogate

SIZES = (2, 20, 128, 200, 1_024, 12_288, 35_152, 196_608, 1_000_000)
WARM_UP, ITERATIONS = 3, 5


def peak() -> float:
    """The most memory that this process has held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def bowl(theta: torch.Tensor) -> torch.Tensor:
    return (theta - 0.3).square().mean(1).double()


def measure(kind: str, n: int) -> tuple[float, float, float, int]:
    """Milliseconds an iteration, those of the floor, megabytes, and probes an iteration."""
    torch.set_num_threads(1)
    generator = make_generator(0, "bench")
    start = torch.zeros(n, dtype=torch.float64 if n <= 4096 else torch.float32)
    before = peak()
    surrogate: Surrogate = SURROGATES[kind](start, 0.05, lambda theta: theta, generator)
    own, probes = [], 0
    for _ in range(WARM_UP + ITERATIONS):
        begin = perf_counter()
        theta = surrogate.ask()
        asked = perf_counter()
        losses = bowl(theta)
        told = perf_counter()
        surrogate.tell(theta, losses, losses.isfinite())
        own.append(asked - begin + perf_counter() - told)
        probes += len(theta)
    held, probes = peak() - before, math.ceil(probes / len(own))
    floor = []
    for _ in range(3):
        begin = perf_counter()
        torch.randn(probes, n, generator=generator, dtype=start.dtype).add_(start)
        floor.append(perf_counter() - begin)
    return 1e3 * min(own[WARM_UP:]), 1e3 * min(floor), held, probes


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int, nargs="+", default=SIZES)
    parser.add_argument("--surrogate", nargs="+", choices=list(SURROGATES), default=list(SURROGATES))
    options = parser.parse_args()
    print("surrogate         n  probes  ms an iteration   floor   ratio  peak MB")
    for kind in options.surrogate:
        for n in options.n:
            if kind != "linear" and n > FEW:
                continue
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                own, floor, held, probes = pool.apply(measure, (kind, n))
            print(f"{kind:10} {n:8} {probes:7} {own:16.2f} {floor:7.2f} {own / floor:7.2f} {held:8.0f}", flush=True)


if __name__ == "__main__":
    main()
