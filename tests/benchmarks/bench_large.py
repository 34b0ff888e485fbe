"""Many parameters: the linear surrogate, what it loses without each of its parts, and tuned baselines.

    python -m tests.benchmarks.bench_large [--seeds 5] [--problems mlp ...] [--variants default ...] [--mnist PATH]
        [--out results/surrogates_large.csv] [--table]

One row a run, appended: problem, variant, seed, renders, the loss of what was recommended (without noise where that is
known), its share of the loss at the start, renders until that share was 10 % and 1 %, seconds, peak memory of the
process, revision, command. Baselines have the settings of `configs/tuned`, and run where there are some. At the end the
table of docs/surrogates.md; `--table` prints it from the rows that are there.
"""

import argparse
import csv
import multiprocessing
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from baselines.comparison.grid import TUNED
from baselines.comparison.statistics import interquartile_mean
from tasks.caustic import Caustic
from tasks.mlp import Mlp
from tasks.texture import Texture
from tests.problems import Quadratic
from tests.zg.surrogates.test_linear import NoisySphere, Steps
from zg.api import make_method
from zg.config import read_yaml
from zg.method import Budget, Method
from zg.records import revision
from zg.run import Result, run
from zg.surrogates.linear import LinearSurrogate
from zg.task import Task
from zg.zerograds import SURROGATES, ZeroGrads

ROWS = Path(__file__).parents[2] / "results" / "surrogates_large.csv"
SHARES = (0.1, 0.01)
COLUMNS = (
    "problem variant seed renders loss relative renders_to_10 renders_to_1 seconds peak_mb revision command".split()
)


@dataclass(frozen=True)
class Problem:
    """A task, how many renders, and whose tuned settings the baselines have."""

    make: Callable[[], Task]
    renders: int
    tuned: str = ""


class NoMemory(LinearSurrogate):
    """Fresh slopes alone: each step goes along those of the block before."""

    def _follow(self, plus: float, minus: float, news: torch.Tensor) -> None:
        super()._follow(plus, minus, news)
        self.w = news


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
}
BASELINES = ("es", "pgpe", "snes", "cmaes", "spsa")


def problems(mnist: str | None) -> dict[str, Problem]:
    """Problems by name; digit 18 of MNIST's test images is among them where these are given."""
    found = {
        "mlp, MNIST 18": Problem(lambda: Mlp(mnist=mnist, index=18), 20000, "mlp"),
        "mlp, bundled 3": Problem(Mlp, 20000, "mlp"),
        "texture 64²": Problem(Texture, 24576, "texture"),
        "caustic": Problem(Caustic, 12000, "caustic"),
        "texture 256²": Problem(lambda: Texture(256), 393216),
        "noisy sphere, n = 1,000": Problem(NoisySphere, 20000),
        "steps, n = 200": Problem(Steps, 6000),
        "quadratic 1 … 1,000, n = 1,000": Problem(lambda: Quadratic(n=1000, condition=1000.0), 20000),
    }
    return found if mnist else {name: problem for name, problem in found.items() if "MNIST" not in name}


def make(problem: Problem, name: str) -> Method:
    """The variant or tuned baseline of that name."""
    if name in VARIANTS:
        return VARIANTS[name]()
    return make_method(read_yaml(TUNED / problem.tuned / f"{name}.yaml")["model"])[0]


def measure(mnist: str | None, label: str, name: str, seed: int, threads: int) -> list[object]:
    """What a row says, but for revision and command."""
    torch.set_num_threads(threads)
    problem = problems(mnist)[label]
    task, begin = problem.make(), time.perf_counter()
    result = run(task, make(problem, name), Budget(problem.renders), seed=seed)
    noisy = isinstance(task, NoisySphere)
    loss = float(result.theta.square().mean()) if noisy else result.loss
    start = 1.0 if noisy else result.row["init_loss"]
    until = ["" if noisy else renders_to(result, share * start) for share in SHARES]
    seconds, held = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [label, name, seed, result.renders, loss, loss / start, *until, round(seconds, 1), round(held)]


def renders_to(result: Result, loss: float) -> int | str:
    """Renders after which the curve was down at that loss; empty if it never was."""
    return next((int(record["renders"]) for record in result.records if record.get("loss", np.inf) <= loss), "")


def table(path: Path) -> str:
    """The rows of a file as a Markdown table: interquartile means and ranges over seeds, medians of renders."""
    groups: dict[tuple[str, str], list[dict[str, str]]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            groups.setdefault((row["problem"], row["variant"]), []).append(row)
    lines = ["| problem | method | loss / start, % | renders to 10 % | to 1 % | seconds |", "|---|---|---|---|---|---|"]
    order = list(problems("PATH")), [*VARIANTS, *BASELINES]
    for problem, name in sorted(
        groups, key=lambda key: [known.index(word) for known, word in zip(order, key, strict=True)]
    ):
        rows = groups[problem, name]
        shares = 100 * np.array([float(row["relative"]) for row in rows])
        spread = f"{interquartile_mean(shares):.3g} ({shares.min():.2g} … {shares.max():.2g})"
        until = [middle([row[key] for row in rows]) for key in ("renders_to_10", "renders_to_1")]
        seconds = np.median([float(row["seconds"]) for row in rows])
        lines.append(" | ".join([f"| {problem}", name, spread, *until, f"{seconds:.3g} |"]))
    return "\n".join(lines)


def middle(renders: list[str]) -> str:
    """The median of what may be missing: a dash unless most are there."""
    found = sorted(float(each) if each else np.inf for each in renders)
    median = found[len(found) // 2]
    return f"{median:,.0f}" if np.isfinite(median) else "–"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--problems", nargs="+")
    parser.add_argument("--variants", nargs="+", choices=[*VARIANTS, *BASELINES], default=[*VARIANTS, *BASELINES])
    parser.add_argument("--mnist", help="MNIST's test images, for digit 18")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=ROWS)
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    if not options.table:
        add_rows(options)
    print(table(options.out))


def add_rows(options: argparse.Namespace) -> None:
    """Run every variant of every problem, a process each, for peak memory is a process's own."""
    if not options.out.exists():
        options.out.write_text(",".join(COLUMNS) + "\n")
    words = [word if word != options.mnist else "PATH" for word in sys.argv[1:]]
    command = " ".join(["python -m tests.benchmarks.bench_large", *words])
    there = problems(options.mnist)
    for label in options.problems or there:
        for name in options.variants:
            if name in BASELINES and not there[label].tuned:
                continue
            for seed in range(options.seeds):
                with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                    row = pool.submit(measure, options.mnist, label, name, seed, options.threads).result()
                print(*row, file=sys.stderr, flush=True)
                with options.out.open("a", newline="") as file:
                    csv.writer(file, lineterminator="\n").writerow([*row, revision(), command])


if __name__ == "__main__":
    main()
