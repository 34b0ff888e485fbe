"""Strokes with hard edges: cubic Bézier curves of a width and a grey, drawn in a batch, without derivatives.

    stroke(p) = a segment of the curve is nearer to the sample p than width / 2

A sample is inside a stroke or outside, so the image is constant almost everywhere, and has no derivative of use. A
pixel is the mean of its samples. `SoftStrokes` has edges with a slope, and derivatives: the bound for what is learned
without them.

    >>> import zg
    >>> space = stroke_space(strokes=2)
    >>> layer = zg.Layer(Strokes(size=16), space=space, batched=True, tensors=True)
    >>> layer(space.init.float()[None]).shape, space.n
    (torch.Size([1, 1, 16, 16]), 20)
"""

import torch
from torch import Tensor

from zg.errors import check_positive, check_whole
from zg.space import Block, ParameterSpace

# Straight segments of a curve. The largest distance from a curve in the unit square is then at most 1/40.
SEGMENTS = 8
# Rows that are drawn together, so that their samples stay in the cache of the processor.
CHUNK = 16
# Added under roots and to squares of lengths.
TINY = 1e-12
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
    """Draws strokes on black, the later ones over the earlier ones, in single precision.

    size: pixels of a side. samples: of a side of a pixel.
    """

    def __init__(self, size: int = 28, samples: int = 1) -> None:
        check_whole(size=size, samples=samples)
        self.size, self.samples = size, samples
        self.centres = (torch.arange(size * samples) + 0.5) / (size * samples)

    @torch.no_grad()
    def __call__(self, points: Tensor, width: Tensor, grey: Tensor) -> Tensor:
        """Points [B, S, 4, 2], widths and greys [B, S] -> images [B, 1, H, W]."""
        chunks = zip(*(part.float().split(CHUNK) for part in (points, width, grey)), strict=True)
        return torch.cat([self.draw(*chunk) for chunk in chunks])

    def draw(self, points: Tensor, width: Tensor, grey: Tensor) -> Tensor:
        """The images of one chunk."""
        covered, greys = self.coverage(self.distance(points), width[..., None, None]), grey[..., None, None]
        image = torch.zeros_like(covered[:, 0])
        for k in range(points.shape[1]):
            image = image + covered[:, k] * (greys[:, k] - image)
        blocks = image.reshape(len(image), 1, self.size, self.samples, self.size, self.samples)
        return blocks.mean((3, 5)) if self.samples > 1 else image[:, None]

    def coverage(self, distance: Tensor, width: Tensor) -> Tensor:
        """Which samples a stroke covers: 0 or 1."""
        return (distance < width / 2).to(distance)

    def distance(self, points: Tensor) -> Tensor:
        """The distance [B, S, …] of each sample from the curves with control points [B, S, 4, 2]."""
        t = torch.linspace(0, 1, SEGMENTS + 1, dtype=points.dtype)
        bernstein = torch.stack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3], dim=1)
        nodes = (bernstein @ points).transpose(-2, -1)
        starts = nodes[..., :-1]
        steps = nodes[..., 1:] - starts
        lengths = steps.square().sum(-2, keepdim=True).clamp_min(TINY)
        # From the start of a segment, [B, S, 2, segments, samples of a side]: x and y apart, as long as it goes.
        offsets = self.centres.to(points) - starts[..., None]
        places = offsets * (steps / lengths)[..., None]
        least = None
        for k in range(SEGMENTS):
            (x, y), (along_x, along_y) = (part[..., k, :].unbind(2) for part in (offsets, places))
            along = (along_x[..., None, :] + along_y[..., :, None]).clamp_(0, 1)
            step_x, step_y = steps[..., k, None, None].unbind(2)
            across = torch.addcmul(x[..., None, :], along, step_x, value=-1)
            down = torch.addcmul(y[..., :, None], along, step_y, value=-1)
            square = torch.addcmul(across * across, down, down)
            least = square if least is None else torch.minimum(least, square)
        assert least is not None
        return (least + TINY).sqrt()


class SoftStrokes(Strokes):
    """Strokes whose edges fall off over a width of `slope`, as a fraction of the image: they have derivatives."""

    def __init__(self, size: int = 28, samples: int = 1, slope: float = 0.03) -> None:
        super().__init__(size, samples)
        check_positive(slope=slope)
        self.slope = slope

    def __call__(self, points: Tensor, width: Tensor, grey: Tensor) -> Tensor:
        """Points [B, S, 4, 2], widths and greys [B, S] -> images [B, 1, H, W]."""
        return self.draw(points, width, grey)

    def coverage(self, distance: Tensor, width: Tensor) -> Tensor:
        """How much of a sample a stroke covers: a logistic function of the distance from its edge."""
        return torch.sigmoid((width / 2 - distance) * (4 / self.slope))
