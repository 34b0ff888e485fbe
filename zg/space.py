"""The parameter space: θ in scaled units for methods, x in the user's units for renderers.

Methods use one σ for all coordinates of θ. The parameters of a user have different units and ranges: a position in
metres, an angle, a count, a roughness that covers three decades. The `scale` of a block is therefore the size of one
scaled unit, in the user's units or, for logarithmic parameters, in e-folds (factors of e). Integer and binary
parameters are real numbers in θ and are rounded before rendering.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from zg.errors import SettingError
from zg.memory import check_memory

Kind = Literal["real", "integer", "binary"]
Numbers = Tensor | Sequence[float] | float

# θ has double precision up to this number of coordinates: its cost is then small beside that of a render.
MAX_DOUBLE = 4096
# Vectors of n numbers that a space and the plainest method keep: start, bounds in both units, scale, θ and its moments.
VECTORS = 8


@dataclass(frozen=True)
class Block:
    """A named group of parameters. All values are in the user's units.

    init: the initial value. Its shape is the shape of the block.
    low, high: bounds, enforced before rendering. One number, or one for each coordinate; None is no bound.
    scale: the user's units per scaled unit (e-folds per scaled unit if `log`). One number, or one for each coordinate.
        The default is high − low (log high − log low if `log`) if both bounds are given, else 1.
    kind: `integer` and `binary` coordinates are rounded before rendering. `binary` sets the bounds 0 and 1.
    log: x = exp(scale · θ). Needs a positive `init`.

    >>> import zg
    >>> zg.Block([0.3, 0.7], low=0, high=1).init
    [0.3, 0.7]
    >>> zg.ParameterSpace(roughness=zg.Block(0.1, low=0.01, high=1, log=True)).scale.exp().round().tolist()
    [100.0]
    """

    init: Numbers
    low: Numbers | None = None
    high: Numbers | None = None
    scale: Numbers | None = None
    kind: Kind = "real"
    log: bool = False


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
        given = sum(_count(block.init) for block in self.blocks.values() if isinstance(block, Block))
        check_memory(VECTORS * 8.0 * given, space=f"{given} parameters")
        parts = [_Part.of(name, block) for name, block in self.blocks.items()]
        self.names = list(self.blocks)
        self.shapes = [part.init.shape for part in parts]
        self.sizes = [part.init.numel() for part in parts]
        self.n = sum(self.sizes)
        if self.n == 0:
            raise SettingError("a parameter space needs at least one coordinate, got 0")
        self.dtype = torch.float64 if self.n <= MAX_DOUBLE else torch.float32

        def column(values: list[Tensor]) -> Tensor:
            return torch.cat([value.reshape(-1) for value in values]).to(self.dtype)

        def spread(values: list[bool]) -> Tensor:
            return torch.cat([torch.full((size,), v) for v, size in zip(values, self.sizes, strict=True)])

        self.scale = column([part.scale for part in parts])
        self.log = spread([part.log for part in parts])
        self.discrete = spread([part.discrete for part in parts])
        self.low_user = column([part.low for part in parts])
        self.high_user = column([part.high for part in parts])
        self.low = self.to_scaled(self.low_user)
        self.high = self.to_scaled(self.high_user)
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
        """Whether at least one coordinate is integer or binary."""
        return bool(self.discrete.any())

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
        return torch.where(self.discrete, x.round(), x) if self.any_discrete else x

    def to_scaled(self, x: Tensor) -> Tensor:
        """x [..., n] in the user's units -> θ [..., n] in scaled units, neither rounded nor clipped."""
        return torch.where(self.log, x.clamp_min(0).log(), x) / self.scale

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


@dataclass(frozen=True)
class _Part:
    """A block whose settings were checked. The tensors are float64 and have the shape of the block."""

    init: Tensor
    low: Tensor
    high: Tensor
    scale: Tensor
    log: bool
    discrete: bool

    @staticmethod
    def of(name: str, block: Block) -> "_Part":
        def wrong(setting: str, value: object, right: str) -> SettingError:
            return SettingError(f"space.{name}.{setting} must be {right}, got {value}")

        def numbers(setting: str, value: Numbers) -> Tensor:
            try:
                found = torch.as_tensor(value)
            except (TypeError, ValueError, RuntimeError):
                raise wrong(setting, repr(value), "numbers") from None
            if found.is_complex():
                raise wrong(setting, "complex ones", "real numbers")
            return found.to(torch.float64)

        def alike(setting: str, value: Numbers) -> Tensor:
            found = numbers(setting, value)
            try:
                return found.expand(init.shape)
            except RuntimeError:
                right = f"one number, or of shape {list(init.shape)} as init is"
                raise wrong(setting, f"shape {list(found.shape)}", right) from None

        if not isinstance(block, Block):
            raise SettingError(f"space.{name} must be a Block, got {type(block).__name__}")
        init = numbers("init", block.init)
        if block.kind not in ("real", "integer", "binary"):
            raise wrong("kind", repr(block.kind), "real, integer or binary")
        binary, discrete = block.kind == "binary", block.kind != "real"
        low = alike("low", (0.0 if binary else -math.inf) if block.low is None else block.low)
        high = alike("high", (1.0 if binary else math.inf) if block.high is None else block.high)
        if discrete:  # integer bounds, so that rounding stays inside them
            low, high = low.ceil(), high.floor()
        if not (low < high).all():
            raise wrong("low", brief(low), f"below high = {brief(high)}")
        if not init.isfinite().all():
            raise wrong("init", "a value that is not", "finite")
        if (init < low).any() or (init > high).any():
            raise wrong("init", brief(init), f"inside its bounds [{low.min():g}, {high.max():g}]")
        if block.log and (init <= 0).any():
            raise wrong("init", f"{init.min():g}", "> 0 where log is set")
        if block.log and block.kind != "real":
            raise wrong("log", True, f"False for kind = {block.kind}")
        if block.scale is None:
            width = high.log() - low.clamp_min(0).log() if block.log else high - low
            scale = torch.where(width.isfinite(), width, 1.0)
        else:
            scale = alike("scale", block.scale)
        if not ((scale > 0) & scale.isfinite()).all():
            raise wrong("scale", brief(scale), "> 0 and finite")
        return _Part(init, low, high, scale, block.log, discrete)


def _count(init: Numbers) -> int:
    """How many numbers an initial value has. Lists are not counted: they hold more memory than a space takes."""
    return init.numel() if isinstance(init, Tensor) else init.size if isinstance(init, np.ndarray) else 1


def brief(values: Tensor) -> str:
    """The range of some numbers, for an error message."""
    low, high = values.min(), values.max()
    return f"{low:g}" if low == high else f"{low:g} … {high:g}"
