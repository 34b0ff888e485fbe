"""The picture of an autoencoder of strokes: digits, reconstructions, samples, and a walk through the latent space."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from tasks.renderers.strokes import Strokes
from zg.pictures import headings
from zg.seeding import make_generator

if TYPE_CHECKING:
    from tasks.spline_vae import SplineVAE

#: Columns, pixels of a cell and of the gaps between cells.
COLUMNS, CELL, GAP = 12, 64, 4


@torch.no_grad()
def autoencoder_panel(model: "SplineVAE") -> Tensor:
    """A picture [3, H, W] of held-out digits, their reconstructions, samples of z ~ N(0, 1), and a walk.

    Below the reconstructions are the same strokes on a finer grid, as are samples and walk.
    """
    digits = model.digits.held_out[:COLUMNS]
    z = model.network.encode(digits)[0]
    samples = torch.randn(COLUMNS, model.network.latent, generator=make_generator(0, "samples"))
    along = torch.linspace(0, 1, COLUMNS)[:, None]
    rows = {
        "digits, held out": digits,
        "reconstructions": model.draw(z),
        "their strokes": fine(model, z),
        "samples": fine(model, samples),
        "a walk from the first digit to the second": fine(model, torch.lerp(z[:1], z[1:2], along)),
    }
    return torch.cat([part for name, images in rows.items() for part in (heading(name), row(images))], dim=1)


def fine(model: "SplineVAE", z: Tensor) -> Tensor:
    """The strokes of z [B, latent] on a grid of CELL pixels; of a decoder without strokes its images."""
    if model.gradient == "plain":
        return model.draw(z)
    return model.drawn(z, Strokes(CELL))


def row(images: Tensor) -> Tensor:
    """Images [B, 1, H, W] side by side [3, CELL, W]."""
    cells = interpolate(images.clamp(0, 1), size=(CELL, CELL), mode="nearest")[:, 0]
    gap = torch.ones(CELL, GAP)
    return torch.cat([part for cell in cells for part in (cell, gap)][:-1], dim=1).expand(3, -1, -1)


def heading(name: str) -> Tensor:
    """A line of text as wide as a row."""
    return headings((name,), COLUMNS * (CELL + GAP) - GAP)
