"""Offsets ε of antithetic pairs around each row, and the weights w with which changes of the image make a gradient.

    ∂(f ∗ κ)/∂x (x) = E[ (f(x + σ ε) − f(x − σ ε)) / 2 · w ] / σ          κ: a Gaussian of width σ

| `draws` | ε | w |
|---|---|---|
| gaussian | N(0, I), as in the paper | ε |
| orthogonal | r q: q orthonormal within a row, r from χ with n + 2 degrees of freedom | n ε / r² |
| spsa | each coordinate ± 1 (Spall 1992) | ε |
| fr22 | each coordinate ± Rayleigh (Fischer and Ritschel 2022) | √(2/π) sign ε |

Orthogonal draws smooth exactly as Gaussian ones do. In polar coordinates E[f ε] = E[r² · f q / r] with r from χ_n, and
r² times the density of χ_n is n times that of χ_(n+2). So q need not be independent (after Choromanski et al. 2018,
"Structured Evolution with Compact Architectures"), and a linear f has no noise of r: n pairs give its gradient exactly.
SPSA's draws smooth about as Gaussian ones do where many coordinates matter. FR22 draws smooth ∂f/∂x_j with a Gaussian
along j, and with wider draws along the other coordinates.
"""

import math
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from zg.errors import SettingError, nearest

Kind = Literal["gaussian", "orthogonal", "spsa", "fr22"]


class Draws(NamedTuple):
    """ε and w, each [pairs, B, n]."""

    offsets: Tensor
    weights: Tensor


def check_kind(kind: str) -> None:
    """Raise SettingError for draws that there are not."""
    if kind not in get_args(Kind):
        raise SettingError(
            f"draws must be one of {', '.join(get_args(Kind))}, got '{kind}'{nearest(kind, get_args(Kind))}"
        )


def draw(kind: Kind, pairs: int, like: Tensor, generator: torch.Generator) -> Draws:
    """Draws for each row of a tensor [B, n], of its type and on its device. The generator is on the CPU."""
    batch, n = like.shape
    if kind == "fr22":
        u = torch.rand(2, pairs, batch, n, generator=generator, dtype=torch.float64).to(like)
        signs = torch.where(u[0] < 0.5, -1.0, 1.0).to(like)
        return Draws(signs * (-2 * torch.log1p(-u[1])).sqrt(), math.sqrt(2 / math.pi) * signs)
    if kind in ("gaussian", "spsa"):
        offsets = torch.randn(pairs, batch, n, generator=generator, dtype=like.dtype).to(like.device)
        offsets = offsets.sign() if kind == "spsa" else offsets
        return Draws(offsets, offsets)
    blocks = [min(n, pairs - start) for start in range(0, pairs, n)]
    directions = torch.cat([_orthonormal(size, like, generator) for size in blocks])
    radii = torch.randn(pairs, batch, n + 2, generator=generator, dtype=like.dtype).norm(dim=-1, keepdim=True)
    radii = radii.to(like.device)
    return Draws(radii * directions, n / radii * directions)


def _orthonormal(size: int, like: Tensor, generator: torch.Generator) -> Tensor:
    """Directions [size, B, n], orthonormal in each row and evenly distributed; size ≤ n."""
    batch, n = like.shape
    matrix = torch.randn(batch, n, size, generator=generator, dtype=like.dtype)
    directions: Tensor = torch.linalg.qr(matrix)[0].permute(2, 0, 1)
    return directions.to(like.device)


def weighted_mean(changes: Tensor, valid: Tensor, draws: Draws, sigma: float) -> Tensor:
    """Changes [pairs, B] of v · f, half from −ε to ε -> gradient [B, n]: the mean of change · w / σ over valid pairs.

    A row without a valid pair has the gradient 0.
    """
    kept = torch.where(valid, changes, 0.0) / (sigma * valid.sum(0).clamp_min(1))
    return torch.einsum("mb,mbn->bn", kept, draws.weights)
