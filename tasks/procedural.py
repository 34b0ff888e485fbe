"""A procedural material as artists build it from nodes: octaves of noise, a warp, stripes, a colour ramp.

There are 22 parameters; the numbers of octaves and of stripes are integers. Stripes have hard edges, so their count,
angle and width have no gradient. The noise has a gradient, but too many local minima for gradient descent. The loss
compares image pyramids.
"""

import torch
from torch import Tensor

from tasks.pattern import Pattern
from zg.seeding import make_generator
from zg.space import Block

MAX_OCTAVES = 6
# The noise repeats after 64 cells.
LATTICE = 64
# Gradient noise stays within ±0.7; this brings it to about ±0.5.
CONTRAST = 0.7
# The parameters of the reference. Single values are lists, so that they broadcast over pixels.
HIDDEN = {
    "noise_scale": Block([4.0], low=2, high=16, log=True),
    "octaves": Block([4], low=1, high=MAX_OCTAVES, kind="integer"),
    "gain": Block([0.55], low=0.2, high=0.8),
    "lacunarity": Block([2.1], low=1.5, high=3),
    "offset": Block([0.4, -0.7], low=-1, high=1, scale=1),
    "warp": Block([0.16], low=0, high=0.5),
    "warp_scale": Block([2.0], low=1, high=8, log=True),
    "stripes": Block([5], low=2, high=16, kind="integer"),
    "stripe_angle": Block([32.0], low=-90, high=90),
    "stripe_width": Block([0.4], low=0.05, high=0.95),
    "stripe_mix": Block([0.5], low=0, high=1),
    "ramp_middle": Block([0.45], low=0.1, high=0.9),
    "colours": Block(torch.tensor([[0.10, 0.07, 0.22], [0.75, 0.33, 0.20], [0.98, 0.90, 0.65]]), low=0, high=1),
}


class Procedural(Pattern):
    """Noise (scale, octaves, gain, lacunarity, offset), warp, stripes and a ramp of three colours: n = 22."""

    hidden = HIDDEN

    def prepare(self) -> None:
        angle = 2 * torch.pi * torch.rand(LATTICE**2, generator=make_generator(0, "procedural", "lattice"))
        self.directions = torch.stack([angle.cos(), angle.sin()], -1).to(self.device)

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        part = self.space.split(x.float())
        rough = self.pixels * part["warp_scale"][..., None]
        warp = torch.stack([self.noise(rough), self.noise(rough + LATTICE / 3)], -1)
        place = self.pixels + part["warp"][..., None] * warp
        mix = part["stripe_mix"]
        height = (1 - mix) * self.octaves(place, part) + mix * stripes(place, part)
        return self.image(ramp(height, part["ramp_middle"], part["colours"]))

    def octaves(self, place: Tensor, part: dict[str, Tensor]) -> Tensor:
        """Noise at places [B, P, 2] summed over octaves, each finer and weaker than the last: [B, P], about 0 to 1."""
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
    """1 inside a stripe and 0 outside, at places [B, P, 2]; `stripe_width` is a fraction of the period."""
    angle = part["stripe_angle"].deg2rad()
    along = (place[..., 0] - 0.5) * angle.cos() + (place[..., 1] - 0.5) * angle.sin()
    return ((along * part["stripes"]) % 1 < part["stripe_width"]).to(place.dtype)


def ramp(height: Tensor, middle: Tensor, colours: Tensor) -> Tensor:
    """Heights [B, P] -> colours [B, P, 3], linear between three colours [B, 3, 3] at 0, `middle` [B, 1] and 1."""
    low = (height / middle).clamp(0, 1)[..., None]
    high = ((height - middle) / (1 - middle)).clamp(0, 1)[..., None]
    first, second, third = colours[:, None].unbind(2)
    return first + low * (second - first) + high * (third - second)
