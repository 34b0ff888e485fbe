"""A glass heightfield that focuses light into a picture (the paper's caustic experiment).

Parallel light falls on a uniform cubic B-spline surface, is refracted once and travels straight to the ground. Each
photon is counted in the pixel that it hits. The surface is smooth, but a count is an integer: its derivative is zero
wherever it exists. The spline is separable: with control points C, values N and derivatives D of its basis functions,
heights and slopes at all photons are the matrix products N C Nᵀ, N C Dᵀ and D C Nᵀ.
"""

import math
from pathlib import Path

import torch
from torch import Tensor

from tasks.images import BUNDLED, load_image
from tasks.shapes import SHAPES, draw_shape
from zg.errors import SettingError, nearest
from zg.losses import Loss
from zg.space import Block, ParameterSpace
from zg.task import Task

# The surface is at height BASE + RELIEF · spline above the ground. Surface and ground span [−1, 1]².
BASE, RELIEF = 0.75, 0.25
# Refractive index of air divided by that of the medium.
ETA = 1 / 1.33
# Counts are divided by this quantile of the image. Divided by the maximum, a few bright pixels would darken the rest.
WHITE_QUANTILE = 0.995
# Standard deviation of the control points at the start.
START_DEVIATION = 0.02
# Photons in one call on a CPU: as fast as a larger number, and a batch of 40 at 512² then needs less than 0.5 GB.
CHUNK_PHOTONS = 2**16


class Caustic(Task):
    """Control points [K, K] of a surface that is nearly flat at the start: n = K².

    reference: `ring` (around an ellipse), `letter`, `star`, a path or one of scikit-image's bundled images.
    control_points: K. size: pixels along a side, at most 512. photons: along a side, by default one a pixel.
    """

    def __init__(
        self,
        reference: str = "ring",
        control_points: int = 32,
        size: int = 128,
        photons: int | None = None,
        loss: str | Loss = "mse",
    ) -> None:
        super().__init__(loss)
        self.shape = reference
        self.control_points, self.size, self.photons = control_points, size, size if photons is None else photons
        if not 4 <= control_points <= 256:
            raise SettingError(f"control_points must be from 4 to 256, got {control_points}")
        for name, value in (("size", size), ("photons", self.photons)):
            if not 1 <= value <= 512:
                raise SettingError(f"{name} must be from 1 to 512, got {value}")

    def build(self) -> None:
        start = torch.randn(self.control_points, self.control_points, generator=self.generator("start"))
        # A σ of 0.05 then moves photons by about 2 of 128 pixels.
        self.space = ParameterSpace(heights=Block(START_DEVIATION * start, low=-2.0, high=2.0, scale=1.0))
        self.at = (torch.arange(self.photons, dtype=torch.float64) + 0.5) * 2 / self.photons - 1
        values, slopes = (part.float().to(self.device) for part in spline_basis(self.at, self.control_points))
        self.values, self.slopes, self.at = values, slopes, self.at.float().to(self.device)
        self.set_reference(self._draw())

    @property
    def chunk(self) -> int | None:
        """Renders in one call: few on a CPU, all on a GPU."""
        return max(1, CHUNK_PHOTONS // self.photons**2) if self.device.type == "cpu" else None

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        counts, _ = self.count(*self.trace(x))
        rank = math.ceil(WHITE_QUANTILE * self.size**2)
        white = counts.flatten(1).float().kthvalue(rank, dim=1).values.clamp_min(1)
        return (counts / white[:, None, None]).clamp_max(1).unsqueeze(1)

    def trace(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x [B, n] -> where all photons land, across and down [B, photons, photons]; the image is [−1, 1]²."""
        height, across, down = self.surface(x)
        # Snell's law for vertical light, solved for the horizontal shift: one square root and no angle.
        steepness = across.square().addcmul_(down, down)
        root = steepness.mul(1 - ETA**2).add_(1).sqrt_()
        shift = root.sub(ETA).mul_(height).div_(root.add_(steepness, alpha=ETA))
        return across.mul_(shift).add_(self.at), down.mul_(shift).add_(self.at[:, None])

    def surface(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x [B, n] -> height and its derivatives across and down at all photons, each [B, photons, photons]."""
        points = RELIEF * self.space.split(x)["heights"].float()
        along, rising = points @ self.values.T, points @ self.slopes.T
        return self.values @ along + BASE, self.values @ rising, self.slopes @ along

    def count(self, across: Tensor, down: Tensor) -> tuple[Tensor, Tensor]:
        """Where photons land -> photons in each pixel [B, size, size], and photons outside the image [B]."""
        batch, size = len(across), self.size
        column, row = (place.add(1).mul_(size / 2).floor_() for place in (across, down))
        outside = (column < 0) | (column >= size) | (row < 0) | (row >= size)
        pixel = row.mul_(size).add_(column).masked_fill_(outside, size**2).int()
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
