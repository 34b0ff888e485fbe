"""Independent streams of random numbers, derived from the seed of a run. No global generator is used."""

import hashlib

import torch
from torch import Tensor


def derive_seed(seed: int, *words: str | int) -> int:
    """The 63-bit seed of the stream that is named `words` in the run with this seed; it depends on nothing else."""
    text = "/".join(str(word) for word in (seed, *words))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def make_generator(seed: int, *words: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator for the stream that is named `words` in the run with this seed."""
    return torch.Generator(device=device).manual_seed(derive_seed(seed, *words))


def render_seeds(seed: int, first: int, count: int) -> Tensor:
    """Seeds [count] (int64, < 2³¹) of `count` renders of a run, from render number `first` on."""
    mixed = (torch.arange(first, first + count) * 0x9E3779B1 + derive_seed(seed, "render")) % (2**31 - 1)
    return mixed
