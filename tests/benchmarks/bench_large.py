"""Many parameters: the linear surrogate, what it loses without each of its parts, and baselines at their defaults.

    python -m tests.benchmarks.bench_large [--seeds 5] [--problems mlp ...] [--variants default ...] [--mnist PATH]
        [--out results/surrogates_large.csv]

One row a run, appended: problem, variant, seed, renders, the loss of what was recommended (without noise where that is
known), its share of the loss at the start, seconds, peak memory of the process, revision, command.
"""

import argparse
import csv
import multiprocessing
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from baselines.cmaes import CMAES
from baselines.es import ES
from baselines.pgpe import PGPE
from tasks.caustic import Caustic
from tasks.mlp import Mlp
from tasks.texture import Texture
from tests.problems import Quadratic
from tests.zg.surrogates.test_linear import NoisySphere, Steps
from zg.method import Budget, Method
from zg.records import revision
from zg.run import run
from zg.surrogates.linear import LinearSurrogate
from zg.task import Task
from zg.zerograds import SURROGATES, ZeroGrads

COLUMNS = ("problem", "variant", "seed", "renders", "loss", "relative", "seconds", "peak_mb", "revision", "command")


class NoMemory(LinearSurrogate):
    """Fresh slopes alone: w is forgotten after every block."""

    def ask(self) -> torch.Tensor:
        self.w = torch.zeros_like(self.w)
        return super().ask()


class NoSmoothing(LinearSurrogate):
    """Differences at a radius that stays tiny."""

    def _turn_radius(self, any_rise: bool) -> None:
        self.radius = 1e-3 * self.widest / self.WIDEST


class NoLocality(LinearSurrogate):
    """A radius that stays ten times as wide as the first guess."""

    def _turn_radius(self, any_rise: bool) -> None:
        self.radius = 10 * self.widest / self.WIDEST


class NoCurvature(LinearSurrogate):
    """Steps know slopes alone: they go as far as pace, cap or two probes let them."""

    def _slopes(self, *rest: torch.Tensor) -> torch.Tensor:
        y = super()._slopes(*rest)
        self.L = self.c = 0.0
        return y


def variant(kind: type[LinearSurrogate]) -> Callable[[], Method]:
    SURROGATES[kind.__name__] = kind
    return lambda: ZeroGrads(surrogate=kind.__name__)  # type: ignore[arg-type]


VARIANTS: dict[str, Callable[[], Method]] = {
    "default": ZeroGrads,
    "no memory": variant(NoMemory),
    "no smoothing": variant(NoSmoothing),
    "no locality": variant(NoLocality),
    "no curvature": variant(NoCurvature),
    "es": ES,
    "pgpe": PGPE,
    "cmaes": CMAES,
}


def problems(mnist: str | None) -> dict[str, tuple[Callable[[], Task], int]]:
    """Problems by name, with their renders; the MLP's digit is the bundled 3 unless MNIST is given."""
    return {
        "mlp": (lambda: Mlp(mnist=mnist, index=18 if mnist else None), 20000),
        "texture64": (Texture, 24576),
        "caustic": (Caustic, 12000),
        "noisy sphere, n = 1,000": (NoisySphere, 20000),
        "steps, n = 200": (Steps, 6000),
        "quadratic 1 … 1,000, n = 1,000": (lambda: Quadratic(n=1000, condition=1000.0), 20000),
    }


def measure(mnist: str | None, problem: str, name: str, seed: int) -> list[object]:
    """What a row says, but for revision and command."""
    torch.set_num_threads(1)
    make, budget = problems(mnist)[problem]
    task, begin = make(), time.perf_counter()
    result = run(task, VARIANTS[name](), Budget(budget), seed=seed)
    noisy = isinstance(task, NoisySphere)
    loss = float(result.theta.square().mean()) if noisy else result.loss
    start = 1.0 if noisy else result.row["init_loss"]
    seconds, held = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [problem, name, seed, result.renders, loss, loss / start, round(seconds, 1), round(held)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--problems", nargs="+", choices=list(problems(None)), default=list(problems(None)))
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--mnist", help="MNIST's test images, for digit 18")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.out and not options.out.exists():
        options.out.write_text(",".join(COLUMNS) + "\n")
    said = [word if word != options.mnist else "PATH" for word in sys.argv[1:]]
    command = " ".join(["python -m tests.benchmarks.bench_large", *said])
    for seed in range(options.seeds):
        for problem in options.problems:
            for name in options.variants:
                with multiprocessing.get_context("spawn").Pool(1) as pool:  # peak memory is a process's own
                    row = pool.apply(measure, (options.mnist, problem, name, seed))
                print(*row, flush=True)
                if options.out:
                    with options.out.open("a", newline="") as file:
                        csv.writer(file, lineterminator="\n").writerow([*row, revision(), command])


if __name__ == "__main__":
    main()
