"""The parameter space: θ in scaled units for methods, x in the user's units for renderers.

Methods use one σ for all coordinates of θ. The parameters of a user have different units and ranges: a position in
metres, an angle, a count, a roughness that covers three decades. The `scale` of a block is therefore the size of one
scaled unit, in the user's units or, for logarithmic parameters, in e-folds (factors of e). Integer and binary
parameters are real numbers in θ and are rounded before rendering.

A categorical parameter has k values without an order. It is k coordinates, in θ and in x:

    θ = (s_1, …, s_k), 0 ≤ s_i ≤ 1, a score of each value        x = one-hot vector of the highest score

The start and every value that is set have the score 0.6, all others 0.4. Samples of the usual width change it then, and
a method needs to know nothing of it.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zg.block import Block as Block
from zg.block import Part, named
from zg.calling import Argument, divided
from zg.errors import SettingError
from zg.memory import check_memory

# θ has double precision up to this number of coordinates: its cost is then small beside that of a render.
MAX_DOUBLE = 4096
# Vectors of n numbers that a space and the plainest method keep: start, bounds in both units, scale, θ and its moments.
VECTORS = 8
# Score of the value that a categorical parameter has, and of its other values.
CHOSEN, OTHERS = 0.6, 0.4


class ParameterSpace:
    """Named blocks, concatenated into one vector θ of n coordinates.

    Raises SettingError for a block with a wrong setting. Tensors are on the CPU until `to(device)`.

    >>> import zg
    >>> count = zg.Block(8, low=0, high=40, kind="integer")
    >>> space = zg.ParameterSpace(place=zg.Block([0.0, 0.0]), count=count)
    >>> space.n, space.names
    (3, ['place', 'count'])
    >>> space.to_user(space.init + 0.21).tolist()  # the count moves by 0.21 · 40 = 8.4, and is rounded
    [0.21, 0.21, 16.0]
    """

    def __init__(self, blocks: Mapping[str, Block] | None = None, /, **named: Block) -> None:
        self.blocks: dict[str, Block] = {**(blocks or {}), **named}
        if not self.blocks:
            raise SettingError("a parameter space needs at least one block, got none")
        given = sum(block.count for block in self.blocks.values() if isinstance(block, Block))
        check_memory(VECTORS * 8.0 * given, space=f"{given} parameters")
        parts = [Part.of(name, block) for name, block in self.blocks.items()]
        self.names = list(self.blocks)
        self.shapes = [part.init.shape for part in parts]
        self.sizes = [part.init.numel() for part in parts]
        self.n = sum(self.sizes)
        if self.n == 0:
            raise SettingError("a parameter space needs at least one coordinate, got 0")
        self.dtype = torch.float64 if self.n <= MAX_DOUBLE else torch.float32

        def column(values: list[Tensor]) -> Tensor:
            return torch.cat([value.reshape(-1) for value in values]).to(self.dtype)

        def flags(values: list[Tensor]) -> Tensor:
            return torch.cat([value.reshape(-1) for value in values])

        self.scale = column([part.scale for part in parts])
        self.log = flags([torch.full(part.init.shape, part.log) for part in parts])
        #: Whether coordinates [n] are integer, binary or categorical.
        self.discrete = flags([part.discrete for part in parts])
        #: The coordinates of each categorical parameter.
        self.groups = self._groups()
        self.low_user = column([part.low for part in parts])
        self.high_user = column([part.high for part in parts])
        self.low, self.high = self._over_scale(self.low_user), self._over_scale(self.high_user)
        self.init = self.to_scaled(column([part.init for part in parts]))

    @cached_property
    def bounded(self) -> bool:
        """Whether at least one coordinate has a bound."""
        return bool((self.low_user.isfinite() | self.high_user.isfinite()).any())

    @cached_property
    def any_log(self) -> bool:
        """Whether at least one coordinate is logarithmic."""
        return bool(self.log.any())

    @cached_property
    def any_discrete(self) -> bool:
        """Whether at least one coordinate is integer, binary or categorical."""
        return bool(self.discrete.any())

    @cached_property
    def categorical(self) -> Tensor:
        """Whether coordinates [n] are scores of a categorical parameter."""
        found = torch.zeros_like(self.discrete)
        for group in self.groups:
            found[group] = True
        return found

    def to(self, device: torch.device | str) -> "ParameterSpace":
        """Move all tensors to a device, in place. Returns the space itself."""
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(self, name, value.to(device))
        return self

    def to_user(self, theta: Tensor) -> Tensor:
        """θ [..., n] in scaled units -> x [..., n] in the user's units: clipped to the bounds, rounded if discrete."""
        x = theta * self.scale
        if self.any_log:
            x = torch.where(self.log, x.exp(), x)
        if self.bounded:
            x = x.clamp(self.low_user, self.high_user)
        if not self.any_discrete:
            return x
        rounded = torch.where(self.discrete, x.round(), x)
        for group in self.groups:
            rounded[..., group] = one_hot(x[..., group])
        return rounded

    def to_scaled(self, x: Tensor) -> Tensor:
        """x [..., n] in the user's units -> θ [..., n] in scaled units, neither rounded nor clipped."""
        theta = self._over_scale(x)
        for group in self.groups:
            theta[..., group] = _scores(x[..., group])
        return theta

    def settled(self, theta: Tensor) -> Tensor:
        """θ [..., n] in which the scores of every categorical parameter are those of its value."""
        if not self.groups:
            return theta
        theta = theta.clone()
        for group in self.groups:
            theta[..., group] = _scores(one_hot(theta[..., group]))
        return theta

    def group_of(self, k: int) -> slice:
        """The coordinates of the parameter that coordinate k belongs to: k alone, where it is not categorical."""
        return next((group for group in self.groups if group.start <= k < group.stop), slice(k, k + 1))

    def values(self, x: Tensor) -> dict[str, Any]:
        """x [n] -> {name of block: its value}: a number or an array, whole ones as integers; a choice if categorical.

        >>> import zg
        >>> wood = zg.Block("oak", choices=["oak", "ash"])
        >>> space = zg.ParameterSpace(count=zg.Block(8, kind="integer"), wood=wood)
        >>> space.values(space.to_user(space.init))
        {'count': 8, 'wood': 'oak'}
        """
        parts = divided(x.double().cpu().numpy(), self.arguments)
        return {block.name: _value(block, part) for block, part in parts}

    def point(self, values: Mapping[str, Any]) -> Tensor:
        """{name of block: its value} -> x [n] in the user's units, float64; the inverse of `values`.

        Raises SettingError for other names, another shape, or a choice that there is not.
        """
        if values.keys() != self.blocks.keys():
            raise SettingError(f"the values must be those of {self.names}, got {list(values)}")
        parts = []
        for (name, block), shape in zip(self.blocks.items(), self.shapes, strict=True):
            with named(name):
                part = Part.of(name, Block(values[name], choices=block.choices)).init
            if part.shape != shape:
                raise SettingError(f"{name} must have the shape of space.{name}, {list(shape)}, got {list(part.shape)}")
            parts.append(part.reshape(-1))
        return torch.cat(parts)

    @property
    def arguments(self) -> list[Argument]:
        """The blocks as arguments of a function (`zg.calling`)."""
        blocks = zip(self.blocks.items(), self.shapes, strict=True)
        return [Argument(name, tuple(shape), block.is_whole, block.choices) for (name, block), shape in blocks]

    def _over_scale(self, x: Tensor) -> Tensor:
        return torch.where(self.log, x.clamp_min(0).log(), x) / self.scale

    def _groups(self) -> list[slice]:
        found, start = [], 0
        for block, size in zip(self.blocks.values(), self.sizes, strict=True):
            k = len(block.choices or ()) if block.kind == "categorical" else size
            if block.kind == "categorical":
                found += [slice(at, at + k) for at in range(start, start + size, k)]
            start += size
        return found

    def chosen(self, theta: Tensor, k: int) -> Tensor:
        """θ [n] in which the categorical parameter that has coordinate k has the value of this coordinate."""
        theta = theta.clone()
        group = next(group for group in self.groups if group.start <= k < group.stop)
        theta[group] = OTHERS
        theta[k] = CHOSEN
        return theta

    def project(self, theta: Tensor) -> Tensor:
        """θ [..., n] in scaled units, clipped to the bounds."""
        return theta.clamp(self.low, self.high) if self.bounded else theta

    def split(self, x: Tensor) -> dict[str, Tensor]:
        """x [..., n] -> {name of block: [..., *shape of block]}, as views of x."""
        parts = torch.split(x, self.sizes, dim=-1)
        leading = x.shape[:-1]
        return {
            name: part.reshape((*leading, *shape))
            for name, shape, part in zip(self.names, self.shapes, parts, strict=True)
        }

    def join(self, named: Mapping[str, Tensor]) -> Tensor:
        """{name of block: [..., *shape of block]} -> x [..., n]; the inverse of `split`."""
        flat = [
            named[name].reshape((*named[name].shape[: named[name].ndim - len(shape)], -1))
            for name, shape in zip(self.names, self.shapes, strict=True)
        ]
        return torch.cat(flat, dim=-1)


def _value(block: Argument, part: Any) -> Any:
    """The value of a block from its part of x, an array of the shape of the block."""
    if block.choices is not None:
        return block.choice(part)
    value = part.astype(np.int64) if block.is_whole else part
    return value if value.ndim else value.item()


def _scores(x: Tensor) -> Tensor:
    """Scores [..., k] of one-hot x [..., k]."""
    return OTHERS + (CHOSEN - OTHERS) * x


def one_hot(scores: Tensor) -> Tensor:
    """One-hot vectors [..., k] of the highest of scores [..., k]; the first one of equals."""
    chosen = torch.nn.functional.one_hot(scores.argmax(-1), scores.shape[-1])
    return chosen.to(scores)
