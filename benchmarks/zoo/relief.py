"""Surfaces from their shading: heights, normals, and a bent mirror. Many parameters, from a flat start."""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate, normalize

from benchmarks.zoo.base import SYMMETRIC, Batched, Part, photo, pixel_centres


def hills(rng: np.random.Generator, size: int, count: int = 8) -> np.ndarray:
    """Random round hills and hollows [size, size], of heights up to 1."""
    across = (np.arange(size) + 0.5) / size
    place, width = rng.uniform(0, 1, (count, 2, 1, 1)), rng.uniform(0.08, 0.25, (count, 1, 1))
    away = (across - place[:, 0]) ** 2 + (across[:, None] - place[:, 1]) ** 2
    return (rng.uniform(-1, 1, (count, 1, 1)) * np.exp(-0.5 * away / width**2)).sum(0)


class HeightField(Batched):
    """50² heights under three lights; n = 2,500, without bounds. It starts flat."""

    name = "height_field"
    traits = (SYMMETRIC,)
    SIZE = 50

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        angles = 2 * np.pi * (np.arange(3) / 3 + rng.uniform(0, 1))
        lights = np.stack([0.7 * np.cos(angles), 0.7 * np.sin(angles), np.full(3, 0.7)], -1)
        self.lights = torch.from_numpy(lights).float()
        return {"height": Part(np.zeros((self.SIZE, self.SIZE)), goal=5 * hills(rng, self.SIZE))}

    def draw(self, *, height: Tensor) -> Tensor:
        right = torch.diff(height, dim=2, append=height[:, :, -1:])
        down = torch.diff(height, dim=1, append=height[:, -1:])
        normal = normalize(torch.stack([-right, -down, torch.ones_like(down)], -1), dim=-1)
        return (normal @ self.lights.T).clamp_min(0).movedim(-1, 1)


class NormalMap(Batched):
    """40² normals of a shiny surface under two lights; n = 4,800. It starts flat."""

    name = "normal_map"
    traits = (SYMMETRIC,)
    SIZE = 40

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        height = 4 * hills(rng, self.SIZE)
        down, right = np.gradient(height)
        goal = np.stack([-right, -down, np.ones_like(down)], -1)
        goal /= np.linalg.norm(goal, axis=-1, keepdims=True)
        lights = rng.uniform([[-0.8, -0.8, 0.8], [0.2, 0.2, 0.8]], [[-0.2, -0.2, 1], [0.8, 0.8, 1]])
        self.lights = normalize(torch.from_numpy(lights).float(), dim=-1)
        return {"normal": Part(np.broadcast_to([0.0, 0.0, 1.0], goal.shape).copy(), -1.0, 1.0, goal=goal)}

    def draw(self, *, normal: Tensor) -> Tensor:
        normal = normalize(normal, dim=-1)
        half = normalize(self.lights + torch.tensor([0.0, 0.0, 1.0]), dim=-1)
        diffuse, shiny = (normal @ self.lights.T).clamp_min(0), (normal @ half.T).clamp_min(0) ** 20
        return (0.6 * diffuse + 0.4 * shiny).movedim(-1, 1)


class Mirror(Batched):
    """A mirror, bent by 10² heights, shows a photo; n = 100, without bounds. It starts flat."""

    name = "mirror"
    KNOTS, SIZE = 10, 36

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        self.x, self.y = pixel_centres(self.SIZE, -1, 1)
        self.photo = photo(rng, 96)
        return {"height": Part(np.zeros((self.KNOTS, self.KNOTS)), goal=0.5 * hills(rng, self.KNOTS, 5))}

    def draw(self, *, height: Tensor) -> Tensor:
        fine = interpolate(height[:, None], (self.SIZE + 1,) * 2, mode="bicubic", align_corners=True)[:, 0]
        right, down = torch.diff(fine, dim=2)[:, :-1], torch.diff(fine, dim=1)[:, :, :-1]
        places = torch.stack([0.8 * self.x + 4 * right, 0.8 * self.y + 4 * down], -1)
        return grid_sample(self.photo.expand(len(height), -1, -1, -1), places, align_corners=False)


PROBLEMS = (HeightField, NormalMap, Mirror)
