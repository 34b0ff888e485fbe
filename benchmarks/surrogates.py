"""What an iteration of each surrogate costs, beside a floor.

    python -m benchmarks.surrogates [--n 200 ...] [--surrogate sketched_gradient ...] [--out FILE] [--table]

One row a surrogate and n: probes an iteration, milliseconds of the processor for ask and tell, those of the floor, peak
memory, revision, machine. The floor is to draw as many Gaussian probes as the surrogate asks for, and to touch each.
Peak memory is that of a process of its own, less what it had before. At the end the table of docs/results/cost.md;
`--table` prints it from the rows that are there.
"""

import argparse
import csv
import math
import multiprocessing
import resource
import sys
from pathlib import Path
from time import process_time

import torch

from zg.problem import Problem
from zg.run.provenance import machine, revision
from zg.space import Block, ParameterSpace
from zg.zerograds.choose import FEW
from zg.zerograds.surrogates import SURROGATES

ROWS = Path(__file__).parents[1] / "results" / "surrogates_cost.csv"
COLUMNS = "surrogate n probes ms ms_floor peak_mb revision machine".split()
SIZES = (2, 20, 128, 200, 1_024, 12_288, 35_152, 196_608, 1_000_000)
WARM_UP, ITERATIONS = 3, 10


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
        begin = process_time()
        theta = surrogate.ask()
        asked = process_time()
        losses = bowl(theta)
        told = process_time()
        surrogate.tell(theta, losses, losses.isfinite())
        own.append(asked - begin + process_time() - told)
        probes += len(theta)
    held, probes = peak() - before, math.ceil(probes / len(own))
    floor = []
    for _ in range(3):
        begin = process_time()
        torch.randn(probes, n, generator=problem.generator, dtype=start.dtype).add_(start)
        floor.append(process_time() - begin)
    return 1e3 * min(own[WARM_UP:]), 1e3 * min(floor), held, probes


def table(path: Path) -> str:
    """The rows of a file as a Markdown table."""
    lines = [
        "| surrogate | n | probes | ms an iteration | ms of the floor | ratio | peak MB |",
        "|---|---|---|---|---|---|---|",
    ]
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            own, floor = float(row["ms"]), float(row["ms_floor"])
            numbers = f"{own:.2f} | {floor:.2f} | {own / floor:.3g} | {float(row['peak_mb']):.0f}"
            lines.append(f"| {row['surrogate']} | {int(row['n']):,} | {row['probes']} | {numbers} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, nargs="+", default=SIZES)
    parser.add_argument("--surrogate", nargs="+", choices=list(SURROGATES), default=list(SURROGATES))
    parser.add_argument("--out", type=Path, default=ROWS)
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    if not options.table:
        write_rows(options.surrogate, options.n, options.out)
    print(table(options.out))


def write_rows(kinds: list[str], sizes: list[int], out: Path) -> None:
    """Measure each surrogate at each n that it is for, each in a process of its own."""
    with out.open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(COLUMNS)
        for kind in kinds:
            for n in sizes:
                if kind != "sketched_gradient" and n > FEW:
                    continue
                with multiprocessing.get_context("spawn").Pool(1) as pool:
                    own, floor, held, probes = pool.apply(measure, (kind, n))
                rows.writerow([kind, n, probes, f"{own:.4f}", f"{floor:.4f}", f"{held:.1f}", revision(), machine()])
                print(f"{kind}, n = {n:,}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
