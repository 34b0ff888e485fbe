"""Pictures and videos of a run.

An image is what a task renders: [C, H, W], or [V, C, H, W] with V views. A picture is what is shown: [3, H, W] in
[0, 1], with display values (sRGB).
"""

import math
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import hsv_to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate, pad

# Pictures of less height, in pixels, are enlarged by an integer factor, so that a 16 × 16 image can be seen.
MIN_HEIGHT = 192
# Frames per second of a video, and the least seconds that it lasts: a few frames are shown longer.
MOST_FRAMES_PER_SECOND, LEAST_SECONDS = 10.0, 6.0
# What the picture of an error means, in its heading.
SCALE = "black 0, white 0.5"
# The heading of a map of parameters.
MAP = "a colour for each parameter"
# Pixels between the pictures of a panel; height in pixels of the headings above them.
GAP, HEADING = 6, 20
# Steps of hue and saturation between the colours of two parameters: Roberts's sequence R2, which fills a square evenly.
HUE_STEP, SATURATION_STEP = 0.7548776662, 0.5698402910
# Share of pixels up to the one that is the brightest of a map of parameters.
BRIGHTEST = 0.99


def to_display(image: Tensor, linear: bool) -> Tensor:
    """An image as a picture: views side by side, grey as RGB, linear radiance through the sRGB curve."""
    image = image.detach().float().cpu()
    if image.ndim == 4:
        image = torch.cat(list(image), dim=-1)
    if image.shape[0] == 1:
        image = image.expand(3, -1, -1)
    elif image.shape[0] != 3:  # the first three channels; if there are two, the third is black
        image = torch.cat([image, torch.zeros_like(image[:1])])[:3]
    image = image.nan_to_num(0, 1, 0).clamp(0, 1)
    return srgb(image) if linear else image


def srgb(radiance: Tensor) -> Tensor:
    """Linear values in [0, 1] -> display values in [0, 1] (IEC 61966-2-1)."""
    return torch.where(radiance <= 0.0031308, 12.92 * radiance, 1.055 * radiance.clamp_min(1e-8) ** (1 / 2.4) - 0.055)


