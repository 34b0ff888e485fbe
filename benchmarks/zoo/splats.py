"""Soft splats: sorted by depth and composited, added up, or points in space that two cameras see."""

import numpy as np
import torch
from torch import Tensor

from benchmarks.zoo.base import SYMMETRIC, Batched, Part, boxed, photo, pixel_centres, without_goal


def composite(alpha: Tensor, colour: Tensor, ground: float) -> Tensor:
    """alpha [B, K, P] and colour [B, K, 3], front first -> images [B, 3, P] over a grey ground."""
    clear = (1 - alpha).cumprod(1)
    seen = alpha * torch.cat([torch.ones_like(clear[:, :1]), clear[:, :-1]], 1)
    return colour.mT @ seen + ground * clear[:, -1:]


def by_depth(depth: Tensor, *parts: Tensor) -> list[Tensor]:
    """Parts [B, K, ...] in the order of their depths [B, K], front first."""
    order = depth.argsort(stable=True, dim=1)
    rows = torch.arange(len(depth))[:, None]
    return [part[rows, order] for part in parts]


class DepthSplats(Batched):
    """80 anisotropic splats, sorted by depth, against a photo of 16²; n = 800. All start grey, on grey."""

    name = "depth_splats"
    traits = (SYMMETRIC,)
    reachable = False
    COUNT, SIZE = 80, 16

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        self.x, self.y = (axis.reshape(-1) for axis in pixel_centres(self.SIZE))
        k = self.COUNT
        found = {
            "place": boxed(rng, 0, 1, k, 2, share=1),
            "log_size": boxed(rng, -4.5, -1, k, 2, start=rng.uniform(-3, -2.4, (k, 2))),
            "turn": boxed(rng, -1.6, 1.6, k, start=rng.uniform(-0.5, 0.5, k)),
            "colour": boxed(rng, 0, 1, k, 3, start=0.5),
            "opacity": boxed(rng, 0, 1, k, start=0.5),
            "depth": boxed(rng, 0, 1, k, share=1),
        }
        return {name: without_goal(part) for name, part in found.items()}

    def target(self, rng: np.random.Generator) -> Tensor:
        return photo(rng, self.SIZE)

    def draw(
        self, *, place: Tensor, log_size: Tensor, turn: Tensor, colour: Tensor, opacity: Tensor, depth: Tensor
    ) -> Tensor:
        place, log_size, turn, colour, opacity = by_depth(depth, place, log_size, turn, colour, opacity)
        right, down = self.x - place[..., :1], self.y - place[..., 1:]
        cos, sin = turn.cos()[..., None], turn.sin()[..., None]
        stiff = (-2 * log_size).exp()
        away = (cos * right + sin * down) ** 2 * stiff[..., :1] + (cos * down - sin * right) ** 2 * stiff[..., 1:]
        alpha = (opacity[..., None] * (-0.5 * away).exp()).clamp_max(0.99)
        return composite(alpha, colour, 0.5).unflatten(2, (self.SIZE, self.SIZE))


class Blobs(Batched):
    """Ten round splats, added up, 24²; n = 60, without bounds. They start near."""

    name = "blobs"
    COUNT, SIZE = 10, 24

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        self.x, self.y = (axis.reshape(-1) for axis in pixel_centres(self.SIZE))
        k = self.COUNT
        return {
            "place": boxed(rng, 0, 1, k, 2, share=0.15, bounded=False),
            "log_size": boxed(rng, -2.8, -1.6, k, share=0.3, bounded=False),
            "colour": boxed(rng, -0.3, 0.8, k, 3, share=0.3, bounded=False),
        }

    def draw(self, *, place: Tensor, log_size: Tensor, colour: Tensor) -> Tensor:
        away = (self.x - place[..., :1]) ** 2 + (self.y - place[..., 1:]) ** 2
        share = (-0.5 * away * (-2 * log_size)[..., None].exp()).exp()
        return (0.2 + colour.mT @ share).unflatten(2, (self.SIZE, self.SIZE))


class PointCloud(Batched):
    """40 points in space, seen by two cameras, 20² each; n = 280, without bounds. All start grey, on grey."""

    name = "point_cloud"
    traits = (SYMMETRIC,)
    COUNT, SIZE = 40, 20

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        self.x, self.y = (axis.reshape(-1) for axis in pixel_centres(self.SIZE, -1, 1))
        k, angles = self.COUNT, rng.uniform(0.3, 1.2) * np.array([-0.5, 0.5])
        zero = np.zeros(2)
        rows = [[np.cos(angles), zero, np.sin(angles)], [zero, zero + 1, zero], [-np.sin(angles), zero, np.cos(angles)]]
        self.cameras = torch.tensor(np.array(rows), dtype=torch.float32).permute(2, 0, 1)  # [2, 3, 3]
        return {
            "place": boxed(rng, -0.9, 0.9, k, 3, share=0.25, bounded=False),
            "log_size": boxed(rng, -2.2, -1.2, k, start=-1.8, bounded=False),
            "colour": boxed(rng, 0, 1, k, 3, start=0.5, bounded=False),
        }

    def draw(self, *, place: Tensor, log_size: Tensor, colour: Tensor) -> Tensor:
        views = []
        for camera in self.cameras:
            moved = place @ camera.T
            depth = (3 - moved[..., 2]).clamp_min(0.2)
            flat, size, shade, depth = by_depth(depth, moved[..., :2], log_size, colour, depth)
            flat = 3 * flat / depth[..., None]
            away = (self.x - flat[..., :1]) ** 2 + (self.y - flat[..., 1:]) ** 2
            radius = 3 * size.exp() / depth
            alpha = 0.9 * (-0.5 * away / radius[..., None] ** 2).exp()
            views.append(composite(alpha, shade, 0.5).unflatten(2, (self.SIZE, self.SIZE)))
        return torch.stack(views, 1)


PROBLEMS = (DepthSplats, Blobs, PointCloud)
