"""What the tool does, in one picture: docs/hero.png, by python -m docs.draw_hero

Three tasks, one run each with zerograds-image and the seed 0: the render of the recommended θ after some counts of
renders, beside the reference. Below each, its loss as a share of that of the start.
"""

from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure
from torch import Tensor

from tasks.brdf import Brdf
from tasks.led_display import LedDisplay
from tasks.texture import Texture
from zg import pictures
from zg.budget import Budget
from zg.loop import Loop
from zg.run.figures import png_of
from zg.run.observer import Observer
from zg.run.result import Result
from zg.run.run import run
from zg.task import Task
from zg.zerograds.image import ImageZeroGrads

#: Counts of renders after which the render is shown.
COUNTS = (0, 10, 30, 100)
#: Inches of a picture's width, of the words above and below a row, and pixels of an inch.
WIDTH, WORDS, DOTS = 1.6, 0.5, 160


class Strip(Observer):
    """Images and losses of the θ that a run recommends after each of COUNTS."""

    def __init__(self) -> None:
        self.images: list[Tensor] = []
        self.losses: list[float] = []
        self._theta: Tensor | None = None

    def iterated(self, loop: Loop) -> None:
        # A count that lies within a batch gets the θ from before the batch.
        while len(self.images) < len(COUNTS) and loop.renders > COUNTS[len(self.images)]:
            theta = loop.objective.start if self._theta is None else self._theta
            loss, image = loop.objective.measure(theta, f"hero {len(self.images)}")
            self.images.append(image)
            self.losses.append(loss)
        self._theta = loop.method.recommend()

    def end(self, result: Result) -> None:
        """The counts that the run has ended at or before get its result."""
        assert result.images is not None
        missing = len(COUNTS) - len(self.images)
        self.images += [result.images.render] * missing
        self.losses += [result.loss] * missing


@dataclass(frozen=True)
class Row:
    """A row of the picture: its title, pictures [3, H, W] for COUNTS and of the reference, and losses for COUNTS."""

    title: str
    shown: list[Tensor]
    losses: list[float]


def row_of(task: Task, title: str) -> Row:
    """Run a task. title: with {n} for the number of parameters."""
    strip = Strip()
    result = run(task, ImageZeroGrads(), Budget(COUNTS[-1]), observers=[strip], curve_points=0)
    strip.end(result)
    assert result.images is not None and result.images.reference is not None
    images = [*strip.images, result.images.reference]
    shown = [pictures.to_display(image, result.images.linear) for image in images]
    return Row(title.format(n=f"{result.theta.numel():,}"), shown, strip.losses)


def draw(rows: list[Row]) -> Figure:
    """All rows below one another."""
    heights = [WIDTH * row.shown[0].shape[1] / row.shown[0].shape[2] + WORDS for row in rows]
    columns = len(COUNTS) + 1
    figure = Figure(figsize=(WIDTH * columns, sum(heights)), dpi=DOTS, layout="constrained")
    parts = figure.subfigures(len(rows), 1, height_ratios=heights, squeeze=False)[:, 0]
    for part, row in zip(parts, rows, strict=True):
        part.suptitle(row.title, x=0.004, ha="left", fontsize=9, fontweight="bold")
        names = ["start", *(f"after {count} renders" for count in COUNTS[1:]), "reference"]
        for axes, picture, name in zip(part.subplots(1, columns), row.shown, names, strict=True):
            axes.imshow(picture.permute(1, 2, 0).numpy(), interpolation="nearest")
            axes.set(xticks=[], yticks=[])
            axes.set_title(name, fontsize=8, pad=3)
        for axes, loss in zip(part.axes, row.losses, strict=False):
            axes.set_xlabel(f"loss {percent(loss / row.losses[0])}", fontsize=7, labelpad=2)
    return figure


def percent(share: float) -> str:
    """`100 %`, `1.8 %`, `< 0.01 %`."""
    if 0 < share < 1e-4:
        return "< 0.01 %"
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.2g} %"


def main() -> None:
    """Run all three, and write the picture."""
    rows = [
        row_of(Brdf(), "A material in Mitsuba, {n} parameters: its colour, roughness, highlights, …"),
        row_of(LedDisplay(), "A display in Blender, {n} parameters: lamps that are on or off"),
        row_of(Texture(), "A texture, {n} parameters: the colours of its pixels"),
    ]
    for row in rows:
        print(row.title, *(f"{count}: {loss:.3g}" for count, loss in zip(COUNTS, row.losses, strict=True)), sep="\n  ")
    (Path(__file__).parent / "hero.png").write_bytes(png_of(draw(rows)))


if __name__ == "__main__":
    main()
