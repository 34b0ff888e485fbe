"""What a device brings: python -m benchmarks.devices [--devices cpu cpu,cpu cuda ...] [--problems pixels ...] [--table]

Each row is a run of the default in a process of its own, in the bare loop: renders a second with their losses,
milliseconds of the method a render, and peak memory. On a GPU that is the memory of PyTorch there, else that of the
process, less what it held when the task was made. `pixels` is a grey picture whose 1,000,000 pixels are the parameters;
the others are tasks of this project that render in PyTorch.

By default the CPU, the CPU named twice (each batch in two parts, in two threads), and, where there is one, a GPU and
all GPUs together. Rows are appended to results/devices.csv; `--table` prints it as the table of docs/results/scale.md.
"""

import argparse
import csv
import multiprocessing
import resource
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.rows import append
from tasks.caustic import Caustic
from tasks.mosaic import Mosaic
from tasks.procedural import Procedural
from tasks.texture import Texture
from zg.budget import Budget
from zg.loop import Loop
from zg.objective import Objective
from zg.run.provenance import machine, revision
from zg.space import Block, ParameterSpace
from zg.task import Task
from zg.workers.devices import parse_devices
from zg.zerograds.method import ZeroGrads

ROWS = Path(__file__).parents[1] / "results" / "devices.csv"
COLUMNS = "problem devices n renders renders_per_second method_ms peak_mb threads revision command machine".split()
MEGABYTE = 2**20


class Pixels(Task):
    """A grey picture whose 1,000 × 1,000 pixels are the parameters."""

    def build(self) -> None:
        self.space = ParameterSpace(pixels=Block(torch.full((1, 1000, 1000), 0.5), low=0.0, high=1.0))
        ramp = torch.linspace(0, 1, 1000)
        self.set_reference((ramp[:, None] * ramp)[None])

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        return self.space.split(x)["pixels"].float()


# Tasks by name, with the renders of a run: a minute at most on a core of today.
PROBLEMS: dict[str, tuple[Callable[[], Task], int]] = {
    "pixels": (Pixels, 300),
    "texture": (lambda: Texture(256), 1000),
    "caustic": (Caustic, 300),
    "mosaic": (Mosaic, 1000),
    "procedural": (Procedural, 1000),
}


def peak(device: torch.device) -> float:
    """The most memory that was held so far, in MB: of the GPU, or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / MEGABYTE
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(problem: str, devices: str, threads: int) -> dict[str, Any]:
    """The numbers of a row."""
    torch.set_num_threads(threads)
    make, renders = PROBLEMS[problem]
    task = make()
    task.use_devices(devices)
    task.setup()
    before = peak(task.device)
    loop = Loop(ZeroGrads(), Budget(renders))
    loop.start(Objective(task, renders))
    while loop.renders < renders // 10:  # first kernels are loaded, and caches filled
        loop.iterate()
    first, rendered, worked = loop.renders, loop.ledger.seconds_render, loop.seconds_method
    while loop.stop_reason() is None:
        loop.iterate()
    task.close()
    made = loop.renders - first
    return {
        "n": task.space.n,
        "renders": made,
        "renders_per_second": f"{made / (loop.ledger.seconds_render - rendered):.4g}",
        "method_ms": f"{1e3 * (loop.seconds_method - worked) / made:.4g}",
        "peak_mb": round(peak(task.device) - before),
    }


def present() -> list[str]:
    """The devices of this machine that are measured by default."""
    gpus = torch.cuda.device_count()
    return ["cpu", "cpu,cpu", *(["cuda:0"] if gpus else []), *(["all"] if gpus > 1 else [])]


def table(path: Path) -> str:
    """The rows of a file as a Markdown table; of each problem and device, the row with most renders a second."""
    best: dict[tuple[str, str], dict[str, str]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            key = row["problem"], row["devices"]
            if key not in best or float(row["renders_per_second"]) > float(best[key]["renders_per_second"]):
                best[key] = row
    columns = list(dict.fromkeys(devices for _, devices in best))
    lines = [f"| task | n | {' | '.join(columns)} |", "|---" * (2 + len(columns)) + "|"]
    for problem in dict.fromkeys(problem for problem, _ in best):
        found = [best.get((problem, devices)) for devices in columns]
        n = next(int(row["n"]) for row in found if row)
        cells = [cell(row) if row else "–" for row in found]
        lines.append(f"| {problem} | {n:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


def cell(row: Mapping[str, str]) -> str:
    """Renders a second, milliseconds of the method a render, and peak memory."""
    speed = float(f"{float(row['renders_per_second']):.3g}")
    return f"{speed:,g} / {float(row['method_ms']):.2g} ms / {row['peak_mb']} MB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", nargs="+", default=present())
    parser.add_argument("--problems", nargs="+", choices=PROBLEMS, default=[*PROBLEMS])
    parser.add_argument("--threads", type=int, default=1, help="threads of PyTorch in each of the CPU's parts")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--out", type=Path, default=ROWS)
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    if not options.table:
        append(options.out, COLUMNS, rows(options))
    print(table(options.out))


def rows(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The rows, each as soon as it is there."""
    words = ["OUT" if word == str(options.out) else word for word in sys.argv[1:]]
    command = shlex.join(["python", "-m", "benchmarks.devices", *words])
    for problem in options.problems:
        for devices in options.devices * options.repeats:
            parse_devices(devices)
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                found = pool.apply(measure, (problem, devices, options.threads))
            named = {"problem": problem, "devices": devices, "threads": options.threads}
            print(named, found, file=sys.stderr, flush=True)
            yield {**named, **found, "revision": revision(), "command": command, "machine": machine()}


if __name__ == "__main__":
    main()
