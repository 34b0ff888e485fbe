"""Cameras and projectors whose numbers are wanted: pose, lens, and a projector on a wall."""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from benchmarks.zoo.base import HARD, MANY, Batched, Part, boxed, photo, pixel_centres


def sampled(picture: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """A picture [C, H, W] over [−1, 1]² at places [B, H', W'], bilinear, black outside -> [B, C, H', W']."""
    grid = torch.stack([x, y], -1)
    return grid_sample(picture.expand(len(grid), -1, -1, -1), grid, align_corners=False)


class CameraPose(Batched):
    """From where is a chessboard with a mark seen? Rotation, place, focal length; n = 7. Squares have hard edges."""

    name = "camera_pose"
    traits = (HARD, MANY)
    SIZE = 40

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        self.x, self.y = (axis.reshape(1, -1) for axis in pixel_centres(self.SIZE, -1, 1))
        return {
            "rotation": boxed(rng, [-0.7, -0.7, -1.2], [0.7, 0.7, 1.2], 3, share=0.3),
            "place": boxed(rng, [-0.8, -0.8, 3], [0.8, 0.8, 6], 3, share=0.25),
            "focal": boxed(rng, 1.5, 3.5, share=0.2),
        }

    def draw(self, *, rotation: Tensor, place: Tensor, focal: Tensor) -> Tensor:
        a, b, c = rotation.unbind(-1)
        zero, one = torch.zeros_like(a), torch.ones_like(a)
        about_x = torch.stack([one, zero, zero, zero, a.cos(), -a.sin(), zero, a.sin(), a.cos()], -1)
        about_y = torch.stack([b.cos(), zero, b.sin(), zero, one, zero, -b.sin(), zero, b.cos()], -1)
        about_z = torch.stack([c.cos(), -c.sin(), zero, c.sin(), c.cos(), zero, zero, zero, one], -1)
        turn = matrix_product(about_x, about_y, about_z)
        ways = torch.stack(torch.broadcast_tensors(self.x, self.y, focal[:, None]), -1) @ turn.mT
        origin = (turn @ -place[..., None])[..., 0]  # of the camera, where the board is z = 0
        along = -origin[:, None, 2] / ways[..., 2]
        u, v = (origin[:, None, :2] + along[..., None] * ways[..., :2]).unbind(-1)
        squares = ((u * 2.5).floor() + (v * 2.5).floor()) % 2
        squares = torch.where((u - 0.6).square() + (v - 0.6).square() < 0.12, 0.5, squares)  # tells the corners apart
        on_board = (along > 0) & (u.abs() < 1.2) & (v.abs() < 1.2)
        return torch.where(on_board, 0.1 + 0.8 * squares, 0.35).unflatten(1, (1, self.SIZE, self.SIZE))


def matrix_product(*matrices: Tensor) -> Tensor:
    """The product of matrices [B, 9], as [B, 3, 3]."""
    first, *others = (matrix.unflatten(-1, (3, 3)) for matrix in matrices)
    for other in others:
        first = first @ other
    return first


class Lens(Batched):
    """Radial and tangential distortion, middle, scale and vignette of a lens on a photo; n = 9, without bounds."""

    name = "lens"
    SIZE = 40

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        self.x, self.y = pixel_centres(self.SIZE, -1, 1)
        self.scene = photo(rng, 64)
        return {
            "radial": boxed(rng, [-0.4, -0.2, -0.1], [0.4, 0.2, 0.1], 3, start=0, bounded=False),
            "tangential": boxed(rng, -0.1, 0.1, 2, start=0, bounded=False),
            "middle": boxed(rng, -0.2, 0.2, 2, start=0, bounded=False),
            "log_scale": boxed(rng, -0.3, 0.1, start=0, bounded=False),
            "vignette": boxed(rng, 0, 0.5, start=0, bounded=False),
        }

    def draw(
        self, *, radial: Tensor, tangential: Tensor, middle: Tensor, log_scale: Tensor, vignette: Tensor
    ) -> Tensor:
        x, y = self.x - middle[:, 0, None, None], self.y - middle[:, 1, None, None]
        squared = x.square() + y.square()
        k1, k2, k3 = radial[..., None, None].unbind(1)
        p1, p2 = tangential[..., None, None].unbind(1)
        stretch = log_scale.exp()[:, None, None] * (1 + squared * (k1 + squared * (k2 + squared * k3)))
        u = stretch * x + 2 * p1 * x * y + p2 * (squared + 2 * x.square())
        v = stretch * y + 2 * p2 * x * y + p1 * (squared + 2 * y.square())
        return sampled(self.scene, u, v) * (1 - vignette[:, None, None] * squared / 2)[:, None]


class Projector(Batched):
    """A projector on a wall: homography, mix of colours, gamma and room light, in three patterns; n = 19, no bounds."""

    name = "projector"
    SIZE = 28

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        self.x, self.y = pixel_centres(self.SIZE, -1, 1)
        x, y = pixel_centres(48, -1, 1)
        stripes = torch.stack([(9 * x).sin(), (7 * y + 1).sin(), (6 * (x + y)).sin()]) > 0
        rings = (12 * torch.hypot(x - 0.2, y + 0.1)).sin().expand(3, -1, -1) * 0.5 + 0.5
        self.patterns = torch.stack([stripes.float(), rings, photo(rng, 48)])
        straight = np.array([1, 0, 0, 0, 1, 0, 0, 0.0])
        bend = rng.uniform(-1, 1, 8) * [0.15, 0.15, 0.25, 0.15, 0.15, 0.25, 0.15, 0.15]
        return {
            "homography": Part(straight, goal=straight + bend),
            "mix": Part(np.eye(3), goal=np.eye(3) * rng.uniform(0.6, 1, 3) + rng.uniform(0, 0.2, (3, 3))),
            "log_gamma": boxed(rng, -0.2, 0.8, start=0, bounded=False),
            "ambient": boxed(rng, 0, 0.2, start=0, bounded=False),
        }

    def draw(self, *, homography: Tensor, mix: Tensor, log_gamma: Tensor, ambient: Tensor) -> Tensor:
        h = homography[..., None, None].unbind(1)
        depth = (h[6] * self.x + h[7] * self.y + 1).clamp_min(0.1)
        u, v = (h[0] * self.x + h[1] * self.y + h[2]) / depth, (h[3] * self.x + h[4] * self.y + h[5]) / depth
        seen = sampled(self.patterns.flatten(0, 1), u, v).clamp_min(1e-4) ** log_gamma.exp().reshape(-1, 1, 1, 1)
        seen = seen.unflatten(1, (3, 3))  # [B, V, 3, H, W]
        return torch.einsum("bij,bvjhw->bvihw", mix, seen) + ambient.reshape(-1, 1, 1, 1, 1)


PROBLEMS = (CameraPose, Lens, Projector)
