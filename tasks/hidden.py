"""Hidden parameters: the reference was rendered with them, and the start is a random guess near them."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from zg.space import Block, ParameterSpace


def guess_around(hidden: Mapping[str, Block], far: float, generator: torch.Generator) -> tuple[ParameterSpace, Tensor]:
    """hidden: blocks whose init is the hidden value -> (a space with another start, the hidden values [n]).

    Each coordinate of the start is drawn uniformly within `far` scaled units of its hidden value, then rounded and
    moved inside its bounds as for rendering. The values are in the user's units.
    """
    known = ParameterSpace(hidden)
    away = far * (2 * torch.rand(known.n, generator=generator, dtype=torch.float64) - 1)
    x = known.to_user(known.init + away)
    start = known.split(x) | {name: value for name, value in known.values(x).items() if hidden[name].choices}
    space = ParameterSpace({name: replace(block, init=start[name]) for name, block in hidden.items()})
    return space, known.to_user(known.init)
