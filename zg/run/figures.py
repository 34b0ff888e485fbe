"""Figures of a run: its curve, and its images. They are Matplotlib figures without a window."""

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from torch import Tensor

from zg import pictures
from zg.run.images import Images

#: Colours of the curve, of its ends, of σ and of noise (Okabe and Ito 2008, for every kind of colour vision).
CURVE, END, SIGMA, NOISE = "#0072b2", "#d55e00", "#009e73", "#cc79a7"
#: Part of an axis of logarithms that lies between 0 and the decade of the smallest loss.
ZERO_SHARE = 0.1
#: Largest over smallest value from which σ and noise are drawn on an axis of logarithms.
DECADES = 20.0
#: Least σ that is drawn, as a share of the largest: below the rounding of float64 no parameter moves.
ROUNDING = 1e-16
#: Change of the loss from which a run has moved, as a share of the first loss.
MOVED = 0.01
#: Least end of the scale of errors: one step of 8 bits. Smaller errors are not seen.
STEP = 1 / 255
#: Size of a title times its letters, in points, that a picture has room for.
TITLE_POINTS = 240.0
#: Inches of a picture, and most pictures in a row.
PICTURE_INCHES, ROW = 2.4, 4


class Drawing(Figure):
    """A figure that a notebook shows. It is none of pyplot's: a call changes nothing in the caller's process."""

    def __init__(self, width: float, height: float) -> None:
        super().__init__(figsize=(width, height), dpi=100, layout="constrained")

    def _repr_png_(self) -> bytes:
        return png_of(self)


def draw_curve(records: Sequence[Mapping[str, float]], figure: Figure | None = None) -> Figure:
    """The loss against renders, with its start and its end; below, σ and noise where the method reports them.

    records: rows of `Result.history`. The loss is that of the recommended θ, or else the lowest counted loss. Both axes
    are logarithms; a loss of 0 is at the height that says 0. With a negative loss the axis of the losses is linear. The
    renders begin where the loss first changes.
    """
    name = "loss" if any("loss" in row for row in records) else "best_loss"
    below = [what for what in ("sigma", "noise") if any(row.get(what, 0) > 0 for row in records)]
    figure = _without_cuts(figure or Drawing(6.4, 3.4 + 1.1 * len(below)))
    rows = figure.subplots(1 + len(below), sharex=True, squeeze=False, height_ratios=[3] + [1] * len(below))[:, 0]
    renders, losses = _column(records, name)
    begin = _begin(losses)
    label = "loss of recommended θ" if name == "loss" else "lowest loss so far"
    _draw_losses(rows[0], renders[begin:], losses[begin:], label)
    for axes, what in zip(rows[1:], below, strict=True):
        label, colour = {"sigma": ("σ, scaled units", SIGMA), "noise": ("noise of loss", NOISE)}[what]
        renders, values = _column(records, what)
        axes.plot(renders, values, color=colour, linewidth=1.2)
        positive = [value for value in values if value > 0]
        axes.set(ylabel=label, yscale="log" if max(positive) >= DECADES * min(positive) else "linear")
        if min(positive) < ROUNDING * max(positive):
            axes.set_ylim(bottom=ROUNDING * max(positive))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.grid(alpha=0.3)
    rows[-1].set(xscale="log", xlabel="renders")
    if begin:
        rows[-1].set_xlim(left=0.8 * renders[begin])
    figure.align_ylabels()
    return figure


def _column(records: Sequence[Mapping[str, float]], name: str) -> tuple[list[float], list[float]]:
    """Renders, at least 1, and values of a column, where it has one."""
    known = [(max(1.0, row["renders"]), row[name]) for row in records if math.isfinite(row.get(name, math.nan))]
    return [renders for renders, _ in known], [value for _, value in known]


def _begin(losses: Sequence[float]) -> int:
    """The number of the last loss before the first that differs from the start: there the axis of renders begins."""
    moved = (k for k, loss in enumerate(losses) if abs(loss - losses[0]) > MOVED * abs(losses[0]))
    return max(0, next(moved, 0) - 1)


