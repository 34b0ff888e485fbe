"""The images of results: tasks × methods of the first seed, between start and reference, each with the loss of its row.

A picture is shown only from the folder of a run with a row, so that the number below it is that of the picture. A task
without images has no pictures here: its own picture of a result is a plot, which cannot be read at this size.
"""

import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from baselines.compare import style
from baselines.compare.names import name_of, ordered
from baselines.compare.rows import Run, unique

# The largest number of pictures side by side; further methods follow below.
ACROSS = 9
# Characters of a line above a picture.
LETTERS = 12
# The image of a run's result.
IMAGE = "render.png"


def pictured(runs: Sequence[Run]) -> list[Run]:
    """The runs of the first seed that have left an image of their result."""
    first = min((run.row["seed"] for run in runs), default=0)
    return [run for run in runs if run.row["seed"] == first and (run.folder / IMAGE).is_file()]


def images(runs: Sequence[Run], methods: Sequence[str] | None = None) -> Figure | None:
    """The figure; None where no run has left an image. methods: only these, in this order."""
    shown = [run for run in pictured(runs) if methods is None or run.row["method"] in methods]
    if not shown:
        return None
    tasks = unique(shown, lambda run: run.row["task"])
    columns = ["start", *(methods or ordered(run.row["method"] for run in shown)), "reference"]
    blocks = [columns[first : first + ACROSS] for first in range(0, len(columns), ACROSS)]
    across = max(len(block) for block in blocks)
    side = style.WIDTH / max(across, 4)
    figure = Figure(
        figsize=(side * across, (side + 0.16) * len(tasks) * len(blocks) + 0.3),
        layout=ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02),
    )
    grid = figure.subplots(len(tasks) * len(blocks), across, squeeze=False)
    for line, axes in enumerate(grid):
        block, task = blocks[line // len(tasks)], tasks[line % len(tasks)]
        own = {run.row["method"]: run for run in shown if run.row["task"] == task}
        for cell, column in zip(axes, block, strict=False):
            draw(cell, own, column)
            if line % len(tasks) == 0:
                cell.set_title("\n".join(textwrap.wrap(name_of(column), LETTERS)), fontsize=style.SMALL)
        for cell in axes[len(block) :]:
            show(cell, None)
        axes[0].set_ylabel(task, fontsize=style.SMALL)
    return figure


def draw(cell: Axes, own: Mapping[str, Run], column: str) -> None:
    """The image of a method, with its loss; or start or reference, which all methods of a task share."""
    if column in ("start", "reference"):
        show(cell, next(iter(own.values())).folder / f"{column}.png")
        return
    run = own.get(column)
    show(cell, run.folder / IMAGE if run else None)
    cell.set_xlabel(caption(run), fontsize=style.SMALL, labelpad=1)


def caption(run: Run | None) -> str:
    """The loss of a run's row."""
    if run is None:
        return "–"
    loss = run.row["final_loss"]
    return "failed" if run.failed or not math.isfinite(loss) else f"{loss:.2g}"


def show(cell: Axes, path: Path | None) -> None:
    """Draw a picture without axes; leave the cell empty where there is none."""
    cell.set(xticks=[], yticks=[])
    cell.spines[:].set_visible(False)
    if path is not None and path.is_file():
        picture = np.asarray(imageio.imread(path))
        cell.imshow(picture, interpolation="nearest", cmap="gray" if picture.ndim == 2 else None)


def picture_of(folder: Path) -> Path:
    """The picture of a run's result for the page: its image, or the task's own picture."""
    return folder / (IMAGE if (folder / IMAGE).is_file() else "panel.png")
