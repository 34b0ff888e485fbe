"""Tasks whose reference was made with known parameters: the start is a guess some way off."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from zg.space import Block, ParameterSpace


def guess_around(hidden: Mapping[str, Block], far: float, generator: torch.Generator) -> tuple[ParameterSpace, Tensor]:
    """Blocks that start at the hidden values -> a space that starts up to `far` scaled units from each, and the values.

    Every coordinate is moved by its own uniform draw, then rounded and brought inside its bounds as for rendering.
    """
    known = ParameterSpace(hidden)
    away = far * (2 * torch.rand(known.n, generator=generator, dtype=torch.float64) - 1)
    start = known.split(known.to_user(known.init + away))
    space = ParameterSpace({name: replace(block, init=start[name]) for name, block in hidden.items()})
    return space, known.to_user(known.init)
