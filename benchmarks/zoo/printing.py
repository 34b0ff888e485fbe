"""Pictures of marks that are there or not: dots of ink, dots of one size, characters, and a woven cloth."""

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from torch import Tensor
from torch.nn.functional import conv2d, interpolate

from benchmarks.zoo.base import HARD, MANY, SYMMETRIC, Array, Batched, Painted, Part, photo
from benchmarks.zoo.text import FONT


class Halftone(Batched):
    """Which of 32² dots are inked, so that from afar they look like a photo? n = 1,024, all binary."""

    name = "halftone"
    traits = (SYMMETRIC,)
    reachable = False
    SIZE = 32

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        across = torch.arange(-4.0, 5.0)
        bell = (-0.5 * (across / 1.4).square()).exp()
        self.blur = (bell[:, None] * bell)[None, None] / bell.sum().square()
        board = np.indices((self.SIZE, self.SIZE)).sum(0) % 2
        return {"white": Part(board.astype(float), kind="binary")}

    def target(self, rng: np.random.Generator) -> Tensor:
        return self.from_afar(photo(rng, self.SIZE).mean(0)[None])[0]

    def from_afar(self, image: Tensor) -> Tensor:
        return conv2d(image[:, None], self.blur)

    def draw(self, *, white: Tensor) -> Tensor:
        return self.from_afar(white)


class Stipple(Painted):
    """Where do 250 equal dots go, so that they look like a photo? n = 500. They start on a regular grid."""

    name = "stipple"
    traits = (HARD, SYMMETRIC)
    reachable = False
    SIZE, DOTS = 64, 250

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        across, down = np.meshgrid(np.linspace(0.05, 0.95, 25), np.linspace(0.05, 0.95, 10))
        return {"place": Part(self.SIZE * np.stack([across.ravel(), down.ravel()], 1), 0.0, float(self.SIZE))}

    def target(self, rng: np.random.Generator) -> Tensor:
        grey = photo(rng, self.SIZE).mean(0)
        blurred = Image.fromarray((255 * (0.4 + 0.6 * grey)).byte().numpy()).filter(ImageFilter.GaussianBlur(3))
        return torch.from_numpy(np.array(blurred)).float()[None, ::2, ::2] / 255

    def paint(self, place: Array) -> Array:
        picture = Image.new("L", (self.SIZE, self.SIZE), 255)
        pen = ImageDraw.Draw(picture)
        for x, y in place.tolist():
            pen.ellipse([x - 1.5, y - 1.5, x + 1.5, y + 1.5], fill=0)
        return np.array(picture.filter(ImageFilter.GaussianBlur(3)))[::2, ::2]


class AsciiArt(Batched):
    """Which of 24 characters stands in each of 10 × 8 cells of a photo? n = 80, all whole; darker ones come later."""

    name = "ascii_art"
    traits = (SYMMETRIC,)
    reachable = False
    ROWS, COLUMNS, CELL = 8, 10, (8, 6)
    CHARACTERS = " .'-:~+=/\\|<>xo*VYAHNMW@#"[:24]

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        face, glyphs = ImageFont.truetype(FONT, 8), []
        for character in self.CHARACTERS:
            picture = Image.new("L", self.CELL[::-1], 0)
            ImageDraw.Draw(picture).text((3, 4), character, 255, font=face, anchor="mm")
            glyphs.append(np.array(picture, np.float32) / 255)
        glyphs.sort(key=lambda glyph: float(glyph.sum()))
        self.glyphs = torch.from_numpy(np.stack(glyphs))
        start = np.full((self.ROWS, self.COLUMNS), len(glyphs) // 2)
        return {"character": Part(start, 0, len(glyphs) - 1, kind="integer")}

    def target(self, rng: np.random.Generator) -> Tensor:
        size = (self.ROWS * self.CELL[0], self.COLUMNS * self.CELL[1])
        return 0.7 * interpolate(photo(rng, 64).mean(0)[None, None], size, mode="bilinear", align_corners=False)[0]

    def draw(self, *, character: Tensor) -> Tensor:
        cells = self.glyphs[character.long()]  # [B, rows, columns, h, w]
        return cells.transpose(2, 3).flatten(3, 4).flatten(1, 2)[:, None]


class Weave(Batched):
    """A cloth from a loom of four shafts: threading, treadling, tie-up and two threads' colours; n = 62, mixed."""

    name = "weave"
    traits = (MANY,)
    THREADS, SHAFTS = 20, 4

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        zigzag = np.abs((np.arange(self.THREADS) + rng.integers(6)) % 6 - 3)
        found = {}
        for name in ("threading", "treadling"):
            odd = rng.random(self.THREADS) < 0.2
            goal = np.where(odd, rng.integers(0, self.SHAFTS, self.THREADS), zigzag).astype(float)
            start = rng.integers(0, self.SHAFTS, self.THREADS).astype(float)
            found[name] = Part(start, 0, self.SHAFTS - 1, kind="integer", goal=goal)
        twill = (np.arange(4)[:, None] + np.arange(4)) % 4 < 2
        start = (rng.random((4, 4)) < 0.5).astype(float)
        found["tie_up"] = Part(start, kind="binary", goal=(twill ^ (rng.random((4, 4)) < 0.1)).astype(float))
        dark, light = rng.uniform(0, 0.45, 3), rng.uniform(0.55, 1, 3)
        found["colours"] = Part(np.full((2, 3), [[0.4], [0.6]]), 0, 1, goal=np.stack([dark, light]))
        return found

    def draw(self, *, threading: Tensor, treadling: Tensor, tie_up: Tensor, colours: Tensor) -> Tensor:
        rows = torch.arange(len(tie_up))[:, None, None]
        raised = tie_up[rows, treadling.long()[:, :, None], threading.long()[:, None, :]]  # [B, picks, ends]
        raised = raised.repeat_interleave(2, 1).repeat_interleave(2, 2)
        return torch.lerp(colours[:, 0, :, None, None], colours[:, 1, :, None, None], raised[:, None])


PROBLEMS = (Halftone, Stipple, AsciiArt, Weave)
