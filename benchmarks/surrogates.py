"""What a surrogate costs beside its floor: python -m benchmarks.surrogates [--n 200] [--surrogate sketched_gradient]

Milliseconds an iteration of ask and tell, without rendering; the floor is to draw as many Gaussian probes as it asks
for and to touch each once. Peak memory is that of a process of its own, less what it had before.
"""

import argparse
import math
import multiprocessing
import resource
from time import perf_counter

import torch

from zg.problem import Problem
from zg.space import Block, ParameterSpace
from zg.zerograds.choose import FEW
from zg.zerograds.surrogates import SURROGATES

SIZES = (2, 20, 128, 200, 1_024, 12_288, 35_152, 196_608, 1_000_000)
WARM_UP, ITERATIONS = 3, 5


def peak() -> float:
    """The most memory that this process has held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def bowl(theta: torch.Tensor) -> torch.Tensor:
    return (theta - 0.3).square().mean(1).double()


def make_block(kind: str, n: int) -> Block:
    """n parameters of the kind that the surrogate is for."""
    return Block(torch.zeros(n), kind="binary" if kind == "coordinate_search" else "real")


def measure(kind: str, n: int) -> tuple[float, float, float, int]:
    """Milliseconds an iteration, those of the floor, megabytes, and probes an iteration."""
    torch.set_num_threads(1)
    problem = Problem.of_space(ParameterSpace(x=make_block(kind, n)))
    start = problem.space.init
    before = peak()
    surrogate = SURROGATES[kind](problem, start, 0.05)  # type: ignore[call-arg]
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
        torch.randn(probes, n, generator=problem.generator, dtype=start.dtype).add_(start)
        floor.append(perf_counter() - begin)
    return 1e3 * min(own[WARM_UP:]), 1e3 * min(floor), held, probes


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int, nargs="+", default=SIZES)
    parser.add_argument("--surrogate", nargs="+", choices=list(SURROGATES), default=list(SURROGATES))
    options = parser.parse_args()
    print("surrogate                  n  probes  ms an iteration   floor   ratio  peak MB")
    for kind in options.surrogate:
        for n in options.n:
            if kind != "sketched_gradient" and n > FEW:
                continue
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                own, floor, held, probes = pool.apply(measure, (kind, n))
            print(f"{kind:19} {n:8} {probes:7} {own:16.2f} {floor:7.2f} {own / floor:7.2f} {held:8.0f}", flush=True)


if __name__ == "__main__":
    main()