def _draw_losses(axes: Axes, renders: Sequence[float], losses: Sequence[float], label: str) -> None:
    axes.set_ylabel(label)
    axes.grid(alpha=0.3)
    if not losses:
        axes.text(0.5, 0.5, "no loss was measured", ha="center", transform=axes.transAxes)
        return
    axes.plot(renders, losses, marker=".", color=CURVE, linewidth=1.2)
    axes.plot(renders[0], losses[0], "o", color=CURVE, markersize=8, label=f"start {losses[0]:.3g}")
    axes.plot(renders[-1], losses[-1], "D", color=END, markersize=8, label=f"end {losses[-1]:.3g}")
    positive = [loss for loss in losses if loss > 0]
    if min(losses) >= 0 and positive:
        if 0.0 in losses:
            least = 10.0 ** math.floor(math.log10(min(positive)))
            decades = max(1.0, math.log10(max(positive) / least))
            axes.set_yscale("symlog", linthresh=least, linscale=ZERO_SHARE * decades)
            axes.set_ylim(-0.15 * least, 10 * max(positive))
        else:
            axes.set_yscale("log")
    axes.legend()


def draw_images(images: Images, figure: Figure | None = None) -> Figure:
    """Start, render, reference and error with its scale; below, what a surrogate of the picture knows."""
    shown = {"start": images.start, "render": images.render, "reference": images.reference}
    known = {name: pictures.to_display(one, images.linear) for name, one in shown.items() if one is not None}
    reference = known.get("reference")
    guess = None if images.predicted is None else pictures.to_display(images.predicted, images.linear)
    parts: list[tuple[str, Tensor, bool]] = [(name, picture, False) for name, picture in known.items()]
    if reference is not None:
        parts.append(("error: |render − reference|", _mean_difference(known["render"], reference), True))
    if guess is not None:
        parts.append(("predicted before the render", guess, False))
        parts.append(("error of the prediction", _mean_difference(guess, known["render"]), True))
    if images.parameters is not None:
        parts.append(("which parameter moves which pixel", images.parameters, False))
    across = min(ROW, len(parts))
    down = -(-len(parts) // ROW)
    height, width = known["render"].shape[-2:]
    side = PICTURE_INCHES * min(3.0, max(0.4, height / width))
    figure = _without_cuts(figure or Drawing(PICTURE_INCHES * across + 0.6, (side + 0.4) * down))
    grid = figure.subplots(down, across, squeeze=False).flat
    for axes, part in zip(grid, parts, strict=False):
        _draw_picture(figure, axes, *part)
    for axes in grid[len(parts) :]:  # the empty places of the last row
        axes.axis("off")
    return figure


def _mean_difference(a: Tensor, b: Tensor) -> Tensor:
    """The mean of |difference| over channels [H, W], of display values."""
    return (a - b).abs().mean(0)


def _draw_picture(figure: Figure, axes: Axes, title: str, picture: Tensor, is_error: bool) -> None:
    size = min(9.0, TITLE_POINTS / len(title))
    axes.set_title(title, fontsize=size)
    axes.set_xticks([])
    axes.set_yticks([])
    if not is_error:
        axes.imshow(picture.permute(1, 2, 0).numpy(), interpolation="nearest")
        return
    most = float(picture.max())
    if most < STEP / 2:  # rounds to 0 in a file of 8 bits
        axes.set_title(f"{title.partition(':')[0]}: {f'at most {most:.0e}' if most else '0 everywhere'}", fontsize=size)
    drawn = axes.imshow(picture.numpy(), cmap="magma", vmin=0.0, vmax=max(most, STEP), interpolation="nearest")
    if most > 0:
        bar = figure.colorbar(drawn, ax=axes, fraction=0.046, pad=0.03)
        bar.ax.tick_params(labelsize=7)
        bar.set_label("mean of channels, white is 1", fontsize=7)


def _without_cuts(figure: Figure) -> Figure:
    """A figure whose titles and labels have room; one of the caller keeps a layout that it has."""
    if figure.get_layout_engine() is None:
        figure.set_layout_engine("constrained")
    return figure


def png_of(figure: Figure) -> bytes:
    """A figure as the bytes of a PNG."""
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)  # type: ignore[no-untyped-call]
    return buffer.getvalue()


def write_curve(path: Path, records: Sequence[Mapping[str, float]]) -> None:
    """Write the curve of a run as PNG."""
    path.write_bytes(png_of(draw_curve(records)))
