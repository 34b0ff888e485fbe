"""Independent random streams from one run seed. Nothing here touches a global generator."""

import hashlib

import torch
from torch import Tensor


def derive_seed(seed: int, *words: str | int) -> int:
    """A 63-bit seed that depends on `seed` and `words` alone: the stream of that name in that run."""
    text = "/".join(str(word) for word in (seed, *words))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def make_generator(seed: int, *words: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator for the stream named `words` of run `seed`."""
    return torch.Generator(device=device).manual_seed(derive_seed(seed, *words))


def render_seeds(seed: int, first: int, count: int) -> Tensor:
    """Seeds [count] (int64, below 2³¹) of the renders number `first`, `first + 1`, … of a run."""
    mixed = (torch.arange(first, first + count) * 0x9E3779B1 + derive_seed(seed, "render")) % (2**31 - 1)
    return mixed
