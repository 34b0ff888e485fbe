"""The table of the zoo, or a contact sheet of its references and starts.

    python -m benchmarks.zoo [NAME ...]
    python -m benchmarks.zoo --draw OUT.png [NAME ...]

Milliseconds are CPU time of one thread for a render, in batches of 8; losses are the true ones of instance 1.
"""

import argparse
import time
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from torch import Tensor

from benchmarks.zoo import ZOO, names
from benchmarks.zoo.base import ZooTask
from zg.seeding import render_seeds

INSTANCE = 1
BATCH = 8


def render(task: ZooTask, x: Tensor) -> Tensor:
    """Images of x [B, n], with noise where the problem has noise."""
    return task.render(x, render_seeds(0, 0, len(x))) if task.noisy else task.render(x)


def milliseconds(task: ZooTask) -> float:
    """CPU time of a render, over at least a tenth of a second."""
    generator = torch.Generator().manual_seed(0)
    space = task.space
    away = 0.02 * torch.randn(BATCH, space.n, generator=generator, dtype=space.dtype)
    x = space.to_user(space.project(space.init + away))
    render(task, x)
    count, start = 0, time.process_time()
    while time.process_time() - start < 0.1:
        render(task, x)
        count += BATCH
    return 1e3 * (time.process_time() - start) / count


def line(name: str) -> str:
    """A row of the table."""
    task = ZOO[name].make(INSTANCE)
    task.setup()
    space = task.space
    start = space.to_user(space.init)[None]
    bounds = "yes" if space.bounded else "no"
    whole = f"{int(space.discrete.sum())} whole" if space.any_discrete else ""
    notes = ", ".join(filter(None, [whole, "noise" if task.noisy else "", "" if task.reachable else "photo"]))
    cells = [name, ZOO[name].family, space.n, len(space.names), bounds, notes]
    cells += [f"{milliseconds(task):.2f}", f"{float(task.truth(start)):.3g}"]
    if task.solution is not None:
        scaled = space.to_scaled(task.solution.to(space.dtype))
        cells.append(f"{float((scaled - space.init).abs().mean()):.2g}")
    return "| " + " | ".join(map(str, cells)) + " |"


def draw(out: Path, chosen: list[str]) -> None:
    """Reference and start of each problem, side by side."""
    columns = 4
    rows = -(-len(chosen) // columns)
    figure, axes = plt.subplots(rows, 2 * columns, figsize=(3 * columns, 1.7 * rows), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for number, name in enumerate(chosen):
        task = ZOO[name].make(INSTANCE)
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
    parser.add_argument("--draw", type=Path, metavar="OUT.png")
    options = parser.parse_args()
    torch.set_num_threads(1)
    chosen = options.names or names("all")
    if options.draw:
        draw(options.draw, chosen)
        return
    print("| name | family | n | blocks | bounds | notes | ms a render | loss at the start | mean distance, scaled |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in chosen:
        print(line(name), flush=True)


if __name__ == "__main__":
    main()
