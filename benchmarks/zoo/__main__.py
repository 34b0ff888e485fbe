"""The table of the zoo, or a contact sheet of its references and starts.

    python -m benchmarks.zoo [NAME ...] [--instance 1]
    python -m benchmarks.zoo --families
    python -m benchmarks.zoo --draw OUT.png [NAME ...] [--instance 1]

Milliseconds are CPU time of one thread for a render, in batches of 8 and alone. The
loss is the true one; the distance is that between the start and the hidden parameters, a coordinate, in scaled units.
"""

import argparse
import time
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from torch import Tensor

from benchmarks.zoo import DEVELOPMENT, HELD_OUT, ZOO, names
from benchmarks.zoo.base import ZooTask
from zg.seeding import render_seeds

BATCH = 8


def render(task: ZooTask, x: Tensor) -> Tensor:
    """Images of x [B, n], with noise where the problem has noise."""
    return task.render(x, render_seeds(0, 0, len(x))) if task.noisy else task.render(x)


def milliseconds(task: ZooTask, batch: int) -> float:
    """CPU time of a render in batches, over at least a tenth of a second."""
    generator = torch.Generator().manual_seed(0)
    space = task.space
    away = 0.02 * torch.randn(batch, space.n, generator=generator, dtype=space.dtype)
    x = space.to_user(space.project(space.init + away))
    render(task, x)
    count, start = 0, time.process_time()
    while time.process_time() - start < 0.1:
        render(task, x)
        count += batch
    return 1e3 * (time.process_time() - start) / count


def line(name: str, instance: int) -> str:
    """A row of the table."""
    task = ZOO[name].make(instance)
    task.setup()
    space = task.space
    start = space.to_user(space.init)[None]
    cells = [name, ZOO[name].family, space.n, len(space.names), ", ".join(task.difficulties())]
    cells += [f"{milliseconds(task, BATCH):.2f}", f"{milliseconds(task, 1):.2f}", f"{float(task.truth(start)):.3g}"]
    if task.solution is not None:
        scaled = space.to_scaled(task.solution.to(space.dtype))
        cells.append(f"{float((scaled - space.init).abs().mean()):.2g}")
    else:
        cells.append("")
    return "| " + " | ".join(map(str, cells)) + " |"


def family(name: str, tasks: list[ZooTask]) -> str:
    """A family in a line: its problems, which are set up, with their numbers of parameters."""
    return f"{name:<16} " + ", ".join(f"{task.name} {task.space.n:,}" for task in tasks)


def set_up(name: str) -> list[ZooTask]:
    """The problems of a family, instance 1."""
    tasks = [entry.make(1) for entry in ZOO.values() if entry.family == name]
    for task in tasks:
        task.setup()
    return tasks


def draw(out: Path, chosen: list[str], instance: int) -> None:
    """Reference and start of each problem, side by side."""
    columns = 4
    rows = -(-len(chosen) // columns)
    figure, axes = plt.subplots(rows, 2 * columns, figsize=(3 * columns, 1.7 * rows), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for number, name in enumerate(chosen):
        task = ZOO[name].make(instance)
        task.setup()
        reference = task.reference()
        assert reference is not None
        start = render(task, task.space.to_user(task.space.init)[None])[0]
        top = max(1.0, float(reference.max()))
        for k, image in enumerate((reference, start)):
            axis = axes[number // columns, 2 * (number % columns) + k]
            shown = torch.cat(list(image), -1) if image.ndim == 4 else image  # views side by side
            shown = (shown / top).clamp(0, 1).movedim(0, -1)
            axis.imshow(shown if shown.shape[-1] == 3 else shown[..., 0], cmap="gray", vmin=0, vmax=1)
            axis.set_title(f"{name}" if k == 0 else "start", fontsize=8)
    figure.tight_layout(pad=0.3)
    figure.savefig(out, dpi=80)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="problems; all by default")
    parser.add_argument("--instance", type=int, default=1)
    parser.add_argument("--draw", type=Path, metavar="OUT.png")
    parser.add_argument("--families", action="store_true", help="the families, and n of their problems")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.families:
        for half in (DEVELOPMENT, HELD_OUT):
            print(*(family(name, set_up(name)) for name in half), "", sep="\n")
        return
    chosen = options.names or names("all")
    if options.draw:
        draw(options.draw, chosen, options.instance)
        return
    print("| name | family | n | blocks | difficulties | ms | ms alone | loss at the start | distance |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in chosen:
        print(line(name, options.instance), flush=True)


if __name__ == "__main__":
    main()
