"""The default against tuned baselines, with many parameters and on small problems, without its parts or from a wrong σ.

    python -m benchmarks.large [--seeds 5] [--problems mlp ...] [--variants default ...] [--mnist PATH]
        [--jobs 1] [--out results/surrogates_large.csv] [--table]

One row a run, appended unless it is there: problem, variant, seed, renders, the loss of what was recommended (without
noise where that is known), the loss at half the renders, its share of the loss at the start, renders until that share
was 10 % and 1 %, seconds, peak memory of the process, revision, command, machine (where it was recorded). Baselines run
where they have tuned settings: of `configs/tuned` or, for the YAMLs in `configs` beside this file, of `tuned`, made by

    zg tune --tasks $(ls benchmarks/configs/*.yaml | paste -sd,) --methods es,pgpe,cmaes --trials 24 \\
        --out benchmarks/tuned --trials-out results/tuning/benchmarks

and of the autoencoder, layers and splats by snes and spsa, too. The other tasks have the renders of their own YAML or,
where a render is slow, a share of them that the name says.

At the end the table of docs/results/many_parameters.md; `--table` prints it from the rows that are there.
"""

import argparse
import csv
import multiprocessing
import resource
import shlex
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from baselines.compare.options import TUNED
from baselines.compare.statistics import interquartile_mean
from benchmarks.fits import Batches
from tasks.caustic import Caustic
from tasks.mlp import Mlp
from tasks.texture import Texture
from tests.problems import NoisySphere, Quadratic, Turned
from zg.budget import Budget
from zg.config.build import instantiate, parse_component
from zg.config.compose import compose, read_yaml, task_config
from zg.given import make_method
from zg.method import Method
from zg.run.provenance import machine, revision
from zg.run.run import Result, run
from zg.task import Task
from zg.zerograds.method import ZeroGrads

ROWS = Path(__file__).parents[1] / "results" / "surrogates_large.csv"
SHARES = (0.1, 0.01)
COLUMNS = (
    "problem variant seed renders loss at_half relative renders_to_10 renders_to_1"
    " seconds peak_mb revision command machine"
).split()
HERE = Path(__file__).parent
AS_TUNED = "1.1 × the best tuned"
SIGMA = ZeroGrads().sigma


@dataclass(frozen=True)
class Problem:
    """A task, how many renders, the folder of the baselines' settings, and what the default is to come to."""

    make: Callable[[], Task]
    renders: int
    tuned: Path | None = None
    aim: str = ""


def sketched_gradient(**options: Any) -> Callable[[], Method]:
    """The surrogate for many parameters alone, with these settings; `auto` would hand over to another one."""
    return lambda: ZeroGrads(surrogate="sketched_gradient", options=options)


VARIANTS: dict[str, Callable[[], Method]] = {
    "default": ZeroGrads,
    "no memory": sketched_gradient(memory=False),
    "no smoothing": sketched_gradient(fixed_radius=1e-3),
    "no locality": sketched_gradient(fixed_radius=10.0),
    "no curvature": sketched_gradient(curvature=False),
    "no units": sketched_gradient(calibrate_units=False),
    "sketched gradient alone": sketched_gradient(),
    "first σ / 10": lambda: ZeroGrads(sigma=SIGMA / 10),
    "first σ × 10": lambda: ZeroGrads(sigma=SIGMA * 10),
}
BASELINES = ("es", "pgpe", "snes", "cmaes", "spsa", "genetic")
# Tasks as their YAML has them, and the parts of its renders that a run here has.
WHOLE = "rocket rocket_stages wicker mosaic procedural brdf mesh cornell_box external_demo".split()
OTHERS = {**dict.fromkeys(WHOLE, 1), "led_display": 4}


