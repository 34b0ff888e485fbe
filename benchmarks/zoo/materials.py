"""Procedural materials: patterns of few parameters, whose frequencies give many minima."""

import numpy as np
import torch
from torch import Tensor

from benchmarks.zoo.base import HARD, MANY, Batched, Part, boxed, pixel_centres

LATTICE = 32


def smooth_noise(lattice: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Value noise in [−1, 1]: the numbers of a lattice [32, 32], interpolated smoothly and repeated; x, y [B, P]."""
    column, row = x.floor(), y.floor()
    right, down = x - column, y - row
    right, down = right * right * (3 - 2 * right), down * down * (3 - 2 * down)
    i, j = column.long() % LATTICE, row.long() % LATTICE
    after_i, after_j = (i + 1) % LATTICE, (j + 1) % LATTICE
    upper = torch.lerp(lattice[j, i], lattice[j, after_i], right)
    lower = torch.lerp(lattice[after_j, i], lattice[after_j, after_i], right)
    return torch.lerp(upper, lower, down)


class Material(Batched):
    """A square of a material between two colours."""

    SIZE = 40

    def prepare(self, rng: np.random.Generator) -> None:
        self.x, self.y = (axis.reshape(-1) for axis in pixel_centres(self.SIZE))
        self.lattice = torch.from_numpy(rng.uniform(-1, 1, (LATTICE, LATTICE))).float()

    def between(self, share: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """share [B, P] of the second colour -> images; colours [B, 3]."""
        return torch.lerp(first[:, :, None], second[:, :, None], share[:, None]).unflatten(2, (self.SIZE, self.SIZE))


class Brick(Material):
    """A wall of bricks with hard joints: counts, bond, joint, turn, colours; n = 12."""

    name = "brick"
    traits = (HARD, MANY)

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        self.prepare(rng)
        return {
            "count": boxed(rng, [2, 3], [6, 9], 2, share=0.15),
            "bond": boxed(rng, 0, 1, share=0.4),
            "joint": boxed(rng, 0.04, 0.35, share=0.4),
            "angle": boxed(rng, -0.5, 0.5, share=0.2),
            "shade": boxed(rng, 0, 0.4, share=0.5),
            "mortar": boxed(rng, 0.5, 1, 3, share=0.4),
            "clay": boxed(rng, 0, 0.6, 3, share=0.4),
        }

    def draw(
        self,
        *,
        count: Tensor,
        bond: Tensor,
        joint: Tensor,
        angle: Tensor,
        shade: Tensor,
        mortar: Tensor,
        clay: Tensor,
    ) -> Tensor:
        cos, sin = angle.cos()[:, None], angle.sin()[:, None]
        x, y = self.x - 0.5, self.y - 0.5
        down = (cos * y - sin * x) * count[:, 1:]
        across = (cos * x + sin * y) * count[:, :1] + bond[:, None] * down.floor()
        height, width = count[:, 1:], count[:, :1]
        gap = joint[:, None]
        inside = (down % 1 > gap) & (across % 1 > gap * width / height)  # joints are as wide as they are high
        brick = smooth_noise(self.lattice, across.floor(), down.floor())
        share = torch.where(inside, 1 - shade[:, None] * (0.5 + 0.5 * brick), 0.0)
        return self.between(share, mortar, clay)


class Marble(Material):
    """Veins, bent by turbulence of three octaves; n = 14, without bounds."""

    name = "marble"
    traits = (MANY,)

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        self.prepare(rng)
        return {
            "wave": boxed(rng, -10, 10, 2, share=0.1, bounded=False),
            "phase": boxed(rng, -2, 2, share=0.3, bounded=False),
            "log_scale": boxed(rng, 0.6, 1.6, share=0.2, bounded=False),
            "offset": boxed(rng, -2, 2, 2, share=0.1, bounded=False),
            "turbulence": boxed(rng, 1, 4, share=0.3, bounded=False),
            "log_sharpness": boxed(rng, -0.7, 1, share=0.4, bounded=False),
            "stone": boxed(rng, 0.5, 1, 3, share=0.5, bounded=False),
            "vein": boxed(rng, 0, 0.5, 3, share=0.5, bounded=False),
        }

    def draw(
        self,
        *,
        wave: Tensor,
        phase: Tensor,
        log_scale: Tensor,
        offset: Tensor,
        turbulence: Tensor,
        log_sharpness: Tensor,
        stone: Tensor,
        vein: Tensor,
    ) -> Tensor:
        scale = log_scale.exp()[:, None]
        x, y = self.x * scale + offset[:, :1], self.y * scale + offset[:, 1:]
        noise = sum(smooth_noise(self.lattice, x * 2**k, y * 2**k) / 2**k for k in range(3))
        angle = wave[:, :1] * self.x + wave[:, 1:] * self.y + phase[:, None] + turbulence[:, None] * noise
        share = (0.5 + 0.5 * angle.sin()).clamp_min(1e-6) ** log_sharpness.exp()[:, None]
        return self.between(share, stone, vein)


class Wood(Material):
    """Rings about an axis, with wobble and grain; n = 13."""

    name = "wood"
    traits = (MANY,)

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        self.prepare(rng)
        return {
            "axis": boxed(rng, [-1, -1], [2, 0], 2, share=0.1),
            "flat": boxed(rng, 0.3, 1, share=0.2),
            "rings": boxed(rng, 3, 14, share=0.15),
            "wobble": boxed(rng, 0, 0.25, share=0.4),
            "grain": boxed(rng, 0, 0.4, share=0.5),
            "edge": boxed(rng, 0.5, 6, share=0.4),
            "pale": boxed(rng, 0.4, 1, 3, share=0.4),
            "dark": boxed(rng, 0, 0.6, 3, share=0.4),
        }

    def draw(
        self,
        *,
        axis: Tensor,
        flat: Tensor,
        rings: Tensor,
        wobble: Tensor,
        grain: Tensor,
        edge: Tensor,
        pale: Tensor,
        dark: Tensor,
    ) -> Tensor:
        radius = torch.hypot(self.x - axis[:, :1], flat[:, None] * (self.y - axis[:, 1:]))
        x, y = self.x.expand_as(radius), self.y.expand_as(radius)
        radius = radius + wobble[:, None] * smooth_noise(self.lattice, 4 * x, 4 * y)
        ring = (rings[:, None] * radius) % 1  # slow growth, then a sudden edge
        share = ring ** edge[:, None] + grain[:, None] * smooth_noise(self.lattice, 5 * x, 20 * y)
        return self.between(share.clamp(0, 1), pale, dark)


PROBLEMS = (Brick, Marble, Wood)