def enlarge(picture: Tensor) -> Tensor:
    """The picture, enlarged by an integer factor to a height of at least MIN_HEIGHT pixels."""
    factor = max(1, -(-MIN_HEIGHT // picture.shape[-2]))
    return interpolate(picture[None], scale_factor=float(factor), mode="nearest")[0]


def panel(image: Tensor, reference: Tensor, linear: bool) -> Tensor:
    """The picture render | reference | error with headings. Error: mean of |difference| over channels; 0.5 is white."""
    a, b = to_display(image, linear), to_display(reference, linear)
    return row_of({"render": a, "reference": b, f"error ({SCALE})": difference(a, b)})


def surrogate_row(image: Tensor, predicted: Tensor | None, parameters: Tensor | None, linear: bool) -> Tensor:
    """What a surrogate of the picture knows, as a row below the panel; white where it knows nothing.

    predicted: what it predicted of the image before the image was rendered. parameters: a `parameter_map`.
    """
    a = to_display(image, linear)
    b = None if predicted is None else to_display(predicted, linear)
    white = torch.ones_like(a)
    return row_of(
        {
            "predicted before the render": white if b is None else b,
            MAP: white if parameters is None else parameters,
            "prediction's error, same scale": white if b is None else difference(a, b),
        }
    )


def row_of(parts: Mapping[str, Tensor]) -> Tensor:
    """Pictures [3, H, W] of one size side by side, enlarged, each under its heading."""
    shown = [enlarge(part) for part in parts.values()]
    gap = torch.ones(3, shown[0].shape[1], GAP)
    row = torch.cat([piece for part in shown for piece in (gap, part)][1:], dim=2)
    return torch.cat([headings(tuple(parts), shown[0].shape[2]), row], dim=1)


def difference(a: Tensor, b: Tensor) -> Tensor:
    """The error of a picture as a picture: mean of |difference| over channels; 0.5 is white."""
    return (2 * (a - b).abs().mean(0, keepdim=True)).clamp(0, 1).expand(3, -1, -1)


def stacked(above: Tensor, below: Tensor) -> Tensor:
    """Two pictures, one above the other; the narrower one gets white on its right."""
    width = max(above.shape[2], below.shape[2])
    return torch.cat([pad(part, (0, width - part.shape[2]), value=1.0) for part in (above, below)], dim=1)


def colours(count: int) -> Tensor:
    """Distinct colours [count, 3] in [0, 1], as different as their number allows; those of neighbours differ most."""
    number = np.arange(count)
    saturation = 0.4 + 0.6 * (number * SATURATION_STEP % 1.0)
    tone = np.stack([number * HUE_STEP % 1.0, saturation, np.ones(count)], axis=1)
    return torch.from_numpy(hsv_to_rgb(tone)).float()


def parameter_map(influence: Tensor) -> Tensor:
    """Which parameter moves which pixel, as a picture [3, H, W].

    influence: [4, C, H, W], or [4, V, C, H, W] with V views: Σ_i |∂I/∂θ_i| w_i for the weights w_i = (colour of
    parameter i, 1). The colour is the mean over the parameters of a pixel, the brightness the root of how much they
    move it, relative to the pixel that is moved most but for one in a hundred.
    """
    moved = influence.detach().float().cpu().sum(-3)
    mixed, total = moved[:3], moved[3]
    positive = total[total > 0]
    most = positive.kthvalue(max(1, round(BRIGHTEST * len(positive)))).values if len(positive) else total.new_ones(())
    picture = mixed / total.clamp_min(torch.finfo(total.dtype).tiny) * (total / most).clamp(0, 1).sqrt()
    return picture if picture.ndim == 3 else torch.cat(list(picture.unbind(1)), dim=-1)


@cache
def headings(words: tuple[str, ...], width: int) -> Tensor:
    """A picture of words, black on white, each centred over a picture of `width` pixels; GAP pixels between them."""
    total = len(words) * width + (len(words) - 1) * GAP
    figure = Figure(figsize=(total / 100, HEADING / 100), dpi=100)
    for number, word in enumerate(words):
        figure.text((number * (width + GAP) + width / 2) / total, 0.5, word, ha="center", va="center", fontsize=9)
    return interpolate(from_figure(figure)[None], size=(HEADING, total))[0]


def one_plot() -> tuple[Figure, Axes]:
    """A figure of 640 × 480 pixels with one plot. Margins are fixed: matplotlib's automatic layout draws twice."""
    figure = Figure(figsize=(6.4, 4.8), dpi=100)
    return figure, figure.subplots(gridspec_kw={"left": 0.1, "right": 0.98, "bottom": 0.1, "top": 0.93})


def from_figure(figure: Figure) -> Tensor:
    """A matplotlib figure as a picture [3, H, W]."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]  # type: ignore[no-untyped-call]
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 255


def write_png(path: Path, picture: Tensor) -> None:
    """Write a picture as PNG, whatever the suffix of the path is."""
    imageio.imwrite(path, _to_bytes(picture), extension=".png")


def read_png(path: Path) -> Tensor:
    """Read a picture [3, H, W] that `write_png` wrote."""
    return torch.from_numpy(imageio.imread(path)[..., :3].copy()).permute(2, 0, 1).float() / 255


def write_video(frames: Sequence[Tensor], path: Path) -> None:
    """Write pictures as path.mp4 (H.264, padded with black to multiples of 16 pixels) and path.gif.

    Smaller pictures get white on their right and below: a panel grows when the surrogate begins to predict. Ten
    pictures a second, or fewer, so that both last LEAST_SECONDS.
    """
    # Rounded down to what the formats store: hundredths of a frame per second, and hundredths of a second per frame.
    rate = math.floor(100 * min(MOST_FRAMES_PER_SECOND, len(frames) / LEAST_SECONDS)) / 100
    milliseconds = 10 * math.ceil(round(100 / rate, 6))
    height, width = (max(frame.shape[side] for frame in frames) for side in (-2, -1))
    frames = [pad(frame, (0, width - frame.shape[-1], 0, height - frame.shape[-2]), value=1.0) for frame in frames]
    padded = [_to_bytes(pad(frame, (0, -width % 16, 0, -height % 16))) for frame in frames]
    imageio.imwrite(path.with_suffix(".mp4"), np.stack(padded), fps=rate, codec="libx264", macro_block_size=16)
    stack = np.stack([_to_bytes(frame) for frame in frames])
    imageio.imwrite(path.with_suffix(".gif"), stack, duration=milliseconds, loop=0)


def _to_bytes(picture: Tensor) -> NDArray[np.uint8]:
    """[3, H, W] in [0, 1] -> [H, W, 3] uint8."""
    return (picture.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