def problems(mnist: str | None) -> dict[str, Problem]:
    """Problems by name; digit 18 of MNIST's test images is among them where these are given."""
    found = {
        "mlp, MNIST 18": Problem(lambda: Mlp(mnist=mnist, index=18), 20000, TUNED / "mlp", "0.0006 (half: 0.002)"),
        "mlp, bundled 3": Problem(Mlp, 20000, TUNED / "mlp", "a quarter of the best tuned"),
        "texture 64²": Problem(Texture, 24576, TUNED / "texture", "0.5 % of the start"),
        "texture 256²": Problem(lambda: Texture(256), 393216, None, "0.5 % of the start"),
        "caustic": Problem(Caustic, 12000, TUNED / "caustic", "0.105"),
        "caustic, longer": Problem(Caustic, 100000, None, "0.085"),
        "quadratic 1 … 1,000, n = 1,000": Problem(lambda: Quadratic(n=1000, condition=1000.0), 20000),
    }
    for name, parts in OTHERS.items():
        config = compose(task_config(name))
        make = partial(instantiate, "data", parse_component("data", config["data"]))
        label = name if parts == 1 else f"{name}, 1/{parts} of its renders"
        found[label] = Problem(make, config["max_renders"] // parts, TUNED / name, AS_TUNED)
    for path in sorted((HERE / "configs").glob("*.yaml")):
        config = compose(read_yaml(path))
        make = partial(instantiate, "data", parse_component("data", config["data"]))
        found[config["about"]] = Problem(make, config["max_renders"], HERE / "tuned" / path.stem, AS_TUNED)
    return found if mnist else {name: problem for name, problem in found.items() if "MNIST" not in name}


def make(problem: Problem, name: str) -> Method:
    """The variant or tuned baseline of that name."""
    if name in VARIANTS:
        return VARIANTS[name]()
    assert problem.tuned is not None
    return make_method(read_yaml(problem.tuned / f"{name}.yaml")["model"])[0]


def measure(mnist: str | None, label: str, name: str, seed: int, threads: int) -> list[object]:
    """What a row says, but for revision and command."""
    torch.set_num_threads(threads)
    problem = problems(mnist)[label]
    task, begin = problem.make(), time.perf_counter()
    result = run(task, make(problem, name), Budget(problem.renders), seed=seed)
    loss, start = result.loss, result.row["init_loss"]
    half: float | str = loss_at(result, problem.renders // 2)
    until = [renders_to(result, share * start) for share in SHARES]
    if isinstance(task, NoisySphere | Turned | Batches):
        loss, start = (float(task.clean(x[None])) for x in (result.theta, task.space.to_user(task.space.init)))
        half, until = "", ["", ""]
    seconds, held = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [label, name, seed, result.renders, loss, half, loss / start, *until, round(seconds, 1), round(held)]


def loss_at(result: Result, renders: int) -> float:
    """The loss on the curve after at most this number of renders."""
    return [float(record["loss"]) for record in result.records if "loss" in record and record["renders"] <= renders][-1]


def renders_to(result: Result, loss: float) -> int | str:
    """Renders after which the curve was down at that loss; empty if it never was."""
    return next((int(record["renders"]) for record in result.records if record.get("loss", np.inf) <= loss), "")


def table(path: Path) -> str:
    """The rows of a file as a Markdown table: interquartile means and ranges over seeds, medians of renders."""
    groups: dict[tuple[str, str], list[dict[str, str]]] = {}
    for row in read(path):
        groups.setdefault((row["problem"], row["variant"]), []).append(row)
    titles = "problem | method | seeds | loss | aimed at | at half | of the start, % | renders to 10 % | to 1 % | s"
    lines = [f"| {titles} |", "|---" * (titles.count("|") + 1) + "|"]
    there = problems("PATH")
    order = list(there), [*VARIANTS, *BASELINES]
    for problem, name in sorted(
        groups, key=lambda key: [known.index(word) for known, word in zip(order, key, strict=True)]
    ):
        rows = groups[problem, name]
        loss, half = (mean([row[key] for row in rows]) for key in ("loss", "at_half"))
        aim = there[problem].aim if name == "default" else ""
        shares = 100 * np.array([float(row["relative"]) for row in rows])
        spread = f" ({shares.min():.2g} … {shares.max():.2g})" if len(rows) > 1 else ""
        until = [middle([row[key] for row in rows]) for key in ("renders_to_10", "renders_to_1")]
        seconds = np.median([float(row["seconds"]) for row in rows])
        cells = [problem, name, len(rows), loss, aim, half, f"{interquartile_mean(shares):.3g}{spread}", *until]
        lines.append("| " + " | ".join(map(str, [*cells, f"{seconds:.3g}"])) + " |")
    return "\n".join(lines)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def mean(losses: list[str]) -> str:
    """The interquartile mean of what is known of all."""
    return f"{interquartile_mean(np.array(losses, dtype=float)):.3g}" if all(losses) else "–"


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
    parser.add_argument(
        "--jobs", type=int, default=1, help="runs side by side; their seconds are then not to be compared"
    )
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
    places = {options.mnist: "PATH", str(options.out): "OUT"}  # where they are on this machine is of no use elsewhere
    words = [places.get(word, word) for word in sys.argv[1:]]
    command = f"python -m benchmarks.large {shlex.join(words)}"
    there = problems(options.mnist)
    done = {(row["problem"], row["variant"], int(row["seed"])) for row in read(options.out)}
    wanted = [
        (label, name, seed)
        for label in options.problems or there
        for name in options.variants
        if name in VARIANTS or can_run(there[label], name)
        for seed in range(options.seeds)
        if (label, name, seed) not in done
    ]
    with ThreadPoolExecutor(options.jobs) as threads:
        runs = [threads.submit(measure_alone, options.mnist, *each, options.threads) for each in wanted]
        for finished in as_completed(runs):
            if finished.exception():
                threads.shutdown(wait=False, cancel_futures=True)  # else what is queued would run, and be lost
            row = finished.result()
            print(*row, file=sys.stderr, flush=True)
            with options.out.open("a", newline="") as file:
                csv.writer(file, lineterminator="\n").writerow([*row, revision(), command, machine()])


def can_run(problem: Problem, baseline: str) -> bool:
    """Whether a baseline has tuned settings for a problem."""
    return problem.tuned is not None and (problem.tuned / f"{baseline}.yaml").is_file()


def measure_alone(*asked: Any) -> list[object]:
    """`measure` in a process of its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure, *asked).result()


if __name__ == "__main__":
    main()
