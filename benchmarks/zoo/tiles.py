"""Whole numbers and switches: maps of tiles, lamps, a skyline, and pixels with a palette."""

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from benchmarks.zoo.base import HARD, SYMMETRIC, Array, Batched, Painted, Part, boxed, pixel_centres


class TileMap(Batched):
    """A map of 8² tiles of five kinds, with a shore between kinds that differ, 32²; n = 64, all whole."""

    name = "tile_map"
    traits = (HARD,)
    SIDE, TILE, KINDS = 8, 4, 5

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        self.colours = torch.from_numpy(rng.uniform(0, 1, (self.KINDS, 3))).float()
        return {"kind": boxed(rng, 0, self.KINDS - 1, self.SIDE, self.SIDE, share=1, kind="integer")}

    def draw(self, *, kind: Tensor) -> Tensor:
        kind = kind.long().repeat_interleave(self.TILE, 1).repeat_interleave(self.TILE, 2)
        image = self.colours[kind]
        shore = torch.zeros_like(kind, dtype=torch.bool)
        shore[:, 1:] |= kind[:, 1:] != kind[:, :-1]
        shore[:, :, 1:] |= kind[:, :, 1:] != kind[:, :, :-1]
        return torch.where(shore[..., None], 0.4 * image, image).movedim(-1, 1)


class Lamps(Batched):
    """Twelve lamps that are on or off, each with a brightness, and the colour of the wall, 24²; n = 27, mixed."""

    name = "lamps"
    traits = (SYMMETRIC,)
    COUNT, SIZE = 12, 24

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        x, y = pixel_centres(self.SIZE)
        place = torch.from_numpy(rng.uniform(0, 1, (self.COUNT, 2, 1, 1))).float()
        self.glow = 0.006 / (0.006 + (x - place[:, 0]) ** 2 + (y - place[:, 1]) ** 2)
        return {
            "on": boxed(rng, 0, 1, self.COUNT, start=0, kind="binary"),
            "brightness": boxed(rng, 0.1, 1, self.COUNT, start=0.5),
            "wall": boxed(rng, 0.2, 1, 3, start=0.6),
        }

    def draw(self, *, on: Tensor, brightness: Tensor, wall: Tensor) -> Tensor:
        light = 0.1 + torch.tensordot(on * brightness, self.glow, 1)
        return 1 - (-wall[..., None, None] * light[:, None]).exp()


class Skyline(Painted):
    """Floors of 6² towers, seen from one corner, 64²; n = 36, all whole. Near towers hide far ones; all start equal."""

    name = "skyline"
    traits = (HARD, SYMMETRIC)
    SIDE, HIGHEST = 6, 9

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        self.colours = [tuple(colour) for colour in rng.integers(90, 255, (self.SIDE**2, 3)).tolist()]
        return {"floors": boxed(rng, 0, self.HIGHEST, self.SIDE, self.SIDE, start=2, kind="integer")}

    def paint(self, floors: Array) -> Image.Image:
        picture = Image.new("RGB", (64, 64), (40, 60, 90))
        pen = ImageDraw.Draw(picture)
        for (row, column), h in np.ndenumerate(2.5 * floors):
            x, y = 32 + 5 * (column - row), 26 + 2.5 * (column + row)
            colour = self.colours[row * self.SIDE + column]
            left, right = (tuple(int(shade * value) for value in colour) for shade in (0.5, 0.75))
            pen.polygon([(x - 5, y + 2.5), (x, y + 5), (x, y + 5 - h), (x - 5, y + 2.5 - h)], fill=left)
            pen.polygon([(x + 5, y + 2.5), (x, y + 5), (x, y + 5 - h), (x + 5, y + 2.5 - h)], fill=right)
            pen.polygon([(x, y - h), (x + 5, y + 2.5 - h), (x, y + 5 - h), (x - 5, y + 2.5 - h)], fill=colour)
        return picture


class PixelArt(Batched):
    """12² pixels that take one of eight colours each, and the colours; n = 168, mixed. All start grey."""

    name = "pixel_art"
    traits = (SYMMETRIC,)
    SIDE, COLOURS = 12, 8

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        columns, rows = np.meshgrid(np.arange(self.SIDE), np.arange(self.SIDE))
        wave = np.sin(columns * rng.uniform(0.3, 0.8) + rng.uniform(0, 6)) + np.cos(rows * rng.uniform(0.3, 0.8))
        goal = np.clip(np.floor(self.COLOURS * (wave + 2) / 4), 0, self.COLOURS - 1)
        start = rng.integers(0, self.COLOURS, (self.SIDE, self.SIDE)).astype(float)
        return {
            "index": Part(start, 0, self.COLOURS - 1, kind="integer", goal=goal),
            "palette": boxed(rng, 0, 1, self.COLOURS, 3, start=0.5),
        }

    def draw(self, *, index: Tensor, palette: Tensor) -> Tensor:
        flat = index.long().flatten(1)[..., None].expand(-1, -1, 3)
        return torch.gather(palette, 1, flat).mT.unflatten(2, (self.SIDE, self.SIDE))


PROBLEMS = (TileMap, Lamps, Skyline, PixelArt)
