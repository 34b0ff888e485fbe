"""Simulations of points in pictures of a few moments: a fountain, a cloth, and bodies that attract each other."""

import numpy as np
import torch
from torch import Tensor

from benchmarks.zoo.base import MANY, Batched, Part, boxed


def deposit(place: Tensor, size: int) -> Tensor:
    """Points [B, K, 2] in [0, 1]² on the four nearest pixels each -> counts [B, size, size]."""
    x, y = (place.nan_to_num(-9).clamp(-1, 2) * size - 0.5).unbind(-1)
    total = torch.zeros(len(place), size * size)
    for right in (0, 1):
        for down in (0, 1):
            column, row = x.floor() + right, y.floor() + down
            share = (1 - (x - column).abs()) * (1 - (y - row).abs())
            inside = (column >= 0) & (column < size) & (row >= 0) & (row < size)
            index = (row * size + column).clamp(0, size * size - 1).long()
            total = total.scatter_add(1, index, share * inside)
    return total.unflatten(1, (size, size))


class Fountain(Batched):
    """80 drops that bounce on a floor, at three moments, 20² each; n = 9."""

    name = "fountain"
    DROPS, STEPS, SIZE = 80, 24, 20

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        self.spread = torch.from_numpy(rng.normal(size=(3, self.DROPS))).float()
        return {
            "source": boxed(rng, [0.2, 0.4], [0.8, 0.9], 2, share=0.25),
            "speed": boxed(rng, 0.4, 1.8, share=0.3),
            "angle": boxed(rng, -0.8, 0.8, share=0.3),
            "fan": boxed(rng, 0.02, 0.3, share=0.4),
            "gravity": boxed(rng, 1, 4, share=0.3),
            "wind": boxed(rng, -1, 1, share=0.3),
            "drag": boxed(rng, 0, 2, share=0.4),
            "bounce": boxed(rng, 0.2, 0.9, share=0.4),
        }

    def draw(self, *, source: Tensor, speed: Tensor, angle: Tensor, fan: Tensor, **forces: Tensor) -> Tensor:
        gravity, wind, drag, bounce = (forces[name][:, None] for name in ("gravity", "wind", "drag", "bounce"))
        way = angle[:, None] + fan[:, None] * self.spread[0]
        fast = speed[:, None] * (1 + 0.15 * self.spread[1])
        x, y = source[:, :1] + 0.01 * self.spread[2], source[:, 1:].expand_as(way)
        right, down, dt, moments = fast * way.sin(), -fast * way.cos(), 1 / self.STEPS, []
        for step in range(self.STEPS):
            right = right + dt * (wind - drag * right)
            down = down + dt * (gravity - drag * down)
            x, y = x + dt * right, y + dt * down
            under = y > 0.95
            y, down = torch.where(under, 1.9 - y, y), torch.where(under, -bounce * down, down)
            if (step + 1) % (self.STEPS // 3) == 0:
                moments.append(deposit(torch.stack([x, y], -1), self.SIZE))
        return 1 - (-torch.stack(moments, 1)[:, :, None]).exp()


class Cloth(Batched):
    """A hanging cloth of 8² masses and springs in the wind, at two moments, 24² each; n = 10, without bounds."""

    name = "cloth"
    SIDE, STEPS, SIZE = 8, 10, 24

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        across = torch.linspace(0, 1, self.SIDE)
        self.across, self.down = torch.meshgrid(across, across, indexing="xy")
        return {
            "left": boxed(rng, [0.05, 0.05], [0.35, 0.3], 2, share=0.4, bounded=False),
            "right": boxed(rng, [0.65, 0.05], [0.95, 0.3], 2, share=0.4, bounded=False),
            "log_stiffness": boxed(rng, 2.5, 4.2, share=0.3, bounded=False),
            "log_drag": boxed(rng, -1, 1.5, share=0.4, bounded=False),
            "gravity": boxed(rng, 0.5, 2, share=0.4, bounded=False),
            "wind": boxed(rng, -1, 1, share=0.3, bounded=False),
            "gust": boxed(rng, -1, 1, 2, share=0.3, bounded=False),
        }

    def draw(self, *, left: Tensor, right: Tensor, gust: Tensor, **numbers: Tensor) -> Tensor:
        stiffness, drag = (numbers[name].exp()[:, None, None, None] for name in ("log_stiffness", "log_drag"))
        top = torch.lerp(left[:, None], right[:, None], self.across[0, :, None])  # [B, K, 2]
        place = torch.stack([top[:, None, :, 0].expand(-1, self.SIDE, -1), top[:, None, :, 1] + 0.7 * self.down], -1)
        force = torch.stack([numbers["wind"], numbers["gravity"]], -1)[:, None, None]
        speed, rest, dt, moments = torch.zeros_like(place), 0.7 / (self.SIDE - 1), 0.07, []
        for step in range(self.STEPS):
            pull = torch.zeros_like(place)
            for axis in (1, 2):
                ahead, behind = place.narrow(axis, 1, self.SIDE - 1), place.narrow(axis, 0, self.SIDE - 1)
                along = ahead - behind
                length = along.square().sum(-1, keepdim=True).clamp_min(1e-8).sqrt()
                tension = stiffness * along * (1 - rest / length)
                pull.narrow(axis, 1, self.SIDE - 1).sub_(tension)
                pull.narrow(axis, 0, self.SIDE - 1).add_(tension)
            blow = force + gust[:, None, None] * float(np.sin(6 * dt * step)) * self.down[..., None]
            speed = (speed + dt * (pull + blow)) / (1 + dt * drag)
            speed[:, 0, [0, -1]] = 0  # the two corners are pinned
            place = place + dt * speed
            if (step + 1) % (self.STEPS // 2) == 0:
                moments.append(deposit(place.flatten(1, 2), self.SIZE))
        return 1 - (-torch.stack(moments, 1)[:, :, None]).exp()


class Orbits(Batched):
    """The trails of three bodies that attract each other, 28²; n = 12, without bounds. Late trails are chaotic."""

    name = "orbits"
    traits = (MANY,)
    STEPS, SIZE = 40, 28

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        angles = 2 * np.pi * (np.arange(3) / 3 + rng.uniform(0, 1)) + rng.uniform(-0.4, 0.4, 3)
        place = rng.uniform(0.5, 0.7, (3, 1)) * np.stack([np.cos(angles), np.sin(angles)], -1)
        speed = rng.uniform(0.7, 1.1, (3, 1)) * np.stack([-np.sin(angles), np.cos(angles)], -1)
        return {
            "place": Part(place + rng.uniform(-0.15, 0.15, (3, 2)), goal=place),
            "speed": Part(speed + rng.uniform(-0.25, 0.25, (3, 2)), goal=speed),
        }

    def draw(self, *, place: Tensor, speed: Tensor) -> Tensor:
        trail, dt = [], 0.075
        for _ in range(self.STEPS):
            apart = place[:, None] - place[:, :, None]  # [B, from, to, 2]
            squared = apart.square().sum(-1, keepdim=True) + 0.03
            speed = speed + dt * (apart / (squared * squared.sqrt())).sum(2)
            place = place + dt * speed
            trail.append(place)
        return 1 - (-deposit(0.5 + 0.4 * torch.cat(trail, 1), self.SIZE)[:, None]).exp()


PROBLEMS = (Fountain, Cloth, Orbits)
