"""Random offsets [B, n] around θ, in units of σ."""

import torch
from torch import Tensor


def gaussian(count: int, n: int, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
    """`count` offsets [count, n] from N(0, I)."""
    return torch.randn(count, n, generator=generator, dtype=dtype, device=generator.device)


def antithetic(pairs: int, n: int, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
    """`pairs` offsets from N(0, I), then the same offsets negated: [2 · pairs, n]."""
    offsets = gaussian(pairs, n, generator, dtype)
    return torch.cat([offsets, -offsets])
