"""Colours of a fixed photo: look-up tables, a palette, and a chain of grading."""

import math

import numpy as np
import torch
from torch import Tensor

from benchmarks.zoo.base import HARD, SYMMETRIC, Batched, Part, boxed, photo, without_goal


def table_weights(pixels: Tensor, side: int) -> Tensor:
    """Trilinear weights [P, side³] of colours [P, 3] in a cube of side³ entries, the last channel fastest."""
    place = pixels * (side - 1 - 1e-4)
    corner = place.floor().long()
    share = place - corner
    weights = torch.zeros(len(pixels), side**3)
    for bits in torch.cartesian_prod(*[torch.arange(2)] * 3):
        amount = torch.where(bits == 1, share, 1 - share).prod(1)
        index = ((corner + bits) * torch.tensor([side**2, side, 1])).sum(1)
        weights[torch.arange(len(pixels)), index] += amount
    return weights


def neutral_table(side: int) -> Tensor:
    """The table [side³, 3] that changes nothing."""
    return torch.cartesian_prod(*[torch.linspace(0, 1, side)] * 3)


class Lut(Batched):
    """A table of 6³ colours on a photo of 40², 8 bits, against a graded photo; n = 648. It starts near neutral."""

    name = "lut"
    reachable = False
    SIDE, SIZE = 6, 40

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        self.pixels = photo(rng, self.SIZE).reshape(3, -1).T
        self.weights = table_weights(self.pixels, self.SIDE)
        start = neutral_table(self.SIDE).numpy() + 0.02 * rng.normal(size=(self.SIDE**3, 3))
        return {"table": Part(np.clip(start, 0, 1), 0, 1)}

    def target(self, rng: np.random.Generator) -> Tensor:
        mix = torch.from_numpy(np.eye(3) + rng.uniform(-0.2, 0.2, (3, 3))).float()
        mixed = (self.pixels @ mix.T).clamp(0, 1)
        graded = mixed ** rng.uniform(0.7, 1.5) * 1.1 - 0.15 * (rng.uniform(4, 7) * mixed).sin()
        return self.in_bytes(graded).T.unflatten(1, (self.SIZE, self.SIZE))

    def in_bytes(self, image: Tensor) -> Tensor:
        return (255 * image.clamp(0, 1)).round() / 255

    def draw(self, *, table: Tensor) -> Tensor:
        return self.in_bytes(self.weights @ table).mT.unflatten(2, (self.SIZE, self.SIZE))


class FineLut(Batched):
    """A table of 11³ colours on a photo of 48²; n = 3,993, without bounds. It starts neutral."""

    name = "fine_lut"
    SIDE, SIZE = 11, 48

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        self.weights = table_weights(photo(rng, self.SIZE).reshape(3, -1).T, self.SIDE)
        neutral = neutral_table(self.SIDE).double().numpy()
        bend = np.sin(neutral @ rng.uniform(-4, 4, (3, 3)) + rng.uniform(0, 6, 3))
        return {"table": Part(neutral, goal=neutral @ (np.eye(3) + rng.uniform(-0.2, 0.2, (3, 3))) + 0.15 * bend)}

    def draw(self, *, table: Tensor) -> Tensor:
        return (self.weights @ table).mT.unflatten(2, (self.SIZE, self.SIZE))


class Palette(Batched):
    """16 colours, of which each pixel of a photo of 32² takes the nearest; n = 48. All start about grey."""

    name = "palette"
    traits = (HARD, SYMMETRIC)
    reachable = False
    COUNT, SIZE = 16, 32

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        self.pixels = photo(rng, self.SIZE).reshape(3, -1).T
        greys = 0.5 + 0.02 * rng.uniform(-1, 1, (self.COUNT, 1))
        return {"colours": without_goal(boxed(rng, 0, 1, self.COUNT, 3, start=greys))}

    def target(self, rng: np.random.Generator) -> Tensor:
        return self.pixels.T.unflatten(1, (self.SIZE, self.SIZE))

    def draw(self, *, colours: Tensor) -> Tensor:
        away = (self.pixels[:, None] - colours[:, None]).square().sum(-1)  # [B, P, K]
        nearest = away.argmin(-1, keepdim=True).expand(-1, -1, 3)
        return torch.gather(colours, 1, nearest).mT.unflatten(2, (self.SIZE, self.SIZE))


class Grading(Batched):
    """Exposure, gamma, contrast, saturation, hue, lift and gain of a photo of 40²; n = 11, without bounds."""

    name = "grading"
    SIZE = 40

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        self.pixels = 0.02 + 0.96 * photo(rng, self.SIZE).reshape(3, -1).T
        zero = {"exposure": 0.8, "log_gamma": 0.6, "log_contrast": 0.5, "saturation": 0.8, "hue": 1.2}
        found = {name: Part(0.0, goal=rng.uniform(-reach, reach)) for name, reach in zero.items()}
        return found | {
            "lift": Part(np.zeros(3), goal=rng.uniform(-0.15, 0.15, 3)),
            "gain": Part(np.zeros(3), goal=rng.uniform(-0.4, 0.4, 3)),
        }

    def draw(self, **knobs: Tensor) -> Tensor:
        k = {name: knob.reshape(len(knob), 1, -1) for name, knob in knobs.items()}
        image = self.pixels * (k["exposure"] + k["gain"]).exp() + k["lift"]
        image = 0.5 + (image.clamp_min(1e-4) ** k["log_gamma"].exp() - 0.5) * k["log_contrast"].exp()
        grey = image.mean(-1, keepdim=True)
        colour = (image - grey) * k["saturation"].exp()
        sideways = torch.linalg.cross(colour, torch.full((3,), 1 / math.sqrt(3)).expand_as(colour))
        return (grey + k["hue"].cos() * colour + k["hue"].sin() * sideways).mT.unflatten(2, (self.SIZE, self.SIZE))


PROBLEMS = (Lut, FineLut, Palette, Grading)
