"""Strokes with hard edges: cubic Bézier curves of a width and a grey, drawn in a batch, without derivatives.

    stroke(p) = a segment of the curve is nearer to the pixel's centre p than width / 2

A pixel is inside a stroke or outside, so the image is constant almost everywhere, and has no derivative of use.

    >>> import zg
    >>> space = stroke_space(strokes=2)
    >>> layer = zg.Layer(Strokes(size=16), space=space, batched=True, tensors=True)
    >>> layer(space.init.float()[None]).shape, space.n
    (torch.Size([1, 1, 16, 16]), 20)
"""

import torch
from torch import Tensor

from zg.errors import check_whole
from zg.space import Block, ParameterSpace

# Straight segments of a curve. The largest distance from a curve in the unit square is then about 1/100.
SEGMENTS = 12
# Bounds of a width, as a fraction of the image.
THINNEST, WIDEST = 0.03, 0.25
# Widths and greys of the start; scaled units of a width, so that σ = 0.1 changes it by a hundredth of the image.
WIDTH, GREY, WIDTH_SCALE = 0.1, 0.9, 0.1


def stroke_space(strokes: int) -> ParameterSpace:
    """Control points [S, 4, 2] in the unit square (x to the right, y down), widths [S] and greys [S]: n = 10 S.

    The start is a fan of vertical strokes.
    """
    check_whole(strokes=strokes)
    across = torch.linspace(0.3, 0.7, strokes)[:, None].expand(strokes, 4)
    down = torch.linspace(0.2, 0.8, 4).expand(strokes, 4)
    return ParameterSpace(
        points=Block(torch.stack([across, down], dim=-1), low=0.0, high=1.0),
        width=Block(torch.full((strokes,), WIDTH), low=THINNEST, high=WIDEST, scale=WIDTH_SCALE),
        grey=Block(torch.full((strokes,), GREY), low=0.0, high=1.0),
    )


class Strokes:
    """Draws strokes on black, the later ones over the earlier ones. size: pixels of a side."""

    def __init__(self, size: int = 28) -> None:
        check_whole(size=size)
        centres = (torch.arange(size, dtype=torch.float64) + 0.5) / size
        y, x = torch.meshgrid(centres, centres, indexing="ij")
        self.size, self.pixels = size, torch.stack([x, y], dim=-1).reshape(-1, 2)

    @torch.no_grad()
    def __call__(self, points: Tensor, width: Tensor, grey: Tensor) -> Tensor:
        """Points [B, S, 4, 2], widths and greys [B, S] -> images [B, 1, H, W]."""
        image = points.new_zeros(len(points), len(self.pixels))
        for k in range(points.shape[1]):
            inside = self.distance(points[:, k]) < width[:, k, None] / 2
            image = torch.where(inside, grey[:, k, None], image)
        return image.reshape(len(points), 1, self.size, self.size)

    def distance(self, points: Tensor) -> Tensor:
        """The distance [B, H · W] of each pixel's centre from the curve with control points [B, 4, 2]."""
        t = torch.linspace(0, 1, SEGMENTS + 1, dtype=points.dtype)
        bernstein = torch.stack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3], dim=1)
        nodes = bernstein @ points
        pixels, least = self.pixels.to(points), None
        for start, end in zip(nodes[:, :-1].unbind(1), nodes[:, 1:].unbind(1), strict=True):
            along, from_start = (end - start)[:, None], pixels - start[:, None]
            length = along.square().sum(-1).clamp_min(torch.finfo(points.dtype).tiny)
            place = ((from_start * along).sum(-1) / length).clamp(0, 1)
            square = (from_start - place[..., None] * along).square().sum(-1)
            least = square if least is None else torch.minimum(least, square)
        assert least is not None
        return least.sqrt()
