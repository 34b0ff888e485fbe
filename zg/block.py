"""A block of parameters as the user describes it, and the same block checked, as tensors."""

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from zg.errors import SettingError, nearest

Kind = Literal["real", "integer", "binary", "categorical"]
Numbers = Tensor | Sequence[float] | float
#: Words of other libraries and of NumPy -> kinds.
KIND_WORDS = {
    "int": "integer",
    "discrete": "integer",
    "float": "real",
    "double": "real",
    "continuous": "real",
    "bool": "binary",
    "boolean": "binary",
    "choice": "categorical",
    "category": "categorical",
    "cat": "categorical",
}
#: Blocks of at most this number of values are checked where they are made; larger ones when a space is made of them.
CHECKED = 4096


class BlockError(SettingError):
    """A setting of a block is wrong. said: the message without the block, such as `.low must be below …`."""

    def __init__(self, said: str) -> None:
        super().__init__(f"Block{said}")
        self.said = said


@contextlib.contextmanager
def named(name: str) -> Iterator[None]:
    """Inside, a wrong setting of a block is told with the name that the block has in its space."""
    try:
        yield
    except BlockError as error:
        raise SettingError(f"space.{name}{error.said}") from None


@dataclass(frozen=True)
class Block:
    """A named group of parameters. All values are in the user's units.

    init: the initial value. Its shape is the shape of the block. Of a categorical block: one of `choices`, or a list.
    low, high: bounds, enforced before rendering. One number, or one for each coordinate; None is no bound.
    scale: the user's units per scaled unit (e-folds per scaled unit if `log`). One number, or one for each coordinate.
        The default is high − low (log high − log low if `log`) if both bounds are given, else 1.
    kind: `integer` and `binary` coordinates are rounded before rendering. `binary` sets the bounds 0 and 1. The values
        of a `categorical` block have no order. One kind, or one for each coordinate where none is categorical.
    log: x = exp(scale · θ). Needs a positive `init`.
    choices: the values of a categorical block: words, numbers, anything that can be compared. They make it categorical.
    Raises SettingError for a wrong setting; for more than 4,096 values only when a space is made of the block.

    >>> import zg
    >>> zg.Block([0.3, 0.7], low=0, high=1).init
    [0.3, 0.7]
    >>> zg.ParameterSpace(roughness=zg.Block(0.1, low=0.01, high=1, log=True)).scale.exp().round().tolist()
    [100.0]
    >>> zg.Block("glass", choices=["glass", "metal", "wood"]).kind
    'categorical'
    """

    init: Any
    low: Numbers | None = None
    high: Numbers | None = None
    scale: Numbers | None = None
    kind: Kind | Sequence[Kind] = "real"
    log: bool = False
    choices: Sequence[Any] | None = None

    def __post_init__(self) -> None:
        if self.choices is not None and self.kind == "real":
            object.__setattr__(self, "kind", "categorical")
        if self.init is not None and self.count <= CHECKED:
            _checked(self)

    @property
    def is_whole(self) -> bool:
        """Whether every coordinate is an integer or binary."""
        kinds = [self.kind] if isinstance(self.kind, str) else self.kind
        return all(kind in ("integer", "binary") for kind in kinds)

    @property
    def count(self) -> int:
        """How many numbers it has in x. Lists are not counted: they hold more memory than a space takes."""
        init = self.init
        values = init.numel() if isinstance(init, Tensor) else init.size if isinstance(init, np.ndarray) else 1
        return int(values) * len(self.choices or "x")


@dataclass(frozen=True)
class Part:
    """A block whose settings were checked. The tensors have the shape of the block in x; all but `discrete` float64.

    A categorical block has one more axis, for its k choices; `init` is one-hot along it.
    """

    init: Tensor
    low: Tensor
    high: Tensor
    scale: Tensor
    discrete: Tensor
    log: bool = False

    @staticmethod
    def of(name: str, block: Block) -> "Part":
        """The checked block. Raises SettingError, which names the setting."""
        if not isinstance(block, Block):
            raise SettingError(f"space.{name} must be a Block, got {type(block).__name__}")
        with named(name):
            return _checked(block)


def _checked(block: Block) -> Part:
    """The checked block. Raises BlockError."""
    return _categorical(block) if block.kind == "categorical" else _numeric(block)


def _wrong(setting: str, value: object, right: str) -> BlockError:
    return BlockError(f".{setting} must be {right}, got {value}")


def _numbers(setting: str, value: Any) -> Tensor:
    try:
        found = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError):
        raise _wrong(setting, repr(value), "numbers") from None
    if found.is_complex():
        raise _wrong(setting, "complex ones", "real numbers")
    # Of numbers of Python PyTorch makes single precision first, which has 0.3 beyond a bound of 0.3.
    return torch.as_tensor(value, dtype=torch.float64)


def _alike(setting: str, value: Any, init: Tensor) -> Tensor:
    """Numbers in the shape of `init`: one for all coordinates, or one for each."""
    found = _numbers(setting, value)
    try:
        return found.expand(init.shape)
    except RuntimeError:
        right = f"one number, or of shape {list(init.shape)} as init is"
        raise _wrong(setting, f"shape {list(found.shape)}", right) from None


