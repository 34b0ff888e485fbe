"""Fractals: escape times of Julia sets, and the attractor of an iterated function system as a chaos game."""

import math

import numpy as np
import torch
from torch import Tensor

from benchmarks.zoo.base import HARD, MANY, Batched, Part, boxed, pixel_centres, uniform


def escape(real: Tensor, imaginary: Tensor, c: Tensor, steps: int) -> Tensor:
    """How long z² + c stays within 2, as a share of the steps [B, P]; z₀ [B, P], c [B, 2]."""
    a, b = c[:, :1], c[:, 1:]
    stayed = torch.zeros_like(real)
    for _ in range(steps):
        real, imaginary = real * real - imaginary * imaginary + a, 2 * real * imaginary + b
        inside = real * real + imaginary * imaginary < 4
        stayed = stayed + inside
        real, imaginary = torch.where(inside, real, 2), torch.where(inside, imaginary, 2)
    return stayed / steps


class Julia(Batched):
    """Which c has this Julia set? 32², 24 steps; n = 2. It may start anywhere."""

    name = "julia"
    traits = (HARD, MANY)
    SIZE, STEPS = 32, 24

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        self.x, self.y = (axis.reshape(1, -1) for axis in pixel_centres(self.SIZE, -1.4, 1.4))
        angle = rng.uniform(0, 2 * np.pi)
        edge = np.exp(1j * angle) / 2 - np.exp(2j * angle) / 4  # of the main cardioid, where sets are rich
        goal = 1.05 * np.array([edge.real, edge.imag])
        return {"c": Part(rng.uniform([-1, -0.8], [0.4, 0.8]), [-1.2, -1.0], [0.6, 1.0], goal=goal)}

    def draw(self, *, c: Tensor) -> Tensor:
        place = self.x.expand(len(c), -1), self.y.expand(len(c), -1)
        return escape(*place, c, self.STEPS).sqrt().unflatten(1, (1, self.SIZE, self.SIZE))


class JuliaView(Batched):
    """A coloured view of a Julia set, 32²: c, centre, zoom, turn and palette; n = 12, without bounds."""

    name = "julia_view"
    traits = (HARD, MANY)
    SIZE, STEPS = 32, 20

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        self.x, self.y = (axis.reshape(1, -1) for axis in pixel_centres(self.SIZE, -1, 1))
        angle = rng.uniform(0, 2 * np.pi)
        edge = np.exp(1j * angle) / 2 - np.exp(2j * angle) / 4
        goal = 1.05 * np.array([edge.real, edge.imag])
        return {
            "c": Part(goal + rng.uniform(-0.06, 0.06, 2), goal=goal),
            "centre": boxed(rng, -0.4, 0.4, 2, share=0.3, bounded=False),
            "log_zoom": boxed(rng, -0.6, 0.3, share=0.4, bounded=False),
            "turn": boxed(rng, -1, 1, share=0.3, bounded=False),
            "frequency": boxed(rng, 1, 4, 3, share=0.2, bounded=False),
            "phase": boxed(rng, 0, 3, 3, share=0.2, bounded=False),
        }

    def draw(
        self, *, c: Tensor, centre: Tensor, log_zoom: Tensor, turn: Tensor, frequency: Tensor, phase: Tensor
    ) -> Tensor:
        zoom = log_zoom.exp()
        cos, sin = (zoom * turn.cos())[:, None], (zoom * turn.sin())[:, None]
        x, y = cos * self.x - sin * self.y + centre[:, :1], sin * self.x + cos * self.y + centre[:, 1:]
        share = escape(x, y, c, self.STEPS)[:, None]
        image = 0.5 + 0.5 * (frequency[..., None] * share.sqrt() * 3 + phase[..., None]).cos()
        return image.unflatten(2, (self.SIZE, self.SIZE))


class ChaosGame(Batched):
    """Three affine maps, of which a random one moves each of 600 points 16 times, 24²; n = 18, without bounds."""

    name = "chaos_game"
    traits = (HARD,)
    noisy = True
    SIZE, POINTS, STEPS, MAPS = 24, 600, 16, 3

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        turn, shrink = rng.uniform(-1, 1, self.MAPS), rng.uniform(0.4, 0.6, self.MAPS)
        cos, sin = shrink * np.cos(turn), shrink * np.sin(turn)
        matrices = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], 1) + rng.uniform(
            -0.1, 0.1, (3, 2, 2)
        )
        corners = 2 * math.pi * (np.arange(3) / 3 + rng.uniform(0, 1))
        shifts = rng.uniform(0.35, 0.55, (3, 1)) * np.stack([np.cos(corners), np.sin(corners)], -1)
        return {
            "matrix": Part(matrices + rng.uniform(-0.2, 0.2, (3, 2, 2)), goal=matrices),
            "shift": Part(shifts + rng.uniform(-0.2, 0.2, (3, 2)), goal=shifts),
        }

    def draw(self, seeds: Tensor, matrix: Tensor, shift: Tensor) -> Tensor:
        chosen = (self.MAPS * uniform(seeds, self.STEPS, self.POINTS)).long()
        rows = torch.arange(len(seeds))[:, None]
        place = torch.zeros(len(seeds), self.POINTS, 2)
        for step in range(self.STEPS):
            which = chosen[:, step]
            place = (matrix[rows, which] @ place[..., None])[..., 0] + shift[rows, which]
        cell = ((place.nan_to_num(9).clamp(-2, 2) + 1) * self.SIZE / 2).floor().long()
        inside = ((cell >= 0) & (cell < self.SIZE)).all(-1).float()
        index = (cell[..., 1] * self.SIZE + cell[..., 0]).clamp(0, self.SIZE**2 - 1)
        count = torch.zeros(len(seeds), self.SIZE**2).scatter_add(1, index, inside)
        return (1 - (-0.5 * count).exp()).unflatten(1, (1, self.SIZE, self.SIZE))


PROBLEMS = (Julia, JuliaView, ChaosGame)
