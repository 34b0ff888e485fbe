"""Shapes with hard edges, drawn by Pillow in 8 bits: the loss is a staircase, and a hidden shape has no slope."""

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from benchmarks.zoo.base import HARD, MANY, SYMMETRIC, Array, Painted, Part, boxed, photo, without_goal


def byte(colour: Array) -> tuple[int, ...]:
    """A colour in 0 … 1 as Pillow wants it."""
    return tuple(int(255 * value) for value in colour)


class Circle(Painted):
    """One circle on a dark ground of 64²; n = 6. It starts elsewhere, small and grey."""

    name = "circle"
    traits = (HARD,)

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        goal = rng.uniform(14, 50, 2)
        start = goal + rng.uniform(15, 25) * np.sign(32 - goal)  # across the middle: the two hardly overlap
        return {
            "position": Part(np.clip(start, 4, 60), 0, 64, goal=goal),
            "radius": Part([rng.uniform(5, 8)], 1, 32, goal=[rng.uniform(8, 15)]),
            "colour": Part([0.5, 0.5, 0.5], 0, 1, goal=rng.uniform(0.05, 0.95, 3)),
        }

    def paint(self, position: Array, radius: Array, colour: Array) -> Image.Image:
        picture = Image.new("RGB", (64, 64), (20, 20, 40))
        corners = [*(position - radius), *(position + radius)]
        ImageDraw.Draw(picture).ellipse(corners, fill=byte(colour))
        return picture


class Stamp(Painted):
    """Where is the star? Its centre on a ground of stripes; n = 2. It may start anywhere."""

    name = "stamp"
    traits = (HARD, MANY)

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        turn = rng.uniform(0, 2 * np.pi) + np.pi * np.arange(10) / 5
        reach = rng.uniform(12, 16) * np.where(np.arange(10) % 2, 0.45, 1)
        self.corners = np.stack([reach * np.cos(turn), reach * np.sin(turn)], 1)
        columns, rows = np.meshgrid(np.arange(64), np.arange(64))
        stripes = 0.25 + 0.1 * np.sin(columns * rng.uniform(0.1, 0.3) + rows * rng.uniform(0.1, 0.3))
        self.ground = Image.fromarray((255 * stripes).astype(np.uint8))
        return {"position": boxed(rng, 0, 64, 2, share=1)}

    def paint(self, position: Array) -> Image.Image:
        picture = self.ground.copy()
        ImageDraw.Draw(picture).polygon([tuple(corner) for corner in position + self.corners], fill=230)
        return picture


class Rectangles(Painted):
    """Six opaque, turned rectangles, one over the other, 48²; n = 48. They start near."""

    name = "rectangles"
    traits = (HARD,)
    COUNT, SIZE = 6, 48

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        return {
            "centre": boxed(rng, 0, self.SIZE, self.COUNT, 2, share=0.2),
            "extent": boxed(rng, 3, 18, self.COUNT, 2, share=0.2),
            "angle": boxed(rng, -1.6, 1.6, self.COUNT, share=0.15),
            "colour": boxed(rng, 0, 1, self.COUNT, 3, share=0.3),
        }

    def paint(self, centre: Array, extent: Array, angle: Array, colour: Array) -> Image.Image:
        picture = Image.new("RGB", (self.SIZE, self.SIZE), (235, 230, 215))
        pen = ImageDraw.Draw(picture)
        signs = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
        for middle, half, turn, fill in zip(centre, extent, angle, colour, strict=True):
            along = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
            pen.polygon([tuple(corner) for corner in middle + signs * half @ along], fill=byte(fill))
        return picture


class GreyDiscs(Painted):
    """Twelve opaque discs on grey, 48²; n = 72. At the start they are equal, and as grey as the ground."""

    name = "grey_discs"
    traits = (HARD, SYMMETRIC)
    SIZE = 48

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        across, down = np.meshgrid([6, 18, 30, 42], [8, 24, 40])
        return {
            "centre": boxed(rng, 0, self.SIZE, 12, 2, start=np.stack([across.ravel(), down.ravel()], 1)),
            "radius": boxed(rng, 1, 16, 12, start=6),
            "colour": boxed(rng, 0, 1, 12, 3, start=0.5),
        }

    def paint(self, centre: Array, radius: Array, colour: Array) -> Image.Image:
        picture = Image.new("RGB", (self.SIZE, self.SIZE), (127, 127, 127))
        pen = ImageDraw.Draw(picture)
        for (x, y), r, fill in zip(centre, radius, colour, strict=True):
            pen.ellipse([x - r, y - r, x + r, y + r], fill=byte(fill))
        return picture


class Triangles(Painted):
    """Twenty translucent triangles against a photo of 48²; n = 200. All start grey, on grey."""

    name = "triangles"
    traits = (HARD, SYMMETRIC)
    reachable = False
    COUNT, SIZE = 20, 48

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        corners = rng.uniform(0, 1, (self.COUNT, 1, 2)) + rng.normal(0, 0.2, (self.COUNT, 3, 2))
        return {
            "vertices": Part(np.clip(corners, -0.2, 1.2), -0.2, 1.2),
            "colour": without_goal(boxed(rng, 0, 1, self.COUNT, 3, start=0.5)),
            "alpha": without_goal(boxed(rng, 0.1, 1, self.COUNT, start=0.5)),
        }

    def target(self, rng: np.random.Generator) -> Tensor:
        return (255 * photo(rng, self.SIZE)).round() / 255

    def paint(self, vertices: Array, colour: Array, alpha: Array) -> Image.Image:
        picture = Image.new("RGB", (self.SIZE, self.SIZE), (128, 128, 128))
        pen = ImageDraw.Draw(picture, "RGBA")
        fills = np.rint(255 * np.c_[colour, alpha]).astype(int)
        for corners, fill in zip(self.SIZE * vertices, fills, strict=True):
            pen.polygon([tuple(corner) for corner in corners], fill=tuple(fill))
        return picture


PROBLEMS = (Circle, Stamp, Rectangles, GreyDiscs, Triangles)
