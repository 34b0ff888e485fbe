"""Curves: Bézier strokes, filled outlines, and a curve that a machine draws."""

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from benchmarks.zoo.base import (
    HARD,
    MANY,
    SYMMETRIC,
    Array,
    Batched,
    Painted,
    Part,
    boxed,
    photo,
    pixel_centres,
    without_goal,
)


def bernstein(points: int) -> Array:
    """Weights [points, 4] of the control points of a cubic Bézier curve."""
    t = np.linspace(0, 1, points)[:, None]
    return np.concatenate([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3], 1)


class Brushwork(Painted):
    """Sixteen opaque strokes against a photo of 40²; n = 192. All start grey, on grey."""

    name = "brushwork"
    traits = (HARD, SYMMETRIC)
    reachable = False
    COUNT, SIZE = 16, 40

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        self.curve = bernstein(8)
        centres = rng.uniform(0.1, 0.9, (self.COUNT, 1, 2))
        control = np.clip(centres + rng.normal(0, 0.15, (self.COUNT, 4, 2)), -0.2, 1.2)
        return {
            "control": Part(control, -0.2, 1.2),
            "width": without_goal(boxed(rng, 1, 12, self.COUNT, start=5)),
            "colour": without_goal(boxed(rng, 0, 1, self.COUNT, 3, start=0.5)),
        }

    def target(self, rng: np.random.Generator) -> Tensor:
        return (255 * photo(rng, self.SIZE)).round() / 255

    def paint(self, control: Array, width: Array, colour: Array) -> Image.Image:
        picture = Image.new("RGB", (self.SIZE, self.SIZE), (127, 127, 127))
        pen = ImageDraw.Draw(picture)
        fills = (255 * colour).astype(int).tolist()
        for curve, thick, fill in zip(self.curve @ control * self.SIZE, width, fills, strict=True):
            pen.line([tuple(point) for point in curve], fill=tuple(fill), width=round(thick), joint="curve")
        return picture


class Outline(Painted):
    """A filled closed curve through ten points, 56²; n = 20. It starts as a small circle in the middle."""

    name = "outline"
    traits = (HARD, SYMMETRIC)
    POINTS, SIZE = 10, 56

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        angles = 2 * np.pi * np.arange(self.POINTS) / self.POINTS
        round_ = np.stack([np.cos(angles), np.sin(angles)], 1)
        middle = self.SIZE / 2
        goal = middle + rng.uniform(-6, 6, 2) + rng.uniform(7, 22, (self.POINTS, 1)) * round_
        t = np.linspace(0, 1, 6, endpoint=False)[:, None]
        self.weights = 0.5 * np.concatenate(
            [-(t**3) + 2 * t**2 - t, 3 * t**3 - 5 * t**2 + 2, -3 * t**3 + 4 * t**2 + t, t**3 - t**2], 1
        )  # Catmull and Rom's
        return {"points": Part(middle + 6 * round_, 0.0, float(self.SIZE), goal=np.clip(goal, 2, self.SIZE - 2))}

    def paint(self, points: Array) -> Image.Image:
        picture = Image.new("L", (self.SIZE, self.SIZE), 240)
        around = np.stack([np.roll(points, shift, 0) for shift in (1, 0, -1, -2)], 1)  # [K, 4, 2]
        curve = (self.weights @ around).reshape(-1, 2)
        ImageDraw.Draw(picture).polygon([tuple(point) for point in curve], fill=40)
        return picture


class Ink(Batched):
    """Three soft strokes of varying width, 28²; n = 33, without bounds. They start near."""

    name = "ink"
    COUNT, POINTS, SIZE = 3, 14, 28

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        self.x, self.y = (axis.reshape(-1) for axis in pixel_centres(self.SIZE))
        self.curve = torch.from_numpy(bernstein(self.POINTS)).float()
        return {
            "control": boxed(rng, 0, 1, self.COUNT, 4, 2, share=0.15, bounded=False),
            "log_width": boxed(rng, -3.5, -2.5, self.COUNT, 2, share=0.3, bounded=False),
            "grey": boxed(rng, 0.5, 1, self.COUNT, share=0.5, bounded=False),
        }

    def draw(self, *, control: Tensor, log_width: Tensor, grey: Tensor) -> Tensor:
        points = self.curve @ control  # [B, K, T, 2]
        first, along = points[:, :, :-1, None], points[:, :, 1:, None] - points[:, :, :-1, None]
        right, down = self.x - first[..., 0], self.y - first[..., 1]  # [B, K, T, P]
        length = along.square().sum(-1).clamp_min(1e-12)
        share = ((right * along[..., 0] + down * along[..., 1]) / length).clamp(0, 1)
        away = torch.hypot(right - share * along[..., 0], down - share * along[..., 1])
        place = (torch.arange(self.POINTS - 1)[:, None] + share) / (self.POINTS - 1)
        width = torch.lerp(log_width[:, :, None, None, 0], log_width[:, :, None, None, 1], place).exp()
        cover = ((width - away) * 2 * self.SIZE).sigmoid().amax(2)
        image = 1 - (1 - grey[..., None] * cover).prod(1)
        return image.unflatten(1, (1, self.SIZE, self.SIZE))


class Spirograph(Painted):
    """The thin line of a wheel that rolls in a wheel, 56²; n = 6. Its ratio has a minimum at every other pattern."""

    name = "spirograph"
    traits = (HARD, MANY)
    SIZE = 56

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        self.t = np.linspace(0, 12 * np.pi, 400)
        return {
            "centre": boxed(rng, [20, 20], [36, 36], 2, share=0.4),
            "radius": boxed(rng, 6, 18, share=0.4),
            "pen": boxed(rng, 0, 12, share=0.4),
            "ratio": boxed(rng, 1.5, 5, share=0.2),
            "phase": boxed(rng, -1.5, 1.5, share=0.4),
        }

    def paint(self, centre: Array, radius: Array, pen: Array, ratio: Array, phase: Array) -> Image.Image:
        picture = Image.new("L", (self.SIZE, self.SIZE), 0)
        slow, fast = self.t + phase, ratio * self.t
        x = centre[0] + radius * np.cos(slow) + pen * np.cos(fast)
        y = centre[1] + radius * np.sin(slow) - pen * np.sin(fast)
        ImageDraw.Draw(picture).line(np.stack([x, y], 1).ravel().tolist(), fill=255)
        return picture


PROBLEMS = (Brushwork, Outline, Ink, Spirograph)