def _kinds(block: Block, init: Tensor) -> tuple[Tensor, Tensor]:
    """Whether coordinates are discrete, and whether they are binary, in the shape of `init`."""
    kinds: Sequence[Any] = [block.kind] * init.numel() if isinstance(block.kind, str) else list(block.kind)
    for kind in kinds[:1] if isinstance(block.kind, str) else kinds:
        if kind == "categorical":
            raise _wrong("kind", kinds, "one for the whole block where it is categorical")
        if kind not in get_args(Kind):
            similar = KIND_WORDS.get(kind.lower()) if isinstance(kind, str) else None
            got = f"{kind!r}; did you mean '{similar}'?" if similar else repr(kind)
            raise _wrong("kind", got, "real, integer, binary or categorical")
    if len(kinds) != init.numel():
        raise _wrong("kind", len(kinds), f"one kind, or {init.numel()}, one for each coordinate")
    discrete, binary = ([kind in some for kind in kinds] for some in (("integer", "binary"), ("binary",)))
    made = [torch.tensor(some, dtype=torch.bool).reshape(init.shape) for some in (discrete, binary)]
    return made[0], made[1]


def _numeric(block: Block) -> Part:
    """A block of real, integer or binary numbers."""
    init = _numbers("init", block.init)
    if block.choices is not None:
        raise _wrong("kind", block.kind, "categorical where there are choices")
    discrete, binary = _kinds(block, init)
    low = torch.where(binary, 0.0, -math.inf) if block.low is None else _alike("low", block.low, init)
    high = torch.where(binary, 1.0, math.inf) if block.high is None else _alike("high", block.high, init)
    # Integer bounds, so that rounding stays inside them.
    low, high = torch.where(discrete, low.ceil(), low).double(), torch.where(discrete, high.floor(), high).double()
    if not (low < high).all():
        raise _wrong("low", brief(low), f"below high = {brief(high)}")
    if not init.isfinite().all():
        raise _wrong("init", "a value that is not", "finite")
    if (init < low).any() or (init > high).any():
        raise _wrong("init", brief(init), f"inside its bounds [{low.min():g}, {high.max():g}]")
    if ((init != init.round()) & discrete & ~binary).any():
        raise _wrong("init", brief(init), "whole where kind is integer")
    if block.log and (low.isfinite() & (low < 0)).any():
        raise _wrong("low", brief(low), "≥ 0 where log is set")
    if block.log and (init <= 0).any():
        raise _wrong("init", f"{init.min():g}", "> 0 where log is set")
    if block.log and discrete.any():
        raise _wrong("log", True, f"False for kind = {block.kind}")
    if block.scale is None:
        width = high.log() - low.clamp_min(0).log() if block.log else high - low
        scale = torch.where(width.isfinite(), width, 1.0)
    else:
        scale = _alike("scale", block.scale, init)
    if not ((scale > 0) & scale.isfinite()).all():
        raise _wrong("scale", brief(scale), "> 0 and finite")
    return Part(init, low, high, scale, discrete, block.log)


def _categorical(block: Block) -> Part:
    """A block of values without an order."""
    for setting in ("low", "high", "scale", "log"):
        if value := getattr(block, setting):
            raise _wrong(setting, value, "left out where kind is categorical")
    choices = block.choices
    if choices is None or isinstance(choices, str) or not isinstance(choices, Sequence) or len(choices) < 2:
        raise _wrong("choices", repr(choices), "a list of two or more values")
    if any(_same(value, other) for i, value in enumerate(choices) for other in choices[:i]):
        raise _wrong("choices", repr(choices), "values that differ")
    x = one_hot_of(block, block.init)
    return Part(x, torch.zeros_like(x), torch.ones_like(x), torch.ones_like(x), torch.ones_like(x, dtype=torch.bool))


def one_hot_of(block: Block, value: Any) -> Tensor:
    """One-hot vectors [..., k] float64 of a value among the choices of a categorical block, or of a list of values.

    Raises BlockError for a value that is not among them.
    """
    assert block.choices is not None

    def index(one: Any) -> Any:
        found = [k for k, choice in enumerate(block.choices or ()) if _same(one, choice)]
        if found:
            return found[0]
        if isinstance(one, list | tuple | np.ndarray | Tensor) and np.ndim(one):
            return [index(item) for item in one]
        raise BlockError(f" has no choice {one!r}{nearest(str(one), map(str, block.choices or ()))}")

    return torch.nn.functional.one_hot(torch.tensor(index(value)), len(block.choices)).double()


def _same(one: Any, other: Any) -> bool:
    """Whether two values of a user are equal; values whose comparison is no single truth, such as arrays, are not."""
    try:
        return bool(one is other or one == other)
    except (TypeError, ValueError, RuntimeError):
        return False


def brief(values: Tensor) -> str:
    """The range of some numbers, for an error message."""
    low, high = values.min(), values.max()
    return f"{low:g}" if low == high else f"{low:g} … {high:g}"
