"""A procedural material as artists wire it from nodes: noise octaves, a warp, stripes, a colour ramp.

22 parameters, among them the numbers of octaves and of stripes. Stripes have hard edges, so their count, angle and
width have no gradient; the noise has one, and so many bumps along it that following it leads nowhere. The loss
compares an image pyramid.
"""

import torch
from torch import Tensor

from zg.errors import SettingError
from zg.losses import Loss
from zg.seeding import make_generator
from zg.space import Block, ParameterSpace
from zg.task import Task

MAX_OCTAVES = 6
# The noise repeats after so many cells.
LATTICE = 64
# Gradient noise stays within ±0.7; this brings it to about ±0.5.
CONTRAST = 0.7
# What the reference was made with.
HIDDEN = {
    "noise_scale": [5.0],
    "octaves": [4.0],
    "gain": [0.55],
    "lacunarity": [2.1],
    "offset": [0.4, -0.7],
    "warp": [0.16],
    "warp_scale": [2.5],
    "stripes": [7.0],
    "stripe_angle": [32.0],
    "stripe_width": [0.4],
    "stripe_mix": [0.45],
    "ramp_middle": [0.45],
    "colours": [0.10, 0.07, 0.22, 0.75, 0.33, 0.20, 0.98, 0.90, 0.65],
}
# Pixels in one call on a CPU.
CHUNK_PIXELS = 2**17


class Procedural(Task):
    """Noise (scale, octaves, gain, lacunarity, offset), warp, stripes and a ramp of three colours: n = 22.

    The start is drawn by the seed. size: pixels along a side, up to 512.
    """

    def __init__(self, size: int = 64, loss: str | Loss = "multiscale") -> None:
        super().__init__(loss)
        if not 1 <= size <= 512:
            raise SettingError(f"size must be from 1 to 512, got {size}")
        self.size = size

    def build(self) -> None:
        draw = torch.rand(22, generator=self.generator("start"), dtype=torch.float64)
        grey = torch.tensor([[0.2], [0.5], [0.8]], dtype=torch.float64)
        self.space = ParameterSpace(
            noise_scale=Block(3 * 3 ** draw[0], low=2.0, high=16.0, log=True),
            octaves=Block((1 + 5 * draw[1]).round(), low=1, high=MAX_OCTAVES, kind="integer"),
            gain=Block(0.3 + 0.4 * draw[2], low=0.2, high=0.8),
            lacunarity=Block(1.7 + 0.8 * draw[3], low=1.5, high=3.0),
            offset=Block(2 * draw[4:6] - 1, low=-2.0, high=2.0),
            warp=Block(0.3 * draw[6], low=0.0, high=0.5),
            warp_scale=Block(1.5 * 3 ** draw[7], low=1.0, high=8.0, log=True),
            stripes=Block((3 + 10 * draw[8]).round(), low=2, high=20, kind="integer"),
            stripe_angle=Block(120 * draw[9] - 60, low=-90.0, high=90.0),
            stripe_width=Block(0.3 + 0.4 * draw[10], low=0.05, high=0.95),
            stripe_mix=Block(0.2 + 0.6 * draw[11], low=0.0, high=1.0),
            ramp_middle=Block(0.3 + 0.4 * draw[12], low=0.1, high=0.9),
            colours=Block(grey + 0.2 * (draw[13:].reshape(3, 3) - 0.5), low=0.0, high=1.0),
        )
        angle = 2 * torch.pi * torch.rand(LATTICE**2, generator=make_generator(0, "procedural", "lattice"))
        self.directions = torch.stack([angle.cos(), angle.sin()], -1).to(self.device)
        line = (torch.arange(self.size) + 0.5) / self.size
        self.pixels = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1).reshape(-1, 2).to(self.device)
        self.solution = torch.tensor([value for values in HIDDEN.values() for value in values], dtype=torch.float64)
        self.set_reference(self.render(self.solution[None].to(self.device))[0])

    @property
    def chunk(self) -> int | None:
        """Renders in one call: few on a CPU, any number on a GPU."""
        return max(1, CHUNK_PIXELS // self.size**2) if self.device.type == "cpu" else None

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        # Single values as [B, 1], to be combined with one value a pixel.
        part = {name: value.reshape(len(x), -1) for name, value in self.space.split(x.float()).items()}
        rough = self.pixels * part["warp_scale"][..., None]
        warp = torch.stack([self.noise(rough), self.noise(rough + LATTICE / 3)], -1)
        place = self.pixels + part["warp"][..., None] * warp
        mix = part["stripe_mix"]
        height = (1 - mix) * self.octaves(place, part) + mix * stripes(place, part)
        colours = part["colours"].reshape(-1, 3, 3)
        return ramp(height, part["ramp_middle"], colours).transpose(1, 2).reshape(-1, 3, self.size, self.size)

    def octaves(self, place: Tensor, part: dict[str, Tensor]) -> Tensor:
        """Noise at several scales, each finer and weaker than the one before: [B, P], about 0 to 1."""
        place = (place + part["offset"][:, None, :]) * part["noise_scale"][..., None]
        total = torch.zeros_like(place[..., 0])
        weights = torch.zeros_like(part["gain"])
        for octave in range(MAX_OCTAVES):
            weight = part["gain"] ** octave * (octave < part["octaves"])
            total = total + weight * self.noise(place + 7.3 * octave)
            weights = weights + weight
            place = place * part["lacunarity"][..., None]
        return 0.5 + CONTRAST * total / weights

    def noise(self, place: Tensor) -> Tensor:
        """Gradient noise (Perlin 2002) at places [B, P, 2], one lattice cell a unit: [B, P] within ±0.71."""
        corner = place.floor()
        column, row = (corner.long() % LATTICE).unbind(-1)
        right, below = (column + 1) % LATTICE, (row + 1) % LATTICE
        u, v = (place - corner).unbind(-1)
        fade_u, fade_v = (t**3 * (t * (6 * t - 15) + 10) for t in (u, v))

        def slope(column: Tensor, row: Tensor, u: Tensor, v: Tensor) -> Tensor:
            across, down = self.directions[column + LATTICE * row].unbind(-1)
            return across * u + down * v

        upper = torch.lerp(slope(column, row, u, v), slope(right, row, u - 1, v), fade_u)
        lower = torch.lerp(slope(column, below, u, v - 1), slope(right, below, u - 1, v - 1), fade_u)
        return torch.lerp(upper, lower, fade_v)


def stripes(place: Tensor, part: dict[str, Tensor]) -> Tensor:
    """0 or 1 at places [B, P, 2]: stripes that share the width of the image, each lit for a part of its own."""
    angle = part["stripe_angle"].deg2rad()
    along = (place[..., 0] - 0.5) * angle.cos() + (place[..., 1] - 0.5) * angle.sin()
    return ((along * part["stripes"]) % 1 < part["stripe_width"]).to(place.dtype)


def ramp(height: Tensor, middle: Tensor, colours: Tensor) -> Tensor:
    """Heights [B, P] -> colours [B, P, 3], linear between three colours [B, 3, 3] at 0, `middle` [B, 1] and 1."""
    low = (height / middle).clamp(0, 1)[..., None]
    high = ((height - middle) / (1 - middle)).clamp(0, 1)[..., None]
    first, second, third = colours[:, None].unbind(2)
    return first + low * (second - first) + high * (third - second)
