"""What is inside: densities from X-rays that are counted, and smoke that is met by few random samples."""

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from benchmarks.zoo.base import SYMMETRIC, Batched, Part, boxed, pixel_centres, uniform


class XRay(Batched):
    """Densities of 18² cells from 12 directions, by counted photons; n = 324. It starts uniform."""

    name = "x_ray"
    traits = (SYMMETRIC,)
    noisy = True
    SIZE, VIEWS, PHOTONS = 18, 12, 400

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        x, y = pixel_centres(self.SIZE, -1, 1)
        goal = np.zeros((self.SIZE, self.SIZE))
        for _ in range(4):
            (a, b), (p, q) = rng.uniform(-0.5, 0.5, 2), rng.uniform(0.15, 0.4, 2)
            goal += rng.uniform(0.2, 0.5) * ((((x - a) / p) ** 2 + ((y - b) / q) ** 2) < 1).numpy()
        self.weights = self.rays()
        return {"density": Part(np.full_like(goal, 0.2), 0, 1, goal=goal.clip(0, 1))}

    def rays(self) -> Tensor:
        """Lengths [cells, views · rays] of the rays in the cells: each cell's image, turned and added along columns."""
        cells = torch.eye(self.SIZE**2).reshape(-1, 1, self.SIZE, self.SIZE)
        found = []
        for angle in torch.arange(self.VIEWS) * math.pi / self.VIEWS:
            turn = torch.tensor([[angle.cos(), -angle.sin(), 0], [angle.sin(), angle.cos(), 0]])
            grid = affine_grid(turn.expand(len(cells), -1, -1), list(cells.shape), align_corners=False)
            found.append(grid_sample(cells, grid, align_corners=False).sum((1, 2)))
        return torch.cat(found, 1) * 4 / self.SIZE

    def draw(self, seeds: Tensor, density: Tensor) -> Tensor:
        expected = self.PHOTONS * (-(density.flatten(1) @ self.weights)).exp()
        generators = (torch.Generator().manual_seed(int(seed)) for seed in seeds)
        counts = torch.stack([torch.poisson(one, g) for one, g in zip(expected, generators, strict=True)])
        return (counts / self.PHOTONS).sqrt().unflatten(1, (1, self.VIEWS, self.SIZE))


class Smoke(Batched):
    """Six puffs of smoke, lit from above: 8 random places a ray, 2 towards the light, 16²; n = 31, without bounds."""

    name = "smoke"
    noisy = True
    COUNT, SIZE, ALONG, TO_LIGHT = 6, 16, 8, 2

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        x, y = (axis.reshape(-1) for axis in pixel_centres(self.SIZE, -1, 1))
        self.screen = torch.stack([x, y], -1)[:, None]
        return {
            "place": boxed(rng, [-0.8, -0.6, -0.6], [0.8, 0.8, 0.6], self.COUNT, 3, share=0.2, bounded=False),
            "log_size": boxed(rng, -1.8, -1, self.COUNT, share=0.3, bounded=False),
            "log_density": boxed(rng, 0, 1.5, self.COUNT, share=0.4, bounded=False),
            "log_sun": boxed(rng, 0, 1, share=0.4, bounded=False),
        }

    def draw(self, seeds: Tensor, place: Tensor, log_size: Tensor, log_density: Tensor, log_sun: Tensor) -> Tensor:
        stiff, dense = (-2 * log_size).exp(), log_density.exp()

        def density(where: Tensor) -> Tensor:
            """[B, P, 3] -> [B, P]."""
            offset = where[:, :, None] - place[:, None]
            return ((-0.5 * offset.square().sum(-1) * stiff[:, None]).exp() * dense[:, None]).sum(-1)

        random = uniform(seeds, 1 + self.TO_LIGHT, self.SIZE**2, self.ALONG)
        depth = 2 * (torch.arange(self.ALONG) + random[:, 0]) / self.ALONG - 1  # one in each slice
        where = torch.cat([self.screen.expand(len(seeds), -1, self.ALONG, -1), depth[..., None]], -1).flatten(1, 2)
        here = density(where).unflatten(1, (-1, self.ALONG))
        shadow = torch.zeros_like(here)
        for number, sample in enumerate(random[:, 1:].unbind(1)):
            up = torch.zeros_like(where)
            up[..., 1] = -1.5 * (number + sample.flatten(1)) / self.TO_LIGHT  # rows go down, light comes from above
            shadow = shadow + density(where + up).unflatten(1, (-1, self.ALONG)) * 1.5 / self.TO_LIGHT
        step = 2 / self.ALONG
        before = here.cumsum(-1) - here
        light = (
            (-step * before).exp() * (1 - (-step * here).exp()) * (0.1 + log_sun.exp()[:, None, None] * (-shadow).exp())
        )
        clear = (-step * here.sum(-1)).exp()
        return (light.sum(-1) + 0.15 * clear).unflatten(1, (1, self.SIZE, self.SIZE))


PROBLEMS = (XRay, Smoke)
