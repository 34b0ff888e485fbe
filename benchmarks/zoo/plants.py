"""L-systems: trees by parametric rules, a rewriting rule that has to be found, and a meadow."""

import numpy as np
from PIL import Image, ImageDraw

from benchmarks.zoo.base import HARD, MANY, SYMMETRIC, Array, Painted, Part, boxed

#: What the numbers of a rule mean: F draws a step, + and − turn, and a bracket is a side branch.
SYMBOLS = ("F", "+", "-", "[+F]", "[-F]")


class Tree(Painted):
    """A tree of three branches a fork, 56²: angles, ratios, bend and width are real, the depth is whole; n = 9."""

    name = "tree"
    traits = (HARD,)
    SIZE = 56

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        return {
            "depth": boxed(rng, 2, 5, kind="integer", share=0.4),
            "trunk": boxed(rng, 8, 18, share=0.3),
            "angles": boxed(rng, [-1.2, -0.4, 0.2], [-0.2, 0.4, 1.2], 3, share=0.25),
            "ratios": boxed(rng, 0.5, 0.85, 3, share=0.3),
            "width": boxed(rng, 1, 5, share=0.4),
        }

    def paint(self, depth: Array, trunk: Array, angles: Array, ratios: Array, width: Array) -> Image.Image:
        picture = Image.new("L", (self.SIZE, self.SIZE), 230)
        pen = ImageDraw.Draw(picture)
        place, way, length = np.array([[self.SIZE / 2, self.SIZE - 2.0]]), np.zeros(1), np.full(1, trunk)
        for level in range(int(depth) + 1):
            ends = place + length[:, None] * np.stack([np.sin(way), -np.cos(way)], 1)
            thick = max(1, round(float(width) * 0.6**level))
            for line in np.concatenate([place, ends], 1).tolist():
                pen.line(line, fill=30 + 20 * level, width=thick)
            place = ends.repeat(3, 0)
            way, length = (way[:, None] + angles).ravel(), (length[:, None] * ratios).ravel()
        return picture


class Rule(Painted):
    """Which rule for F made this plant, 48²? Seven symbols of five kinds and the angle, applied twice; n = 8, mixed."""

    name = "rule"
    traits = (HARD, MANY)
    SIZE, LENGTH = 48, 7

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        symbols = boxed(rng, 0, len(SYMBOLS) - 1, self.LENGTH, share=0.5, kind="integer")
        first, last = np.array(symbols.goal)[[0, -1]]
        goal = np.array([0, *np.array(symbols.goal)[1:-1], 0]) if first or last else np.array(symbols.goal)
        return {
            "symbols": Part(symbols.init, symbols.low, symbols.high, kind="integer", goal=goal),
            "angle": boxed(rng, 0.2, 1.2, share=0.3),
        }

    def paint(self, symbols: Array, angle: Array) -> Image.Image:
        rule = "".join(SYMBOLS[int(symbol)] for symbol in symbols)
        picture = Image.new("L", (self.SIZE, self.SIZE), 0)
        pen = ImageDraw.Draw(picture)
        x, y, way, stack = self.SIZE / 2, self.SIZE - 2.0, 0.0, []
        for symbol in "F".replace("F", rule).replace("F", rule):
            if symbol == "F":
                ahead = (x + 3.5 * np.sin(way), y - 3.5 * np.cos(way))
                pen.line([(x, y), ahead], fill=255)
                x, y = ahead
            elif symbol == "[":
                stack.append((x, y, way))
            elif symbol == "]":
                x, y, way = stack.pop()
            else:
                way += float(angle) if symbol == "+" else -float(angle)
        return picture


class Meadow(Painted):
    """Fourteen flowers in a row, 64 × 40: place, height, lean, petals' size and tint; n = 70. All start equal."""

    name = "meadow"
    traits = (HARD, SYMMETRIC)
    COUNT = 14

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        return {
            "place": boxed(rng, 0, 64, self.COUNT, start=np.linspace(4, 60, self.COUNT)),
            "height": boxed(rng, 5, 36, self.COUNT, start=16),
            "lean": boxed(rng, -0.8, 0.8, self.COUNT, start=0),
            "petals": boxed(rng, 0.5, 6, self.COUNT, start=2.5),
            "tint": boxed(rng, 0, 1, self.COUNT, start=0.5),
        }

    def paint(self, place: Array, height: Array, lean: Array, petals: Array, tint: Array) -> Image.Image:
        picture = Image.new("RGB", (64, 40), (190, 215, 235))
        pen = ImageDraw.Draw(picture)
        for x, tall, way, size, hue in zip(place, height, lean, petals, tint, strict=True):
            top = (x + tall * np.sin(way), 39 - tall * np.cos(way))
            middle = (x + 0.5 * tall * np.sin(0.5 * way), 39 - 0.5 * tall)
            pen.line([(x, 39), middle, top], fill=(50, 110, 40), width=2)
            colour = (int(255 * hue), 60, int(255 * (1 - hue)))
            pen.ellipse([top[0] - size, top[1] - size, top[0] + size, top[1] + size], fill=colour)
        return picture


PROBLEMS = (Tree, Rule, Meadow)
