"""A glass heightfield that focuses light into a picture (the paper's caustic experiment).

Parallel light falls on a uniform cubic B-spline surface, is refracted once and flies straight to the ground, where
each photon is counted in the pixel that it hits. The surface is smooth; the count is not: its derivative is zero
wherever it exists, and no photon knows that a dark pixel would have liked it. The spline is separable, so heights
and slopes of all photons are small matrix products N C Nᵀ, N C Dᵀ and D C Nᵀ.
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

# The surface is at BASE + RELIEF · spline over the ground; both sides span [−1, 1]².
BASE, RELIEF = 0.75, 0.25
# Refractive index of air over that of the medium.
ETA = 1 / 1.33
# Counts are shown as fractions of this quantile: a few hot pixels would darken the rest.
WHITE_QUANTILE = 0.995
START_DEVIATION = 0.02
# Photons in one call on a CPU: no slower than any other number, and a batch of 40 at 512² needs no half gigabyte.
CHUNK_PHOTONS = 2**16


class Caustic(Task):
    """Control points [K, K] of the surface (n = K²), from nearly flat, against a drawn shape or a picture.

    reference: `ring` (around an ellipse), `letter`, `star`, a path or one of scikit-image's bundled images.
    control_points: K along a side. size: pixels along a side, up to 512. photons: along a side, by default one for
    every pixel.
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
        # σ = 0.05 then moves photons by about two pixels of 128.
        self.space = ParameterSpace(heights=Block(START_DEVIATION * start, low=-2.0, high=2.0, scale=1.0))
        self.at = (torch.arange(self.photons, dtype=torch.float64) + 0.5) * 2 / self.photons - 1
        values, slopes = (part.float().to(self.device) for part in spline_basis(self.at, self.control_points))
        self.values, self.slopes, self.at = values, slopes, self.at.float().to(self.device)
        self.set_reference(self._draw())

    @property
    def chunk(self) -> int | None:
        """Renders in one call: few on a CPU, any number on a GPU."""
        return max(1, CHUNK_PHOTONS // self.photons**2) if self.device.type == "cpu" else None

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        counts, _ = self.count(*self.trace(x))
        rank = math.ceil(WHITE_QUANTILE * self.size**2)
        white = counts.flatten(1).float().kthvalue(rank, dim=1).values.clamp_min(1)
        return (counts / white[:, None, None]).clamp_max(1).unsqueeze(1)

    def trace(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x [B, n] -> where every photon lands, across and down [B, photons, photons], in [−1, 1] inside the frame."""
        height, across, down = self.surface(x)
        # Snell's law for vertical light, solved for the horizontal shift: no angle, one square root.
        steepness = across.square().addcmul_(down, down)
        bent = steepness.mul(1 - ETA**2).add_(1).sqrt_()
        shift = bent.sub(ETA).mul_(height).div_(bent.add_(steepness, alpha=ETA))
        return across.mul_(shift).add_(self.at), down.mul_(shift).add_(self.at[:, None])

    def surface(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x [B, n] -> height and its two derivatives, across and down, at every photon: [B, photons, photons] each."""
        points = RELIEF * self.space.split(x)["heights"].float()
        along, rising = points @ self.values.T, points @ self.slopes.T
        return self.values @ along + BASE, self.values @ rising, self.slopes @ along

    def count(self, across: Tensor, down: Tensor) -> tuple[Tensor, Tensor]:
        """Landing places -> photons in each pixel [B, size, size], and those that left the frame [B]."""
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
    """The uniform cubic B-spline on [−1, 1]: values and derivatives [P, K] of its K basis functions at P places."""
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
