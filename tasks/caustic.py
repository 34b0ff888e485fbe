"""A glass heightfield that focuses light into a picture (the paper's caustic experiment).

Parallel light falls on a uniform cubic B-spline surface, is refracted once and travels straight to the ground. Each
photon is counted in the pixel that it hits. The surface is smooth, but a count is an integer: its derivative is zero
wherever it exists. The spline is separable: with control points C, values N and derivatives D of its basis functions,
heights and slopes at all photons are the matrix products N C Nᵀ, N C Dᵀ and D C Nᵀ.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from tasks.images import BUNDLED, load_image
from tasks.shapes import SHAPES, draw_shape
from zg.errors import SettingError, nearest
from zg.losses import Losses
from zg.space import Block, ParameterSpace
from zg.task import Task

# The surface is at height BASE + RELIEF · spline above the ground. Surface and ground span [−1, 1]².
BASE, RELIEF = 0.75, 0.25
# Counts are divided by this quantile of the image. Divided by the maximum, a few bright pixels would darken the rest.
WHITE_QUANTILE = 0.995
# Photons in one call on a CPU: as fast as a larger number, and a batch of 40 at 512² then needs less than 0.5 GB.
CHUNK_PHOTONS = 2**16


@dataclass(frozen=True)
class Form:
    """What differs between our caustic and that of the released code.

    eta: refractive index before the surface over that behind it. flatter: what slopes are divided by. margin: control
    points that are added at each border by repeating the outermost. start: mean and deviation of the control points.
    bound: their largest amount. to_ends: whether photons reach from border to border, else they are in the middle of
    equal cells. shift: pixels by which a count is moved. interpolated: whether the quantile of the white point is.
    """

    eta: float
    flatter: float
    margin: int
    start: tuple[float, float]
    bound: float
    to_ends: bool
    shift: int
    interpolated: bool


#: Light leaves glass, as in the formula of Snell's law.
OURS = Form(1 / 1.33, 1.0, 0, (0.0, 0.02), 2.0, to_ends=False, shift=0, interpolated=False)
#: The ratio is upside down and the normal is that of half the slope, so photons go the other way. Which outer control
#: points are added, and to which side counts are moved, was not at hand.
RELEASED = Form(1.33, 2.0, 1, (0.5, 0.05), math.inf, to_ends=True, shift=1, interpolated=True)


class Caustic(Task):
    """Control points [K, K] of a surface that is nearly flat at the start: n = K².

    reference: `ring` (around an ellipse), `letter`, `star`, `word`, a path or one of scikit-image's bundled images.
    control_points: K. size: pixels along a side, at most 512. photons: along a side, by default one a pixel.
    released: the optics, spline and start of the released code (`RELEASED`). Its target is a word in white.
    """

    def __init__(
        self,
        reference: str = "ring",
        control_points: int = 32,
        size: int = 128,
        photons: int | None = None,
        loss: Losses = "mse",
        released: bool = False,
    ) -> None:
        super().__init__(loss)
        self.shape, self.form = reference, RELEASED if released else OURS
        self.control_points, self.size, self.photons = control_points, size, size if photons is None else photons
        if not 4 <= control_points <= 256:
            raise SettingError(f"control_points must be from 4 to 256, got {control_points}")
        for name, value in (("size", size), ("photons", self.photons)):
            if not 1 <= value <= 512:
                raise SettingError(f"{name} must be from 1 to 512, got {value}")

    def build(self) -> None:
        form, (mean, deviation) = self.form, self.form.start
        start = mean + deviation * torch.randn(
            self.control_points, self.control_points, generator=self.generator("start")
        )
        # A σ of 0.05 then moves photons by about 2 of 128 pixels.
        self.space = ParameterSpace(heights=Block(start, low=-form.bound, high=form.bound, scale=1.0))
        self.at = (torch.arange(self.photons, dtype=torch.float64) + 0.5) * 2 / self.photons - 1
        if form.to_ends:
            self.at = torch.linspace(-1, 1, self.photons, dtype=torch.float64)
        basis = spline_basis(self.at, self.control_points + 2 * form.margin)
        values, slopes = (repeat_border(part, form.margin).float().to(self.device) for part in basis)
        slopes = slopes / form.flatter
        self.values, self.slopes, self.at = values, slopes, self.at.float().to(self.device)
        self.set_reference(self._draw())

    @property
    def chunk(self) -> int | None:
        """Renders in one call: few on a CPU, all on a GPU."""
        return max(1, CHUNK_PHOTONS // self.photons**2) if self.device.type == "cpu" else None

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        counts, _ = self.count(*self.trace(x))
        pixels = counts.flatten(1).float()
        if self.form.interpolated:
            white = pixels.quantile(WHITE_QUANTILE, dim=1)
        else:
            white = pixels.kthvalue(math.ceil(WHITE_QUANTILE * self.size**2), dim=1).values
        return (counts / white.clamp_min(1)[:, None, None]).clamp_max(1).unsqueeze(1)

    def trace(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x [B, n] -> where all photons land, across and down [B, photons, photons]; the image is [−1, 1]².

        NaN where light is reflected totally, which is possible for eta > 1.
        """
        height, across, down = self.surface(x)
        eta = self.form.eta
        # Snell's law for vertical light, solved for the horizontal shift: one square root and no angle.
        steepness = across.square().addcmul_(down, down)
        root = steepness.mul(1 - eta**2).add_(1).sqrt_()
        shift = root.sub(eta).mul_(height).div_(root.add_(steepness, alpha=eta))
        return across.mul_(shift).add_(self.at), down.mul_(shift).add_(self.at[:, None])

    def surface(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x [B, n] -> height and slopes across and down at all photons, each [B, photons, photons].

        Slopes are the derivatives of the height, divided by `flatter`.
        """
        points = RELIEF * self.space.split(x)["heights"].float()
        along, rising = points @ self.values.T, points @ self.slopes.T
        return self.values @ along + BASE, self.values @ rising, self.slopes @ along

    def count(self, across: Tensor, down: Tensor) -> tuple[Tensor, Tensor]:
        """Where photons land -> photons in each pixel [B, size, size], and photons outside the image [B]."""
        batch, size = len(across), self.size
        column, row = (place.add(1).mul_(size / 2).floor_() for place in (across, down))
        if self.form.shift:
            column, row = column.add_(self.form.shift), row.add_(self.form.shift)
        inside = (column >= 0) & (column < size) & (row >= 0) & (row < size)  # a NaN is not
        pixel = row.mul_(size).add_(column).masked_fill_(~inside, size**2).int()
        bins = size**2 + 1
        pixel += bins * torch.arange(batch, dtype=torch.int32, device=pixel.device)[:, None, None]
        counts = torch.bincount(pixel.flatten(), minlength=batch * bins).reshape(batch, bins)
        return counts[:, :-1].reshape(batch, size, size), counts[:, -1]

    def _draw(self) -> Tensor:
        if self.shape in SHAPES:
            return draw_shape(self.shape, self.size)
        if self.shape not in BUNDLED and not Path(self.shape).is_file():
            raise SettingError(
                f"reference must be {', '.join(SHAPES)}, an image file or one of scikit-image's, got '{self.shape}'"
                + nearest(self.shape, [*SHAPES, *BUNDLED])
            )
        return load_image(self.shape, self.size).mean(0, keepdim=True)


def spline_basis(at: Tensor, control_points: int) -> tuple[Tensor, Tensor]:
    """The uniform cubic B-spline on [−1, 1]: values and derivatives [P, K] of its K basis functions at P points."""
    spans = control_points - 3
    place = (at + 1) * spans / 2
    first = place.floor().clamp(0, spans - 1)
    t = (place - first)[:, None]
    s = 1 - t
    values = torch.cat([s**3, 3 * t**3 - 6 * t**2 + 4, 3 * s**3 - 6 * s**2 + 4, t**3], 1) / 6
    slopes = torch.cat([-(s**2), 3 * t**2 - 4 * t, 4 * s - 3 * s**2, t**2], 1) / 2 * (spans / 2)
    columns = first.long()[:, None] + torch.arange(4)
    empty = torch.zeros(len(at), control_points, dtype=at.dtype)
    return empty.scatter(1, columns, values), empty.scatter(1, columns, slopes)


def repeat_border(basis: Tensor, margin: int) -> Tensor:
    """Basis functions [P, K + 2 · margin] -> [P, K], whose outermost control points stand for those in the margins."""
    if not margin:
        return basis
    inner = basis[:, margin:-margin].clone()
    inner[:, 0] += basis[:, :margin].sum(1)
    inner[:, -1] += basis[:, -margin:].sum(1)
    return inner
