"""The picture of an autoencoder of strokes: digits, reconstructions, samples, and a walk through the latent space."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from zg.pictures import headings
from zg.seeding import make_generator

#: Columns, pixels of a cell and of the gaps between cells.
COLUMNS, CELL, GAP = 12, 64, 4


@torch.no_grad()
def autoencoder_panel(
    digits: Tensor, z: Tensor, draw: Callable[[Tensor], Tensor], draw_fine: Callable[[Tensor], Tensor]
) -> Tensor:
    """A picture [3, H, W] of digits [COLUMNS, 1, H, W], their reconstructions, samples of z ~ N(0, 1), and a walk.

    z [COLUMNS, latent]: of the digits. draw, draw_fine: images of z as the digits are, and on a fine grid.
    """
    samples = torch.randn(z.shape, generator=make_generator(0, "samples"))
    along = torch.linspace(0, 1, COLUMNS)[:, None]
    rows = {
        "digits, held out": digits,
        "reconstructions": draw(z),
        "reconstructions, on a finer grid": draw_fine(z),
        "samples": draw_fine(samples),
        "a walk from the first digit to the third": draw_fine(torch.lerp(z[:1], z[2:3], along)),
    }
    return torch.cat([part for name, images in rows.items() for part in (heading(name), row(images))], dim=1)


def row(images: Tensor) -> Tensor:
    """Images [B, C, H, W], grey or RGB, side by side [3, CELL, W]."""
    cells = interpolate(images.clamp(0, 1), size=(CELL, CELL), mode="nearest").expand(-1, 3, -1, -1)
    gap = torch.ones(3, CELL, GAP)
    return torch.cat([part for cell in cells for part in (cell, gap)][:-1], dim=2)


def heading(name: str) -> Tensor:
    """A line of text as wide as a row."""
    return headings((name,), COLUMNS * (CELL + GAP) - GAP)
