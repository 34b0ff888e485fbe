"""Words set by FreeType through Pillow, in matplotlib's DejaVu Sans: layouts, letters and the breaking of lines."""

import math
from functools import lru_cache
from pathlib import Path

import matplotlib
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from benchmarks.zoo.base import HARD, MANY, SYMMETRIC, Array, Batched, Painted, Part, boxed

FONT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
WORDS = "Zero gray Edge noise mesh 42 & light curve pixel Ray depth Loss blend shade 7 splat query Wave atlas".split()


@lru_cache(maxsize=256)
def font(size: float) -> ImageFont.FreeTypeFont:
    """The font at a size in pixels, rounded to a quarter."""
    return ImageFont.truetype(FONT, round(4 * size) / 4)


class TextLayout(Painted):
    """Place, size, angle and grey of five words on 80 × 60; n = 25. They start near."""

    name = "text_layout"
    traits = (HARD,)

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        self.words = rng.choice(WORDS, 5, replace=False)
        spread = np.array([[20, 12], [55, 14], [40, 30], [22, 45], [60, 46]]) + rng.uniform(-4, 4, (5, 2))
        start = spread + rng.uniform(-1, 1, (5, 2)) * [8, 6]
        return {
            "place": Part(start.clip([6, 6], [74, 54]), [5.0, 5.0], [75.0, 55.0], goal=spread),
            "size": boxed(rng, 6, 22, 5, share=0.2),
            "angle": boxed(rng, -0.6, 0.6, 5, share=0.2),
            "grey": boxed(rng, 0, 0.8, 5, share=0.35),
        }

    def paint(self, place: Array, size: Array, angle: Array, grey: Array) -> Image.Image:
        picture = Image.new("L", (80, 60), 255)
        for word, centre, height, turn, shade in zip(self.words, place, size, angle, grey, strict=True):
            mask, middle = Image.new("L", picture.size, 0), tuple(centre)
            ImageDraw.Draw(mask).text(middle, word, 255, font=font(height), anchor="mm")
            mask = mask.rotate(math.degrees(turn), Image.Resampling.BILINEAR, center=middle)
            picture.paste(round(255 * shade), (0, 0), mask)
        return picture


class ScatteredLetters(Painted):
    """Where do eight letters go on 72 × 48? n = 16. All start in the middle, one over the other."""

    name = "scattered_letters"
    traits = (HARD, SYMMETRIC)

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        self.letters = rng.choice(list("ABCDEFGHKLMNPRSTUVXYZ"), 8, replace=False)
        self.greys = rng.integers(0, 150, 8)
        return {"place": boxed(rng, 0, [72, 48], 8, 2, start=[36, 24])}

    def paint(self, place: Array) -> Image.Image:
        picture = Image.new("L", (72, 48), 255)
        pen = ImageDraw.Draw(picture)
        for letter, grey, centre in zip(self.letters, self.greys, place, strict=True):
            pen.text(tuple(centre), letter, int(grey), font=font(16), anchor="mm")
        return picture


class Paragraph(Painted):
    """A paragraph on 72²: corner, width, leading and grey are real, size and bold are whole; n = 7.

    Where a line has no room for a word, the word and all that follow it jump.
    """

    name = "paragraph"
    traits = (HARD, MANY)
    SIZE = 72

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        self.words = rng.choice(WORDS, 20)
        return {
            "corner": boxed(rng, 0, 24, 2, share=0.5),
            "width": boxed(rng, 30, 64, share=0.5),
            "leading": boxed(rng, 0.9, 1.8, share=0.5),
            "size": boxed(rng, 6, 12, share=0.5, kind="integer"),
            "bold": boxed(rng, 0, 1, share=1, kind="binary"),
            "grey": boxed(rng, 0, 0.8, share=0.5),
        }

    def paint(self, corner: Array, width: Array, leading: Array, size: Array, bold: Array, grey: Array) -> Image.Image:
        picture = Image.new("L", (self.SIZE, self.SIZE), 255)
        pen, face = ImageDraw.Draw(picture), font(float(size))
        x, y = 0.0, 0.0
        space = face.getlength(" ")
        for word in self.words:
            length = face.getlength(word)
            if x and x + length > width:
                x, y = 0.0, y + float(leading * size)
            if corner[1] + y > self.SIZE:
                break
            place = (float(corner[0]) + x, float(corner[1]) + y)
            pen.text(place, word, round(255 * float(grey)), font=face, stroke_width=int(bold))
            x += length + space
        return picture


class Headline(Batched):
    """An affine map of a word, filtered bilinearly, 40²; n = 6, without bounds."""

    name = "headline"
    traits = (MANY,)
    SIZE = 40

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        picture = Image.new("L", (96, 96), 0)
        word = str(rng.choice([word for word in WORDS if len(word) >= 4]))
        ImageDraw.Draw(picture).text((48, 48), word, 255, font=font(30), anchor="mm")
        self.word = torch.from_numpy(np.array(picture, np.float32))[None, None] / 255
        turn, zoom = rng.uniform(-0.6, 0.6), rng.uniform(0.8, 1.1)
        goal = zoom * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        goal += rng.uniform(-0.15, 0.15, (2, 2))
        return {
            "matrix": Part(goal + rng.uniform(-0.4, 0.4, (2, 2)), goal=goal),
            "shift": boxed(rng, -0.4, 0.4, 2, share=0.5, bounded=False),
        }

    def draw(self, *, matrix: Tensor, shift: Tensor) -> Tensor:
        maps = torch.cat([matrix, shift[..., None]], -1)
        grid = affine_grid(maps, [len(maps), 1, self.SIZE, self.SIZE], align_corners=False)
        return grid_sample(self.word.expand(len(maps), -1, -1, -1), grid, align_corners=False)


PROBLEMS = (TextLayout, ScatteredLetters, Paragraph, Headline)
